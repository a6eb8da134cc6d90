//! The file system of a container under hostile images and requests.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use executor::container::{CreateError, SpawnError, Step};
use policy_engine::request::ContainerMount;

use crate::guest::{Guest, bind};

pub(crate) const TESTS: &[crate::Test] = &[
    ("cve_2019_19921_and_2023_28642_a_symlinked_proc_is_refused", symlinked_trees),
    ("cve_2021_30465_a_mount_target_cannot_lead_out_of_the_root", symlinked_targets),
    ("cve_2024_45310_nothing_is_made_outside_of_the_root", made_outside),
    ("cve_2025_31133_masked_paths_are_masked", masked_paths),
    ("cve_2025_52565_dev_console_of_the_image_is_not_used", console),
    ("read_only_paths_and_roots_are_read_only", readonly),
    ("bind_mounts_show_their_sources_as_asked", bind_mounts),
    ("bind_sources_are_where_they_are_allowed_to_be", bind_sources),
    ("a_mount_stays_in_the_container", private),
];

fn refused_at(guest: &Guest, request: policy_engine::request::CreateContainer, step: Step) {
    match guest.try_create(request) {
        Err(CreateError::Spawn(SpawnError::Setup { step: failed, .. })) => assert_eq!(failed, step),
        other => panic!("{other:?}"),
    }
    assert!(!guest.engine.is_poisoned());
}

fn symlinked_trees() {
    for tree in ["proc", "sys", "dev"] {
        let guest = Guest::new();
        fs::remove_dir(guest.root().join(tree)).unwrap();
        symlink("/tmp", guest.root().join(tree)).unwrap();
        refused_at(&guest, guest.request(&["true"]), Step::Mount);
    }
}

