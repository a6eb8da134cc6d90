//! Upper bounds of what one policy may cost. Each is far above real policies and fails closed.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use regorus::PolicyLengthConfig;
use regorus::utils::limits::ExecutionTimerConfig;

/// The largest policy, in bytes. 1,000 containers are about 2.6 MB. A line may be as long.
pub const POLICY_BYTES_MAX: usize = 8 << 20;

/// The largest fragment, in bytes.
pub const FRAGMENT_BYTES_MAX: usize = POLICY_BYTES_MAX;

/// The most fragments that one policy takes in.
pub const FRAGMENTS_MAX: usize = 128;

/// The most bytes of fragments that one policy takes in.
pub const FRAGMENTS_BYTES_MAX: usize = 2 * POLICY_BYTES_MAX;

/// The most lines of a policy.
pub const POLICY_LINES_MAX: usize = 1 << 20;

/// The longest text without a comma, such as a string, in characters. Beyond column 65,535 the
/// interpreter's messages panic.
pub const TEXT_LENGTH_MAX: usize = 64_000;

/// The deepest nesting of brackets. Policies need about ten levels; the parser's time doubles with each.
pub const NESTING_MAX: usize = 16;

/// The longest regular expression, in bytes.
pub const PATTERN_BYTES_MAX: usize = 64 << 10;

/// The largest compiled regular expression, in bytes: room for RE2's `{0,1000}` over any character. A larger
/// one matches nothing.
pub const COMPILED_PATTERN_BYTES_MAX: usize = 4 << 20;

/// The most that the compiled regular expressions of one engine take together, in bytes. Beyond it they are
/// compiled anew.
pub const COMPILED_PATTERNS_BYTES_MAX: usize = 64 << 20;

/// The most that the functions of one evaluation build, in bytes: texts and ranges of numbers.
pub const EVALUATION_BYTES_MAX: usize = 64 << 20;

/// The most elements of `numbers.range`.
pub const RANGE_ELEMENTS_MAX: usize = 1 << 16;

/// The largest request, in bytes: its texts, and 32 for each of its values.
pub const REQUEST_BYTES_MAX: usize = 16 << 20;

/// The largest answer of a rule, in bytes: its texts, and 32 for each of its values. The candidates for a
/// container are in it.
pub const ANSWER_BYTES_MAX: usize = 128 << 20;

/// The most entries that the state has, over all its maps. Each stands for something that the guest holds: a
/// device, a mount, a container.
pub const STATE_ENTRIES_MAX: usize = 1 << 14;

/// The most steps over which a rule refers to another, and that to another. Each takes stack: at this depth an
/// evaluation of the deepest nesting takes less than 1.5 MiB. Policies need one or two beyond those of the
/// framework.
pub const RULE_DEPTH_MAX: usize = 32;

/// The longest evaluation of one request. Real ones take milliseconds; this bounds what a request made to
/// burn time can hold up.
pub const DECISION_TIME_MAX: Duration = Duration::from_secs(5);

/// The longest search for the reasons of a denial; past it the denial has none.
pub const EXPLANATION_TIME_MAX: Duration = Duration::from_secs(1);

/// Steps of the interpreter between two looks at the clock.
const CLOCK_INTERVAL: NonZeroU32 = NonZeroU32::new(256).unwrap();

/// The columns of a line that was wrapped and still holds a long text.
const COLUMNS: NonZeroU32 = NonZeroU32::new(64_000 + 1_000).unwrap();

/// Wrapped lines have line breaks that the policy has not.
const BYTES: NonZeroUsize = NonZeroUsize::new(2 * POLICY_BYTES_MAX).unwrap();
const LINES: NonZeroUsize = NonZeroUsize::new(POLICY_LINES_MAX).unwrap();

pub(crate) const fn source_limits() -> PolicyLengthConfig {
    PolicyLengthConfig { max_col: COLUMNS, max_file_bytes: BYTES, max_lines: LINES }
}

pub(crate) const fn timer(limit: Duration) -> ExecutionTimerConfig {
    ExecutionTimerConfig { limit, check_interval: CLOCK_INTERVAL }
}
