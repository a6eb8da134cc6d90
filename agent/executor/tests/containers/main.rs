//! Real containers: made, started, attacked and removed on this kernel.
//!
//! They need root, cgroup v2 and a static busybox (`/bin/busybox` of Debian's busybox-static); without these they say so
//! and do nothing. The launcher is forked before the first thread, so the tests have their own `main`.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests fail by panicking and say what they skip"
)]

mod control;
mod death;
mod devices;
mod endurance;
mod exchange;
mod forged;
mod guest;
mod hierarchies;
mod hooks;
mod id_maps;
mod isolation;
mod lifecycle;
mod limits;
mod mounts;
mod mounts_as_asked;
mod namespaces;
mod process;
mod rights;
mod seccomp;
mod streams;
mod users;

use libtest_mimic::{Arguments, Trial};

/// A test and its name.
type Test = (&'static str, fn());

fn main() {
    let mut arguments = Arguments::from_args();
    let missing = guest::missing();
    if let Some(missing) = &missing {
        println!("containers are not tested: {missing}");
    } else if !arguments.list {
        guest::boot();
    }
    let trials = |tests: &[&[Test]]| {
        let trial = |(name, test): Test| {
            let run = move || {
                test();
                Ok(())
            };
            Trial::test(name, run).with_ignored_flag(missing.is_some())
        };
        tests.concat().into_iter().map(trial).collect()
    };
    let conclusion = libtest_mimic::run(
        &arguments,
        trials(&[
            lifecycle::TESTS,
            control::TESTS,
            limits::TESTS,
            streams::TESTS,
            isolation::TESTS,
            forged::TESTS,
            rights::TESTS,
            mounts::TESTS,
            namespaces::TESTS,
            users::TESTS,
            seccomp::TESTS,
            process::TESTS,
            hooks::TESTS,
            mounts_as_asked::TESTS,
            devices::TESTS,
            id_maps::TESTS,
            hierarchies::TESTS,
        ]),
    );
    // These trace or kill the launcher that the others share, and each other's.
    arguments.test_threads = Some(1);
    let last = libtest_mimic::run(
        &arguments,
        trials(&[exchange::TESTS, death::TESTS, endurance::TESTS, death::LAST]),
    );
    conclusion.exit_if_failed();
    last.exit();
}
