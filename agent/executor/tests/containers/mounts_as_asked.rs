//! The mounts of a container that chooses them freely: what each option gives in `/proc/self/mountinfo`.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{PermissionsExt, symlink};

use executor::container::{Container, CreateError, CreateOptions, SpawnError, Step, create};
use policy_engine::request::linux::{IdMappings, MountSet};
use policy_engine::request::{ContainerMount, CreateContainer};

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};

use crate::guest::{Guest, bind, chain, launcher};

pub(crate) const TESTS: &[crate::Test] = &[
    ("only_the_mounts_asked_for_are_there", only_asked),
    ("attributes_of_mounts_are_as_asked", attributes),
    ("recursive_attributes_reach_the_mounts_below", recursive),
    ("propagation_of_mounts_is_as_asked", propagation),
    ("file_systems_are_mounted_anywhere_in_order", anywhere),
    ("file_systems_of_the_guests_paths_are_mounted", of_paths),
    ("a_tmpfs_can_have_what_it_covers", copy_up),
    ("a_remount_changes_a_mount_that_is_there", remount),
    ("symbolic_links_are_followed_within_the_root_or_copied", links),
    ("options_that_cannot_be_carried_out_are_refused", refused),
    ("a_free_mount_cannot_lead_out_of_the_root", attacks),
];

/// A request for exactly these mounts.
pub(crate) fn request(guest: &Guest, script: &str, mounts: Vec<ContainerMount>) -> CreateContainer {
    let mut request = guest.request(&["sh", "-c", script]);
    request.linux.mounts = MountSet::AsAsked;
    request.mounts = mounts;
    request
}

pub(crate) fn try_create(guest: &Guest, request: CreateContainer) -> Result<Container, CreateError> {
    let _context = guest.runtime.enter();
    let rootfs = fs::File::open(guest.root()).unwrap();
    let permit = guest.engine.decide(request).expect("allowed");
    let options =
        CreateOptions { bind_source_directories: vec!["/".parse().unwrap()], ..CreateOptions::default() };
    create(launcher(), permit, rootfs.as_fd(), &options)
}

/// Runs it: standard output, standard error.
pub(crate) fn run(guest: &Guest, request: CreateContainer) -> (String, String) {
    let container = try_create(guest, request).unwrap_or_else(|error| panic!("{}", chain(&error)));
    container.start().unwrap_or_else(|error| panic!("{}", chain(&error)));
    let (_, output, error) = guest.finish(container.init());
    guest.remove(container);
    (output, error)
}

pub(crate) fn at(destination: &str, source: &str, fstype: &str, options: &[&str]) -> ContainerMount {
    ContainerMount {
        destination: destination.parse().unwrap(),
        source: source.to_owned(),
        fstype: fstype.to_owned(),
        options: options.iter().map(|&option| option.to_owned()).collect(),
        id_mappings: IdMappings::default(),
    }
}

fn proc() -> ContainerMount {
    at("/proc", "proc", "proc", &[])
}

/// Fields of the mount at `place`, the last one there, in a text like `/proc/self/mountinfo`.
pub(crate) struct Shown {
    pub(crate) options: Vec<String>,
    optional: Vec<String>,
    pub(crate) fstype: String,
    source: String,
    pub(crate) superblock: Vec<String>,
}

pub(crate) fn shown(mountinfo: &str, place: &str) -> Shown {
    let line = mountinfo.lines().rfind(|line| line.split(' ').nth(4) == Some(place));
    let (mount, filesystem) =
        line.unwrap_or_else(|| panic!("{place}: {mountinfo}")).split_once(" - ").unwrap();
    let mut mount = mount.split(' ').skip(5);
    let list = |text: &str| text.split(',').map(str::to_owned).collect();
    let filesystem: Vec<&str> = filesystem.split(' ').collect();
    Shown {
        options: list(mount.next().unwrap()),
        optional: mount.map(str::to_owned).collect(),
        fstype: filesystem[0].to_owned(),
        source: filesystem[1].to_owned(),
        superblock: list(filesystem[2]),
    }
}

