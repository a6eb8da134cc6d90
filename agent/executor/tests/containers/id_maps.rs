//! Bind mounts whose files belong to others in the container than in the guest.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, lchown};
use std::path::Path;

use executor::container::{CreateError, MappingError, MountError, PlanError};
use policy_engine::request::ContainerMount;
use policy_engine::request::linux::{IdMapping, IdMappings, Namespace};

use crate::guest::{Guest, bind};
use crate::mounts_as_asked::{GuestMount, at, request, run, try_create};

pub(crate) const TESTS: &[crate::Test] = &[
    ("ids_of_a_bind_mount_are_mapped", mapped),
    ("ids_are_mapped_in_one_mount_or_in_all_below", extent),
    ("a_bind_mount_has_the_id_mapping_of_its_container", as_in_container),
    ("id_mappings_that_cannot_be_had_are_refused", refused),
];

fn mappings(container_id: u32, host_id: u32, size: u32) -> IdMappings {
    let ranges = vec![IdMapping { container_id, host_id, size }];
    IdMappings { uids: ranges.clone(), gids: ranges }
}

fn mapped_bind(source: &str, options: &[&str], id_mappings: IdMappings) -> ContainerMount {
    ContainerMount { id_mappings, ..bind(source, "/data", options) }
}

fn mapped() {
    let guest = Guest::new();
    let volume = guest.volume("v");
    fs::write(format!("{volume}/file"), "").unwrap();
    chown(format!("{volume}/file"), Some(3), Some(4)).unwrap();
    chown(&volume, Some(0), Some(0)).unwrap();
    fs::write(format!("{volume}/unmapped"), "").unwrap();
    chown(format!("{volume}/unmapped"), Some(5000), Some(5000)).unwrap();
    let script = "stat -c '%u:%g' /data/file; stat -c '%u:%g' /data/unmapped; touch /data/written && stat -c '%u:%g' /data/written";
    let mount = mapped_bind(&volume, &["bind"], mappings(0, 1000, 10));
    let mut as_user = request(&guest, script, vec![mount]);
    as_user.process.user.uid = 1000;
    as_user.process.user.gid = 1001;
    let (output, error) = run(&guest, as_user.clone());
    assert_eq!(output, "1003:1004\n65534:65534\n1000:1001\n", "{error}");
    // On the disk it is the ids of the file system.
    let written = fs::metadata(format!("{volume}/written")).unwrap();
    assert_eq!((written.uid(), written.gid()), (0, 1));
    // Who is nobody there makes nothing there.
    let mut as_root = as_user;
    as_root.container_id = guest.request(&[]).container_id;
    (as_root.process.user.uid, as_root.process.user.gid) = (0, 0);
    as_root.process.args[2] = "touch /data/of-root".to_owned();
    let (_, error) = run(&guest, as_root);
    assert!(error.contains("/data/of-root: Value too large"), "{error}");
}

fn extent() {
    let guest = Guest::new();
    let volume = guest.volume("nested");
    let _inner = GuestMount::new(format!("{volume}/inner"));
    let look = |options: &[&str]| {
        let mount = mapped_bind(&volume, options, mappings(0, 1000, 10));
        let script = "stat -c %u /data; stat -c %u /data/inner; cat /proc/self/mountinfo";
        run(&guest, request(&guest, script, vec![at("/proc", "proc", "proc", &[]), mount])).0
    };
    let one = look(&["rbind", "idmap"]);
    assert!(one.starts_with("1000\n0\n"), "{one}");
    assert_eq!(one.matches("idmapped").count(), 1, "{one}");
    let tree = look(&["rbind", "ridmap"]);
    assert!(tree.starts_with("1000\n1000\n"), "{tree}");
    assert_eq!(tree.matches("idmapped").count(), 2, "{tree}");
}

fn as_in_container() {
    fn give(path: &Path, id: u32) {
        lchown(path, Some(id), Some(id)).unwrap();
        if path.is_dir() && !path.is_symlink() {
            fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), id));
        }
    }
    let guest = Guest::new();
    give(&guest.root(), 100_000);
    let volume = guest.volume("v");
    fs::write(format!("{volume}/file"), "of the guest's root").unwrap();
    let script = "stat -c '%u:%g' /plain/file; stat -c '%u:%g' /data/file; touch /data/made";
    let mounts = vec![bind(&volume, "/plain", &["bind"]), bind(&volume, "/data", &["bind", "idmap"])];
    let mut request = request(&guest, script, mounts);
    request.linux.namespaces.user = Namespace::New;
    request.linux.namespaces.network = Namespace::New;
    request.linux.namespaces.id_mappings = mappings(0, 100_000, 65_536);
    let (output, error) = run(&guest, request);
    assert_eq!(output, "65534:65534\n0:0\n", "{error}");
    assert_eq!(fs::metadata(format!("{volume}/made")).unwrap().uid(), 0);
}

fn refused() {
    let guest = Guest::new();
    let volume = guest.volume("v");
    let create = |mount: ContainerMount| try_create(&guest, request(&guest, "true", vec![mount]));
    let planned = |mount| match create(mount) {
        Err(CreateError::Plan(PlanError::Mount { source, .. })) => source,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        planned(bind(&volume, "/data", &["bind", "idmap"])),
        MountError::Mapping(MappingError::Missing)
    );
    let overlapping = {
        let mut mappings = mappings(0, 1000, 10);
        mappings.uids.push(IdMapping { container_id: 9, host_id: 5000, size: 1 });
        mapped_bind(&volume, &["bind"], mappings)
    };
    assert_eq!(planned(overlapping), MountError::Mapping(MappingError::Overlap));
    let of_tmpfs = ContainerMount { id_mappings: mappings(0, 1000, 1), ..at("/data", "tmpfs", "tmpfs", &[]) };
    assert_eq!(planned(of_tmpfs), MountError::IdMappings);
    // A file system that cannot, by the kernel's word.
    let failed = create(mapped_bind("/sys/kernel", &["bind"], mappings(0, 1000, 10)));
    assert!(matches!(failed, Err(CreateError::BindSource { .. })), "{failed:?}");
    // A confined container has none.
    let mut confined = guest.request(&["true"]);
    confined.mounts = vec![mapped_bind(&volume, &["bind"], mappings(0, 1000, 10))];
    let failed = guest.try_create(confined);
    assert!(matches!(
        failed,
        Err(CreateError::Plan(PlanError::Mount { source: MountError::IdMappings, .. }))
    ));
    // The launcher that is to make the namespace is there for the next container.
    let (output, _) = run(&guest, request(&guest, "echo runs", Vec::new()));
    assert_eq!(output, "runs\n");
}
