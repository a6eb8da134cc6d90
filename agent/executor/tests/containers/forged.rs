//! Files that are something else than their names say: in an image, in a volume, or put there by a container.

use std::fs;
use std::os::unix::fs::symlink;

use executor::container::{CreateError, ExecError, SpawnError, Step};
use policy_engine::request::{CreateContainer, ProcessSpec, TerminalSize};
use rustix::fs::{CWD, FileType, Mode, makedev, mkfifoat, mknodat};

use crate::guest::{Guest, bind, grant, process};
use crate::mounts_as_asked::{self, at, request as as_asked};

pub(crate) const TESTS: &[crate::Test] = &[
    ("cve_2025_52881_and_2025_62596_a_forged_proc_takes_no_write", forged_proc),
    ("cve_2019_19921_2023_27561_2023_28642_and_2025_54867_a_linked_tree_is_refused", linked_trees),
    ("cve_2021_30465_a_link_in_a_volume_leads_no_mount_elsewhere", links_in_volumes),
    ("links_of_the_image_lead_mounts_through_it", links_of_the_image),
    ("cve_2025_31133_and_2025_62161_a_forged_null_device_masks_nothing", forged_null),
    ("cve_2025_52565_a_forged_terminal_multiplexer_is_refused", forged_multiplexer),
    ("cve_2025_52565_a_forged_console_is_covered_or_refused", forged_console),
];

/// The step that a creation failed at.
fn failed_step(guest: &Guest, request: CreateContainer) -> Step {
    let step = match guest.try_create(request) {
        Err(CreateError::Spawn(SpawnError::Setup { step, .. })) => step,
        other => panic!("{other:?}"),
    };
    assert!(!guest.engine.is_poisoned());
    step
}

/// A container that may mount covers its `/proc`: what the kernel's file would have taken must not end in a file of its
/// own, nor go where that leads.
fn forged_proc() {
    let guest = Guest::new();
    let script = "mkdir /p; mount -t proc proc /p; mount -t tmpfs none /proc; mkdir -p /proc/self/attr /proc/1; \
                  echo before > /kept; ln -s /kept /proc/self/oom_score_adj; ln -s self /proc/thread-self; \
                  echo up; sleep 600";
    let mut request = guest.request(&["sh", "-c", script]);
    grant(&mut request.process, "CAP_SYS_ADMIN");
    let container = guest.start(request);
    assert_eq!(guest.runtime.block_on(container.init().read_stdout(3)).unwrap(), b"up\n");
    let read = process(&["cat", "/p/self/oom_score_adj", "/kept"]);
    let exec = guest.exec(&container, "e1", ProcessSpec { oom_score_adj: Some(444), ..read }).unwrap();
    assert_eq!(guest.finish(&exec).1, "444\nbefore\n");
    guest.remove(container);
}

fn linked_trees() {
    // Where the kernel's tree is looked for, and what is there instead: absolute, relative, up, to another tree, to itself.
    for (tree, target) in [
        ("proc", "/v"),
        ("proc", "v/proc"),
        ("proc", "/.proc"),
        ("proc", "../../proc"),
        ("proc", "sys"),
        ("proc", "proc"),
        ("sys", "/v"),
        ("sys", "proc"),
        ("dev", "/v"),
        ("dev", "."),
    ] {
        let guest = Guest::new();
        let volume = guest.volume("shared");
        fs::create_dir_all(format!("{volume}/proc/self")).unwrap();
        fs::create_dir(guest.root().join(".proc")).unwrap();
        fs::remove_dir(guest.root().join(tree)).unwrap();
        symlink(target, guest.root().join(tree)).unwrap();
        let mut request = guest.request(&["true"]);
        request.mounts = vec![bind(&volume, "/v", &["rbind"])];
        assert_eq!(failed_step(&guest, request), Step::Mount, "{tree} -> {target}");
    }
}

