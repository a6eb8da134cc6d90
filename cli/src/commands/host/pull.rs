//! How an image that the guest pulls is described on the wire: Kata's `image_guest_pull`.

use proto::kata::agent::Storage;
use serde_json::json;

use super::storage::root_path;

const DRIVER: &str = "image_guest_pull";

/// The root of a container on an image. `docker://` before the reference is left out.
pub(super) fn storage(image: &str, container_id: &str) -> Storage {
    let reference = image.strip_prefix("docker://").unwrap_or(image);
    let option = json!({ "metadata": { "io.kubernetes.cri.image-name": reference } });
    Storage {
        driver: DRIVER.to_owned(),
        source: reference.to_owned(),
        fstype: "overlay".to_owned(),
        driver_options: vec![format!("{DRIVER}={option}")],
        mount_point: root_path(container_id),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_once_more_in_the_option() {
        for image in ["docker://registry.example/app:1", "registry.example/app:1"] {
            let storage = storage(image, "c");
            assert_eq!(storage.source, "registry.example/app:1");
            assert_eq!(storage.mount_point, "/run/kata-containers/c/rootfs");
            assert_eq!(
                storage.driver_options,
                [
                    r#"image_guest_pull={"metadata":{"io.kubernetes.cri.image-name":"registry.example/app:1"}}"#
                ]
            );
        }
    }
}
