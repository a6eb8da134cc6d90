//! Undoing what was done, in reverse order.

use std::io;

use policy_engine::Permit;
use policy_engine::request::Request;

type Step = Box<dyn FnOnce() -> io::Result<()>>;

/// How to undo what an operation has done so far.
#[derive(Default)]
pub(crate) struct Rollback {
    steps: Vec<Step>,
}

impl Rollback {
    /// Remembers how to undo what was just done.
    pub(crate) fn add(&mut self, step: impl FnOnce() -> io::Result<()> + 'static) {
        self.steps.push(Box::new(step));
    }

    /// Undoes everything, newest first, and says whether all of it succeeded. A step that fails stops the
    /// rest: what lies below it is still in use.
    #[must_use]
    pub(crate) fn undo(self) -> bool {
        self.steps.into_iter().rev().all(|step| step().is_ok())
    }

    /// Undoes everything and settles the permit of the operation that failed.
    pub(crate) fn settle<R: Request>(self, permit: Permit<R>) {
        if self.undo() { permit.untouched() } else { permit.unknown() }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn steps_are_undone_newest_first_until_one_fails() {
        let undone = Rc::new(RefCell::new(Vec::new()));
        let mut rollback = Rollback::default();
        for (number, fails) in [(1, false), (2, true), (3, false)] {
            let undone = Rc::clone(&undone);
            rollback.add(move || {
                undone.borrow_mut().push(number);
                if fails { Err(io::Error::other("stuck")) } else { Ok(()) }
            });
        }
        assert!(!rollback.undo());
        assert_eq!(*undone.borrow(), [3, 2]);
        assert!(Rollback::default().undo());
    }
}
