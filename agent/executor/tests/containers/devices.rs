//! The device nodes of a container, and the label of its mounts.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};

use executor::container::{CreateError, DeviceError, MountError, PlanError, SpawnError, Step};
use policy_engine::request::CreateContainer;
use policy_engine::request::linux::{DeviceKind, DeviceNode};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::guest::{Guest, bind};
use crate::mounts_as_asked::{at, request, run, try_create};

pub(crate) const TESTS: &[crate::Test] = &[
    ("device_nodes_are_made_as_asked", made),
    ("device_nodes_of_a_dev_of_the_root_file_system", dev_of_rootfs),
    ("nothing_is_made_in_a_dev_of_the_guest", dev_of_guest),
    ("a_node_that_is_there_has_to_be_the_same", existing),
    ("device_nodes_are_made_below_the_root_alone", attacks),
    ("a_terminal_is_the_console_also_where_there_is_one", console),
    ("a_label_of_mounts_without_selinux_is_refused", label),
];

fn node(path: &str, kind: DeviceKind, numbers: (u32, u32)) -> DeviceNode {
    let (major, minor) = numbers;
    DeviceNode { path: path.parse().unwrap(), kind, major, minor, file_mode: 0o640, uid: 33, gid: 44 }
}

fn refused_at(guest: &Guest, request: CreateContainer, step: Step) {
    match try_create(guest, request) {
        Err(CreateError::Spawn(SpawnError::Setup { step: failed, .. })) => assert_eq!(failed, step),
        other => panic!("{other:?}"),
    }
    assert!(!guest.engine.is_poisoned());
}

const SHOW: &str = "stat -c '%n %F %t:%T %a %u:%g'";

fn made() {
    let guest = Guest::new();
    let nodes = vec![
        node("/dev/null", DeviceKind::Character, (1, 3)),
        node("/dev/net/tun", DeviceKind::Character, (10, 200)),
        node("/dev/disk", DeviceKind::Block, (7, 3)),
        node("/dev/pipe", DeviceKind::Fifo, (0, 0)),
    ];
    let expected = "/dev/null character special file 1:3 640 33:44\n/dev/zero character special file 1:5 666 0:0\n\
                    /dev/net/tun character special file a:c8 640 33:44\n/dev/disk block special file 7:3 640 33:44\n\
                    /dev/pipe fifo 0:0 640 33:44\n";
    let script = format!(
        "{SHOW} /dev/null /dev/zero /dev/net/tun /dev/disk /dev/pipe; readlink /dev/fd; readlink /dev/ptmx"
    );
    // A confined container gets them in its own `/dev`.
    let mut confined = guest.request(&["sh", "-c", &script]);
    confined.linux.devices.clone_from(&nodes);
    let (_, output, error) = guest.run(confined);
    assert_eq!(output, format!("{expected}/proc/self/fd\npts/ptmx\n"), "{error}");

    let script = format!("{script}; {SHOW} /srv/deep/pipe");
    let mut free = request(&guest, &script, vec![at("/dev", "tmpfs", "tmpfs", &["mode=755"])]);
    free.linux.devices = nodes;
    free.linux.devices.push(node("/srv/deep/pipe", DeviceKind::Fifo, (0, 0)));
    let (output, error) = run(&guest, free);
    assert_eq!(
        output,
        format!("{expected}/proc/self/fd\npts/ptmx\n/srv/deep/pipe fifo 0:0 640 33:44\n"),
        "{error}"
    );
    assert!(fs::read_dir(guest.root().join("dev")).unwrap().next().is_none());

    // Elsewhere no device of a confined container can be opened.
    let mut confined = guest.request(&["true"]);
    confined.linux.devices = vec![node("/srv/null", DeviceKind::Character, (1, 3))];
    let failed = guest.try_create(confined);
    let Err(CreateError::Plan(PlanError::Device { path, source })) = failed else { panic!("{failed:?}") };
    assert_eq!((path.as_str(), source), ("/srv/null", DeviceError::Place));
}

fn dev_of_rootfs() {
    let guest = Guest::new();
    let script =
        format!("{SHOW} /dev/null /dev/own; readlink /dev/stdin; echo x > /dev/null && echo written");
    let mut free = request(&guest, &script, Vec::new());
    free.linux.devices = vec![node("/dev/own", DeviceKind::Character, (1, 3))];
    let expected = "/dev/null character special file 1:3 666 0:0\n/dev/own character special file 1:3 640 33:44\n\
                    /proc/self/fd/0\nwritten\n";
    assert_eq!(run(&guest, free.clone()), (expected.to_owned(), String::new()));
    // Once more: all is there, and the same.
    free.container_id = guest.request(&[]).container_id;
    assert_eq!(run(&guest, free).0, expected);
}