pub(crate) fn mountinfo(guest: &Guest, mut mounts: Vec<ContainerMount>) -> String {
    mounts.insert(0, proc());
    run(guest, request(guest, "cat /proc/self/mountinfo", mounts)).0
}

fn only_asked() {
    let guest = Guest::new();
    let mountinfo = mountinfo(&guest, Vec::new());
    let places: Vec<&str> = mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    assert_eq!(places, ["/", "/proc"]);
    // Without any there is nothing of the kernel's; nothing is hidden either.
    let (output, _) = run(&guest, request(&guest, "ls /proc /sys", Vec::new()));
    assert_eq!(output, "/proc:\n\n/sys:\n");
    let (output, _) =
        run(&guest, request(&guest, "head -c 1 /proc/timer_list; test -w /proc/sys && echo w", vec![proc()]));
    assert_eq!(output, "Tw\n");
}

fn attributes() {
    let guest = Guest::new();
    let volume = guest.volume("v");
    for (words, present, absent) in [
        (&["ro"][..], &["ro"][..], &["rw"][..]),
        (&["ro", "rw"], &["rw"], &["ro"]),
        (&["nosuid"], &["nosuid"], &[]),
        (&["nosuid", "suid"], &["rw"], &["nosuid"]),
        (&["nodev", "noexec"], &["nodev", "noexec"], &[]),
        (&["nodev", "noexec", "dev", "exec"], &[], &["nodev", "noexec"]),
        (&["noatime"], &["noatime"], &["relatime"]),
        (&["noatime", "atime"], &["relatime"], &["noatime"]),
        (&["relatime"], &["relatime"], &["noatime"]),
        (&["noatime", "norelatime"], &["relatime"], &["noatime"]),
        (&["strictatime"], &[], &["relatime", "noatime"]),
        (&["strictatime", "nostrictatime"], &["relatime"], &[]),
        (&["nodiratime"], &["nodiratime"], &[]),
        (&["nodiratime", "diratime"], &[], &["nodiratime"]),
        (&["nosymfollow"], &["nosymfollow"], &[]),
        (&["nosymfollow", "symfollow"], &[], &["nosymfollow"]),
        (&["defaults", "silent", "loud", "async", "nomand", "noiversion", "nolazytime"], &["rw"], &["sync"]),
    ] {
        let of_bind = [&["bind"][..], words].concat();
        let mounts = vec![at("/new", "tmpfs", "tmpfs", words), bind(&volume, "/data", &of_bind)];
        let mountinfo = mountinfo(&guest, mounts);
        for place in ["/new", "/data"] {
            let options = shown(&mountinfo, place).options;
            let has = |option: &&str| options.iter().any(|shown| shown == option);
            assert!(present.iter().all(has), "{words:?} {place}: {options:?}");
            assert!(!absent.iter().any(has), "{words:?} {place}: {options:?}");
        }
    }
    // Of the file system, not of the mount.
    let words = ["sync", "dirsync", "lazytime", "mand", "size=1m", "mode=711"];
    let mountinfo = mountinfo(&guest, vec![at("/new", "some", "tmpfs", &words)]);
    let shown = shown(&mountinfo, "/new");
    assert_eq!((shown.fstype.as_str(), shown.source.as_str()), ("tmpfs", "some"));
    for option in ["sync", "dirsync", "lazytime", "size=1024k", "mode=711"] {
        assert!(shown.superblock.iter().any(|shown| shown == option), "{option}: {:?}", shown.superblock);
    }
}

/// A tmpfs of the guest's, as long as this is there.
pub(crate) struct GuestMount(String);

impl GuestMount {
    pub(crate) fn new(place: String) -> Self {
        fs::create_dir_all(&place).unwrap();
        mount("tmpfs", place.as_str(), "tmpfs", MountFlags::empty(), None).unwrap();
        Self(place)
    }
}

