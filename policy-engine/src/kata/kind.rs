//! The requests that a Kata policy has rules for.

use std::fmt;
use std::str::FromStr;

/// What a request leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing that a policy keeps account of: it reads, waits, or talks to a running process. It may take as
    /// long as that process, so that nothing waits for it.
    Passing,
    /// A changed guest.
    Change,
    /// Less than before. A guest in an unknown state does nothing else.
    Teardown,
}

macro_rules! kinds {
    ($($kind:ident: $effect:ident,)*) => {
        /// A request message of `grpc.AgentService`. Its name is that of the rule that judges it.
        ///
        /// The list is closed: a name that a host or a file makes up never becomes a question to the policy,
        /// and `AllowRequestsFailingPolicy` is no request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = concat!("`grpc.", stringify!($kind), "`.")] $kind,)*
        }

        impl Kind {
            /// Every kind, by name.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The name of the message and of the rule.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind),)*
                }
            }

            pub(super) fn effect(self) -> Effect {
                match self {
                    $(Self::$kind => Effect::$effect,)*
                }
            }
        }
    };
}

kinds! {
    AddARPNeighborsRequest: Change,
    AddSwapPathRequest: Change,
    AddSwapRequest: Change,
    CloseStdinRequest: Passing,
    CopyFileRequest: Change,
    CreateContainerRequest: Change,
    CreateSandboxRequest: Change,
    DestroySandboxRequest: Teardown,
    ExecProcessRequest: Change,
    GetDiagnosticDataRequest: Passing,
    GetIPTablesRequest: Passing,
    GetMetricsRequest: Passing,
    GetOOMEventRequest: Passing,
    GuestDetailsRequest: Passing,
    ListInterfacesRequest: Passing,
    ListRoutesRequest: Passing,
    MemAgentCompactConfig: Change,
    MemAgentMemcgConfig: Change,
    MemHotplugByProbeRequest: Change,
    OnlineCPUMemRequest: Change,
    PauseContainerRequest: Change,
    ReadStreamRequest: Passing,
    RemoveContainerRequest: Teardown,
    RemoveStaleVirtiofsShareMountsRequest: Change,
    ReseedRandomDevRequest: Change,
    ResizeVolumeRequest: Change,
    ResumeContainerRequest: Change,
    SetGuestDateTimeRequest: Change,
    SetIPTablesRequest: Change,
    SetPolicyRequest: Change,
    SignalProcessRequest: Teardown,
    StartContainerRequest: Change,
    StatsContainerRequest: Passing,
    TtyWinResizeRequest: Passing,
    UpdateContainerRequest: Change,
    UpdateEphemeralMountsRequest: Change,
    UpdateInterfaceRequest: Change,
    UpdateRoutesRequest: Change,
    VolumeStatsRequest: Passing,
    WaitProcessRequest: Passing,
    WriteStreamRequest: Passing,
}

/// The protocol has no such request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such request")]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|kind| kind.name() == name).ok_or(UnknownKind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_have_a_kind() {
        assert_eq!("CopyFileRequest".parse(), Ok(Kind::CopyFileRequest));
        for name in ["AllowRequestsFailingPolicy", "allow_exec", "CopyFileRequest.x", "", "copyfilerequest"] {
            assert_eq!(name.parse::<Kind>(), Err(UnknownKind), "{name:?}");
        }
        assert_eq!(Kind::ALL.len(), 41);
        assert!(Kind::ALL.is_sorted_by_key(|kind| kind.name()));
    }
}
