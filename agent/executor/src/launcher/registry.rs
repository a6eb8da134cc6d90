//! The children that somebody waits for, so that collecting the others never takes their status away.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::container::process::Exit;
use crate::sys::children::peek_ended;

/// Registered children by their number.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    children: Mutex<HashMap<Pid, Weak<Exit>>>,
}

/// The registry, held: no child appears or is collected meanwhile.
#[derive(Debug)]
pub(crate) struct Registration<'a>(MutexGuard<'a, HashMap<Pid, Weak<Exit>>>);

impl Registry {
    /// Holds the registry from before a child exists until it is registered.
    pub(crate) fn hold(&self) -> Registration<'_> {
        Registration(self.children.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Collects every child that has ended: a registered one for those who wait for it, any other for nobody.
    pub(crate) fn collect(&self) {
        let mut held = self.hold();
        while let Ok(Some(pid)) = peek_ended() {
            match held.0.remove(&pid).and_then(|exit| exit.upgrade()) {
                Some(exit) => exit.try_collect(),
                None => {
                    if waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

impl Registration<'_> {
    /// Registers a child.
    pub(crate) fn add(&mut self, pid: Pid, exit: Weak<Exit>) {
        // Numbers are used again: entries of the collected go here, so that the table stays as small as what lives.
        self.0.retain(|_, exit| exit.upgrade().is_some_and(|exit| exit.status().is_none()));
        self.0.insert(pid, exit);
    }
}