impl Drop for GuestMount {
    fn drop(&mut self) {
        // A failed test is not made worse.
        let _ = unmount(self.0.as_str(), UnmountFlags::DETACH);
    }
}

fn recursive() {
    let guest = Guest::new();
    let volume = guest.volume("nested");
    let _inner = GuestMount::new(format!("{volume}/inner"));
    let look = |options: &[&str]| {
        let mountinfo = mountinfo(&guest, vec![bind(&volume, "/data", options)]);
        ["/data", "/data/inner"].map(|place| shown(&mountinfo, place).options.join(","))
    };
    assert_eq!(look(&["rbind", "ro"]), ["ro,relatime", "rw,relatime"]);
    assert_eq!(look(&["rbind", "rro"]), ["ro,relatime", "ro,relatime"]);
    assert_eq!(look(&["rbind", "rro", "rrw"]), ["rw,relatime", "rw,relatime"]);
    assert_eq!(look(&["rbind", "rw", "rro"]), ["ro,relatime", "ro,relatime"]);
    let words = ["rbind", "rnosuid", "rnodev", "rnoexec", "rnoatime", "rnodiratime", "rnosymfollow"];
    let all = "rw,nosuid,nodev,noexec,noatime,nodiratime,nosymfollow";
    assert_eq!(look(&words), [all, all]);
    let undone = ["rsuid", "rdev", "rexec", "rrelatime", "rdiratime", "rsymfollow"];
    assert_eq!(look(&[&words[..], &undone].concat()), ["rw,relatime", "rw,relatime"]);
    assert_eq!(look(&["rbind", "rstrictatime"]), ["rw", "rw"]);
    // Not recursive: what is mounted below is not there.
    let mountinfo = mountinfo(&guest, vec![bind(&volume, "/data", &["bind", "rro"])]);
    assert!(!mountinfo.contains("/data/inner"));
}

fn propagation() {
    let guest = Guest::new();
    let volume = guest.volume("shared");
    let shared = GuestMount::new(volume.clone());
    mount_change(shared.0.as_str(), MountPropagationFlags::SHARED).unwrap();
    let look = |options: &[&str]| {
        let mounts = vec![
            at("/new", "tmpfs", "tmpfs", options),
            bind(&volume, "/data", &[&["rbind"], options].concat()),
        ];
        let mountinfo = mountinfo(&guest, mounts);
        // The groups have numbers.
        let kinds = |place| {
            let optional = shown(&mountinfo, place).optional;
            optional
                .iter()
                .map(|field| field.split(':').next().unwrap().to_owned())
                .collect::<Vec<_>>()
                .join(",")
        };
        (kinds("/new"), kinds("/data"))
    };
    let both = |new: &str, data: &str| (new.to_owned(), data.to_owned());
    assert_eq!(look(&[]), both("", ""));
    assert_eq!(look(&["private"]), both("", ""));
    assert_eq!(look(&["rprivate"]), both("", ""));
    assert_eq!(look(&["slave"]), both("", "master"));
    assert_eq!(look(&["rslave"]), both("", "master"));
    assert_eq!(look(&["shared"]), both("shared", "shared,master"));
    assert_eq!(look(&["rshared"]), both("shared", "shared,master"));
    assert_eq!(look(&["unbindable"]), both("unbindable", "unbindable"));
    assert_eq!(look(&["runbindable"]), both("unbindable", "unbindable"));
    assert_eq!(look(&["shared", "private"]), both("", ""));
    // What the guest mounts later appears where it is asked to, and what the container mounts does not appear here.
    let script = "mkdir /data/own; mount -t tmpfs none /data/own && echo x > /data/own/x; echo ready; \
                  for i in $(busybox seq 100); do test -e /data/later/x && echo seen && break; sleep 0.1; done";
    for (options, expected) in [(["rbind", "rslave"], "ready\nseen\n"), (["rbind", "rprivate"], "ready\n")] {
        let mut request = request(
            &guest,
            &script.replace("100", if options[1] == "rslave" { "100" } else { "1" }),
            vec![bind(&volume, "/data", &options)],
        );
        for set in [
            &mut request.process.capabilities.bounding,
            &mut request.process.capabilities.effective,
            &mut request.process.capabilities.permitted,
        ] {
            set.push("CAP_SYS_ADMIN".to_owned());
        }
        let container = try_create(&guest, request).unwrap_or_else(|error| panic!("{}", chain(&error)));
        let later = GuestMount::new(format!("{volume}/later"));
        fs::write(format!("{volume}/later/x"), "x").unwrap();
        container.start().unwrap();
        let (_, output, error) = guest.finish(container.init());
        assert_eq!(output, expected, "{error}");
        assert_eq!(fs::read_dir(format!("{volume}/own")).unwrap().count(), 0);
        guest.remove(container);
        drop(later);
        fs::remove_dir(format!("{volume}/own")).unwrap();
    }
}

