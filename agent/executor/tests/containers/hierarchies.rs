//! The control groups of version 1 as a container sees them.

use std::fs;

use policy_engine::request::linux::Namespace;

use crate::guest::Guest;
use crate::limits::memory;
use crate::mounts_as_asked::{at, mountinfo, request, run, shown};

pub(crate) const TESTS: &[crate::Test] = &[
    ("version_1_cgroups_have_a_directory_each", shown_all),
    ("a_container_sees_its_own_cgroups_of_version_1", own),
];

/// The hierarchies of version 1 that this machine has.
fn hierarchies() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/cgroup").unwrap();
    let names = text.lines().filter_map(|line| line.split(':').nth(1));
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn shown_all() {
    let guest = Guest::new();
    let mountinfo = mountinfo(&guest, vec![at("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid"])]);
    let hierarchies = hierarchies();
    if hierarchies.is_empty() {
        assert_eq!(shown(&mountinfo, "/sys/fs/cgroup").fstype, "cgroup2");
        return;
    }
    assert_eq!(shown(&mountinfo, "/sys/fs/cgroup").fstype, "tmpfs");
    assert_eq!(shown(&mountinfo, "/sys/fs/cgroup").options[0], "ro");
    for name in hierarchies {
        let directory = name.strip_prefix("name=").unwrap_or(&name);
        let shown = shown(&mountinfo, &format!("/sys/fs/cgroup/{directory}"));
        assert_eq!((shown.fstype.as_str(), shown.options[0].as_str()), ("cgroup", "ro"));
        for controller in name.split(',') {
            let has = shown.superblock.iter().any(|option| option == controller);
            assert!(has, "{name}: {:?}", shown.superblock);
        }
    }
}

fn own() {
    if !hierarchies().iter().any(|name| name == "memory") {
        return;
    }
    let guest = Guest::new();
    for namespace in [Namespace::New, Namespace::Guest] {
        let mounts = || vec![at("/proc", "proc", "proc", &[]), at("/cgroup", "cgroup", "cgroup", &["ro"])];
        let script = "cat /cgroup/memory/memory.limit_in_bytes; cat /proc/self/mountinfo";
        let mut limited = request(&guest, script, mounts());
        limited.resources = memory(64 << 20);
        limited.linux.namespaces.cgroup = namespace.clone();
        let (output, error) = run(&guest, limited);
        assert!(output.starts_with("67108864\n"), "{namespace:?}: {output}{error}");
        // Nothing else of the hierarchy is there, not even covered.
        let mounted = output.lines().filter(|line| line.contains(" /cgroup/memory ")).count();
        assert_eq!(mounted, 1, "{namespace:?}: {output}");
    }
}
