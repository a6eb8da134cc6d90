//! Why the framework denies a question: the native form of `reasons.rego` and `container_reasons.rego`.

use super::{Closest, container, overlay};
use crate::native::points::{Rules, WRITABLE_FILESYSTEMS};
use crate::pattern::RequestPatterns;
use crate::question::{self, Question};

pub(super) const NOT_STARTED: &str = "container not started";
const NO_DEVICE: &str = "no device at path to unmount";
const DEVICE_THERE: &str = "device already mounted at path";
const MOUNTPOINT: &str = "mountpoint invalid";

/// Why a question is denied.
#[derive(Debug, Default)]
pub(crate) struct Explanation {
    /// What `data.framework.errors` is for the same question and state, each once, in order.
    pub(crate) reasons: Vec<String>,
    /// The object that came closest, unbounded.
    pub(crate) closest: Option<Closest>,
    /// For a layer that no container has: how many different layers the policy names.
    pub(crate) layers: Option<usize>,
}

impl Explanation {
    /// One reason, of which no object of the policy can tell more.
    pub(super) fn of(reason: &str) -> Self {
        Self { reasons: vec![reason.to_owned()], ..Self::default() }
    }
}

/// Whether more than reasons can be said of the denial of `question`.
pub(crate) const fn compares_objects(question: &Question<'_>) -> bool {
    matches!(
        question,
        Question::MountDevice(_)
            | Question::MountOverlay(_)
            | Question::CreateContainer(_)
            | Question::ExecInContainer(_)
            | Question::ExecExternal(_)
            | Question::SignalContainerProcess(_)
    )
}

/// Explains the denial of `question`; `None` for those that are not answered natively.
pub(crate) fn explain(
    rules: Rules<'_>,
    question: &Question<'_>,
    patterns: &mut RequestPatterns,
) -> Option<Explanation> {
    let mut explanation = match question {
        Question::LinuxSettings(_)
        | Question::CreateSandbox(_)
        | Question::ControlContainer(_)
        | Question::DestroySandbox(_) => return None,
        Question::Plan9Mount(question) => plan9_mount(rules, question, patterns)?,
        Question::MountDevice(question) => mount_device(rules, question, patterns),
        Question::MountOverlay(question) => overlay::mount_overlay(rules, question),
        Question::CreateContainer(question) => container::create(rules, question),
        Question::ExecInContainer(question) => container::exec(rules, question),
        Question::ExecExternal(question) => container::exec_external(rules, question),
        Question::SignalContainerProcess(question) => container::signal(rules, question),
        _ => Explanation { reasons: simple(rules, question, patterns), ..Explanation::default() },
    };
    explanation.reasons.sort_unstable();
    explanation.reasons.dedup();
    Some(explanation)
}

/// The questions that are not compared with objects of the policy.
fn simple(rules: Rules<'_>, question: &Question<'_>, patterns: &mut RequestPatterns) -> Vec<String> {
    let state = rules.state;
    let failed: Vec<(bool, &str)> = match question {
        Question::UnmountDevice(unmount) => {
            let writable = state.rw_devices.contains(unmount.target);
            let missing = !state.devices.contains_key(unmount.target);
            vec![
                (missing && !writable, NO_DEVICE),
                (
                    missing && writable,
                    "received read-only unmount request, but device provided is read-write",
                ),
            ]
        }
        Question::UnmountOverlay(unmount) => {
            vec![(!state.overlay_targets.contains(unmount.target), "no overlay at path to unmount")]
        }
        Question::ScratchMount(mount) => vec![
            (state.scratch_mounts.contains_key(mount.target), "scratch already mounted at path"),
            (!rules.encryption_fits(mount.encrypted), "unencrypted scratch not allowed"),
        ],
        Question::ScratchUnmount(unmount) => {
            vec![(!state.scratch_mounts.contains_key(unmount.target), "no scratch at path to unmount")]
        }
        Question::RwMountDevice(mount) => vec![
            (!patterns.matches_whole(mount.mount_path_regex, mount.target), MOUNTPOINT),
            (rules.device_mounted(mount.target), DEVICE_THERE),
            (
                !rules.encryption_fits(mount.encrypted),
                "unencrypted scratch not allowed, non-readonly mount request for SCSI disk must request encryption",
            ),
            (!mount.ensure_filesystem, "ensureFilesystem must be set on rw device mounts"),
            (
                !WRITABLE_FILESYSTEMS.contains(&mount.filesystem),
                "rw device mounts uses a filesystem that is not allowed",
            ),
        ],
        Question::RwUnmountDevice(unmount) => {
            let read_only = state.devices.contains_key(unmount.target);
            let missing = !state.rw_devices.contains(unmount.target);
            vec![
                (missing && !read_only, NO_DEVICE),
                (
                    missing && read_only,
                    "received read-write unmount request, but device provided is read-only",
                ),
            ]
        }
        Question::MountBlockdev(_) | Question::UnmountBlockdev(_) => {
            vec![(true, "blockdev mounts are not supported")]
        }
        Question::Plan9Unmount(unmount) => vec![(!state.p9mounts.contains_key(unmount.target), NO_DEVICE)],
        Question::ShutdownContainer(shutdown) => {
            vec![(!state.started.contains_key(shutdown.container_id), NOT_STARTED)]
        }
        Question::GetProperties(_) => vec![(true, "properties access not allowed")],
        Question::DumpStacks(_) => vec![(true, "dumping stacks not allowed")],
        Question::RuntimeLogging(_) => vec![(true, "runtime logging not allowed")],
        Question::HostNetwork(_) => vec![(true, "host network not allowed")],
        _ => Vec::new(),
    };
    failed.into_iter().filter(|(failed, _)| *failed).map(|(_, reason)| reason.to_owned()).collect()
}

fn plan9_mount(
    rules: Rules<'_>,
    question: &question::Plan9Mount<'_>,
    patterns: &mut RequestPatterns,
) -> Option<Explanation> {
    let mut explanation = Explanation::default();
    if rules.state.p9mounts.contains_key(question.target) {
        explanation.reasons.push(DEVICE_THERE.to_owned());
    }
    match rules.plan9_containers(question, patterns).len() {
        0 => explanation.reasons.push(MOUNTPOINT.to_owned()),
        1 => {}
        // The rule contradicts itself.
        _ => return None,
    }
    Some(explanation)
}

/// A digest is right or wrong: there is no nearest one.
fn mount_device(
    rules: Rules<'_>,
    question: &question::MountDevice<'_>,
    patterns: &mut RequestPatterns,
) -> Explanation {
    let mut explanation = Explanation::default();
    if !patterns.matches_whole(question.mount_path_regex, question.target) {
        explanation.reasons.push(MOUNTPOINT.to_owned());
    }
    if rules.device_mounted(question.target) {
        explanation.reasons.push(DEVICE_THERE.to_owned());
    }
    if !rules.layer_known(&question.device_hash) {
        explanation.reasons.push("deviceHash not found".to_owned());
        explanation.layers = Some(rules.layer_count());
    }
    explanation
}
