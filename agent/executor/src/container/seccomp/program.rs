//! Programs of the classic packet filter, as `seccomp(2)` runs them.
//!
//! A program finds the number of a call by binary search: it is loaded once, and each comparison halves what is left.
//! Jumps go forward only, and those with a condition 255 instructions at most; a longer one goes by way of a jump
//! without.

use nix::libc;
use policy_engine::request::linux::SeccompComparison;
use serde::{Deserialize, Serialize};

use super::space::{NumberSpace, Outcome, Rule};
use super::{Condition, PROGRAM_LENGTH_MAX};

/// `struct sock_filter` of `linux/filter.h`; in a plan, one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
pub(crate) struct Instruction {
    /// The operation.
    pub(crate) code: u16,
    /// How many instructions to leave out when a comparison holds.
    pub(crate) when_true: u8,
    /// How many when it does not.
    pub(crate) when_false: u8,
    /// The constant operand.
    pub(crate) operand: u32,
}

impl From<u64> for Instruction {
    fn from(packed: u64) -> Self {
        let [a, b, when_true, when_false, c, d, e, f] = packed.to_be_bytes();
        let (code, operand) = (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, f]));
        Self { code, when_true, when_false, operand }
    }
}

impl From<Instruction> for u64 {
    fn from(instruction: Instruction) -> Self {
        let [a, b] = instruction.code.to_be_bytes();
        let [c, d, e, f] = instruction.operand.to_be_bytes();
        Self::from_be_bytes([a, b, instruction.when_true, instruction.when_false, c, d, e, f])
    }
}

impl From<Instruction> for libc::sock_filter {
    fn from(instruction: Instruction) -> Self {
        Self {
            code: instruction.code,
            jt: instruction.when_true,
            jf: instruction.when_false,
            k: instruction.operand,
        }
    }
}

/// Operations, of `linux/bpf_common.h`.
pub(super) mod code {
    /// Loads four bytes of `struct seccomp_data`.
    pub(crate) const LOAD: u16 = 0x20;
    pub(crate) const AND: u16 = 0x54;
    pub(crate) const JUMP: u16 = 0x05;
    pub(crate) const EQUAL: u16 = 0x15;
    pub(crate) const GREATER: u16 = 0x25;
    pub(crate) const GREATER_OR_EQUAL: u16 = 0x35;
    pub(crate) const RETURN: u16 = 0x06;
}

/// Offset of the number in `struct seccomp_data`.
const NUMBER: u32 = 0;
/// Offset of the architecture.
const ARCHITECTURE: u32 = 4;
/// Offset of the first argument. Arguments have eight bytes each, the low ones first: the machines that this runs on are
/// little-endian.
const ARGUMENTS: u32 = 16;

/// The program of a filter, unless it is longer than the kernel takes.
pub(super) fn assemble(spaces: &[NumberSpace]) -> Option<Vec<Instruction>> {
    let mut program = vec![plain(code::LOAD, ARCHITECTURE)];
    for space in spaces {
        let mut body = vec![plain(code::LOAD, NUMBER)];
        body.extend(search(&space.outcomes())?);
        // The other architectures come after it.
        program.push(comparison(code::EQUAL, space.token, 1, 0));
        program.push(plain(code::JUMP, u32::try_from(body.len()).ok()?));
        program.extend(body);
    }
    program.push(plain(code::RETURN, libc::SECCOMP_RET_KILL_PROCESS));
    (program.len() <= PROGRAM_LENGTH_MAX).then_some(program)
}

fn plain(code: u16, operand: u32) -> Instruction {
    comparison(code, operand, 0, 0)
}

fn comparison(code: u16, operand: u32, when_true: u8, when_false: u8) -> Instruction {
    Instruction { code, when_true, when_false, operand }
}

/// Finds the outcome for the number that is loaded.
fn search(outcomes: &[(u32, &Outcome)]) -> Option<Vec<Instruction>> {
    let (below, above) = match outcomes {
        [] => return None,
        [(_, Outcome::Return(verdict))] => return Some(vec![plain(code::RETURN, *verdict)]),
        [(_, Outcome::Rules(rules, otherwise))] => return judge(rules, *otherwise),
        outcomes => outcomes.split_at_checked(outcomes.len() / 2)?,
    };
    let first_above = above.first()?.0;
    let (below, above) = (search(below)?, search(above)?);
    if below.len().max(above.len()) > PROGRAM_LENGTH_MAX {
        return None;
    }
    let mut program = match u8::try_from(below.len()) {
        Ok(distance) => vec![comparison(code::GREATER_OR_EQUAL, first_above, distance, 0)],
        Err(_) => vec![
            comparison(code::GREATER_OR_EQUAL, first_above, 0, 1),
            plain(code::JUMP, u32::try_from(below.len()).ok()?),
        ],
    };
    program.extend(below);
    program.extend(above);
    Some(program)
}