fn anywhere() {
    let guest = Guest::new();
    let mounts = vec![
        at("/srv/dev", "tmpfs", "tmpfs", &["mode=755"]),
        at("/srv/dev/pts", "devpts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620"]),
        at("/srv/dev/mqueue", "mqueue", "mqueue", &[]),
        at("/srv/sys", "sysfs", "sysfs", &["ro"]),
        at("/srv/proc", "proc", "proc", &["hidepid=2"]),
        at("/srv/cgroup", "cgroup2", "cgroup2", &["ro"]),
        at("/dev", "tmpfs", "tmpfs", &["nosuid", "mode=755"]),
        // Each covers the one before.
        at("/twice", "first", "tmpfs", &[]),
        at("/twice", "second", "tmpfs", &[]),
    ];
    let mut request =
        request(&guest, "cat /proc/self/mountinfo; stat -c '%t:%T %a' /dev/null /dev/tty", mounts);
    request.mounts.insert(0, proc());
    let (output, error) = run(&guest, request);
    for (place, fstype) in [
        ("/srv/dev", "tmpfs"),
        ("/srv/dev/pts", "devpts"),
        ("/srv/dev/mqueue", "mqueue"),
        ("/srv/sys", "sysfs"),
        ("/srv/proc", "proc"),
        ("/srv/cgroup", "cgroup2"),
        ("/dev", "tmpfs"),
    ] {
        assert_eq!(shown(&output, place).fstype, fstype, "{error}");
    }
    assert!(shown(&output, "/srv/proc").superblock.iter().any(|option| option.starts_with("hidepid=")));
    let twice: Vec<&str> = output.lines().filter(|line| line.contains(" /twice ")).collect();
    assert_eq!(twice.len(), 2);
    assert_eq!(shown(&output, "/twice").source, "second");
    assert!(output.ends_with("1:3 666\n5:0 666\n"), "{output}");
}

fn of_paths() {
    let guest = Guest::new();
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| guest.volume(name));
    fs::write(format!("{lower}/below"), "below").unwrap();
    let second = guest.volume(&"long".repeat(40));
    fs::write(format!("{second}/second"), "second").unwrap();
    let lowerdir = format!("lowerdir={lower}:{second}");
    let (upperdir, workdir) = (format!("upperdir={upper}"), format!("workdir={work}"));
    let overlay = at("/merged", "overlay", "overlay", &[&lowerdir, &upperdir, &workdir]);
    let script = "cat /merged/below /merged/second; echo up > /merged/written; cat /proc/self/mountinfo";
    let (output, error) = run(&guest, request(&guest, script, vec![proc(), overlay]));
    assert!(output.starts_with("belowsecond"), "{output} {error}");
    assert_eq!(shown(&output, "/merged").fstype, "overlay");
    assert_eq!(fs::read_to_string(format!("{upper}/written")).unwrap(), "up\n");
    // What the kernel does not know is its to refuse.
    for wrong in [
        at("/data", "none", "no-such-filesystem", &[]),
        at("/data", "/dev/null", "ext4", &[]),
        at("/data", "overlay", "overlay", &["lowerdir=/no/such/directory"]),
        at("/data", "overlay", "overlay", &[&lowerdir, "no_such_option"]),
    ] {
        let failed = try_create(&guest, request(&guest, "true", vec![wrong]));
        assert!(matches!(failed, Err(CreateError::Filesystem { .. })), "{failed:?}");
    }
}

