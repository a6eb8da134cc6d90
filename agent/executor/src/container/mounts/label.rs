//! The SELinux label of a container's mounts.

use std::fs;

use super::{MountError, Mounts, Source};
use crate::container::plan::{MountKind, Virtual};

/// The longest label, in bytes: what the kernel takes as a parameter of a file system.
const LABEL_LENGTH_MAX: usize = 255;
/// The parameter by which a file system labels all that is in it.
const CONTEXT: &str = "context";

/// Whether this kernel has an SELinux policy, without which a label says nothing. The label of a process has parts then.
pub(super) fn has_policy() -> bool {
    let registered = fs::read_to_string("/proc/filesystems").is_ok_and(|text| text.contains("selinuxfs"));
    let own = fs::read("/proc/self/attr/current").unwrap_or_default();
    registered && own.iter().filter(|byte| **byte == b':').count() >= 2
}

/// Labels the new file systems whose files have no labels of their own, unless a mount brings its label. What is bound is
/// labelled already, and the kernel labels its own trees.
pub(super) fn set(mounts: &mut Mounts, label: &str, has_policy: bool) -> Result<(), MountError> {
    if label.is_empty() || label.len() > LABEL_LENGTH_MAX || label.contains('\0') {
        return Err(MountError::Label);
    }
    if !has_policy {
        return Err(MountError::NoLabels);
    }
    let own = mounts.plans.iter_mut().filter_map(|plan| match &mut plan.what {
        MountKind::Virtual { kind, parameters, .. } => match kind {
            Virtual::Dev | Virtual::Devpts | Virtual::Tmpfs | Virtual::Mqueue => Some(parameters),
            Virtual::Proc | Virtual::Sysfs | Virtual::Cgroup => None,
        },
        MountKind::Hierarchies { .. } | MountKind::Tree | MountKind::Changes { .. } => None,
    });
    let agents = mounts.sources.iter_mut().filter_map(|source| match source {
        Source::Filesystem(filesystem) => Some(&mut filesystem.parameters),
        Source::Bind(_) => None,
    });
    for parameters in own.chain(agents) {
        if !parameters.iter().any(|(key, _)| key == CONTEXT) {
            parameters.push((CONTEXT.to_owned(), label.to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::mounts::FilesystemSource;
    use crate::container::plan::{Inherited, MountPlan};

    const LABEL: &str = "system_u:object_r:container_file_t:s0:c1,c2";

    fn with_label(kind: Virtual, parameters: &[(&str, &str)]) -> Vec<(String, String)> {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let parameters: Vec<_> = parameters.iter().map(pair).collect();
        let what = MountKind::Virtual { kind, parameters, attributes: 0, inherited: Inherited::Nothing };
        let plan = MountPlan { destination: "/m".to_owned(), what, propagation: Vec::new() };
        let mut mounts = Mounts { plans: vec![plan], sources: Vec::new() };
        set(&mut mounts, LABEL, true).unwrap();
        let MountKind::Virtual { parameters, .. } = mounts.plans.remove(0).what else { panic!() };
        parameters
    }

    #[test]
    fn new_file_systems_are_labelled_once() {
        let label = (CONTEXT.to_owned(), LABEL.to_owned());
        for kind in [Virtual::Dev, Virtual::Devpts, Virtual::Tmpfs, Virtual::Mqueue] {
            assert_eq!(with_label(kind, &[]), std::slice::from_ref(&label));
        }
        for kind in [Virtual::Proc, Virtual::Sysfs, Virtual::Cgroup] {
            assert_eq!(with_label(kind, &[]), []);
        }
        assert_eq!(with_label(Virtual::Tmpfs, &[(CONTEXT, "own")]), [(CONTEXT.to_owned(), "own".to_owned())]);
        let filesystem =
            FilesystemSource { fstype: "ext4".to_owned(), parameters: Vec::new(), attributes: 0 };
        let mut mounts = Mounts { plans: Vec::new(), sources: vec![Source::Filesystem(filesystem)] };
        set(&mut mounts, LABEL, true).unwrap();
        let [Source::Filesystem(filesystem)] = mounts.sources.as_slice() else { panic!() };
        assert_eq!(filesystem.parameters, [label]);
    }

    #[test]
    fn labels_that_nothing_enforces_are_refused() {
        let mut mounts = Mounts::default();
        assert_eq!(set(&mut mounts, LABEL, false), Err(MountError::NoLabels));
        for label in ["", "a\0b", &"l".repeat(256)] {
            assert_eq!(set(&mut mounts, label, true), Err(MountError::Label));
        }
    }
}
