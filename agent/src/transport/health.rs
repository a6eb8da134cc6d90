//! `grpc.Health`: whether the agent answers. No policy: it says nothing about the tenant.

use proto::kata::health::health_check_response::ServingStatus;
use proto::kata::health::{CheckRequest, HealthCheckResponse, VersionCheckResponse};
use proto::kata::health_ttrpc;
use ttrpc::r#async::TtrpcContext;

/// Kata's version of the contract.
const GRPC_VERSION: &str = "0.0.1";

pub(super) struct Health;

#[async_trait::async_trait]
impl health_ttrpc::Health for Health {
    async fn check(&self, _: &TtrpcContext, _: CheckRequest) -> ttrpc::Result<HealthCheckResponse> {
        let status = ServingStatus::SERVING.into();
        Ok(HealthCheckResponse { status, ..Default::default() })
    }

    async fn version(&self, _: &TtrpcContext, _: CheckRequest) -> ttrpc::Result<VersionCheckResponse> {
        Ok(VersionCheckResponse {
            grpc_version: GRPC_VERSION.to_owned(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        })
    }
}