fn copy_up() {
    let guest = Guest::new();
    let image = guest.root().join("image");
    fs::create_dir_all(image.join("a/b")).unwrap();
    fs::write(image.join("a/b/file"), "contents").unwrap();
    std::os::unix::fs::chown(image.join("a/b/file"), Some(33), Some(44)).unwrap();
    fs::set_permissions(image.join("a/b/file"), PermissionsExt::from_mode(0o4711)).unwrap();
    fs::set_permissions(&image, PermissionsExt::from_mode(0o1750)).unwrap();
    symlink("/etc/passwd", image.join("link")).unwrap();
    symlink("..", image.join("a/up")).unwrap();
    let script = "cat /image/a/b/file; stat -c ' %a %u:%g' /image/a/b/file; readlink /image/link; \
                  readlink /image/a/up; stat -c %a /image; stat -c %a /plain; stat -c %a /new; busybox rm -r /image/a; echo x > /image/x";
    let mut request = request(
        &guest,
        script,
        vec![
            at("/image", "tmpfs", "tmpfs", &["tmpcopyup"]),
            at("/plain", "tmpfs", "tmpfs", &[]),
            at("/new", "tmpfs", "tmpfs", &[]),
        ],
    );
    fs::create_dir(guest.root().join("plain")).unwrap();
    fs::set_permissions(guest.root().join("plain"), PermissionsExt::from_mode(0o705)).unwrap();
    let (output, error) = run(&guest, request.clone());
    assert_eq!(output, "contents 4711 33:44\n/etc/passwd\n..\n1750\n705\n1777\n", "{error}");
    // The image has what it had.
    assert!(image.join("a/b/file").exists() && !image.join("x").exists());
    // What does not fit is an error, and so is what cannot be copied.
    request.container_id = guest.request(&[]).container_id;
    request.mounts[0].options = vec!["tmpcopyup".to_owned(), "size=4k".to_owned()];
    fs::write(image.join("large"), vec![7; 64 << 10]).unwrap();
    refused_at(&guest, request.clone(), Step::Mount);
    fs::remove_file(image.join("large")).unwrap();
    request.container_id = guest.request(&[]).container_id;
    request.mounts[0].options.truncate(1);
    std::os::unix::net::UnixListener::bind(image.join("socket")).unwrap();
    refused_at(&guest, request, Step::Mount);
}

fn refused_at(guest: &Guest, request: CreateContainer, step: Step) {
    match try_create(guest, request) {
        Err(CreateError::Spawn(SpawnError::Setup { step: failed, .. })) => assert_eq!(failed, step),
        other => panic!("{other:?}"),
    }
    assert!(!guest.engine.is_poisoned());
}

fn remount() {
    let guest = Guest::new();
    let mountinfo = mountinfo(
        &guest,
        vec![
            at("/data", "tmpfs", "tmpfs", &["nosuid"]),
            at("/data", "", "", &["remount", "ro", "noexec", "suid"]),
        ],
    );
    assert_eq!(mountinfo.matches(" /data ").count(), 1);
    assert_eq!(shown(&mountinfo, "/data").options.join(","), "ro,noexec,relatime");
    // There has to be a mount.
    fs::create_dir(guest.root().join("plain")).unwrap();
    for place in ["/plain", "/missing"] {
        let mounts = vec![at(place, "", "", &["remount", "ro"])];
        refused_at(&guest, request(&guest, "true", mounts), Step::Mount);
    }
}

