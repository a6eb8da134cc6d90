//! `cce host` against an agent that records what it is asked and refuses what it is told to refuse.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may stop at the first surprise, and runs the built program"
)]

use std::process::Command;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use proto::kata::agent::{
    CreateContainerRequest, CreateSandboxRequest, ExecProcessRequest, ReadStreamRequest, ReadStreamResponse,
    RemoveContainerRequest, StartContainerRequest, WaitProcessRequest, WaitProcessResponse,
};
use proto::kata::agent_ttrpc::{AgentService, create_agent_service};
use proto::kata::health::{CheckRequest, HealthCheckResponse, VersionCheckResponse, health_check_response};
use proto::kata::health_ttrpc::{Health, create_health};
use proto::kata::{Empty, METHODS};
use serde_json::Value;
use ttrpc::asynchronous::{Server, TtrpcContext};
use ttrpc::{Code, get_status};

const ID: &str = "1111111111111111111111111111111111111111111111111111111111111111";

#[derive(Default)]
struct Recorder {
    calls: Mutex<Vec<String>>,
    created: Mutex<Option<CreateContainerRequest>>,
    /// Output not read yet, and whether the host may read it.
    stdout: Mutex<Vec<Vec<u8>>>,
    stdio_denied: bool,
    create_denied: bool,
}

impl Recorder {
    fn record(&self, call: &str) -> Empty {
        self.calls.lock().unwrap().push(call.to_owned());
        Empty::default()
    }
}

fn denied<T>(reason: &str) -> ttrpc::Result<T> {
    Err(ttrpc::Error::RpcStatus(get_status(Code::PERMISSION_DENIED, reason)))
}

#[async_trait]
impl AgentService for Recorder {
    async fn create_sandbox(&self, _: &TtrpcContext, _: CreateSandboxRequest) -> ttrpc::Result<Empty> {
        Ok(self.record("CreateSandbox"))
    }
    async fn create_container(
        &self,
        _: &TtrpcContext,
        request: CreateContainerRequest,
    ) -> ttrpc::Result<Empty> {
        if self.create_denied {
            return denied("invalid command");
        }
        *self.created.lock().unwrap() = Some(request);
        Ok(self.record("CreateContainer"))
    }
    async fn start_container(&self, _: &TtrpcContext, _: StartContainerRequest) -> ttrpc::Result<Empty> {
        Ok(self.record("StartContainer"))
    }
    async fn exec_process(&self, _: &TtrpcContext, request: ExecProcessRequest) -> ttrpc::Result<Empty> {
        Ok(self.record(&format!("ExecProcess {}", request.process.Args.join(" "))))
    }
    async fn remove_container(&self, _: &TtrpcContext, _: RemoveContainerRequest) -> ttrpc::Result<Empty> {
        Ok(self.record("RemoveContainer"))
    }
    async fn wait_process(
        &self,
        _: &TtrpcContext,
        _: WaitProcessRequest,
    ) -> ttrpc::Result<WaitProcessResponse> {
        self.record("WaitProcess");
        Ok(WaitProcessResponse { status: 42, ..Default::default() })
    }
    async fn read_stdout(&self, _: &TtrpcContext, _: ReadStreamRequest) -> ttrpc::Result<ReadStreamResponse> {
        if self.stdio_denied {
            return denied("stdio access");
        }
        let data = self.stdout.lock().unwrap().pop().unwrap_or_default();
        Ok(ReadStreamResponse { data, ..Default::default() })
    }
    async fn read_stderr(&self, _: &TtrpcContext, _: ReadStreamRequest) -> ttrpc::Result<ReadStreamResponse> {
        if self.stdio_denied { denied("stdio access") } else { Ok(ReadStreamResponse::default()) }
    }
}

struct Up;

#[async_trait]
impl Health for Up {
    async fn check(&self, _: &TtrpcContext, _: CheckRequest) -> ttrpc::Result<HealthCheckResponse> {
        let status = health_check_response::ServingStatus::SERVING.into();
        Ok(HealthCheckResponse { status, ..Default::default() })
    }
    async fn version(&self, _: &TtrpcContext, _: CheckRequest) -> ttrpc::Result<VersionCheckResponse> {
        Ok(VersionCheckResponse { agent_version: "9.9".to_owned(), ..Default::default() })
    }
}

/// What the program printed and its exit code.
struct Output {
    stdout: String,
    code: Option<i32>,
}

