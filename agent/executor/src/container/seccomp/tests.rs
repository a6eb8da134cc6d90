//! The compiler against an interpreter of filters and a direct reading of profiles.

#![expect(clippy::arithmetic_side_effects, reason = "tests fail by panicking")]

use policy_engine::request::linux::{SeccompComparison as Op, SeccompSyscall};
use proptest::prelude::*;
use proptest::sample::select;

use super::program::code;
use super::*;

const X86_64: u32 = 0xc000_003e;
const X86: u32 = 0x4000_0003;
const X32_BIT: u32 = 0x4000_0000;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;
const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | 1;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | 38;

/// `struct seccomp_data` of `linux/seccomp.h`.
#[derive(Debug, Clone, Copy)]
struct Call {
    token: u32,
    number: u32,
    arguments: [u64; 6],
}

/// Runs a filter as the kernel does: its verdict, and how many instructions it took.
fn run(program: &[Instruction], call: Call) -> (u32, usize) {
    let load = |offset: u32| match offset {
        0 => call.number,
        4 => call.token,
        16..=60 if offset.is_multiple_of(8) => low_half(call.arguments[(offset as usize - 16) / 8]),
        20..=60 if offset.is_multiple_of(4) => (call.arguments[(offset as usize - 20) / 8] >> 32) as u32,
        other => panic!("nothing is at {other}"),
    };
    let (mut at, mut accumulator) = (0, 0);
    let mut steps = 0;
    loop {
        steps += 1;
        let Instruction { code, when_true, when_false, operand } = program[at];
        at += 1;
        let mut jump = |holds: bool| at += usize::from(if holds { when_true } else { when_false });
        match code {
            code::LOAD => accumulator = load(operand),
            code::AND => accumulator &= operand,
            code::JUMP => at += operand as usize,
            code::EQUAL => jump(accumulator == operand),
            code::GREATER => jump(accumulator > operand),
            code::GREATER_OR_EQUAL => jump(accumulator >= operand),
            code::RETURN => return (operand, steps),
            other => panic!("no operation {other:#x}"),
        }
    }
}

