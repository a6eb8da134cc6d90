//! The checks against servers in this process: one that keeps the rules, and some that each break one.

use std::collections::HashMap;

use async_trait::async_trait;
use proto::kata::METHODS;
use proto::kata::agent::{CreateSandboxRequest, StartContainerRequest};
use proto::kata::health::VersionCheckResponse;
use protobuf::Message as _;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use ttrpc::asynchronous::{MethodHandler, Server, Service, TtrpcContext};
use ttrpc::proto::Response;
use ttrpc::{Error, get_status};

use super::*;

/// What a test server does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    AcceptsAnyId,
    AcceptsAnySandbox,
    FailsInternally,
    HasNoVersion,
}

/// One method of a server that judges ids and does nothing else.
struct TestMethod {
    name: &'static str,
    fault: Fault,
}

impl TestMethod {
    fn respond(&self, payload: &[u8]) -> ttrpc::Result<Vec<u8>> {
        let undecodable = |error: protobuf::Error| Error::Others(error.to_string());
        match self.name {
            "Version" if self.fault != Fault::HasNoVersion => {
                let version = VersionCheckResponse { agent_version: "1".to_owned(), ..Default::default() };
                return version.write_to_bytes().map_err(undecodable);
            }
            "ReadStdout" if self.fault == Fault::FailsInternally => {
                return Err(Error::Others("fault".to_owned()));
            }
            "CreateSandbox" if self.fault != Fault::AcceptsAnySandbox => {
                judge(&CreateSandboxRequest::parse_from_bytes(payload).map_err(undecodable)?.sandbox_id)?;
            }
            "StartContainer" if self.fault == Fault::AcceptsAnyId => {}
            name if requests::BY_CONTAINER.contains(&name) => {
                // Every one of them has the id where this one has it.
                judge(&StartContainerRequest::parse_from_bytes(payload).map_err(undecodable)?.container_id)?;
            }
            _ => {}
        }
        Ok(Vec::new())
    }
}

fn judge(id: &str) -> ttrpc::Result<()> {
    let plain = (2..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain { Ok(()) } else { Err(Error::RpcStatus(get_status(Code::INVALID_ARGUMENT, "id"))) }
}

#[async_trait]
impl MethodHandler for TestMethod {
    async fn handler(&self, _: TtrpcContext, request: Request) -> ttrpc::Result<Response> {
        match self.respond(&request.payload) {
            Ok(payload) => Ok(Response { payload, ..Default::default() }),
            Err(error) => Ok(error.into()),
        }
    }
}

fn services(fault: Fault) -> HashMap<String, Service> {
    let mut services = HashMap::new();
    for method in METHODS {
        let service = services
            .entry(method.service.to_owned())
            .or_insert_with(|| Service { methods: HashMap::new(), streams: HashMap::new() });
        let handler = Box::new(TestMethod { name: method.name, fault });
        service.methods.insert(method.name.to_owned(), handler);
    }
    services
}

/// A server with a fault, for as long as this value lives.
struct TestServer {
    address: ServerAddress,
    _folder: TempDir,
    _server: Server,
    _runtime: Runtime,
}

impl TestServer {
    fn start(fault: Fault) -> Self {
        let folder = TempDir::new().unwrap();
        let address = ServerAddress::UnixPath(folder.path().join("agent.sock"));
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(async {
            let mut server =
                Server::new().bind(&address.to_string()).unwrap().register_service(services(fault));
            server.start().await.unwrap();
            server
        });
        Self { address, _folder: folder, _server: server, _runtime: runtime }
    }
}

#[test]
fn an_agent_that_keeps_the_rules_passes() {
    let server = TestServer::start(Fault::None);
    for (name, check) in ALL {
        check(&server.address).unwrap_or_else(|deviation| panic!("{name}: {deviation:?}"));
    }
}

#[test]
fn an_agent_that_breaks_a_rule_fails_the_check_for_it() {
    let broken: [(Fault, Check); 4] = [
        (Fault::AcceptsAnyId, hostile_container_ids),
        (Fault::AcceptsAnySandbox, hostile_sandbox_ids),
        (Fault::FailsInternally, empty_requests),
        (Fault::HasNoVersion, health),
    ];
    for (fault, check) in broken {
        let server = TestServer::start(fault);
        assert!(matches!(check(&server.address), Err(Deviation::Answer { .. })));
    }
}

#[test]
fn an_agent_that_is_gone_fails_every_check() {
    let folder = TempDir::new().unwrap();
    let address = ServerAddress::UnixPath(folder.path().join("nobody.sock"));
    for (name, check) in ALL {
        assert!(matches!(check(&address), Err(Deviation::NoAnswer { .. })), "{name}");
    }
}
