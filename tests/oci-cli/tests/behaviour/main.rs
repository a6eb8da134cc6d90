//! What engines rely on in a runtime's command line beyond the runtime specification: exit codes, refusals, states.
//! The answers are those of runc; `CCE_OCI_RUNTIME` names another runtime to ask.
//!
//! Containers need root, cgroup v2 and a static busybox (`/bin/busybox` of Debian's busybox-static); without these the
//! tests say so and do nothing.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests fail by panicking, start the runtime as an engine does, and say what they skip"
)]

mod container;
mod exec;
mod lifecycle;
mod resources;
mod signals;
mod terminal;

use libtest_mimic::{Arguments, Trial};

/// A test and its name.
type Test = (&'static str, fn());

fn main() {
    let missing = container::missing();
    if let Some(missing) = missing {
        println!("the command line is not tested: {missing}");
    }
    let tests = [exec::TESTS, lifecycle::TESTS, resources::TESTS, signals::TESTS, terminal::TESTS];
    let trial = |(name, test): Test| {
        let run = move || {
            test();
            Ok(())
        };
        Trial::test(name, run).with_ignored_flag(missing.is_some())
    };
    let trials = tests.concat().into_iter().map(trial).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