fn links() {
    let guest = Guest::new();
    let volume = guest.volume("v");
    fs::write(format!("{volume}/file"), "file").unwrap();
    symlink("file", format!("{volume}/link")).unwrap();
    symlink(format!("{volume}/file"), format!("{volume}/absolute")).unwrap();
    let mounts = vec![
        bind(&format!("{volume}/link"), "/followed", &["bind"]),
        bind(&format!("{volume}/absolute"), "/absolute", &["bind"]),
        bind(&format!("{volume}/link"), "/copied", &["bind", "copy-symlink"]),
        bind(&format!("{volume}/file"), "/no-link", &["bind", "copy-symlink"]),
    ];
    let script = "cat /followed /absolute /no-link; readlink /copied; readlink /followed; readlink /no-link";
    let (output, error) = run(&guest, request(&guest, script, mounts.clone()));
    assert_eq!(output, "filefilefilefile\n", "{error}");
    // Once more on the same root: the link is there and the same.
    assert_eq!(run(&guest, request(&guest, script, mounts.clone())).0, output);
    fs::remove_file(guest.root().join("copied")).unwrap();
    symlink("other", guest.root().join("copied")).unwrap();
    refused_at(&guest, request(&guest, script, mounts), Step::Mount);
    let missing = vec![bind(&format!("{volume}/missing"), "/data", &["bind"])];
    assert!(matches!(
        try_create(&guest, request(&guest, "true", missing)),
        Err(CreateError::BindSource { .. })
    ));
    // A magic link leads nowhere, whoever follows it.
    let magic = vec![bind("/proc/self/root/etc", "/data", &["bind"])];
    assert!(matches!(
        try_create(&guest, request(&guest, "true", magic)),
        Err(CreateError::BindSource { .. })
    ));
}

fn refused() {
    let guest = Guest::new();
    let volume = guest.volume("v");
    for mount in [
        bind(&volume, "/data", &["bind", "sync"]),
        bind(&volume, "/data", &["bind", "size=1m"]),
        bind(&volume, "/data", &["bind", "tmpcopyup"]),
        bind(&volume, "/", &["bind"]),
        at("/data", "tmpfs", "tmpfs", &["remount", "size=1m"]),
    ] {
        let failed = try_create(&guest, request(&guest, "true", vec![mount]));
        assert!(matches!(failed, Err(CreateError::Plan(_))), "{failed:?}");
    }
    // The kernel says it of its own parameters.
    for option in ["iversion", "no_such_option", "size=many", "context=system_u:object_r:x:s0"] {
        let mounts = vec![at("/data", "tmpfs", "tmpfs", &[option])];
        refused_at(&guest, request(&guest, "true", mounts), Step::Mount);
    }
}

fn attacks() {
    let guest = Guest::new();
    let outside = guest.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let volume = guest.volume("v");
    fs::write(format!("{volume}/file"), "file").unwrap();
    symlink(&outside, guest.root().join("link")).unwrap();
    symlink("../../../../../../..", guest.root().join("up")).unwrap();
    symlink("/proc/1/root", guest.root().join("magic")).unwrap();
    symlink("/tmp", guest.root().join("elsewhere")).unwrap();
    for (destination, fstype) in [
        ("/link", "tmpfs"),
        ("/link/made", "tmpfs"),
        ("/link/made", "bind"),
        ("/proc/self/root/made", "tmpfs"),
        ("/proc/1/root/made", "tmpfs"),
        ("/proc/self/cwd", "bind"),
        ("/magic/made", "tmpfs"),
        // Where the kernel's trees are is where the paths that protect them lead.
        ("/elsewhere", "proc"),
        ("/elsewhere", "sysfs"),
    ] {
        let mounts = vec![proc(), at(destination, &volume, fstype, &[])];
        refused_at(&guest, request(&guest, "true", mounts), Step::Mount);
    }
    // `..` ends at the root.
    let mounts = vec![proc(), at("/up/made", "tmpfs", "tmpfs", &[]), bind(&volume, "/up/tmp/v", &["bind"])];
    let (output, _) = run(&guest, request(&guest, "cat /tmp/v/file; cat /proc/self/mountinfo", mounts));
    assert!(output.starts_with("file"), "{output}");
    assert_eq!(shown(&output, "/made").fstype, "tmpfs");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}
