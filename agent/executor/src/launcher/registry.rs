//! The children that somebody waits for, so that collecting the others never takes their status away.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, Weak};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use crate::container::process::Exit;
use crate::sys::children::peek_ended;

/// Registered children by their number.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// Shared by those who bring children into being, who need not wait for each other; for itself has it who collects.
    births: RwLock<()>,
    children: Mutex<HashMap<Pid, Weak<Exit>>>,
}

/// The registry, held: no child is collected meanwhile.
#[derive(Debug)]
pub(crate) struct Registration<'a> {
    registry: &'a Registry,
    _birth: RwLockReadGuard<'a, ()>,
}

impl Registry {
    /// Holds the registry from before a child exists until it is registered.
    pub(crate) fn hold(&self) -> Registration<'_> {
        let birth = self.births.read().unwrap_or_else(PoisonError::into_inner);
        Registration { registry: self, _birth: birth }
    }

    /// Collects every child that has ended: a registered one for those who wait for it, any other for nobody.
    pub(crate) fn collect(&self) {
        let _no_births = self.births.write().unwrap_or_else(PoisonError::into_inner);
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(Some(pid)) = peek_ended() {
            match children.remove(&pid).and_then(|exit| exit.upgrade()) {
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
    pub(crate) fn add(self, pid: Pid, exit: Weak<Exit>) {
        let mut children = self.registry.children.lock().unwrap_or_else(PoisonError::into_inner);
        // Numbers are used again: entries of the collected go here, so that the table stays as small as what lives.
        children.retain(|_, exit| exit.upgrade().is_some_and(|exit| exit.status().is_none()));
        children.insert(pid, exit);
    }
}
