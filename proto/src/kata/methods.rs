//! Which methods the contract has.

/// One method of a service of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Service as named on the wire, such as `grpc.AgentService`.
    pub service: &'static str,
    /// Method as named on the wire, such as `CreateContainer`.
    pub name: &'static str,
    /// Full name of the request message, such as `grpc.CreateContainerRequest`.
    pub request_type: &'static str,
    /// Full name of the response message, such as `google.protobuf.Empty`.
    pub response_type: &'static str,
}

/// Every method of `grpc.AgentService` (42) and `grpc.Health` (2), in the order of `protos/`.
pub const METHODS: &[Method] = include!(concat!(env!("OUT_DIR"), "/methods.rs"));
