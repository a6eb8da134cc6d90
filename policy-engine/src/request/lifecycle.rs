//! What happens to running containers.

use super::{EnforcementPoint, Judged, ReadRequest, Request, Resources};
use crate::name::{ContainerId, ExecId};
use crate::question::{self, Question};

/// A signal number, 1 to 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(u8);

impl Signal {
    /// `SIGKILL`.
    pub const KILL: Self = Self(9);
    /// `SIGTERM`.
    pub const TERM: Self = Self(15);

    /// The signal `number`; `None` for a number that Linux does not have.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| (1..=64).contains(number)).map(Self)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

/// Sends a signal to a process of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalContainerProcess {
    /// The container.
    pub container_id: ContainerId,
    /// The process: an exec, or the container's init.
    pub exec_id: Option<ExecId>,
    /// The signal as it will be sent: upgrades happen before the decision, not after it.
    pub signal: Signal,
    /// Every process of the container, not only the named one.
    pub all: bool,
    /// The argument list that the process was started with.
    pub args: Vec<String>,
}

impl Request for SignalContainerProcess {
    const POINT: EnforcementPoint = EnforcementPoint::SignalContainerProcess;
    const TEARDOWN: bool = true;
}

impl Judged for SignalContainerProcess {
    fn question(&self) -> Question<'_> {
        Question::SignalContainerProcess(question::SignalContainerProcess {
            container_id: self.container_id.as_str(),
            signal: self.signal.number().into(),
            is_init_process: self.exec_id.is_none(),
            command: self.args.iter().map(String::as_str).collect(),
        })
    }
}

/// Ends a container for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutdownContainer {
    /// The container.
    pub container_id: ContainerId,
}

impl Request for ShutdownContainer {
    const POINT: EnforcementPoint = EnforcementPoint::ShutdownContainer;
    const TEARDOWN: bool = true;
}

impl Judged for ShutdownContainer {
    fn question(&self) -> Question<'_> {
        Question::ShutdownContainer(question::ShutdownContainer { container_id: self.container_id.as_str() })
    }
}

/// Stops the processes of a container where they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseContainer {
    /// The container.
    pub container_id: ContainerId,
}

/// Lets the processes of a paused container go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeContainer {
    /// The container.
    pub container_id: ContainerId,
}

/// Changes the limits of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateContainer {
    /// The container.
    pub container_id: ContainerId,
    /// Limits to set; others stay as they are.
    pub resources: Resources,
}

/// Requests that the guest allows by itself, whatever the policy is.
macro_rules! control_container {
    ($($request:ty)*) => {
        $(
            impl Request for $request {
                const POINT: EnforcementPoint = EnforcementPoint::ControlContainer;
            }

            impl Judged for $request {
                fn question(&self) -> Question<'_> {
                    Question::ControlContainer(question::Nothing {})
                }
            }
        )*
    };
}

control_container! { PauseContainer ResumeContainer UpdateContainer }

/// Reads statistics of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetProperties {
    /// The container.
    pub container_id: ContainerId,
}

impl Request for GetProperties {
    const POINT: EnforcementPoint = EnforcementPoint::GetProperties;
}

impl ReadRequest for GetProperties {}

impl Judged for GetProperties {
    fn question(&self) -> Question<'_> {
        Question::GetProperties(question::Nothing {})
    }
}
