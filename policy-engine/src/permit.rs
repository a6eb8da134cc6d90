//! Permits: the only way from a decision to an effect.

use std::sync::Arc;

use crate::engine::Core;
use crate::request::Request;

/// The right to carry out one request, once.
///
/// A permit owns the request as policy amended it. It has no public constructor and is not `Clone`: a
/// forged, reused or exchanged permit does not compile. It is settled by [`done`](Self::done),
/// [`untouched`](Self::untouched) or [`unknown`](Self::unknown); one that is dropped unsettled (an early
/// return, a panic, a cancelled task) poisons the guest, because nobody knows what happened.
///
/// `std::mem::forget` skips `Drop`. The engine therefore counts the outstanding permit and refuses every
/// further change until it is settled: forgetting one closes the guest instead of opening it.
#[derive(Debug)]
#[must_use = "an unsettled permit poisons the guest"]
pub struct Permit<R: Request> {
    /// `None` once settled.
    open: Option<Open<R>>,
}

#[derive(Debug)]
struct Open<R> {
    request: R,
    core: Arc<Core>,
}

/// How the effect of a permit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settlement {
    Done,
    Untouched,
    Unknown,
}

impl<R: Request> Permit<R> {
    pub(crate) fn new(request: R, core: Arc<Core>) -> Self {
        Self { open: Some(Open { request, core }) }
    }

    /// The request to carry out: all there is to know about it.
    #[must_use]
    pub fn request(&self) -> &R {
        match &self.open {
            Some(open) => &open.request,
            #[expect(clippy::unreachable, reason = "`open` is taken only by methods that consume the permit")]
            None => unreachable!("a settled permit has no owner"),
        }
    }

    /// It happened, all of it: the policy's state is committed.
    ///
    /// The grant is what remains: the right to go on with what was done.
    pub fn done(mut self) -> Grant<R> {
        match self.open.take() {
            Some(open) => {
                open.core.settle(Settlement::Done);
                Grant { request: open.request }
            }
            #[expect(clippy::unreachable, reason = "`open` is taken only by methods that consume the permit")]
            None => unreachable!("a settled permit has no owner"),
        }
    }

    /// Nothing happened, or all of it was undone: the policy's state stays as it was.
    pub fn untouched(mut self) {
        if let Some(open) = self.open.take() {
            open.core.settle(Settlement::Untouched);
        }
    }

    /// Nobody knows how much happened: from now on the guest only takes things down.
    pub fn unknown(mut self) {
        if let Some(open) = self.open.take() {
            open.core.settle(Settlement::Unknown);
        }
    }
}

impl<R: Request> Drop for Permit<R> {
    fn drop(&mut self) {
        if let Some(open) = self.open.take() {
            open.core.settle(Settlement::Unknown);
        }
    }
}

/// The right to go on with something that was permitted and done: to start, read, wait for, measure it.
#[derive(Debug)]
pub struct Grant<R> {
    request: R,
}

impl<R: Request> Grant<R> {
    pub(crate) fn new(request: R) -> Self {
        Self { request }
    }

    /// The request as it was carried out.
    #[must_use]
    pub fn request(&self) -> &R {
        &self.request
    }
}