fn dev_of_guest() {
    let guest = Guest::new();
    let volume = guest.volume("dev");
    mknodat(
        CWD,
        format!("{volume}/null"),
        FileType::CharacterDevice,
        Mode::from_raw_mode(0o666),
        makedev(1, 3),
    )
    .unwrap();
    let mut free = request(&guest, "ls /dev; cat /masked", vec![bind(&volume, "/dev", &["bind"])]);
    fs::write(guest.root().join("masked"), "secret").unwrap();
    free.masked_paths = vec!["/masked".parse().unwrap()];
    free.linux.devices = vec![node("/dev/own", DeviceKind::Character, (1, 3))];
    assert_eq!(run(&guest, free), ("null\n".to_owned(), String::new()));
    assert_eq!(fs::read_dir(&volume).unwrap().count(), 1);
}

fn existing() {
    let other_mode = |guest: &Guest| {
        let path = guest.root().join("srv-node");
        mknodat(CWD, &path, FileType::CharacterDevice, Mode::from_raw_mode(0o600), makedev(1, 3)).unwrap();
    };
    let other_kind = |guest: &Guest| fs::write(guest.root().join("srv-node"), "file").unwrap();
    let link = |guest: &Guest| symlink("/dev/null", guest.root().join("srv-node")).unwrap();
    for plant in [&other_mode as &dyn Fn(&Guest), &other_kind, &link] {
        let guest = Guest::new();
        plant(&guest);
        let mut free = request(&guest, "true", Vec::new());
        free.linux.devices = vec![node("/srv-node", DeviceKind::Character, (1, 3))];
        refused_at(&guest, free, Step::Devices);
    }
    // A default node as well: a file of the image's for the null device.
    let guest = Guest::new();
    fs::write(guest.root().join("dev/null"), "not the null device").unwrap();
    refused_at(&guest, request(&guest, "true", Vec::new()), Step::Devices);
}

fn attacks() {
    let guest = Guest::new();
    let outside = guest.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, guest.root().join("link")).unwrap();
    symlink("../../../../../..", guest.root().join("up")).unwrap();
    let with = |path: &str| {
        let mut free = request(&guest, "true", vec![at("/proc", "proc", "proc", &[])]);
        free.linux.devices = vec![node(path, DeviceKind::Fifo, (0, 0))];
        free
    };
    for path in ["/link/node", "/link/deep/node", "/proc/self/root/tmp/node", "/proc/self/cwd/node"] {
        refused_at(&guest, with(path), Step::Devices);
    }
    // `..` ends at the root.
    run(&guest, with("/up/node"));
    let made = fs::symlink_metadata(guest.root().join("node")).unwrap();
    assert!(made.file_type().is_fifo() && made.uid() == 33);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    // A `/dev` that leads elsewhere is none.
    let guest = Guest::new();
    fs::remove_dir(guest.root().join("dev")).unwrap();
    fs::create_dir(guest.root().join("elsewhere")).unwrap();
    symlink("/elsewhere", guest.root().join("dev")).unwrap();
    refused_at(&guest, request(&guest, "true", Vec::new()), Step::Devices);
    assert_eq!(fs::read_dir(guest.root().join("elsewhere")).unwrap().count(), 0);
}

fn console() {
    let guest = Guest::new();
    let mounts = || {
        vec![
            at("/proc", "proc", "proc", &[]),
            at("/dev/pts", "devpts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620"]),
        ]
    };
    let script = "stat -c '%t' -L /dev/console; echo x > /dev/console";
    fs::write(guest.root().join("dev/console"), "the image's").unwrap();
    fs::set_permissions(guest.root().join("dev/console"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut free = request(&guest, script, mounts());
    free.process.terminal = Some(Default::default());
    assert_eq!(run(&guest, free).0, "88\r\nx\r\n");
    assert_eq!(fs::read_to_string(guest.root().join("dev/console")).unwrap(), "the image's");
    // A link is not followed.
    fs::remove_file(guest.root().join("dev/console")).unwrap();
    symlink("/etc/passwd", guest.root().join("dev/console")).unwrap();
    let mut free = request(&guest, script, mounts());
    free.process.terminal = Some(Default::default());
    refused_at(&guest, free, Step::Terminal);
}

fn label() {
    let own = fs::read_to_string("/proc/self/attr/current").unwrap_or_default();
    if own.matches(':').count() >= 2 {
        // A kernel with a policy judges the label itself.
        return;
    }
    let guest = Guest::new();
    for free in [false, true] {
        let mut request = if free { request(&guest, "true", Vec::new()) } else { guest.request(&["true"]) };
        request.linux.mount_label = Some("system_u:object_r:container_file_t:s0".to_owned());
        let failed = guest.try_create(request);
        let Err(CreateError::Plan(PlanError::Mount { source, .. })) = failed else { panic!("{failed:?}") };
        assert_eq!(source, MountError::NoLabels);
    }
}