fn low_half(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

/// What a profile says of a call, read entry by entry.
fn read(profile: &SeccompProfile, call: Call) -> u32 {
    let named = |name: &str| profile.architectures.iter().any(|other| other == name);
    let native = |number: u32| i64::from(number);
    let (x32, name_of): (_, fn(i64) -> Option<&'static str>) = match call.token {
        X86_64 if call.number < X32_BIT || call.number == u32::MAX => {
            (false, syscall_numbers::x86_64::sys_call_name)
        }
        X86_64 if named("SCMP_ARCH_X32") => (true, syscall_numbers::x32::sys_call_name),
        X86 if named("SCMP_ARCH_X86") => (false, syscall_numbers::x86::sys_call_name),
        _ => return KILL,
    };
    let narrow = call.token == X86;
    let default = verdict(profile.default_action, profile.default_errno_ret).unwrap();
    let name = name_of(native(call.number));
    let (mut always, mut matched) = (None, Vec::new());
    for entry in &profile.syscalls {
        let verdict = verdict(entry.action, entry.errno_ret).unwrap();
        if verdict == default {
            continue;
        }
        let multiplexed = |entry_name: &str| match name {
            Some("socketcall") => entry_name == "socket" && call.arguments[0] == 1,
            Some("ipc") => entry_name == "shmget" && call.arguments[0] & 0xffff == 23,
            _ => false,
        };
        if narrow && entry.names.iter().any(|name| multiplexed(name)) {
            let passes =
                [SeccompAction::Allow, SeccompAction::Log, SeccompAction::Trace].contains(&entry.action);
            if entry.args.is_empty() || !passes {
                matched.push(verdict);
            }
        }
        if !entry.names.iter().any(|entry_name| name == Some(entry_name)) {
            continue;
        }
        if entry.args.is_empty() {
            always = always.or(Some(verdict));
            continue;
        }
        let indices: Vec<u32> = entry.args.iter().map(|argument| argument.index).collect();
        let distinct =
            indices.iter().all(|index| indices.iter().filter(|other| *other == index).count() == 1);
        let mut held = entry.args.iter().map(|argument| holds(argument, call.arguments, narrow));
        if if distinct { held.all(|held| held) } else { held.any(|held| held) } {
            matched.push(verdict);
        }
    }
    let strictest = matched.into_iter().min_by_key(|verdict| (verdict & 0xffff_0000).cast_signed());
    if let Some(verdict) = always.or(strictest) {
        return verdict;
    }
    let top = if x32 { X32_BIT..u32::MAX } else { 0..if narrow { u32::MAX } else { X32_BIT } };
    let known = |name: &String| top.clone().take(2048).find(|number| name_of(native(*number)) == Some(name));
    let last = profile.syscalls.iter().flat_map(|entry| &entry.names).filter_map(known).max();
    let passing = [SeccompAction::Allow, SeccompAction::Log, SeccompAction::Trace];
    match last {
        Some(last) if call.number > last && !passing.contains(&profile.default_action) => ENOSYS,
        _ => default,
    }
}

fn holds(condition: &Condition, arguments: [u64; 6], narrow: bool) -> bool {
    let cut = |value: u64| if narrow { value & 0xffff_ffff } else { value };
    let given = cut(arguments[condition.index as usize]);
    let (value, second) = (cut(condition.value), cut(condition.value_two));
    match condition.op {
        Op::NotEqual => given != value,
        Op::Less => given < value,
        Op::LessOrEqual => given <= value,
        Op::Equal => given == value,
        Op::GreaterOrEqual => given >= value,
        Op::Greater => given > value,
        Op::MaskedEqual => given & value == second & value,
    }
}

fn entry(names: &[&str], action: SeccompAction, args: Vec<Condition>) -> SeccompSyscall {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    SeccompSyscall { names, action, errno_ret: None, args }
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

fn condition(index: u32, op: Op, value: u64, value_two: u64) -> Condition {
    Condition { index, value, value_two, op }
}

fn answer(profile: &SeccompProfile, token: u32, number: u32, arguments: [u64; 6]) -> u32 {
    run(&compile(profile, false).unwrap().program, Call { token, number, arguments }).0
}

#[test]
fn calls_get_what_their_entry_says() {
    use SeccompAction as Action;
    let with = |action, errno_ret| SeccompSyscall { errno_ret, ..entry(&["read"], action, Vec::new()) };
    for (action, number, verdict) in [
        (Action::Kill, None, 0),
        (Action::KillThread, None, 0),
        (Action::KillProcess, None, 0x8000_0000),
        (Action::Trap, None, 0x0003_0000),
        (Action::Errno, None, 0x0005_0001),
        (Action::Errno, Some(95), 0x0005_005f),
        (Action::Trace, None, 0x7ff0_0001),
        (Action::Trace, Some(7), 0x7ff0_0007),
        (Action::Log, None, 0x7ffc_0000),
    ] {
        let profile = profile(Action::Allow, vec![with(action, number)]);
        assert_eq!(answer(&profile, X86_64, 0, [0; 6]), verdict, "{action:?}");
        assert_eq!(answer(&profile, X86_64, 1, [0; 6]), ALLOW);
        assert_eq!(answer(&profile, X86_64, 9999, [0; 6]), ALLOW);
    }
}

/// Otherwise a filter is left by making the same call by the numbers of another architecture.
#[test]
fn calls_of_architectures_that_are_not_named_kill() {
    let mut profile =
        profile(SeccompAction::Allow, vec![entry(&["ptrace"], SeccompAction::Errno, Vec::new())]);
    let (ptrace, ptrace_x86, ptrace_x32) = (101, 26, X32_BIT | 521);
    assert_eq!(answer(&profile, X86_64, ptrace, [0; 6]), EPERM);
    for number in [0, ptrace_x86, 9999, u32::MAX] {
        assert_eq!(answer(&profile, X86, number, [0; 6]), KILL);
        assert_eq!(answer(&profile, 0x4000_0028, number, [0; 6]), KILL);
    }
    for number in [X32_BIT, X32_BIT | ptrace, ptrace_x32, u32::MAX - 1, 0x8000_0000, 0xc000_0065] {
        assert_eq!(answer(&profile, X86_64, number, [0; 6]), KILL, "{number:#x}");
    }
    // No call at all, which a tracer asked for.
    assert_eq!(answer(&profile, X86_64, u32::MAX, [0; 6]), ALLOW);

    profile.architectures = vec!["SCMP_ARCH_X86".to_owned(), "SCMP_ARCH_X32".to_owned()];
    assert_eq!(answer(&profile, X86_64, ptrace, [0; 6]), EPERM);
    assert_eq!(answer(&profile, X86, ptrace_x86, [0; 6]), EPERM);
    assert_eq!(answer(&profile, X86, ptrace, [0; 6]), ALLOW);
    assert_eq!(answer(&profile, X86_64, ptrace_x32, [0; 6]), EPERM);
    assert_eq!(answer(&profile, X86_64, X32_BIT | 1, [0; 6]), ALLOW);
    assert_eq!(answer(&profile, 0x4000_0028, 0, [0; 6]), KILL);
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let allowing =
        |default| profile(default, vec![entry(&["read", "openat2"], SeccompAction::Allow, Vec::new())]);
    for (default, old) in [(SeccompAction::Errno, EPERM), (SeccompAction::KillProcess, KILL)] {
        let profile = allowing(default);
        assert_eq!(answer(&profile, X86_64, 436, [0; 6]), old);
        assert_eq!(answer(&profile, X86_64, 437, [0; 6]), ALLOW);
        assert_eq!(answer(&profile, X86_64, 438, [0; 6]), ENOSYS);
    }
    assert_eq!(answer(&allowing(SeccompAction::Log), X86_64, 438, [0; 6]), libc::SECCOMP_RET_LOG);
    // Also of a call that gets what all get.
    let profile = profile(SeccompAction::Errno, vec![entry(&["openat2"], SeccompAction::Errno, Vec::new())]);
    assert_eq!(answer(&profile, X86_64, 437, [0; 6]), EPERM);
    assert_eq!(answer(&profile, X86_64, 438, [0; 6]), ENOSYS);
}

#[test]
fn entries_without_conditions_come_first_and_the_strictest_of_the_others() {
    let equal = |value| vec![condition(0, Op::Equal, value, 0)];
    let entries = vec![
        entry(&["ioctl"], SeccompAction::Log, equal(1)),
        entry(&["ioctl"], SeccompAction::Trap, equal(1)),
        entry(&["ioctl"], SeccompAction::Log, equal(2)),
    ];
    let conditional = profile(SeccompAction::Errno, entries);
    assert_eq!(answer(&conditional, X86_64, 16, [1, 0, 0, 0, 0, 0]), libc::SECCOMP_RET_TRAP);
    assert_eq!(answer(&conditional, X86_64, 16, [2, 0, 0, 0, 0, 0]), libc::SECCOMP_RET_LOG);
    assert_eq!(answer(&conditional, X86_64, 16, [3, 0, 0, 0, 0, 0]), EPERM);
    let mut always = conditional;
    always.syscalls.push(entry(&["ioctl"], SeccompAction::Allow, Vec::new()));
    always.syscalls.push(entry(&["ioctl"], SeccompAction::Trap, Vec::new()));
    assert_eq!(answer(&always, X86_64, 16, [1, 0, 0, 0, 0, 0]), ALLOW);
}

#[test]
fn multiplexed_calls_are_judged_without_their_arguments() {
    let unix = vec![condition(0, Op::Equal, 1, 0)];
    let mut profile =
        profile(SeccompAction::Errno, vec![entry(&["socket"], SeccompAction::Allow, unix.clone())]);
    profile.architectures = vec!["SCMP_ARCH_X86".to_owned()];
    let (socket, socketcall) = (359, 102);
    assert_eq!(answer(&profile, X86, socket, [1, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(answer(&profile, X86, socketcall, [1, 0, 0, 0, 0, 0]), EPERM);
    profile.syscalls = vec![entry(&["socket"], SeccompAction::Allow, Vec::new())];
    assert_eq!(answer(&profile, X86, socketcall, [1, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(answer(&profile, X86, socketcall, [2, 0, 0, 0, 0, 0]), EPERM);
    profile.default_action = SeccompAction::Allow;
    profile.syscalls = vec![entry(&["socket"], SeccompAction::Errno, unix)];
    assert_eq!(answer(&profile, X86, socketcall, [1, 0, 0, 0, 0, 0]), EPERM);
}

#[test]
fn nonsense_is_refused() {
    let refusal = |change: fn(&mut SeccompProfile)| {
        let mut profile =
            profile(SeccompAction::Errno, vec![entry(&["read"], SeccompAction::Allow, Vec::new())]);
        change(&mut profile);
        compile(&profile, false).unwrap_err()
    };
    let name = || "SCMP_ARCH_PDP11".to_owned();
    assert_eq!(
        refusal(|p| p.architectures = vec!["SCMP_ARCH_PDP11".to_owned()]),
        SeccompError::Architecture { name: name() }
    );
    let name = "SECCOMP_FILTER_FLAG_NEW_LISTENER".to_owned();
    assert_eq!(
        refusal(|p| p.flags = vec!["SECCOMP_FILTER_FLAG_NEW_LISTENER".to_owned()]),
        SeccompError::Flag { name }
    );
    assert_eq!(refusal(|p| p.default_errno_ret = Some(4096)), SeccompError::Errno { number: 4096 });
    assert_eq!(refusal(|p| p.syscalls[0].errno_ret = Some(1)), SeccompError::Errno { number: 1 });
    assert_eq!(refusal(|p| p.syscalls[0].names.push(String::new())), SeccompError::Unnamed);
    let error = SeccompError::ArgumentIndex { index: 6 };
    assert_eq!(refusal(|p| p.syscalls[0].args.push(condition(6, Op::Equal, 0, 0))), error);
    assert_eq!(refusal(|p| p.syscalls[0].action = SeccompAction::Notify), SeccompError::Notify);
    assert_eq!(refusal(|p| p.default_action = SeccompAction::Notify), SeccompError::Notify);
    assert_eq!(refusal(|p| p.listener_path = "/run/s".to_owned()), SeccompError::Notify);
    let many = |p: &mut SeccompProfile| {
        p.syscalls[0].args = (0..5000).map(|value| condition(0, Op::Equal, value, 0)).collect();
    };
    assert_eq!(refusal(many), SeccompError::TooLong);
    let nearly = |p: &mut SeccompProfile| {
        p.syscalls[0].args = (0..1500).map(|value| condition(0, Op::Equal, value, 0)).collect();
    };
    assert_eq!(refusal(nearly), SeccompError::TooLong);
    let mut known = profile(SeccompAction::Allow, Vec::new());
    known.flags = vec!["SECCOMP_FILTER_FLAG_LOG".to_owned(), "SECCOMP_FILTER_FLAG_SPEC_ALLOW".to_owned()];
    known.architectures = vec!["SCMP_ARCH_S390X".to_owned()];
    assert_eq!(compile(&known, false).unwrap().flags, 6);
}

#[test]
fn a_filter_of_many_calls_takes_few_comparisons() {
    let names = (0..470).filter(|number| number % 7 != 0).filter_map(syscall_numbers::x86_64::sys_call_name);
    let mut profile = profile(
        SeccompAction::Errno,
        vec![entry(&names.collect::<Vec<_>>(), SeccompAction::Allow, Vec::new())],
    );
    profile.architectures = ["X86_64", "X86", "X32"].map(|name| format!("SCMP_ARCH_{name}")).to_vec();
    let filter = compile(&profile, false).unwrap();
    assert!(filter.program.len() < 1200, "{}", filter.program.len());
    for number in 0..500 {
        let (_, steps) = run(&filter.program, Call { token: X86_64, number, arguments: [0; 6] });
        assert!(steps <= 20, "{steps} for {number}");
    }
    let json = serde_json::to_string(&filter).unwrap();
    assert_eq!(serde_json::from_str::<Filter>(&json).unwrap(), filter);
}

const VALUES: [u64; 12] = [
    0,
    1,
    2,
    23,
    0x17_0017,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0001,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX - 1,
    u64::MAX,
];
const NAMES: [&str; 14] = [
    "read",
    "write",
    "restart_syscall",
    "ioctl",
    "socket",
    "socketcall",
    "ipc",
    "shmget",
    "clone",
    "openat2",
    "file_setattr",
    "rt_sigaction",
    "waitpid",
    "no_such_call",
];

fn any_condition() -> impl Strategy<Value = Condition> {
    let op = select(vec![
        Op::NotEqual,
        Op::Less,
        Op::LessOrEqual,
        Op::Equal,
        Op::GreaterOrEqual,
        Op::Greater,
        Op::MaskedEqual,
    ]);
    (0..6_u32, op, select(&VALUES[..]), select(&VALUES[..]))
        .prop_map(|(index, op, value, value_two)| condition(index, op, value, value_two))
}

fn any_action() -> impl Strategy<Value = SeccompAction> {
    use SeccompAction as A;
    select(vec![A::Kill, A::KillProcess, A::KillThread, A::Trap, A::Errno, A::Trace, A::Allow, A::Log])
}

fn any_profile() -> impl Strategy<Value = SeccompProfile> {
    let names = prop::collection::vec(select(&NAMES[..]), 1..4);
    let args = prop_oneof![Just(Vec::new()), prop::collection::vec(any_condition(), 1..4)];
    let entries = prop::collection::vec((names, any_action(), args), 0..6);
    let architectures =
        prop::sample::subsequence(vec!["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_X86_64"], 0..=3);
    (any_action(), entries, architectures).prop_map(|(default, entries, architectures)| {
        let entries: Vec<_> =
            entries.iter().map(|(names, action, args)| entry(names, *action, args.clone())).collect();
        let architectures = architectures.into_iter().map(str::to_owned).collect();
        SeccompProfile { architectures, ..profile(default, entries) }
    })
}

fn any_number() -> impl Strategy<Value = u32> {
    let listed = vec![
        0,
        1,
        2,
        7,
        13,
        16,
        41,
        26,
        54,
        56,
        101,
        102,
        103,
        117,
        118,
        120,
        174,
        219,
        220,
        359,
        395,
        436,
        437,
        438,
        469,
        470,
        512,
        514,
        521,
        0x3fff_ffff,
        0x7fff_ffff,
        0xffff_ffff,
        0xffff_fffe,
    ];
    prop_oneof![select(listed.clone()), select(listed).prop_map(|number| number | X32_BIT), any::<u32>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn filters_say_what_profiles_say(
        profile in any_profile(),
        calls in prop::collection::vec(
            (select(&[X86_64, X86, 0xc000_00b7][..]), any_number(), prop::array::uniform6(select(&VALUES[..]))),
            40,
        ),
    ) {
        let program = compile(&profile, false).unwrap().program;
        for (token, number, mut arguments) in calls {
            if token == X86 {
                arguments = arguments.map(|argument| argument & 0xffff_ffff);
            }
            let call = Call { token, number, arguments };
            prop_assert_eq!(run(&program, call).0, read(&profile, call), "{:?}", call);
        }
    }
}

#[test]
fn calls_are_handed_over_where_somebody_listens() {
    let handed = entry(&["getcwd"], SeccompAction::Notify, Vec::new());
    let mut profile = profile(SeccompAction::Allow, vec![handed]);
    profile.flags.push("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV".to_owned());
    assert_eq!(compile(&profile, false), Err(SeccompError::Notify));
    let filter = compile(&profile, true).unwrap();
    assert_eq!((filter.notifies, filter.flags), (true, 32));
    profile.default_action = SeccompAction::Notify;
    assert_eq!(compile(&profile, true), Err(SeccompError::Notify));
}
