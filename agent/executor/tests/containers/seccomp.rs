//! Filters of system calls.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use executor::container::{CreateError, PlanError, SeccompError};
use policy_engine::request::CreateContainer;
use policy_engine::request::linux::{
    SeccompAction, SeccompArgument, SeccompComparison, SeccompProfile, SeccompSyscall,
};

use crate::guest::{Guest, process};

pub(crate) const TESTS: &[crate::Test] = &[
    ("a_filtered_call_fails_with_its_error_number", error_numbers),
    ("a_filtered_call_kills", kills),
    ("arguments_of_calls_are_filtered", arguments),
    ("a_filter_is_there_with_and_without_new_privileges", privileges),
    ("a_filter_needs_no_calls_but_the_programs", minimal),
    ("executed_processes_have_the_containers_filter", executed),
    ("no_filter_is_left_by_32_bit_or_x32_calls", other_architectures),
    ("a_profile_that_hands_calls_to_others_is_refused", notify),
    ("a_long_filter_is_taken", long),
];

/// What a process has as its exit code that `SIGSYS` ended.
const SIGSYS: i32 = 128 + 31;

fn entry(names: &[&str], action: SeccompAction) -> SeccompSyscall {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    SeccompSyscall { names, action, errno_ret: None, args: Vec::new() }
}

fn profile(default_action: SeccompAction, syscalls: Vec<SeccompSyscall>) -> SeccompProfile {
    SeccompProfile {
        default_action,
        default_errno_ret: None,
        architectures: Vec::new(),
        flags: Vec::new(),
        listener_path: String::new(),
        listener_metadata: String::new(),
        syscalls,
    }
}

fn filtered(guest: &Guest, args: &[&str], profile: SeccompProfile) -> CreateContainer {
    CreateContainer { seccomp: Some(profile), ..guest.request(args) }
}

/// A program of x86-64 machine code: an ELF header, one segment, and the code.
#[cfg(target_arch = "x86_64")]
fn install(guest: &Guest, name: &str, code: &[u8]) -> String {
    let mut program = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let (base, start) = (0x40_0000_u64, 64 + 56_u64);
    program.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for field in [base + start, 64, 0] {
        program.extend(field.to_le_bytes());
    }
    program.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    program.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    let length = start + code.len() as u64;
    for field in [0, base, base, length, length, 0x1000] {
        program.extend(field.to_le_bytes());
    }
    program.extend(code);
    let path = guest.root().join("bin").join(name);
    fs::write(&path, program).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    format!("/bin/{name}")
}

fn error_numbers() {
    let guest = Guest::new();
    let denied = SeccompSyscall { errno_ret: Some(95), ..entry(&["mkdir", "mkdirat"], SeccompAction::Errno) };
    let request = filtered(&guest, &["mkdir", "/made"], profile(SeccompAction::Allow, vec![denied.clone()]));
    let (code, _, error) = guest.run(request);
    assert_eq!(code, 1);
    assert!(error.contains("not supported"), "{error}");
    assert!(!guest.root().join("made").exists());
    let request = filtered(&guest, &["touch", "/made"], profile(SeccompAction::Allow, vec![denied]));
    assert_eq!(guest.run(request).0, 0);
    assert!(guest.root().join("made").exists());
    let plain = profile(SeccompAction::Allow, vec![entry(&["mkdir", "mkdirat"], SeccompAction::Errno)]);
    let (_, _, error) = guest.run(filtered(&guest, &["mkdir", "/x"], plain));
    assert!(error.contains("not permitted"), "{error}");
}

fn kills() {
    let guest = Guest::new();
    for action in
        [SeccompAction::Kill, SeccompAction::KillThread, SeccompAction::KillProcess, SeccompAction::Trap]
    {
        let profile = profile(SeccompAction::Allow, vec![entry(&["mkdir", "mkdirat"], action)]);
        assert_eq!(guest.run(filtered(&guest, &["mkdir", "/x"], profile.clone())).0, SIGSYS, "{action:?}");
        assert_eq!(guest.run(filtered(&guest, &["true"], profile)).0, 0, "{action:?}");
    }
}

fn arguments() {
    let guest = Guest::new();
    // Signals other than 9 and 0 are forbidden.
    let other = |value| SeccompArgument { index: 1, value, value_two: 0, op: SeccompComparison::NotEqual };
    let denied = SeccompSyscall { args: vec![other(9)], ..entry(&["kill"], SeccompAction::Errno) };
    let script = "sleep 600 & kill -15 $!; kill -9 $! && wait $!; echo $?";
    let profile = profile(SeccompAction::Allow, vec![denied]);
    let (_, output, error) = guest.run(filtered(&guest, &["sh", "-c", script], profile));
    assert_eq!(output, "137\n");
    assert!(error.contains("not permitted"), "{error}");
}