fn symlinked_targets() {
    let guest = Guest::new();
    let outside = guest.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let volume = guest.volume("v");
    fs::write(format!("{volume}/file"), "volume").unwrap();
    // Absolute, relative and over a bind mount that was made before: all end in the container's own root.
    symlink(&outside, guest.root().join("absolute")).unwrap();
    symlink("../../../../../outside", guest.root().join("relative")).unwrap();
    let planted = guest.volume("planted");
    symlink(outside.join("x"), format!("{planted}/inner")).unwrap();
    let mut request = guest.request(&["sh", "-c", "cat /absolute/file"]);
    request.mounts = vec![bind(&volume, "/absolute", &["rbind"])];
    let failed = guest.try_create(request);
    // Inside, the target of the link does not exist: a dangling link is not followed to make something.
    assert!(failed.is_err());
    fs::create_dir_all(guest.root().join("outside")).unwrap();
    let mut request = guest.request(&["sh", "-c", "cat /outside/file"]);
    request.mounts = vec![bind(&volume, "/relative", &["rbind"])];
    assert_eq!(guest.run(request).1, "volume");
    let mut request = guest.request(&["true"]);
    request.mounts = vec![bind(&planted, "/vol", &["rbind"]), bind(&volume, "/vol/inner", &["rbind"])];
    refused_at(&guest, request, Step::Mount);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

fn made_outside() {
    let guest = Guest::new();
    let outside = guest.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, guest.root().join("link")).unwrap();
    symlink(outside.join("file"), guest.root().join("dangling")).unwrap();
    let volume = guest.volume("v");
    fs::write(format!("{volume}/file"), "").unwrap();
    for destination in ["/link/made", "/link/a/b/c", "/dangling"] {
        let mut request = guest.request(&["true"]);
        request.mounts = vec![bind(&format!("{volume}/file"), destination, &["bind"])];
        let _ = guest.try_create(request);
        let mut request = guest.request(&["true"]);
        request.process.cwd = destination.parse().unwrap();
        let _ = guest.try_create(request);
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

fn masked_paths() {
    let guest = Guest::new();
    fs::create_dir(guest.root().join("secret")).unwrap();
    fs::write(guest.root().join("secret/key"), "key").unwrap();
    // An image that brings a file for the null device along.
    fs::write(guest.root().join("dev/null"), "not the null device").unwrap();
    let script = "ls /secret /sys/firmware; cat /etc/shadow; stat -c '%t:%T' /etc/shadow; touch /secret/x; \
                  cat /proc/kcore | head -c 1; cat /proc/keys; cat /proc/timer_list";
    fs::write(guest.root().join("etc/shadow"), "hash").unwrap();
    let mut request = guest.request(&["sh", "-c", script]);
    request.masked_paths = ["/secret", "/etc/shadow", "/missing", "/etc/passwd/below"]
        .map(|path| path.parse().unwrap())
        .to_vec();
    let (_, output, error) = guest.run(request);
    assert_eq!(output, "/secret:\n\n/sys/firmware:\n1:3\n", "{error}");
    assert!(error.contains("Read-only file system"), "{error}");
}

fn console() {
    let guest = Guest::new();
    let outside = guest.directory.path().join("outside");
    fs::write(&outside, "outside").unwrap();
    symlink(&outside, guest.root().join("dev/console")).unwrap();
    symlink(&outside, guest.root().join("dev/ptmx")).unwrap();
    let mut request = guest.request(&["sh", "-c", "stat -c '%t' -L /dev/console; echo x > /dev/console"]);
    request.process.terminal = Some(Default::default());
    let (code, output, _) = guest.run(request);
    assert_eq!(code, 0);
    assert_eq!(output, "88\r\nx\r\n");
    assert_eq!(fs::read_to_string(&outside).unwrap(), "outside");
}

fn readonly() {
    let guest = Guest::new();
    let script = "echo 1 > /proc/sys/kernel/domainname; touch /keep/x; touch /sys/x; touch /x; \
                  touch /tmp/x && echo writable; mount -o remount,rw /";
    fs::create_dir(guest.root().join("keep")).unwrap();
    let mut request = guest.request(&["sh", "-c", script]);
    request.readonly_paths = vec!["/keep".parse().unwrap(), "/missing".parse().unwrap()];
    let refused = |error: &str, path: &str| error.contains(&format!("{path}: Read-only file system"));
    let (_, output, error) = guest.run(request.clone());
    assert_eq!(output, "writable\n");
    assert!(guest.root().join("x").exists());
    for path in ["/proc/sys/kernel/domainname", "/keep/x", "/sys/x"] {
        assert!(refused(&error, path), "{path}: {error}");
    }

    request.container_id = guest.request(&[]).container_id;
    request.readonly_rootfs = true;
    let (_, output, error) = guest.run(request);
    assert_eq!(output, "");
    for path in ["/proc/sys/kernel/domainname", "/keep/x", "/sys/x", "/x", "/tmp/x"] {
        assert!(refused(&error, path), "{path}: {error}");
    }
}

fn bind_mounts() {
    let guest = Guest::new();
    let volume = guest.volume("v");
    fs::write(format!("{volume}/hosts"), "hosts").unwrap();
    fs::write(format!("{volume}/run"), "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(format!("{volume}/run"), PermissionsExt::from_mode(0o755)).unwrap();
    let mut request = guest.request(&[
        "sh",
        "-c",
        "cat /etc/hosts; touch /deep/er/new && echo new; touch /ro/x; /ro/run; /noexec/run; ls /dev/shm/hosts",
    ]);
    request.mounts = vec![
        bind(&format!("{volume}/hosts"), "/etc/hosts", &["rbind", "rshared", "ro"]),
        bind(&volume, "/deep/er", &["rbind", "rw"]),
        bind(&volume, "/ro", &["rbind", "ro"]),
        bind(&volume, "/noexec", &["rbind", "noexec"]),
        bind(&volume, "/dev/shm", &["rbind"]),
    ];
    let (_, output, error) = guest.run(request);
    assert_eq!(output, "hostsnew\nran\n/dev/shm/hosts\n", "{error}");
    assert!(error.contains("Read-only file system") && error.contains("Permission denied"), "{error}");
    assert!(fs::exists(format!("{volume}/new")).unwrap());
}

fn bind_sources() {
    let guest = Guest::new();
    let volume = guest.volume("v");
    symlink("/etc", format!("{volume}/etc")).unwrap();
    symlink("../../root", format!("{volume}/up")).unwrap();
    let sibling = guest.directory.path().join("volumes2");
    fs::create_dir(&sibling).unwrap();
    for source in [
        "/etc",
        "/dev/vda",
        &format!("{volume}/etc"),
        &format!("{volume}/etc/passwd"),
        &format!("{volume}/up"),
        &format!("{volume}/missing"),
        sibling.to_str().unwrap(),
        guest.directory.path().to_str().unwrap(),
    ] {
        let mut request = guest.request(&["true"]);
        request.mounts = vec![bind(source, "/data", &["rbind"])];
        let failed = guest.try_create(request);
        assert!(matches!(failed, Err(CreateError::BindSource { .. })), "{source}: {failed:?}");
    }
    let mut request = guest.request(&["true"]);
    request.mounts = vec![ContainerMount { options: vec!["dev".to_owned()], ..bind(&volume, "/data", &[]) }];
    assert!(matches!(guest.try_create(request), Err(CreateError::Plan(_))));
    assert!(!guest.engine.is_poisoned());
}

fn private() {
    let guest = Guest::new();
    let volume = guest.volume("v");
    let mut request =
        guest.request(&["sh", "-c", "mount -t tmpfs none /data && touch /data/x && echo mounted"]);
    request.mounts = vec![bind(&volume, "/data", &["rbind", "rshared"])];
    let mut capabilities = request.process.capabilities.bounding.clone();
    capabilities.push("CAP_SYS_ADMIN".to_owned());
    request.process.capabilities.bounding.clone_from(&capabilities);
    request.process.capabilities.effective.clone_from(&capabilities);
    request.process.capabilities.permitted = capabilities;
    let (_, output, error) = guest.run(request);
    assert_eq!(output, "mounted\n", "{error}");
    assert_eq!(fs::read_dir(&volume).unwrap().count(), 0);
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&volume));
}
