//! The end of the launcher. What comes after it finds none: these tests run last.

use std::fs;

use executor::container::{CreateError, SpawnError};
use executor::launcher::LaunchError;
use rustix::process::{Pid, Signal, kill_process};

use crate::guest::Guest;

pub(crate) const TESTS: &[crate::Test] = &[("containers_outlive_the_launcher", launcher_dies)];

/// The launcher among the children of this process.
fn launcher_pid() -> Pid {
    let own = std::process::id().to_string();
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let found = processes.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).find(|name| {
        let stat = fs::read_to_string(format!("/proc/{name}/stat")).unwrap_or_default();
        stat.contains("(launcher)") && stat.split(' ').nth(3) == Some(&own)
    });
    Pid::from_raw(found.expect("a launcher").parse().unwrap()).unwrap()
}

fn launcher_dies() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["cat"]));
    let status = fs::read_to_string(format!("/proc/{}/status", launcher_pid())).unwrap();
    assert!(status.contains("Threads:\t1\n"), "{status}");
    kill_process(launcher_pid(), Signal::KILL).unwrap();

    for _ in 0..2 {
        match guest.try_create(guest.request(&["true"])) {
            Err(CreateError::Spawn(SpawnError::Launch(LaunchError::Gone(_)))) => {}
            other => panic!("{other:?}"),
        }
        // Nothing was made, and the guest is as it was.
        assert!(!guest.engine.is_poisoned());
    }
    guest.runtime.block_on(async {
        container.init().write_stdin(b"alive").await.unwrap();
        assert_eq!(container.init().read_stdout(9).await.unwrap(), b"alive");
        container.init().close_stdin().unwrap();
        assert_eq!(container.init().wait().await.get(), 0);
    });
    guest.remove(container);
}
