//! Against a kernel that is a table: the machine that runs the tests keeps its settings.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::iter;

use super::*;

/// A kernel with these settings, some of which do not change.
struct Table {
    values: RefCell<BTreeMap<&'static str, String>>,
    refused: Option<&'static str>,
    stuck: Option<&'static str>,
}

impl Table {
    fn complete() -> Self {
        let values = SETTINGS.iter().map(|setting| (setting.path, "default".to_owned())).collect();
        Self { values: RefCell::new(values), refused: None, stuck: None }
    }

    fn without(missing: &'static str) -> Self {
        let kernel = Self::complete();
        kernel.values.borrow_mut().remove(missing);
        kernel
    }
}

impl Kernel for Table {
    fn set(&self, path: &str, value: &str) -> io::Result<()> {
        let mut values = self.values.borrow_mut();
        let found = values.get_mut(path).ok_or(io::ErrorKind::NotFound)?;
        if self.refused == Some(path) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if self.stuck != Some(path) {
            value.clone_into(found);
        }
        Ok(())
    }

    fn get(&self, path: &str) -> io::Result<String> {
        self.values.borrow().get(path).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[test]
fn every_setting_is_set() {
    let kernel = Table::complete();
    apply(&kernel, SETTINGS).unwrap();
    for setting in SETTINGS {
        assert_eq!(kernel.get(setting.path).unwrap(), setting.value, "{}", setting.path);
    }
}

#[test]
fn a_setting_that_is_refused_or_does_not_take_ends_the_boot() {
    for setting in SETTINGS {
        let refused = Table { refused: Some(setting.path), ..Table::complete() };
        let error = apply(&refused, SETTINGS).unwrap_err();
        assert!(
            matches!(error, LockdownError::Set { setting: named, .. } if named == setting.path),
            "{error}"
        );
        let stuck = Table { stuck: Some(setting.path), ..Table::complete() };
        let error = apply(&stuck, SETTINGS).unwrap_err();
        assert!(
            matches!(&error, LockdownError::Differs { setting: named, found, .. }
                if *named == setting.path && found == "default"),
            "{error}"
        );
    }
}

#[test]
fn only_what_goes_with_its_feature_may_be_missing() {
    let may_be_missing = [
        "kernel/modprobe",
        "kernel/core_pattern",
        "kernel/modules_disabled",
        "kernel/kexec_load_disabled",
        "kernel/sysrq",
        "kernel/unprivileged_bpf_disabled",
        "net/core/bpf_jit_harden",
        "kernel/perf_event_paranoid",
        "fs/leases-enable",
        "vm/unprivileged_userfaultfd",
    ];
    for setting in SETTINGS {
        let booted = apply(&Table::without(setting.path), SETTINGS);
        assert_eq!(booted.is_ok(), may_be_missing.contains(&setting.path), "{}: {booted:?}", setting.path);
    }
}

#[test]
fn the_level_is_the_one_in_brackets() {
    assert_eq!(chosen("none integrity [confidentiality]\n"), "confidentiality");
    assert_eq!(chosen("[none] integrity confidentiality\n"), "none");
    assert_eq!(chosen("none integrity\n"), "");
}

#[test]
fn a_kernel_that_has_no_lockdown_or_stays_open_does_not_boot() {
    let [level] = LEVEL else { panic!("more than the level: {}", LEVEL.len()) };
    let kernel = |stuck| {
        let values = RefCell::new(BTreeMap::from([(level.path, "none".to_owned())]));
        Table { values, refused: None, stuck }
    };
    apply(&kernel(None), LEVEL).unwrap();
    for open in [kernel(Some(level.path)), Table::without(level.path)] {
        let booted = apply(&open, LEVEL);
        assert!(booted.is_err(), "{booted:?}");
    }
}

/// What no longer changes comes after what it would keep from changing.
#[test]
fn helper_programs_lose_their_names_before_modules_are_closed() {
    let place = |path: &str| SETTINGS.iter().position(|setting| setting.path == path).unwrap();
    let closed = place("kernel/modules_disabled");
    for earlier in ["kernel/modprobe", "kernel/usermodehelper/bset"] {
        assert!(place(earlier) < closed, "{earlier}");
    }
    for (index, setting) in iter::zip(0.., SETTINGS) {
        assert_eq!(place(setting.path), index, "{} is there twice", setting.path);
    }
}

/// The real files give what was written, as it was written: read only, nothing is set.
#[test]
fn settings_are_read_from_procfs_without_their_end_of_line() {
    let Ok(procfs) = PrivateProcfs::with_sysctls() else {
        assert!(!rustix::process::geteuid().is_root(), "root can mount a procfs");
        return;
    };
    let value = procfs.get("kernel/ostype").unwrap();
    assert_eq!(value, "Linux");
    let helpers = procfs.get("kernel/usermodehelper/bset").unwrap();
    assert_eq!(helpers.split('\t').count(), 2, "{helpers}");
    assert_eq!(procfs.get("kernel/no_such_setting").unwrap_err().kind(), io::ErrorKind::NotFound);
}
