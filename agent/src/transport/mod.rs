//! The front door of Kata's shims: ttrpc, bounded. It knows no policy and no kernel.

mod admission;
mod frames;
mod health;
mod kata;
mod listener;

use proto::kata::address::ServerAddress;
use proto::kata::{agent_ttrpc, health_ttrpc};
use std::sync::Arc;
use ttrpc::r#async::Server;

use crate::decision::{OomReceiver, Worker};
use crate::inventory::Processes;
use crate::pull::Puller;

use admission::Admission;
pub(crate) use kata::{KataService, Shutdown};

/// Methods of Kata's contract that this agent does not serve, and what a host is told that calls one.
pub(crate) const UNSERVED: &[(&str, &str)] = &[
    ("AddARPNeighbors", NOT_SERVED),
    ("AddSwap", NOT_SERVED),
    ("AddSwapPath", NOT_SERVED),
    ("CopyFile", NOT_SERVED),
    ("GetDiagnosticData", NOT_SERVED),
    ("GetIPTables", NOT_SERVED),
    ("GetMetrics", NOT_SERVED),
    ("GetVolumeStats", NOT_SERVED),
    ("ListInterfaces", NOT_SERVED),
    ("ListRoutes", NOT_SERVED),
    ("MemAgentCompactSet", NOT_SERVED),
    ("MemAgentMemcgSet", NOT_SERVED),
    ("MemHotplugByProbe", NOT_SERVED),
    ("OnlineCPUMem", NOT_SERVED),
    ("RemoveStaleVirtiofsShareMounts", NOT_SERVED),
    ("ReseedRandomDev", NOT_SERVED),
    ("ResizeVolume", NOT_SERVED),
    ("SetGuestDateTime", NOT_SERVED),
    ("SetIPTables", NOT_SERVED),
    ("SetPolicy", "the policy is the one in HOST_DATA and cannot be replaced while the guest runs"),
    ("UpdateEphemeralMounts", NOT_SERVED),
    ("UpdateInterface", NOT_SERVED),
    ("UpdateRoutes", NOT_SERVED),
];

/// What is planned, or of no use in a confidential guest.
const NOT_SERVED: &str = "this agent does not serve it";

/// Opens the door.
///
/// # Errors
///
/// When the address cannot be bound.
pub(crate) async fn open(
    address: &ServerAddress,
    worker: Worker,
    puller: Puller,
    processes: Processes,
    oom_events: OomReceiver,
    shutdown: Shutdown,
) -> Result<Server, OpenError> {
    let admission = Admission::new();
    let service = KataService::new(worker, puller, processes, oom_events, shutdown);
    let agent = agent_ttrpc::create_agent_service(Arc::new(service));
    let health = health_ttrpc::create_health(Arc::new(health::Health));
    let mut server = Server::new()
        .add_listener(listener::bind(address).map_err(OpenError::Bind)?)
        .register_service(admission.guard(agent, UNSERVED))
        .register_service(admission.guard(health, &[]));
    server.start().await.map_err(OpenError::Start)?;
    Ok(server)
}

/// Why the door does not open.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("cannot listen for the host")]
    Bind(#[source] std::io::Error),
    #[error("cannot serve the host")]
    Start(#[source] ttrpc::Error),
}

#[cfg(test)]
mod tests {
    use proto::kata::METHODS;

    use super::*;

    #[test]
    fn unserved_methods_are_methods_of_the_contract() {
        for (method, _) in UNSERVED {
            assert!(METHODS.iter().any(|known| known.name == *method), "{method}");
        }
        assert!(UNSERVED.is_sorted());
    }
}
