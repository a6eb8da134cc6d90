//! Containers: creating, starting, executing in, signalling, pausing, limiting, measuring and removing them.
//!
//! A container's life follows its policy state. [`create`] takes the permit, makes the init process, which sets itself
//! up completely and then waits; only then is the permit *done*. [`Container::start`] lets it execute its program. All
//! processes of a container are in one cgroup, by which they are killed.
//!
//! The functions that change something block, and run in the context of a tokio runtime, which collects the processes
//! and serves their streams (`tokio::task::spawn_blocking` is such a place).

mod compile;
mod control;
mod devices;
mod exec;
#[cfg(feature = "handover")]
pub mod handover;
mod hooks;
mod id_map;
mod mappings;
mod mounts;
mod namespaces;
mod outside;
pub(crate) mod plan;
pub(crate) mod process;
pub(crate) mod report;
mod rootfs;
mod seccomp;
mod settings;
pub(crate) mod setup;
mod signal;
mod spawn;
mod sysctls;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy_engine::request::linux::LinuxSettings;
use policy_engine::request::{ContainerMount, CreateContainer, GetProperties, ShutdownContainer};
use policy_engine::{ContainerId, ExecId, Grant, GuestPath, Permit};

use self::compile::Compiled;
pub use self::compile::PlanError;
pub use self::control::{PauseError, UpdateError};
pub use self::devices::DeviceError;
pub use self::exec::ExecError;
pub use self::hooks::HookState;
pub use self::id_map::IdMapError;
pub use self::mappings::MappingError;
pub use self::mounts::MountError;
use self::mounts::{IdMap, Source};
pub use self::namespaces::NamespaceError;
use self::namespaces::{Files, Users};
use self::outside::FromOutside;
use self::plan::{MountKind, MountPlan, Plan};
pub use self::process::{ExitCode, Process};
pub use self::report::Step;
pub use self::seccomp::SeccompError;
use self::setup::outside::MadeOutside;
pub use self::signal::SignalError;
pub use self::spawn::{BeforePivot, SeccompListener, SpawnError};
use self::spawn::{Company, Failed, KILL_TIMEOUT, execute, spawn};
pub use self::sysctls::SysctlError;
use crate::cgroup::{Cgroup, CgroupError, Limit, Limited, Stats};
use crate::launcher::channel::Channel;
use crate::launcher::{Launcher, Registry};
use crate::rollback::{give_back, take_down};
use crate::stdio::{GivenStreams, StreamAccess};

/// What the guest adds to a container of its own accord; never the host's words.
#[derive(Debug, Clone, Default)]
pub struct CreateOptions {
    /// Environment entries `NAME=value` that follow the judged ones.
    pub extra_env: Vec<String>,
    /// Mounts that follow the judged ones.
    pub extra_mounts: Vec<ContainerMount>,
    /// The directories that sources of bind mounts may lie in; anything else of the guest is out of reach.
    pub bind_source_directories: Vec<GuestPath>,
    /// What its init has as standard streams, instead of pipes of the agent's. It has a terminal in any case if it asks
    /// for one.
    pub streams: Option<GivenStreams>,
    /// What its hooks are told of it.
    pub hook_state: HookState,
    /// What is done before its root is exchanged.
    pub before_pivot: Option<BeforePivot>,
    /// Who takes over the system calls that its seccomp profile hands to somebody, if policy grants that.
    pub seccomp_listener: Option<SeccompListener>,
}

