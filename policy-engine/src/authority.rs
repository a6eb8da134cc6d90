//! Tokens for what happens outside a decision: boot, and looking before deciding.

use std::sync::atomic::{AtomicBool, Ordering};

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The right to set the guest up before any policy exists: early mounts, modules, the launcher process.
///
/// There is one in a process. `main` takes it first and moves it into the boot sequence, which drops it
/// before the first byte of the host is read.
#[derive(Debug)]
pub struct BootAuthority(());

impl BootAuthority {
    /// Takes the authority; `None` for everyone but the first.
    #[must_use]
    pub fn take() -> Option<Self> {
        (!TAKEN.swap(true, Ordering::SeqCst)).then_some(Self(()))
    }
}

/// The right to look at something of the host's before a decision: read-only and bounded.
///
/// Minted by [`Engine::attempt`](crate::Engine::attempt). What was seen comes back as [`Claimed`].
#[derive(Debug)]
pub struct Attempt(pub(crate) ());

/// A fact that the host claims and that nothing has proven yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed<T>(T);

impl<T> Claimed<T> {
    /// Marks `value` as claimed.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, to put into a request that policy will judge.
    pub fn into_inner(self) -> T {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authority_is_taken_once() {
        assert!(BootAuthority::take().is_some());
        assert!(BootAuthority::take().is_none());
    }
}