/// Tries the rules in order.
fn judge(rules: &[Rule], otherwise: u32) -> Option<Vec<Instruction>> {
    let mut program = Vec::new();
    for rule in rules {
        let conditions: Vec<Vec<Step>> =
            rule.conditions.iter().map(|condition| steps(condition, rule.narrow)).collect();
        let mut left = conditions.iter().map(Vec::len).sum::<usize>();
        for condition in conditions {
            let mut left_of_condition = condition.len();
            for step in condition {
                left = left.checked_sub(1)?;
                left_of_condition = left_of_condition.checked_sub(1)?;
                let distance = |to: To| {
                    u8::try_from(match to {
                        To::Next => 0,
                        To::Met => left_of_condition,
                        // Past the verdict as well.
                        To::Unmet => left.checked_add(1)?,
                    })
                    .ok()
                };
                program.push(match step {
                    Step::Plain(code, operand) => plain(code, operand),
                    Step::Test(code, operand, when_true, when_false) => {
                        comparison(code, operand, distance(when_true)?, distance(when_false)?)
                    }
                });
            }
        }
        program.push(plain(code::RETURN, rule.verdict));
    }
    program.push(plain(code::RETURN, otherwise));
    Some(program)
}

/// Where a test goes on.
#[derive(Debug, Clone, Copy)]
enum To {
    Next,
    /// The condition holds.
    Met,
    /// It does not, and the rule says nothing.
    Unmet,
}

/// A step of a condition.
#[derive(Debug)]
enum Step {
    Plain(u16, u32),
    Test(u16, u32, To, To),
}

/// Tests a condition: the high half of the argument, and then the low one if that has not decided.
fn steps(condition: &Condition, narrow: bool) -> Vec<Step> {
    use SeccompComparison as Op;
    use To::{Met, Next, Unmet};

    let (wanted, mask) = match condition.op {
        // What the mask leaves of both sides is compared, as libseccomp has it.
        Op::MaskedEqual => (condition.value_two & condition.value, condition.value),
        _ => (condition.value, u64::MAX),
    };
    let offset = ARGUMENTS.saturating_add(condition.index.saturating_mul(8));
    let mut steps = Vec::with_capacity(7);
    if !narrow {
        let (wanted, mask) = (high(wanted), high(mask));
        steps.push(Step::Plain(code::LOAD, offset.saturating_add(4)));
        match condition.op {
            Op::MaskedEqual => steps.push(Step::Plain(code::AND, mask)),
            Op::Greater | Op::GreaterOrEqual => steps.push(Step::Test(code::GREATER, wanted, Met, Next)),
            Op::Less | Op::LessOrEqual => steps.push(Step::Test(code::GREATER, wanted, Unmet, Next)),
            Op::Equal | Op::NotEqual => {}
        }
        let when_other = match condition.op {
            Op::NotEqual | Op::Less | Op::LessOrEqual => Met,
            Op::Equal | Op::MaskedEqual | Op::Greater | Op::GreaterOrEqual => Unmet,
        };
        steps.push(Step::Test(code::EQUAL, wanted, Next, when_other));
    }
    let (wanted, mask) = (low(wanted), low(mask));
    steps.push(Step::Plain(code::LOAD, offset));
    if condition.op == Op::MaskedEqual {
        steps.push(Step::Plain(code::AND, mask));
    }
    let (code, when_true, when_false) = match condition.op {
        Op::Equal | Op::MaskedEqual => (code::EQUAL, Met, Unmet),
        Op::NotEqual => (code::EQUAL, Unmet, Met),
        Op::Greater => (code::GREATER, Met, Unmet),
        Op::LessOrEqual => (code::GREATER, Unmet, Met),
        Op::GreaterOrEqual => (code::GREATER_OR_EQUAL, Met, Unmet),
        Op::Less => (code::GREATER_OR_EQUAL, Unmet, Met),
    };
    steps.push(Step::Test(code, wanted, when_true, when_false));
    steps
}

fn high(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

fn low(value: u64) -> u32 {
    let [.., a, b, c, d] = value.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}
