//! Container engines that use the command line as their runtime: podman, and containerd with its `ctr`.
//!
//! Each test has an engine of its own, with its state in a temporary directory. An engine that is missing is named, and
//! its test does nothing; where CI runs, it has failed.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests call programs, fail by panicking and say what they skip"
)]

mod containerd;
mod image;
mod podman;

use std::env;
use std::path::Path;
use std::process::{Command, Output};

/// The runtime.
const RUNTIME: &str = env!("CARGO_BIN_EXE_cce-oci");

/// Whether a test can run that needs these programs. What is missing is told.
fn present(programs: &[&str]) -> bool {
    let Some(missing) = missing(programs) else { return true };
    assert!(env::var_os("CI").is_none(), "{missing}");
    println!("skipped: {missing}");
    false
}

fn missing(programs: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("this is not root".to_owned());
    }
    if !Path::new(image::BUSYBOX).exists() {
        return Some(format!("there is no {} (Debian's busybox-static)", image::BUSYBOX));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = |program: &&&str| env::split_paths(&path).any(|directory| directory.join(program).exists());
    let program = programs.iter().find(|program| !found(program))?;
    Some(format!("there is no {program} (Debian's package of this name, or the one that brings it)"))
}

/// Calls a program, which succeeds. The result is what it wrote.
fn ok(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}: {}", output.status, complaint(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Calls a program. The result is its exit code, what it wrote and what it complained of.
fn call(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let complaint = complaint(&output);
    (output.status.code().expect("no signal"), String::from_utf8(output.stdout).unwrap(), complaint)
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