/// The volume is another container's as well, which would choose what is mounted over.
fn links_in_volumes() {
    for (target, destination) in [
        ("/", "/v/link/bin"),
        ("/bin", "/v/link"),
        ("../bin", "/v/link"),
        ("../etc/passwd", "/v/link"),
        ("here", "/v/link"),
        ("missing", "/v/link/below"),
    ] {
        let guest = Guest::new();
        let (shared, source) = (guest.volume("shared"), guest.volume("source"));
        symlink(target, format!("{shared}/link")).unwrap();
        fs::create_dir(format!("{shared}/here")).unwrap();
        fs::write(format!("{source}/file"), "source").unwrap();
        let source = if target.ends_with("passwd") { format!("{source}/file") } else { source };
        let mut request = guest.request(&["true"]);
        request.mounts = vec![bind(&shared, "/v", &["rbind"]), bind(&source, destination, &["rbind"])];
        assert_eq!(failed_step(&guest, request), Step::Mount, "{target}");
        assert_eq!(fs::read_dir(&shared).unwrap().count(), 2);
    }
}

fn links_of_the_image() {
    let guest = Guest::new();
    let source = guest.volume("source");
    fs::write(format!("{source}/file"), "source").unwrap();
    fs::create_dir_all(guest.root().join("var")).unwrap();
    symlink("../run", guest.root().join("var/run")).unwrap();
    symlink("/../../etc/./passwd", guest.root().join("users")).unwrap();
    symlink("/var/run/secrets", guest.root().join("tmp/link")).unwrap();
    let mut request =
        guest.request(&["cat", "/run/secrets/deep/file", "/etc/passwd", "/run/secrets/again/file"]);
    request.mounts = vec![
        bind(&guest.volume("run"), "/run", &["rbind"]),
        bind(&source, "/var/run/secrets/deep", &["rbind"]),
        bind(&format!("{source}/file"), "/users", &["rbind"]),
        bind(&source, "/tmp/link/again", &["rbind"]),
    ];
    assert_eq!(guest.run(request).1, "source".repeat(3));
    // In a circle, and too many of them.
    symlink("circle", guest.root().join("circle")).unwrap();
    for number in 0..50 {
        symlink(format!("chain{}", number + 1), guest.root().join(format!("chain{number}"))).unwrap();
    }
    fs::create_dir(guest.root().join("chain50")).unwrap();
    for destination in ["/circle", "/circle/below", "/chain0", "/chain0/below"] {
        let mut request = guest.request(&["true"]);
        request.mounts = vec![bind(&source, destination, &["rbind"])];
        assert_eq!(failed_step(&guest, request), Step::Mount, "{destination}");
    }
    let mut request = guest.request(&["cat", "/chain50/below/file"]);
    request.mounts = vec![bind(&source, "/chain20/below", &["rbind"])];
    assert_eq!(guest.run(request).1, "source");
}

/// A volume that covers `/dev` by way of a link of the image, with something else for the null device.
fn forged_null() {
    let null = "null";
    let forgeries: [fn(&str); 6] = [
        |_| {},
        |null| fs::write(null, "").unwrap(),
        |null| symlink("/etc/passwd", null).unwrap(),
        |null| fs::create_dir(null).unwrap(),
        |null| mkfifoat(CWD, null, Mode::from_raw_mode(0o666)).unwrap(),
        // The zero device, and a block device with the numbers of the null device.
        |null| {
            let mode = Mode::from_raw_mode(0o666);
            mknodat(CWD, null, FileType::BlockDevice, mode, makedev(1, 3)).unwrap();
        },
    ];
    for (number, forge) in forgeries.into_iter().enumerate() {
        let guest = Guest::new();
        let volume = guest.volume("shared");
        forge(&format!("{volume}/{null}"));
        symlink("/dev", guest.root().join("devices")).unwrap();
        fs::write(guest.root().join("secret"), "secret").unwrap();
        let mut request = guest.request(&["cat", "/secret"]);
        request.mounts = vec![bind(&volume, "/devices", &["rbind"])];
        request.masked_paths = vec!["/secret".parse().unwrap()];
        assert_eq!(failed_step(&guest, request), Step::Mask, "{number}");
    }
    // With the right one, the path is masked.
    let guest = Guest::new();
    let volume = guest.volume("shared");
    let mode = Mode::from_raw_mode(0o666);
    mknodat(CWD, format!("{volume}/null"), FileType::CharacterDevice, mode, makedev(1, 3)).unwrap();
    symlink("/dev", guest.root().join("devices")).unwrap();
    fs::write(guest.root().join("secret"), "secret").unwrap();
    let mut request = guest.request(&["stat", "-c", "%t:%T", "/secret"]);
    request.mounts = vec![bind(&volume, "/devices", &["rbind"])];
    request.masked_paths = vec!["/secret".parse().unwrap()];
    assert_eq!(guest.run(request).1, "1:3\n");
}

