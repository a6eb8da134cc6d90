//! `cce host`: plays the untrusted host towards an agent.
//!
//! It sends what a shim would send, or anything else that is asked of it, and reports what the guest answered. An
//! attack is the same command with other arguments.

mod calls;
mod connect;
mod image;
mod limits;
mod multi_layer;
mod process;
mod pull;
mod run;
mod spec;
mod storage;

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use connect::{Agent, AgentAddress, CallError};

use crate::output::Answer;

/// Options of every host command, and the command.
#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    /// Where the agent listens: unix://PATH, unix://@NAME, vsock://CID:PORT, or hvsock://PATH:PORT for a Unix socket
    /// that forwards to the guest's vsock port.
    #[arg(long, global = true, default_value = "vsock://3:1024")]
    address: AgentAddress,
    /// Longest time for one call, in milliseconds. Waiting for output and for the end of a process is not limited.
    #[arg(long, global = true, default_value_t = 60_000)]
    timeout_ms: u64,
    /// How long to keep trying to connect, in milliseconds: for a guest that still boots.
    #[arg(long, global = true, default_value_t = 0)]
    connect_wait_ms: u64,
    #[command(subcommand)]
    command: HostCommand,
}

/// What the host does.
#[derive(Debug, Subcommand)]
enum HostCommand {
    /// Create a sandbox and a container in it, run it to its end, print its output.
    Run(Box<run::RunArgs>),
    /// Run one more process in a running container, print its output.
    Exec(run::ExecArgs),
    /// Send a signal to a process.
    Signal(calls::SignalArgs),
    /// Wait for the end of a process.
    Wait(calls::ProcessId),
    /// Remove a container.
    Remove(calls::RemoveArgs),
    /// Print the resource use of a container.
    Stats(calls::ContainerId),
    /// Print what the agent says about itself.
    Details,
    /// Ask whether the agent is up, and its version.
    Health,
    /// End the sandbox, and with it the guest.
    Destroy,
    /// Call any method, known or not, with any payload.
    Call(calls::CallArgs),
}

/// Runs one host command.
///
/// # Errors
/// On broken input and when the agent cannot be reached or hangs up. What the guest refuses is an [`Answer`].
pub(crate) fn run(args: HostArgs, json: bool) -> anyhow::Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the asynchronous runtime failed")?;
    let outcome = runtime.block_on(async {
        let agent = connect::connect(
            &args.address,
            Duration::from_millis(args.timeout_ms),
            Duration::from_millis(args.connect_wait_ms),
        )
        .await?;
        dispatch(&agent, args.command, json).await
    });
    match outcome {
        Err(CallError::Refused(refusal)) => Answer::no(&refusal),
        other => Ok(other?),
    }
}

async fn dispatch(agent: &Agent, command: HostCommand, json: bool) -> Result<Answer, CallError> {
    match command {
        HostCommand::Run(args) => run::run(agent, &args, json).await,
        HostCommand::Exec(args) => run::exec(agent, &args, json).await,
        HostCommand::Signal(args) => calls::signal(agent, &args).await,
        HostCommand::Wait(process) => calls::wait(agent, &process).await,
        HostCommand::Remove(args) => calls::remove(agent, &args).await,
        HostCommand::Stats(container) => calls::stats(agent, &container).await,
        HostCommand::Details => calls::details(agent).await,
        HostCommand::Health => calls::health(agent).await,
        HostCommand::Destroy => calls::destroy(agent).await,
        HostCommand::Call(args) => calls::call(agent, &args).await,
    }
}