/// Why a container was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The request is not one that can be carried out.
    #[error("the container cannot be made as asked")]
    Plan(#[source] PlanError),
    /// The root file system is not the one that the permit names, or cannot be copied.
    #[error("the root file system cannot be used")]
    Rootfs(#[source] io::Error),
    /// The source of a bind mount is missing, not in an allowed directory, or behind a symbolic link that is not followed.
    #[error("the source of the bind mount at `{destination}` cannot be used")]
    BindSource {
        /// Where it was to be mounted.
        destination: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no user namespace to map the ids of a bind mount by.
    #[error("the ids of the bind mount at `{destination}` cannot be mapped")]
    IdMap {
        /// Where it was to be mounted.
        destination: String,
        /// Why.
        #[source]
        source: IdMapError,
    },
    /// The kernel makes no file system as it is asked for.
    #[error("the file system of type `{fstype}` for `{destination}` cannot be made")]
    Filesystem {
        /// Where it was to be mounted.
        destination: String,
        /// Its type.
        fstype: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What is to be joined is missing, behind a symbolic link, or no namespace of the kind.
    #[error("the namespace `{path}` cannot be joined")]
    Namespace {
        /// The path, or whose it is.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What hooks need is not there.
    #[error("the container's hooks cannot run")]
    Hooks(#[source] io::Error),
    /// What its user namespace has no right to make could not be made for it.
    #[error("file systems and devices for the user namespace cannot be made")]
    Outside(#[source] io::Error),
    /// It has no cgroup.
    #[error("the container has no cgroup")]
    Cgroup(#[source] CgroupError),
    /// Its init did not come to be.
    #[error("the container's init did not come to be")]
    Spawn(#[source] SpawnError),
}

impl CreateError {
    /// There is no user namespace for a mount.
    fn id_map(mount: &MountPlan, source: IdMapError) -> Self {
        Self::IdMap { destination: mount.destination.clone(), source }
    }

    /// The tree for a mount is not there.
    fn mount_source(mount: &MountPlan, source: &Source, error: io::Error) -> Self {
        let destination = mount.destination.clone();
        match source {
            Source::Bind(_) => Self::BindSource { destination, source: error },
            Source::Filesystem(filesystem) => {
                let fstype = filesystem.fstype.clone();
                Self::Filesystem { destination, fstype, source: error }
            }
        }
    }
}

/// Why a container was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartContainerError {
    /// It was started before, successfully or not.
    #[error("the container was started already")]
    Started,
    /// Its program was not executed, and the container has ended.
    #[error("the container's program was not executed")]
    Execute(#[source] SpawnError),
}

/// Why statistics were not read.
#[derive(Debug, thiserror::Error)]
pub enum StatsError {
    /// The grant is for another container.
    #[error("the grant names another container")]
    OtherContainer,
}

/// Why a container is not known to be gone.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// The permit is for another container. Nothing was done.
    #[error("the permit names another container")]
    OtherContainer(Box<Container>),
    /// Its processes could not be killed, or did not end in time.
    #[error("the container's processes did not end")]
    Kill(#[source] io::Error),
    /// Its cgroup remains.
    #[error("the container's cgroup could not be removed")]
    Cgroup(#[source] io::Error),
}

/// A container. Dropping it instead of [removing](Self::remove) it kills it.
#[derive(Debug)]
pub struct Container {
    grant: Grant<CreateContainer>,
    init: Process,
    life: Mutex<Life>,
    /// Without a process while that is being made.
    execs: Mutex<HashMap<ExecId, Option<Process>>>,
    cgroup: Cgroup,
    unenforced: Vec<Limit>,
    /// The agent's, to collect those of this container that a launcher died over before it named them.
    children: Arc<Registry>,
}

/// Where a container is in its life. That it has ended is known of its init.
#[derive(Debug)]
enum Life {
    /// Its init waits for the word on this channel.
    Created(Channel),
    Running,
    Paused,
}

/// Creates the container that the permit names, on `rootfs`, its mounted root. It waits for [`Container::start`].
///
/// # Errors
///
/// [`CreateError`]. The permit ends as *untouched* when everything was undone, and as *unknown* otherwise.
pub fn create(
    launcher: &Launcher,
    permit: Permit<CreateContainer>,
    rootfs: BorrowedFd<'_>,
    options: &CreateOptions,
) -> Result<Container, CreateError> {
    match make(launcher, permit.request(), rootfs, options) {
        Ok(made) => Ok(Container {
            init: made.init,
            life: Mutex::new(Life::Created(made.gate)),
            execs: Mutex::new(HashMap::new()),
            cgroup: made.cgroup,
            unenforced: made.unenforced,
            children: launcher.registry(),
            grant: permit.done(),
        }),
        Err(Unmade { error, undone }) => {
            give_back(permit, undone);
            Err(error)
        }
    }
}

/// The parts of a new container.
struct Made {
    init: Process,
    gate: Channel,
    cgroup: Cgroup,
    unenforced: Vec<Limit>,
}

/// A container that did not come to be.
struct Unmade {
    error: CreateError,
    undone: bool,
}

impl From<CreateError> for Unmade {
    /// Before there is a process everything goes with its descriptors.
    fn from(error: CreateError) -> Self {
        Self { error, undone: true }
    }
}

fn make(
    launcher: &Launcher,
    request: &CreateContainer,
    rootfs: BorrowedFd<'_>,
    options: &CreateOptions,
) -> Result<Made, Unmade> {
    let listened = options.seccomp_listener.is_some();
    let mut process = compile::process(&request.process, &options.extra_env, request, listened)
        .map_err(CreateError::Plan)?;
    let access = StreamAccess::new(request.allow_stdio_access, options.streams.as_ref());
    process.further = access.numbers();
    let outside = FromOutside::take(&mut process, &request.linux.namespaces, true);
    let Compiled { plan: mut root, joined, sources } =
        compile::root(request, options).map_err(CreateError::Plan)?;
    let mut descriptors = Vec::new();
    for namespace in &joined {
        let path = || namespace.path.as_ref().map_or("the guest's own".to_owned(), ToString::to_string);
        let opened = namespaces::open(namespace);
        descriptors.push(opened.map_err(|source| CreateError::Namespace { path: path(), source })?);
    }
    if root.namespaces.users == Users::New {
        descriptors.extend(MadeOutside::make(&root).map_err(CreateError::Outside)?.into_descriptors());
    }
    if root.namespaces.files != Files::Joined {
        let LinuxSettings { mounts, rootfs_propagation, .. } = request.linux;
        let root = rootfs::copy_root(rootfs, &request.rootfs, mounts, rootfs_propagation);
        descriptors.push(root.map_err(CreateError::Rootfs)?);
    }
    let Limited { cgroup, unenforced } = Cgroup::create(request).map_err(CreateError::Cgroup)?;
    let trees = root.mounts.iter().filter(|mount| mount.what == MountKind::Tree);
    for (mount, source) in trees.zip(&sources) {
        let map = |ids: &IdMap| id_map::user_namespace(launcher, cgroup.as_fd(), &ids.mappings);
        let ids = source.id_map().map(map).transpose().map_err(|error| Unmade {
            undone: !matches!(error, IdMapError::End(_)),
            error: CreateError::id_map(mount, error),
        })?;
        let ids = ids.as_ref().map(OwnedFd::as_fd);
        let tree = rootfs::provide(source, &options.bind_source_directories, ids);
        descriptors.push(tree.map_err(|error| CreateError::mount_source(mount, source, error))?);
    }
    descriptors.extend(root.hooks.open().map_err(CreateError::Hooks)?);
    let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(OwnedFd::as_fd).collect();
    root.awaits_cgroups |= cgroup.adopts();
    let plan = Plan::Init(Box::new(root), process);
    let company = Company {
        before_pivot: options.before_pivot.as_ref(),
        seccomp_listener: options.seccomp_listener.as_ref(),
        outside: outside.as_ref(),
    };
    match spawn(launcher, &plan, &cgroup, &descriptors, access, company) {
        Ok((init, gate)) => Ok(Made { init, gate, cgroup, unenforced }),
        Err(Failed { error, remnant }) => {
            let undone = cgroup.kill().and_then(|()| remnant.end()).and_then(|()| cgroup.remove()).is_ok();
            Err(Unmade { error: CreateError::Spawn(error), undone })
        }
    }
}

impl Container {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ContainerId {
        &self.grant.request().container_id
    }

    /// The request as it was carried out.
    #[must_use]
    pub fn request(&self) -> &CreateContainer {
        self.grant.request()
    }

    /// Limits that were asked for and that this kernel does not enforce.
    #[must_use]
    pub fn unenforced_limits(&self) -> &[Limit] {
        &self.unenforced
    }

    /// Its init.
    #[must_use]
    pub fn init(&self) -> &Process {
        &self.init
    }

    /// Its init, or the process that was executed under `exec_id`.
    #[must_use]
    pub fn process(&self, exec_id: Option<&ExecId>) -> Option<Process> {
        match exec_id {
            None => Some(self.init.clone()),
            Some(id) => self.lock_execs().get(id).cloned().flatten(),
        }
    }

    /// Forgets a process that has ended, whose id can be used again then.
    pub fn forget(&self, exec_id: &ExecId) {
        let mut execs = self.lock_execs();
        if execs.get(exec_id).and_then(Option::as_ref).is_some_and(|process| process.try_status().is_some()) {
            execs.remove(exec_id);
        }
    }

    fn lock_execs(&self) -> MutexGuard<'_, HashMap<ExecId, Option<Process>>> {
        self.execs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the init execute its program.
    ///
    /// # Errors
    ///
    /// [`StartContainerError`]: it was started before, its program cannot be executed, or it has been killed.
    pub fn start(&self) -> Result<(), StartContainerError> {
        let mut life = self.lock_life();
        let gate = match std::mem::replace(&mut *life, Life::Running) {
            Life::Created(gate) => gate,
            other @ (Life::Running | Life::Paused) => {
                *life = other;
                return Err(StartContainerError::Started);
            }
        };
        execute(self.init.exit(), &gate).map_err(StartContainerError::Execute)
    }

    /// Measures it.
    ///
    /// # Errors
    ///
    /// [`StatsError`]: the grant is for another container.
    pub fn stats(&self, grant: &Grant<GetProperties>) -> Result<Stats, StatsError> {
        if grant.request().container_id == *self.id() {
            Ok(self.cgroup.stats())
        } else {
            Err(StatsError::OtherContainer)
        }
    }

    /// Kills all its processes, waits for their end, at most ten seconds for each step, and removes its cgroup.
    ///
    /// # Errors
    ///
    /// [`RemoveError`]. Unless nothing was done, the permit ends as *unknown*.
    pub fn remove(self, permit: Permit<ShutdownContainer>) -> Result<(), RemoveError> {
        if permit.request().container_id != *self.id() {
            permit.untouched();
            return Err(RemoveError::OtherContainer(Box::new(self)));
        }
        take_down(permit, |_| self.end())
    }

    fn end(self) -> Result<(), RemoveError> {
        self.cgroup.kill().map_err(RemoveError::Kill)?;
        // The others first: the init ends only when they were collected.
        let execs = self.execs.into_inner().unwrap_or_else(PoisonError::into_inner);
        for process in execs.values().flatten().chain([&self.init]) {
            let collect = || self.children.collect();
            process.exit().wait_collecting(KILL_TIMEOUT, collect).map_err(RemoveError::Kill)?;
        }
        self.cgroup.remove().map_err(RemoveError::Cgroup)
    }
}
