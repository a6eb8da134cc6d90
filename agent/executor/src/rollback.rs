//! How operations end their permits: done, undone in reverse order, or unknown.

use std::io;

use policy_engine::request::Request;
use policy_engine::{Grant, Permit};

type Step = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// How to undo what an operation has done so far.
#[derive(Default)]
pub(crate) struct Rollback {
    steps: Vec<Step>,
}

impl Rollback {
    /// Remembers how to undo what was just done.
    pub(crate) fn add(&mut self, step: impl FnOnce() -> io::Result<()> + Send + 'static) {
        self.steps.push(Box::new(step));
    }

    /// Undoes everything, newest first, and says whether all of it succeeded. A step that fails stops the
    /// rest: what lies below it is still in use.
    #[must_use]
    pub(crate) fn undo(self) -> bool {
        self.steps.into_iter().rev().all(|step| step().is_ok())
    }
}

/// Does what a permit allows. When it fails, everything is undone; the permit ends as *unknown* where that fails too.
pub(crate) fn carry_out<R: Request, T, E>(
    permit: Permit<R>,
    act: impl FnOnce(&R, &mut Rollback) -> Result<T, E>,
) -> Result<(Grant<R>, T), E> {
    let mut rollback = Rollback::default();
    match act(permit.request(), &mut rollback) {
        Ok(made) => Ok((permit.done(), made)),
        Err(error) => {
            give_back(permit, rollback.undo());
            Err(error)
        }
    }
}

/// Ends the permit of an operation that failed, by whether everything was `undone`.
pub(crate) fn give_back<R: Request>(permit: Permit<R>, undone: bool) {
    if undone { permit.untouched() } else { permit.unknown() }
}

/// Takes down what a permit names. There is no way back: when it fails, the permit ends as *unknown*.
pub(crate) fn take_down<R: Request, E>(
    permit: Permit<R>,
    act: impl FnOnce(&R) -> Result<(), E>,
) -> Result<(), E> {
    let result = act(permit.request());
    if result.is_ok() {
        permit.done();
    } else {
        permit.unknown();
    }
    result
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn steps_are_undone_newest_first_until_one_fails() {
        let (undo, undone) = channel();
        let mut rollback = Rollback::default();
        for (number, fails) in [(1, false), (2, true), (3, false)] {
            let undo = undo.clone();
            rollback.add(move || {
                undo.send(number).unwrap();
                if fails { Err(io::Error::other("stuck")) } else { Ok(()) }
            });
        }
        assert!(!rollback.undo());
        drop(undo);
        assert_eq!(undone.iter().collect::<Vec<_>>(), [3, 2]);
        assert!(Rollback::default().undo());
    }
}