impl Output {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// Runs `cce host` with `args` against `recorder`.
async fn host(recorder: &Arc<Recorder>, args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix://{}/agent.sock", folder.path().display());
    let mut server = Server::new()
        .bind(&address)
        .unwrap()
        .register_service(create_agent_service(recorder.clone()))
        .register_service(create_health(Arc::new(Up)));
    server.start().await.unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cce"));
    command.args(["host", "--address", &address]).args(args);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    server.shutdown().await.unwrap();
    Output { stdout: String::from_utf8(output.stdout).unwrap(), code: output.status.code() }
}

const RUN: [&str; 11] = [
    "run",
    "--id",
    ID,
    "--layer-device",
    "/dev/vda",
    "--layer-root-hash",
    "ab",
    "--layer-hash-offset",
    "4096",
    "--arg",
    "/bin/true",
];

fn with<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [args, more].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_runs_in_the_order_of_a_shim() {
    let recorder = Arc::new(Recorder::default());
    *recorder.stdout.lock().unwrap() = vec![b"world\n".to_vec(), b"hello ".to_vec()];
    let output = host(&recorder, &with(&RUN, &["--env", "A=b", "--json"])).await;
    assert_eq!(output.code, Some(0));
    assert_eq!(
        output.json(),
        serde_json::json!({ "container_id": ID, "exit_code": 42, "stdout": "hello world\n", "stderr": "" })
    );
    assert_eq!(
        *recorder.calls.lock().unwrap(),
        ["CreateSandbox", "CreateContainer", "StartContainer", "WaitProcess", "RemoveContainer"]
    );
    let created = recorder.created.lock().unwrap().take().unwrap();
    assert_eq!(created.OCI.Process.Args, ["/bin/true"]);
    assert_eq!(created.OCI.Process.Env, ["A=b"]);
    assert_eq!(created.OCI.Root.Path, created.storages.last().unwrap().mount_point);
}

#[tokio::test(flavor = "multi_thread")]
async fn output_is_shown_as_text_without_json() {
    let recorder = Arc::new(Recorder::default());
    *recorder.stdout.lock().unwrap() = vec![b"hello\n".to_vec()];
    let output = host(&recorder, &with(&RUN, &["--no-sandbox"])).await;
    assert_eq!(output.stdout, format!("hello\ncontainer {ID} ended with exit code 42\n"));
    assert!(!recorder.calls.lock().unwrap().contains(&"CreateSandbox".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn output_kept_from_the_host_is_null() {
    let recorder = Arc::new(Recorder { stdio_denied: true, ..Recorder::default() });
    let output = host(&recorder, &with(&RUN, &["--json"])).await;
    assert_eq!(output.code, Some(0));
    assert_eq!(output.json()["stdout"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_clean_no_with_its_reason() {
    let recorder = Arc::new(Recorder { create_denied: true, ..Recorder::default() });
    let output = host(&recorder, &with(&RUN, &["--json"])).await;
    assert_eq!(output.code, Some(1));
    assert_eq!(
        output.json(),
        serde_json::json!({
            "method": "CreateContainer", "status": "PERMISSION_DENIED", "message": "invalid command"
        })
    );
    assert_eq!(*recorder.calls.lock().unwrap(), ["CreateSandbox"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detached_container_is_left_alone() {
    let recorder = Arc::new(Recorder::default());
    let output = host(&recorder, &with(&RUN, &["--detach"])).await;
    assert_eq!(output.stdout, format!("{ID}\n"));
    assert_eq!(*recorder.calls.lock().unwrap(), ["CreateSandbox", "CreateContainer", "StartContainer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_added_to_a_container() {
    let recorder = Arc::new(Recorder::default());
    let args = ["exec", "--id", ID, "--exec-id", "e", "--json", "--", "/bin/sh", "-c", "x"];
    let output = host(&recorder, &args).await;
    assert_eq!(output.json()["exit_code"], 42);
    assert_eq!(*recorder.calls.lock().unwrap(), ["ExecProcess /bin/sh -c x", "WaitProcess"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_unknown_methods() {
    let recorder = Arc::new(Recorder::default());
    let health = host(&recorder, &["health", "--json"]).await;
    assert_eq!(health.json()["status"], "SERVING");
    assert_eq!(health.json()["agent_version"], "9.9");

    assert!(METHODS.iter().all(|method| method.name != "PullImage"));
    let unknown = host(&recorder, &["call", "--method", "PullImage", "--json"]).await;
    assert_eq!((unknown.code, unknown.json()["status"].as_str()), (Some(1), Some("UNIMPLEMENTED")));
    assert_eq!(unknown.json()["message"], "there is no method PullImage");
    let malformed = host(&recorder, &["call", "--method", "PullImage", "--payload", "0g"]).await;
    assert_eq!(malformed.code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_not_there_is_a_failure_and_no_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix://{}/nobody.sock", folder.path().display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_cce"));
    let status = command.args(["host", "--address", &address, "health"]).status().unwrap();
    assert_eq!(status.code(), Some(2));
}
