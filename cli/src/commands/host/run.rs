//! `cce host run` and `cce host exec`: the order of calls a shim makes.

use std::fmt;

use clap::Args;
use proto::kata::agent::{
    CreateContainerRequest, CreateSandboxRequest, ExecProcessRequest, RemoveContainerRequest,
    StartContainerRequest,
};
use protobuf::MessageField;
use serde::Serialize;
use ttrpc::context::Context;

use super::connect::{Agent, CallError};
use super::limits::LimitArgs;
use super::process::{self, Ended};
use super::spec::{self, ProcessArgs};
use super::storage::{self, RootArgs};
use crate::output::Answer;

/// The sandbox of a host that names none.
const DEFAULT_SANDBOX_ID: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What container to run.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Container id; 64 random hexadecimal digits when left out.
    #[arg(long)]
    id: Option<String>,
    /// Sandbox id.
    #[arg(long, default_value = DEFAULT_SANDBOX_ID)]
    sandbox_id: String,
    /// Create no sandbox: there is one.
    #[arg(long)]
    no_sandbox: bool,
    /// Argument of the first process, the program first; instead of the image's. May be repeated.
    #[arg(long = "arg", value_name = "ARG", allow_hyphen_values = true)]
    args: Vec<String>,
    /// Leave the container running and print its id.
    #[arg(long)]
    detach: bool,
    /// Leave the container there after its end.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    process: ProcessArgs,
    #[command(flatten)]
    root: RootArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// What process to add to a container.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// Container id.
    #[arg(long)]
    id: String,
    /// Process id within the container; random when left out.
    #[arg(long)]
    exec_id: Option<String>,
    #[command(flatten)]
    process: ProcessArgs,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    args: Vec<String>,
}

/// A process that ran to its end.
#[derive(Serialize)]
struct Ran {
    container_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exec_id: Option<String>,
    exit_code: i32,
    stdout: Option<String>,
    stderr: Option<String>,
}

impl Ran {
    fn new(container_id: String, exec_id: Option<String>, ended: &Ended) -> Self {
        let text = |output: &Option<Vec<u8>>| {
            output.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        Self {
            container_id,
            exec_id,
            exit_code: ended.exit_code,
            stdout: text(&ended.stdout),
            stderr: text(&ended.stderr),
        }
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.exec_id.is_some() { "process" } else { "container" };
        write!(
            f,
            "{what} {} ended with exit code {}",
            self.exec_id.as_ref().unwrap_or(&self.container_id),
            self.exit_code
        )
    }
}

/// A container left running.
#[derive(Serialize)]
struct Started {
    container_id: String,
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.container_id)
    }
}

/// Runs a container.
///
/// # Errors
/// When the guest refuses one of the calls, or on broken input.
pub(super) async fn run(agent: &Agent, args: &RunArgs, json: bool) -> Result<Answer, CallError> {
    let container_id = args.id.clone().map_or_else(random_hex::<32>, Ok)?;
    let process = args.process.process(&args.args)?;
    let request = CreateContainerRequest {
        container_id: container_id.clone(),
        exec_id: container_id.clone(),
        storages: args.root.storages(&container_id, &args.sandbox_id)?,
        OCI: MessageField::some(spec::specification(
            &container_id,
            &args.sandbox_id,
            &storage::root_path(&container_id),
            process,
            args.limits.resources(),
        )),
        ..Default::default()
    };
    if !args.no_sandbox {
        let sandbox = CreateSandboxRequest { sandbox_id: args.sandbox_id.clone(), ..Default::default() };
        agent.call("CreateSandbox", agent.service.create_sandbox(Context::default(), &sandbox)).await?;
    }
    agent.call("CreateContainer", agent.service.create_container(Context::default(), &request)).await?;
    let start = StartContainerRequest { container_id: container_id.clone(), ..Default::default() };
    agent.call("StartContainer", agent.service.start_container(Context::default(), &start)).await?;
    if args.detach {
        return Ok(Answer::yes(&Started { container_id })?);
    }
    let ended = process::follow(agent, &container_id, "", !json).await?;
    if !args.keep {
        let remove = RemoveContainerRequest { container_id: container_id.clone(), ..Default::default() };
        agent.call("RemoveContainer", agent.service.remove_container(Context::default(), &remove)).await?;
    }
    Ok(Answer::yes(&Ran::new(container_id, None, &ended))?)
}

/// Runs one more process in a container.
///
/// # Errors
/// When the guest refuses one of the calls, or on broken input.
pub(super) async fn exec(agent: &Agent, args: &ExecArgs, json: bool) -> Result<Answer, CallError> {
    let exec_id = args.exec_id.clone().map_or_else(random_hex::<8>, Ok)?;
    let request = ExecProcessRequest {
        container_id: args.id.clone(),
        exec_id: exec_id.clone(),
        process: MessageField::some(args.process.process(&args.args)?),
        ..Default::default()
    };
    agent.call("ExecProcess", agent.service.exec_process(Context::default(), &request)).await?;
    let ended = process::follow(agent, &args.id, &exec_id, !json).await?;
    Ok(Answer::yes(&Ran::new(args.id.clone(), Some(exec_id), &ended))?)
}

/// `BYTES` random bytes in hexadecimal.
fn random_hex<const BYTES: usize>() -> anyhow::Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(hex::encode(bytes))
}
