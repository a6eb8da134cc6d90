use policy_engine::request::linux::{IdMapping, IdMappings};

use super::*;
use crate::container::mappings::MappingError;
use crate::container::mounts::fixture::mount;

fn plan(requested: &[ContainerMount]) -> Result<Mounts, MountError> {
    compile(requested.iter(), &LinuxSettings::default()).map_err(|(_, error)| error)
}

fn bind(options: &[&str], settings: &LinuxSettings) -> BindSource {
    let request = [mount("/data", "/srv", "bind", options)];
    let Ok(mounts) = compile(request.iter(), settings) else { panic!("{options:?}") };
    let [Source::Bind(source)] = mounts.sources.as_slice() else { panic!("{options:?}") };
    source.clone()
}

#[test]
fn what_is_not_asked_for_is_not_mounted() {
    assert_eq!(plan(&[]), Ok(Mounts::default()));
    let twice = [mount("/data", "tmpfs", "tmpfs", &[]), mount("/data", "proc", "proc", &["ro"])];
    let places: Vec<String> = plan(&twice).unwrap().plans.into_iter().map(|plan| plan.destination).collect();
    assert_eq!(places, ["/data", "/data"]);
}

#[test]
fn file_systems_of_paths_are_made_by_the_agent() {
    let request =
        [mount("/data", "/dev/vdb", "ext4", &["ro", "noload"]), mount("/p", "proc", "proc", &["ro"])];
    let mounts = plan(&request).unwrap();
    assert_eq!(mounts.plans[0].what, MountKind::Tree);
    let [Source::Filesystem(source)] = mounts.sources.as_slice() else { panic!("{mounts:?}") };
    let keys: Vec<&str> = source.parameters.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!((source.fstype.as_str(), keys.as_slice()), ("ext4", ["source", "noload", "ro"].as_slice()));
    assert!(matches!(mounts.plans[1].what, MountKind::Virtual { kind: Virtual::Proc, .. }));
}

#[test]
fn a_tmpfs_takes_over_what_it_covers() {
    let inherited = |options: &[&str]| {
        let mounts = plan(&[mount("/data", "tmpfs", "tmpfs", options)]).unwrap();
        let MountKind::Virtual { inherited, .. } = mounts.plans[0].what else { panic!("{mounts:?}") };
        inherited
    };
    assert_eq!(inherited(&[]), Inherited::Mode);
    assert_eq!(inherited(&["mode=700"]), Inherited::Nothing);
    assert_eq!(inherited(&["mode=700", "tmpcopyup"]), Inherited::Contents);
}

#[test]
fn a_bind_mount_has_peers_only_where_it_is_asked_to() {
    let settings = LinuxSettings::default();
    assert_eq!(bind(&["rbind"], &settings).peers, Peers::None);
    assert_eq!(bind(&["rbind", "rprivate"], &settings).peers, Peers::None);
    assert_eq!(bind(&["rbind", "rslave"], &settings).peers, Peers::Receive);
    assert_eq!(bind(&["rbind", "rshared"], &settings).peers, Peers::Receive);
    let sharing = LinuxSettings { rootfs_propagation: Propagation::Shared, ..LinuxSettings::default() };
    assert_eq!(bind(&["rbind", "shared"], &sharing).peers, Peers::Share);
}

#[test]
fn nothing_is_ignored() {
    let option = |option: &str| MountError::Option { option: option.to_owned() };
    let mounted = |option: &str| MountError::Mounted { option: option.to_owned() };
    for (fstype, options, error) in [
        ("bind", &["size=1m"][..], mounted("size")),
        ("bind", &["sync"], mounted("sync")),
        ("bind", &["tmpcopyup"], option("tmpcopyup")),
        ("bind", &["idmap"], MountError::Mapping(MappingError::Missing)),
        ("tmpfs", &["remount", "size=1m"], mounted("size")),
        ("tmpfs", &["copy-symlink"], option("copy-symlink")),
        ("proc", &["tmpcopyup"], option("tmpcopyup")),
        ("tmpfs", &["bind"], MountError::Contradiction { fstype: "tmpfs".to_owned() }),
        ("none", &[], MountError::Filesystem { fstype: "none".to_owned() }),
    ] {
        assert_eq!(plan(&[mount("/data", "/srv", fstype, options)]), Err(error), "{fstype} {options:?}");
    }
    assert_eq!(plan(&[mount("/", "/srv", "bind", &[])]), Err(MountError::Reserved));
    assert!(matches!(plan(&[mount("/data", "srv", "bind", &[])]), Err(MountError::Source(_))));
    let many = vec![mount("/data", "t", "tmpfs", &[]); MOUNTS_MAX + 1];
    assert_eq!(plan(&many), Err(MountError::TooMany));
}

#[test]
fn ids_are_mapped_as_the_mount_says_or_as_in_the_container() {
    let ranges = |host_id| vec![IdMapping { container_id: 0, host_id, size: 10 }];
    let mappings = |host_id| IdMappings { uids: ranges(host_id), gids: ranges(host_id) };
    let mut settings = LinuxSettings::default();
    settings.namespaces.id_mappings = mappings(7);
    let map = |mount: ContainerMount| {
        let mounts = compile([mount].iter(), &settings).map_err(|(_, error)| error)?;
        let [Source::Bind(source)] = mounts.sources.as_slice() else { panic!("{mounts:?}") };
        Ok(source.id_map.clone())
    };
    let with = |options: &[&str]| mount("/data", "/srv", "bind", options);
    assert_eq!(map(with(&["rbind"])), Ok(None));
    let found = |mappings, extent| Ok(Some(IdMap { mappings, extent }));
    assert_eq!(map(with(&["rbind", "idmap"])), found(mappings(7), Extent::One));
    let own = |options: &[&str]| ContainerMount { id_mappings: mappings(100), ..with(options) };
    assert_eq!(map(own(&["rbind"])), found(mappings(100), Extent::One));
    assert_eq!(map(own(&["rbind", "ridmap"])), found(mappings(100), Extent::Tree));
    let mut half = own(&["rbind"]);
    half.id_mappings.gids.clear();
    assert_eq!(map(half), Err(MountError::Mapping(MappingError::Missing)));
    for options in [&["remount", "ro"][..], &[]] {
        let other = ContainerMount { fstype: "tmpfs".to_owned(), ..own(options) };
        assert_eq!(map(other), Err(MountError::IdMappings));
    }
}

#[test]
fn hierarchies_are_those_of_version_1() {
    let text = "12:cpu,cpuacct:/a\n1:name=systemd:/a:b\n0::/a\n";
    assert_eq!(legacy(text), ["cpu,cpuacct", "name=systemd"]);
    assert_eq!(legacy("0::/\n"), Vec::<String>::new());
}
