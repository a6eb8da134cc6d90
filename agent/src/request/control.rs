//! Pausing, resuming and limiting containers.

use policy_engine::request::{PauseContainer, ResumeContainer, UpdateContainer};
use proto::kata::agent::{PauseContainerRequest, ResumeContainerRequest, UpdateContainerRequest};

use super::resources::resources;
use super::{RequestError, container_id};

/// The request of `PauseContainer`.
pub(crate) fn pause(message: &PauseContainerRequest) -> Result<PauseContainer, RequestError> {
    Ok(PauseContainer { container_id: container_id(&message.container_id)? })
}

/// The request of `ResumeContainer`.
pub(crate) fn resume(message: &ResumeContainerRequest) -> Result<ResumeContainer, RequestError> {
    Ok(ResumeContainer { container_id: container_id(&message.container_id)? })
}

/// The request of `UpdateContainer`.
pub(crate) fn update(message: &UpdateContainerRequest) -> Result<UpdateContainer, RequestError> {
    let container_id = container_id(&message.container_id)?;
    let limits = message.resources.as_ref().ok_or(RequestError::Missing { field: "resources" })?;
    Ok(UpdateContainer { container_id, resources: resources(limits)? })
}
