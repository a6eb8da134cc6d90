//! Processes, as waits and stdio relays see them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use executor::container::Process;
use policy_engine::{ContainerId, ExecId};

/// The most processes that a container may have been asked to execute and not yet been waited for.
pub(crate) const EXECS_MAX: usize = 256;

/// The name of a process: its container, and which of its execs, or its init.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProcessKey {
    pub(crate) container_id: ContainerId,
    pub(crate) exec_id: Option<ExecId>,
}

/// All processes. Shared: reads of output and waits go past the queue of changes, for a change must not
/// have to wait for a container's next line.
#[derive(Clone, Default)]
pub(crate) struct Processes(Arc<RwLock<BTreeMap<ProcessKey, Process>>>);

impl Processes {
    pub(crate) fn get(&self, key: &ProcessKey) -> Option<Process> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(crate) fn insert(&self, key: ProcessKey, process: Process) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(key, process);
    }

    /// Forgets one exec whose end was told; says whether it was known by that name.
    ///
    /// Attack: a host that waits twice, and between the two gives the name to another process, which would run and be
    /// out of everybody's reach.
    pub(crate) fn remove(&self, key: &ProcessKey, ended: &Process) -> bool {
        let mut processes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let is_known = processes.get(key).is_some_and(|known| known.is(ended));
        if is_known {
            processes.remove(key);
        }
        is_known
    }

    /// Forgets all processes of a container that is gone.
    pub(crate) fn remove_container(&self, id: &ContainerId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|key, _| key.container_id != *id);
    }

    /// Whether there is any process of container `id`.
    pub(crate) fn has_container(&self, id: &ContainerId) -> bool {
        self.count(id) != 0
    }

    /// The number of processes of container `id`, its init included.
    pub(crate) fn count(&self, id: &ContainerId) -> usize {
        let processes = self.0.read().unwrap_or_else(PoisonError::into_inner);
        processes.keys().filter(|key| key.container_id == *id).count()
    }
}
