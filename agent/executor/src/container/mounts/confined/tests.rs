use super::*;
use crate::container::mounts::fixture::mount;

fn plan(requested: &[ContainerMount]) -> Result<Mounts, MountError> {
    compile(requested.iter(), false).map_err(|(_, error)| error)
}

fn attributes(plan: &MountPlan) -> u32 {
    let MountKind::Virtual { attributes, .. } = plan.what else { panic!("{plan:?}") };
    attributes
}

fn at(mounts: &Mounts, destination: &str) -> u32 {
    attributes(mounts.plans.iter().find(|plan| plan.destination == destination).unwrap())
}

#[test]
fn every_container_has_the_default_mounts() {
    let mounts = plan(&[]).unwrap();
    let places: Vec<&str> = mounts.plans.iter().map(|plan| plan.destination.as_str()).collect();
    assert_eq!(places, ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup"]);
    assert_ne!(at(&mounts, "/sys") & RDONLY.bits(), 0);
    for plan in mounts.plans.iter().filter(|plan| !["/dev", "/dev/pts"].contains(&plan.destination.as_str()))
    {
        assert_ne!(attributes(plan) & NODEV.bits(), 0, "{}", plan.destination);
    }
}

#[test]
fn a_requested_mount_takes_the_place_of_the_default_one() {
    let shm = mount("/dev/shm", "tmpfs", "tmpfs", &["nosuid", "size=1m"]);
    let bind = mount("/etc/hosts", "/run/sandbox/hosts", "bind", &["rbind", "rshared", "ro"]);
    let mounts = plan(&[bind, shm]).unwrap();
    assert_eq!(mounts.plans[3].destination, "/dev/shm");
    assert_eq!(
        mounts.plans[3].what,
        MountKind::Virtual {
            kind: Virtual::Tmpfs,
            parameters: vec![("size".to_owned(), "1m".to_owned())],
            attributes: (NOSUID | NODEV).bits(),
            inherited: Inherited::Nothing,
        }
    );
    assert_eq!(mounts.plans.last().unwrap().what, MountKind::Tree);
    let [Source::Bind(source)] = mounts.sources.as_slice() else { panic!("{mounts:?}") };
    assert_eq!(source.extent, Extent::Tree);
    assert_eq!(source.tree, Changes { clear: 0, set: (RDONLY | NODEV).bits() });
    assert!(!source.follow_links);
}

#[test]
fn options_cannot_loosen_what_is_forced() {
    let mounts = plan(&[
        mount("/sys", "sysfs", "sysfs", &["rw", "exec", "suid"]),
        mount("/proc", "proc", "proc", &["suid", "exec"]),
    ])
    .unwrap();
    assert_eq!(at(&mounts, "/sys"), (RDONLY | NODEV | NOSUID | NOEXEC).bits());
    assert_eq!(at(&mounts, "/proc"), (NODEV | NOSUID | NOEXEC).bits());
    assert_eq!(
        plan(&[mount("/data", "tmpfs", "tmpfs", &["dev"])]),
        Err(MountError::Option { option: "dev".to_owned() })
    );
}

#[test]
fn unknown_options_are_errors() {
    for (fstype, option) in [
        ("tmpfs", "huge=always"),
        ("tmpfs", "size=1,uid=0"),
        ("tmpfs", "size="),
        ("tmpfs", "idmap"),
        ("bind", "size=1"),
        ("bind", "remount"),
        ("tmpfs", "remount"),
    ] {
        let mounts = [mount("/data", "/run/x", fstype, &[option])];
        assert_eq!(plan(&mounts), Err(MountError::Option { option: option.to_owned() }), "{option}");
    }
}

#[test]
fn flags_decide_what_a_mount_is() {
    let contradiction = MountError::Contradiction { fstype: "tmpfs".to_owned() };
    assert_eq!(plan(&[mount("/data", "/run/x", "tmpfs", &["bind"])]), Err(contradiction));
    let unknown = MountError::Filesystem { fstype: "ext4".to_owned() };
    assert_eq!(plan(&[mount("/data", "/dev/vda", "ext4", &[])]), Err(unknown));
    for source in ["../..", "", "/a/../b"] {
        assert!(
            matches!(plan(&[mount("/data", source, "bind", &[])]), Err(MountError::Source(_))),
            "{source:?}"
        );
    }
}

#[test]
fn the_kernels_trees_are_not_replaced_nor_repeated() {
    for (destination, fstype) in [
        ("/", "tmpfs"),
        ("/", "bind"),
        ("/proc", "bind"),
        ("/proc", "tmpfs"),
        ("/proc/sys", "bind"),
        ("/proc/self", "tmpfs"),
        ("/sys/firmware", "bind"),
        ("/sys", "tmpfs"),
        ("/dev", "bind"),
        ("/dev/pts", "tmpfs"),
        ("/elsewhere", "proc"),
        ("/elsewhere", "sysfs"),
        ("/elsewhere", "cgroup"),
        ("/elsewhere", "devpts"),
    ] {
        assert_eq!(
            plan(&[mount(destination, "/run/x", fstype, &[])]),
            Err(MountError::Reserved),
            "{destination}"
        );
    }
    assert!(plan(&[mount("/dev/termination-log", "/run/x", "bind", &[])]).is_ok());
    assert!(plan(&[mount("/process", "/run/x", "bind", &[])]).is_ok());
}

#[test]
fn one_destination_has_one_mount() {
    let twice = [mount("/data", "/run/x", "bind", &[]), mount("/data", "/run/y", "bind", &[])];
    assert_eq!(plan(&twice), Err(MountError::Duplicate));
}

#[test]
fn no_mount_hides_an_earlier_one() {
    let bind = |destination| mount(destination, "/run/x", "bind", &[]);
    let tmpfs = |destination| mount(destination, "t", "tmpfs", &[]);
    for hidden in [
        [bind("/data/keys"), bind("/data")],
        [bind("/data/a/b/c"), tmpfs("/data/a")],
        [tmpfs("/data/keys"), bind("/data")],
    ] {
        assert_eq!(plan(&hidden), Err(MountError::Hides));
        let [inner, outer] = hidden;
        assert!(plan(&[outer, inner]).is_ok());
    }
    assert!(plan(&[bind("/database"), bind("/data")]).is_ok());
}

#[test]
fn mounts_are_counted() {
    let many: Vec<ContainerMount> =
        (0..=MOUNTS_MAX).map(|number| mount(&format!("/m/{number}"), "t", "tmpfs", &[])).collect();
    assert_eq!(plan(&many), Err(MountError::TooMany));
}