fn privileges() {
    let guest = Guest::new();
    let denying = profile(SeccompAction::Allow, vec![entry(&["mkdir", "mkdirat"], SeccompAction::Errno)]);
    let script = "cat /proc/self/status; mkdir /tmp/x || echo denied";
    for (no_new_privileges, uid) in [(true, 0), (true, 33), (false, 0), (false, 33)] {
        let mut request = filtered(&guest, &["sh", "-c", script], denying.clone());
        request.process.no_new_privileges = no_new_privileges;
        request.process.user.uid = uid;
        let (_, output, _) = guest.run(request);
        let line = |name: &str| output.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert_eq!(line("Seccomp:"), "Seccomp:\t2");
        assert_eq!(line("NoNewPrivs:"), format!("NoNewPrivs:\t{}", u8::from(no_new_privileges)));
        // The right to install a filter is none of the fourteen that the process was given.
        let expected = if uid == 0 { "CapPrm:\t00000000a80425fb" } else { "CapPrm:\t0000000000000000" };
        assert_eq!(line("CapPrm:"), expected, "{no_new_privileges} {uid}");
        assert!(output.ends_with("denied\n"), "{output}");
    }
}

#[cfg(target_arch = "x86_64")]
fn minimal() {
    let guest = Guest::new();
    // exit(42)
    let program = install(&guest, "exit42", b"\xb8\x3c\x00\x00\x00\xbf\x2a\x00\x00\x00\x0f\x05");
    for (no_new_privileges, names) in
        [(true, &["execve", "exit"][..]), (false, &["execve", "exit", "capset"])]
    {
        let profile = profile(SeccompAction::KillProcess, vec![entry(names, SeccompAction::Allow)]);
        let mut request = filtered(&guest, &[&program], profile);
        request.process.no_new_privileges = no_new_privileges;
        assert_eq!(guest.run(request).0, 42);
    }
    let profile =
        profile(SeccompAction::KillProcess, vec![entry(&["execve", "openat2"], SeccompAction::Allow)]);
    assert_eq!(guest.run(filtered(&guest, &[&program], profile)).0, SIGSYS);
}

fn executed() {
    let guest = Guest::new();
    let denying =
        profile(SeccompAction::Allow, vec![entry(&["mkdir", "mkdirat"], SeccompAction::KillProcess)]);
    let container = guest.start(filtered(&guest, &["sleep", "600"], denying));
    for (id, no_new_privileges) in [("e1", true), ("e2", false)] {
        let mut spec = process(&["mkdir", "/x"]);
        spec.no_new_privileges = no_new_privileges;
        assert_eq!(guest.finish(&guest.exec(&container, id, spec).unwrap()).0, SIGSYS);
    }
    let exec = guest.exec(&container, "e3", process(&["true"])).unwrap();
    assert_eq!(guest.finish(&exec).0, 0);
    guest.remove(container);
}

/// The profile forbids `getppid` alone. By the numbers of the other architectures it would not be found.
#[cfg(target_arch = "x86_64")]
fn other_architectures() {
    let guest = Guest::new();
    // exit(42) by `int 0x80`, and by `syscall` with the x32 bit; exit(7) if that is not known.
    let x86 = install(&guest, "x86", b"\xb8\x01\x00\x00\x00\xbb\x2a\x00\x00\x00\xcd\x80");
    let x32 = install(
        &guest,
        "x32",
        b"\xb8\x3c\x00\x00\x40\xbf\x2a\x00\x00\x00\x0f\x05\xb8\x3c\x00\x00\x00\xbf\x07\x00\x00\x00\x0f\x05",
    );
    let plain = profile(SeccompAction::Allow, vec![entry(&["getppid"], SeccompAction::Errno)]);
    let mut named = plain.clone();
    named.architectures = vec!["SCMP_ARCH_X86".to_owned(), "SCMP_ARCH_X32".to_owned()];
    for program in [x86, x32] {
        // As this kernel does it without a filter: 42, unless it has no such calls.
        let unfiltered = guest.run(guest.request(&[&program])).0;
        assert_eq!(guest.run(filtered(&guest, &[&program], named.clone())).0, unfiltered, "{program}");
        // A kernel without 32-bit calls does not ask the filter.
        let expected = if unfiltered == 139 { 139 } else { SIGSYS };
        assert_eq!(guest.run(filtered(&guest, &[&program], plain.clone())).0, expected, "{program}");
    }
}

fn notify() {
    let guest = Guest::new();
    let profile = profile(SeccompAction::Allow, vec![entry(&["mkdir"], SeccompAction::Notify)]);
    match guest.try_create(filtered(&guest, &["true"], profile)) {
        Err(CreateError::Plan(PlanError::Seccomp(SeccompError::Notify))) => {}
        other => panic!("{other:?}"),
    }
}

fn long() {
    let guest = Guest::new();
    let argument = |value| SeccompArgument { index: 0, value, value_two: 0, op: SeccompComparison::Equal };
    let args = (1 << 40..(1 << 40) + 800).map(argument).collect();
    let many = SeccompSyscall { args, ..entry(&["getppid"], SeccompAction::Errno) };
    assert_eq!(guest.run(filtered(&guest, &["true"], profile(SeccompAction::Allow, vec![many]))).0, 0);
}

#[cfg(not(target_arch = "x86_64"))]
fn minimal() {}

#[cfg(not(target_arch = "x86_64"))]
fn other_architectures() {}
