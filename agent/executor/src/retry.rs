//! Waiting for what is on its way.

use std::io;
use std::time::Duration;

/// The pause between two attempts. They are counted, not timed: the host owns the clock.
const PAUSE: Duration = Duration::from_millis(20);

/// Attempts to let go of something whose last user may be on its way out: half a second.
const RELEASE_ATTEMPTS: u32 = 25;

/// Repeats `operation`, `attempts` times at the most, as long as it fails in a way that may pass.
pub(crate) fn retry<T, E>(
    attempts: u32,
    may_pass: impl Fn(&E) -> bool,
    mut operation: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    for _ in 1..attempts {
        match operation() {
            Err(error) if may_pass(&error) => std::thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
    operation()
}

/// Repeats an unmount or removal as long as the kernel says that somebody uses the thing.
pub(crate) fn release(operation: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    retry(RELEASE_ATTEMPTS, |error: &io::Error| error.kind() == io::ErrorKind::ResourceBusy, operation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_anything_else_is_not() {
        let mut attempts = 0;
        let outcome: Result<u32, bool> = retry(
            5,
            |passing| *passing,
            || {
                attempts += 1;
                if attempts < 3 { Err(true) } else { Ok(attempts) }
            },
        );
        assert_eq!(outcome, Ok(3));
        for (passing, expected) in [(true, 4), (false, 1)] {
            let mut attempts = 0;
            let outcome: Result<(), bool> = retry(
                4,
                |passing| *passing,
                || {
                    attempts += 1;
                    Err(passing)
                },
            );
            assert_eq!((outcome, attempts), (Err(passing), expected));
        }
    }
}
