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

mod guest;
mod isolation;
mod lifecycle;
mod mounts;
mod streams;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let missing = guest::missing();
    if let Some(missing) = &missing {
        println!("containers are not tested: {missing}");
    } else if !arguments.list {
        guest::boot();
    }
    let tests: Vec<(&str, fn())> =
        [lifecycle::TESTS, streams::TESTS, isolation::TESTS, mounts::TESTS].concat();
    let trials = tests.into_iter().map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
        .with_ignored_flag(missing.is_some())
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
