//! A root in Kata's multi-layer form: storages of one mount point, topmost layer first, and no overlay.

use proto::kata::agent::Storage;

/// What makes a storage a part of such a root.
const FORM: &str = "X-kata.multi-layer=true";
/// What Kata's shim wants to be made on the disk above the layers.
const DIRECTORIES: [&str; 2] =
    ["X-kata.mkdir.path={{ mount 0 }}/upper", "X-kata.mkdir.path={{ mount 0 }}/work"];

/// Turns layers, base first, and a scratch disk into the parts of the root that is mounted at `root`.
pub(super) fn parts(layers: Vec<Storage>, scratch: Option<Storage>, root: &str) -> Vec<Storage> {
    let part = |storage: Storage, options: &[&str]| {
        let driver = if storage.driver == "blk" { "erofs.multi-layer".to_owned() } else { storage.driver };
        let options = storage.options.into_iter().chain(options.iter().map(|&option| option.to_owned()));
        Storage { driver, options: options.collect(), mount_point: root.to_owned(), ..storage }
    };
    let upper = [&[FORM, "X-kata.overlay-upper"], DIRECTORIES.as_slice()].concat();
    let layers = layers.into_iter().rev().map(|layer| part(layer, &[FORM, "X-kata.overlay-lower"]));
    scratch.into_iter().map(|disk| part(disk, &upper)).chain(layers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_topmost_first_at_the_place_of_the_root() {
        let storage = |driver: &str, source: &str| Storage {
            driver: driver.to_owned(),
            source: source.to_owned(),
            options: vec!["given".to_owned()],
            mount_point: "elsewhere".to_owned(),
            ..Default::default()
        };
        let layers = vec![storage("blk", "02/03"), storage("scsi", "0:1")];
        let parts = parts(layers, Some(storage("blk", "/dev/vdc")), "/root");
        let named: Vec<_> = parts.iter().map(|part| (part.driver.as_str(), part.source.as_str())).collect();
        assert_eq!(
            named,
            [("erofs.multi-layer", "/dev/vdc"), ("scsi", "0:1"), ("erofs.multi-layer", "02/03")]
        );
        assert!(parts.iter().all(|part| part.mount_point == "/root"));
        assert_eq!(parts[0].options[..3], ["given", FORM, "X-kata.overlay-upper"]);
        assert_eq!(parts[0].options[3..], DIRECTORIES);
        assert_eq!(parts[1].options, ["given", FORM, "X-kata.overlay-lower"]);
    }
}
