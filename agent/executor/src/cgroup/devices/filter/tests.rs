#![expect(clippy::arithmetic_side_effects, reason = "a test's own counters")]

use proptest::prelude::*;

use super::*;

/// Runs a program as the kernel would.
fn runs(program: &[Instruction], kind: i32, access: i32, major: u32, minor: u32) -> bool {
    let context = [i64::from(access << 16 | kind), i64::from(major), i64::from(minor)];
    let mut registers = [0_i64; 11];
    let mut next = 0;
    loop {
        let instruction = program[next];
        next += 1;
        let to = usize::from(instruction.registers & 15);
        let immediate = i64::from(instruction.immediate);
        let skip = usize::try_from(instruction.offset).unwrap();
        match instruction.code {
            LOAD => registers[to] = context[skip / 4],
            COPY => registers[to] = registers[usize::from(instruction.registers >> 4)],
            AND => registers[to] = (registers[to] & immediate) & 0xffff_ffff,
            SHIFT_RIGHT => registers[to] >>= immediate,
            SET => registers[to] = immediate,
            JUMP => next += skip,
            JUMP_IF_NOT if registers[to] != immediate => next += skip,
            JUMP_IF_ANY if registers[to] & immediate != 0 => next += skip,
            JUMP_IF_NOT | JUMP_IF_ANY => {}
            EXIT => return registers[0] == 1,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

/// What a list of rules says, access by access.
fn says(rules: &[DeviceRule], kind: i32, access: i32, major: u32, minor: u32) -> bool {
    let device: Vec<&DeviceRule> = rules
        .iter()
        .filter(|rule| match rule.kind {
            None => true,
            Some(DeviceKind::Block) => kind == BLOCK,
            Some(DeviceKind::Character) => kind == CHARACTER,
            Some(DeviceKind::Fifo) => false,
        })
        .filter(|rule| rule.major.is_none_or(|number| number == major))
        .filter(|rule| rule.minor.is_none_or(|number| number == minor))
        .collect();
    let single = |bit: i32| {
        let last = device.iter().rev().find(|rule| bits(rule.access) & bit != 0);
        last.is_some_and(|rule| rule.allow)
    };
    [MKNOD, READ, WRITE].into_iter().filter(|bit| access & bit != 0).all(single)
}

fn rule() -> impl Strategy<Value = DeviceRule> {
    let kind = prop_oneof![
        Just(None),
        Just(Some(DeviceKind::Character)),
        Just(Some(DeviceKind::Block)),
        Just(Some(DeviceKind::Fifo)),
    ];
    let number = || proptest::option::of(0..3_u32);
    (any::<bool>(), kind, number(), number(), any::<(bool, bool, bool)>()).prop_map(
        |(allow, kind, major, minor, (read, write, mknod))| DeviceRule {
            allow,
            kind,
            major,
            minor,
            access: DeviceAccess { read, write, mknod },
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_last_rule_that_fits_an_access_decides(rules in proptest::collection::vec(rule(), 0..8)) {
        let program = compile(&rules).unwrap();
        for kind in [BLOCK, CHARACTER] {
            for access in 1..8 {
                for (major, minor) in (0..4).flat_map(|major| (0..4).map(move |minor| (major, minor))) {
                    prop_assert_eq!(
                        runs(&program, kind, access, major, minor),
                        says(&rules, kind, access, major, minor),
                        "{} {} {}:{}", kind, access, major, minor
                    );
                }
            }
        }
    }
}

#[test]
fn by_default_only_listed_character_devices_pass() {
    let program = compile(&super::super::default_rules().collect::<Vec<_>>()).unwrap();
    let all = MKNOD | READ | WRITE;
    assert!(runs(&program, CHARACTER, all, 1, 3), "/dev/null");
    assert!(runs(&program, CHARACTER, READ, 136, 9), "/dev/pts/9");
    for access in 1..8 {
        assert!(!runs(&program, CHARACTER, access, 1, 1), "/dev/mem");
        assert!(!runs(&program, CHARACTER, access, 10, 124), "/dev/sev-guest");
        assert!(!runs(&program, BLOCK, access, 1, 3));
        assert!(!runs(&program, BLOCK, access, 254, 0), "/dev/vda");
        assert!(!runs(&program, BLOCK, access, 136, 0));
    }
}

#[test]
fn no_rule_allows_nothing() {
    let program = compile(&[]).unwrap();
    assert!(!runs(&program, CHARACTER, READ, 1, 3));
}

#[test]
fn a_number_that_no_device_has_is_refused() {
    let access = DeviceAccess { read: true, write: false, mknod: false };
    let rule = DeviceRule { allow: true, kind: None, major: Some(u32::MAX), minor: None, access };
    assert_eq!(compile(&[rule]), None);
}