/// A volume that covers `/dev/pts` by way of a link of the image.
fn forged_multiplexer() {
    let forgeries: [fn(&str); 5] = [
        |_| {},
        |ptmx| fs::write(ptmx, "").unwrap(),
        |ptmx| symlink("/dev/null", ptmx).unwrap(),
        |ptmx| mkfifoat(CWD, ptmx, Mode::from_raw_mode(0o666)).unwrap(),
        // One of the guest's own terminals, were it opened.
        |ptmx| {
            let mode = Mode::from_raw_mode(0o666);
            mknodat(CWD, ptmx, FileType::CharacterDevice, mode, makedev(5, 2)).unwrap();
        },
    ];
    for (number, forge) in forgeries.into_iter().enumerate() {
        let guest = Guest::new();
        let volume = guest.volume("shared");
        forge(&format!("{volume}/ptmx"));
        symlink("/dev/pts", guest.root().join("terminals")).unwrap();
        let mut request = guest.request(&["true"]);
        request.process.terminal = Some(TerminalSize::default());
        request.mounts = vec![bind(&volume, "/terminals", &["rbind"])];
        assert_eq!(failed_step(&guest, request), Step::Terminal, "{number}");
    }
    // And by a container that runs, before somebody executes a program with a terminal in it: a link, and a multiplexer
    // beside a devpts of its own.
    for forge in [
        "ln -s /dev/null /dev/pts/ptmx",
        "mkdir /dev/pts/pts; mount -t devpts none /dev/pts/pts; mknod /dev/pts/ptmx c 5 2",
    ] {
        let guest = Guest::new();
        let script = format!("mount -t tmpfs none /dev/pts; {forge}; echo up; sleep 600");
        let mut request = guest.request(&["sh", "-c", &script]);
        grant(&mut request.process, "CAP_SYS_ADMIN");
        let container = guest.start(request);
        assert_eq!(guest.runtime.block_on(container.init().read_stdout(3)).unwrap(), b"up\n");
        let spec = ProcessSpec { terminal: Some(TerminalSize::default()), ..process(&["true"]) };
        match guest.exec(&container, "e1", spec) {
            Err(ExecError::Spawn(SpawnError::Setup { step, .. })) => assert_eq!(step, Step::Terminal),
            other => panic!("{other:?}"),
        }
        guest.remove(container);
    }
}

fn forged_console() {
    // The devices are a volume's, the terminals the container's own.
    for target in ["/etc/passwd", "/proc/sysrq-trigger", "/missing"] {
        let guest = Guest::new();
        let volume = guest.volume("shared");
        symlink(target, format!("{volume}/console")).unwrap();
        let mounts = vec![
            at("/proc", "proc", "proc", &[]),
            bind(&volume, "/dev", &["bind"]),
            at("/dev/pts", "devpts", "devpts", &["ptmxmode=0666"]),
        ];
        let mut request = as_asked(&guest, "true", mounts);
        request.process.terminal = Some(TerminalSize::default());
        match mounts_as_asked::try_create(&guest, request) {
            Err(CreateError::Spawn(SpawnError::Setup { step, subject, .. })) => {
                assert_eq!((step, subject.as_str()), (Step::Terminal, "/dev/console"), "{target}");
            }
            other => panic!("{other:?}"),
        }
    }
    // A file that a volume brings to the name is covered, and not written to.
    let guest = Guest::new();
    let volume = guest.volume("shared");
    fs::write(format!("{volume}/console"), "console").unwrap();
    let mut request = guest.request(&["sh", "-c", "echo x > /dev/console; stat -c %t /dev/console"]);
    request.process.terminal = Some(TerminalSize::default());
    request.mounts = vec![bind(&format!("{volume}/console"), "/dev/console", &["bind"])];
    assert_eq!(guest.run(request).1, "x\r\n88\r\n");
    assert_eq!(fs::read_to_string(format!("{volume}/console")).unwrap(), "console");
}
