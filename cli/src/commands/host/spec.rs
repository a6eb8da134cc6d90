//! The messages that describe a container, as a shim writes them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use policy_engine::request::DEFAULT_CAPABILITIES;
use proto::kata::oci;
use protobuf::MessageField;

use super::image;
use crate::image::Image;

/// Destination, type, source and options of the mounts that every container gets.
const DEFAULT_MOUNTS: [(&str, &str, &str, &[&str]); 8] = [
    ("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
    ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    ),
    ("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    ("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
    ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ("/run", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
    ("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
];

const NAMESPACES: [&str; 5] = ["mount", "ipc", "uts", "pid", "cgroup"];

const MASKED_PATHS: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
];

const READ_ONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What a process is to be.
#[derive(Debug, Args)]
pub(super) struct ProcessArgs {
    /// OCI image layout whose configuration gives environment, arguments, directory and user.
    #[arg(long, value_name = "DIR")]
    image: Option<PathBuf>,
    /// Environment variable; replaces the image's of that name. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_variable)]
    env: Vec<String>,
    /// Working directory, instead of the image's.
    #[arg(long)]
    cwd: Option<String>,
    /// User and group, as numbers, instead of the image's.
    #[arg(long, value_name = "UID[:GID]")]
    user: Option<String>,
    /// Let the process gain no privileges by running set-user-id programs.
    #[arg(long)]
    no_new_privileges: bool,
    /// Capability besides the usual ones of an unprivileged container. May be repeated.
    #[arg(long = "capability", value_name = "NAME")]
    capabilities: Vec<String>,
}

fn parse_variable(text: &str) -> Result<String, String> {
    if text.contains('=') { Ok(text.to_owned()) } else { Err("not NAME=VALUE".to_owned()) }
}

impl ProcessArgs {
    /// The process with these arguments, or with the image's when there are none.
    ///
    /// # Errors
    /// When the image cannot be read, there is nothing to run, or the user is not numeric.
    pub(super) fn process(&self, args: &[String]) -> anyhow::Result<oci::Process> {
        let image = self.image.as_deref().map(Image::open).transpose()?;
        let config = image.map_or_else(Default::default, |image| image.config().clone());
        let args = if args.is_empty() { image::arguments(&config) } else { args.to_vec() };
        anyhow::ensure!(!args.is_empty(), "neither the command line nor the image says what to run");

        let mut env = config.env().clone().unwrap_or_default();
        for variable in &self.env {
            let name = |text: &str| {
                text.split_once('=').map_or_else(|| text.to_owned(), |(name, _)| name.to_owned())
            };
            match env.iter_mut().find(|present| name(present) == name(variable)) {
                Some(present) => present.clone_from(variable),
                None => env.push(variable.clone()),
            }
        }
        let user = self.user.as_ref().or(config.user().as_ref()).filter(|user| !user.is_empty());
        let (uid, gid) = user.map_or(Ok((0, 0)), |user| image::parse_user(user))?;
        let mut capabilities = strings(&DEFAULT_CAPABILITIES);
        capabilities.extend(self.capabilities.iter().cloned());
        let cwd = self.cwd.as_ref().or(config.working_dir().as_ref()).filter(|cwd| !cwd.is_empty());
        Ok(oci::Process {
            User: MessageField::some(oci::User { UID: uid, GID: gid, ..Default::default() }),
            Args: args,
            Env: env,
            Cwd: cwd.map_or_else(|| "/".to_owned(), Clone::clone),
            Capabilities: MessageField::some(oci::LinuxCapabilities {
                Bounding: capabilities.clone(),
                Effective: capabilities.clone(),
                Permitted: capabilities,
                ..Default::default()
            }),
            NoNewPrivileges: self.no_new_privileges,
            ..Default::default()
        })
    }
}

/// The specification of an unprivileged container of a pod.
pub(super) fn specification(
    container_id: &str,
    sandbox_id: &str,
    root: &str,
    process: oci::Process,
    resources: oci::LinuxResources,
) -> oci::Spec {
    oci::Spec {
        Version: "1.1.0".to_owned(),
        Process: MessageField::some(process),
        Root: MessageField::some(oci::Root { Path: root.to_owned(), ..Default::default() }),
        Mounts: DEFAULT_MOUNTS
            .iter()
            .map(|(destination, kind, source, options)| oci::Mount {
                destination: (*destination).to_owned(),
                source: (*source).to_owned(),
                type_: (*kind).to_owned(),
                options: strings(options),
                ..Default::default()
            })
            .collect(),
        Annotations: BTreeMap::from([
            ("io.kubernetes.cri.container-type".to_owned(), "container".to_owned()),
            ("io.kubernetes.cri.sandbox-id".to_owned(), sandbox_id.to_owned()),
        ]),
        Linux: MessageField::some(oci::Linux {
            CgroupsPath: format!("/k8s.io/{container_id}"),
            Resources: MessageField::some(resources),
            Namespaces: NAMESPACES
                .iter()
                .map(|kind| oci::LinuxNamespace { Type: (*kind).to_owned(), ..Default::default() })
                .collect(),
            MaskedPaths: strings(&MASKED_PATHS),
            ReadonlyPaths: strings(&READ_ONLY_PATHS),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process_args() -> ProcessArgs {
        ProcessArgs {
            image: None,
            env: Vec::new(),
            cwd: None,
            user: None,
            no_new_privileges: false,
            capabilities: Vec::new(),
        }
    }

    #[test]
    fn the_command_line_wins_over_the_image() {
        let layout = tempfile::tempdir().unwrap();
        write_layout(
            layout.path(),
            r#"{"Env":["A=1","B=2"],"Entrypoint":["/e"],"Cmd":["c"],"WorkingDir":"/w","User":"7:8"}"#,
        );
        let image = Some(layout.path().to_owned());

        let plain = ProcessArgs { image: image.clone(), ..process_args() }.process(&[]).unwrap();
        assert_eq!(plain.Args, ["/e", "c"]);
        assert_eq!(plain.Env, ["A=1", "B=2"]);
        assert_eq!((plain.Cwd.as_str(), plain.User.UID, plain.User.GID), ("/w", 7, 8));

        let changed = ProcessArgs {
            image,
            env: strings(&["B=3=3", "C=4"]),
            cwd: Some("/x".to_owned()),
            user: Some("9".to_owned()),
            no_new_privileges: true,
            capabilities: strings(&["CAP_SYS_ADMIN"]),
        };
        let changed = changed.process(&strings(&["/other"])).unwrap();
        assert_eq!(changed.Args, ["/other"]);
        assert_eq!(changed.Env, ["A=1", "B=3=3", "C=4"]);
        assert_eq!((changed.Cwd.as_str(), changed.User.UID, changed.User.GID), ("/x", 9, 0));
        assert!(changed.NoNewPrivileges);
        let effective = |process: &oci::Process| process.Capabilities.Effective.clone();
        assert!(effective(&changed).contains(&"CAP_SYS_ADMIN".to_owned()));
        assert!(!effective(&plain).contains(&"CAP_SYS_ADMIN".to_owned()));
    }

    #[test]
    fn a_process_needs_arguments_and_a_numeric_user() {
        assert!(process_args().process(&[]).is_err());
        let named = ProcessArgs { user: Some("nobody".to_owned()), ..process_args() };
        assert!(named.process(&strings(&["/a"])).is_err());
    }

    /// Writes an image layout with one image whose run configuration is `config`.
    fn write_layout(layout: &std::path::Path, config: &str) {
        use sha2::{Digest as _, Sha256};
        let blobs = layout.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let blob = |kind: &str, content: String| {
            let digest = hex::encode(Sha256::digest(&content));
            std::fs::write(blobs.join(&digest), &content).unwrap();
            let size = content.len();
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.{kind}+json","digest":"sha256:{digest}","size":{size}}}"#
            )
        };
        let config = blob(
            "config.v1",
            format!(
                r#"{{"architecture":"amd64","os":"linux","config":{config},"rootfs":{{"type":"layers","diff_ids":[]}}}}"#
            ),
        );
        let manifest = blob("manifest.v1", format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#));
        std::fs::write(
            layout.join("index.json"),
            format!(r#"{{"schemaVersion":2,"manifests":[{manifest}]}}"#),
        )
        .unwrap();
    }
}
