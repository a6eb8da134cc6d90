//! The host commands that are one call each.

use std::fmt;
use std::str::FromStr as _;

use anyhow::Context as _;
use clap::Args;
use nix::sys::signal::Signal;
use proto::kata::agent::{
    DestroySandboxRequest, GuestDetailsRequest, RemoveContainerRequest, SignalProcessRequest,
    StatsContainerRequest, WaitProcessRequest,
};
use proto::kata::health::CheckRequest;
use serde::Serialize;
use serde_json::{Value, json};
use ttrpc::context::Context;
use ttrpc::proto::Request;

use super::connect::{Agent, CallError};
use crate::output::Answer;

/// Highest signal number of Linux.
const SIGNAL_MAX: u32 = 64;

/// A container.
#[derive(Debug, Args)]
pub(crate) struct ContainerId {
    /// Container id.
    #[arg(long)]
    id: String,
}

/// A process of a container.
#[derive(Debug, Args)]
pub(crate) struct ProcessId {
    /// Container id.
    #[arg(long)]
    id: String,
    /// Process id within the container; left out, it is the first process.
    #[arg(long, default_value = "")]
    exec_id: String,
}

/// A signal and whom to send it to.
#[derive(Debug, Args)]
pub(crate) struct SignalArgs {
    #[command(flatten)]
    process: ProcessId,
    /// Number, or name such as TERM or SIGTERM.
    #[arg(value_parser = parse_signal)]
    signal: u32,
}

/// What to remove.
#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    container: ContainerId,
    /// Longest time the guest may take, in seconds; 0 means no limit.
    #[arg(long, default_value_t = 0)]
    timeout_s: u32,
}

/// Any call.
#[derive(Debug, Args)]
pub(crate) struct CallArgs {
    /// Method name, such as CreateContainer.
    #[arg(long)]
    method: String,
    /// Service name.
    #[arg(long, default_value = "grpc.AgentService")]
    service: String,
    /// Request message, in hexadecimal.
    #[arg(long, value_name = "HEX", default_value = "")]
    payload: String,
}

/// One JSON object, or its members a line each.
#[derive(Serialize)]
#[serde(transparent)]
struct Facts(Value);

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Value::Object(members) = &self.0 else { return self.0.fmt(f) };
        let mut separator = "";
        for (name, value) in members {
            match value {
                Value::String(text) => write!(f, "{separator}{name}: {text}")?,
                value => write!(f, "{separator}{name}: {value}")?,
            }
            separator = "\n";
        }
        Ok(())
    }
}

fn parse_signal(text: &str) -> Result<u32, String> {
    if let Ok(number) = text.parse::<u32>() {
        return if (1..=SIGNAL_MAX).contains(&number) {
            Ok(number)
        } else {
            Err("not from 1 to 64".to_owned())
        };
    }
    let name = text.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    Signal::from_str(&name)
        .ok()
        .and_then(|signal| u32::try_from(signal as i32).ok())
        .ok_or_else(|| "no such signal".to_owned())
}

/// Sends a signal.
pub(super) async fn signal(agent: &Agent, args: &SignalArgs) -> Result<Answer, CallError> {
    let ProcessId { id, exec_id } = &args.process;
    let request = SignalProcessRequest {
        container_id: id.clone(),
        exec_id: exec_id.clone(),
        signal: args.signal,
        ..Default::default()
    };
    agent.call("SignalProcess", agent.service.signal_process(Context::default(), &request)).await?;
    Ok(Answer::yes(&Facts(json!({ "container_id": id, "exec_id": exec_id, "signal": args.signal })))?)
}

/// Waits for a process.
pub(super) async fn wait(agent: &Agent, process: &ProcessId) -> Result<Answer, CallError> {
    let ProcessId { id, exec_id } = process;
    let request =
        WaitProcessRequest { container_id: id.clone(), exec_id: exec_id.clone(), ..Default::default() };
    let response =
        agent.poll("WaitProcess", agent.service.wait_process(Context::default(), &request)).await?;
    Ok(Answer::yes(&Facts(json!({ "container_id": id, "exec_id": exec_id, "exit_code": response.status })))?)
}

/// Removes a container.
pub(super) async fn remove(agent: &Agent, args: &RemoveArgs) -> Result<Answer, CallError> {
    let request = RemoveContainerRequest {
        container_id: args.container.id.clone(),
        timeout: args.timeout_s,
        ..Default::default()
    };
    agent.call("RemoveContainer", agent.service.remove_container(Context::default(), &request)).await?;
    Ok(Answer::yes(&Facts(json!({ "container_id": args.container.id, "removed": true })))?)
}

/// Prints the resource use of a container.
pub(super) async fn stats(agent: &Agent, container: &ContainerId) -> Result<Answer, CallError> {
    let request = StatsContainerRequest { container_id: container.id.clone(), ..Default::default() };
    let response =
        agent.call("StatsContainer", agent.service.stats_container(Context::default(), &request)).await?;
    let cgroup = &response.cgroup_stats;
    Ok(Answer::yes(&Facts(json!({
        "container_id": container.id,
        "cpu_total_ns": cgroup.cpu_stats.cpu_usage.total_usage,
        "cpu_user_ns": cgroup.cpu_stats.cpu_usage.usage_in_usermode,
        "cpu_kernel_ns": cgroup.cpu_stats.cpu_usage.usage_in_kernelmode,
        "memory_bytes": cgroup.memory_stats.usage.usage,
        "memory_peak_bytes": cgroup.memory_stats.usage.max_usage,
        "memory_limit_bytes": cgroup.memory_stats.usage.limit,
        "pids": cgroup.pids_stats.current,
        "pids_limit": cgroup.pids_stats.limit,
    })))?)
}

/// Prints what the agent says about itself.
pub(super) async fn details(agent: &Agent) -> Result<Answer, CallError> {
    let request = GuestDetailsRequest { mem_block_size: true, mem_hotplug_probe: true, ..Default::default() };
    let response =
        agent.call("GetGuestDetails", agent.service.get_guest_details(Context::default(), &request)).await?;
    let details = &response.agent_details;
    Ok(Answer::yes(&Facts(json!({
        "version": details.version,
        "init_daemon": details.init_daemon,
        "device_handlers": details.device_handlers,
        "storage_handlers": details.storage_handlers,
        "supports_seccomp": details.supports_seccomp,
        "extra_features": details.extra_features,
        "mem_block_size_bytes": response.mem_block_size_bytes,
        "support_mem_hotplug_probe": response.support_mem_hotplug_probe,
    })))?)
}

/// Asks after the agent's health.
pub(super) async fn health(agent: &Agent) -> Result<Answer, CallError> {
    let request = CheckRequest::default();
    let check = agent.call("Check", agent.health.check(Context::default(), &request)).await?;
    let version = agent.call("Version", agent.health.version(Context::default(), &request)).await?;
    let status = match check.status.enum_value() {
        Ok(status) => format!("{status:?}"),
        Err(number) => number.to_string(),
    };
    Ok(Answer::yes(&Facts(json!({
        "status": status,
        "agent_version": version.agent_version,
        "grpc_version": version.grpc_version,
    })))?)
}

/// Ends the sandbox.
pub(super) async fn destroy(agent: &Agent) -> Result<Answer, CallError> {
    let request = DestroySandboxRequest::default();
    agent.call("DestroySandbox", agent.service.destroy_sandbox(Context::default(), &request)).await?;
    Ok(Answer::yes(&Facts(json!({ "destroyed": true })))?)
}

/// Makes any call.
pub(super) async fn call(agent: &Agent, args: &CallArgs) -> Result<Answer, CallError> {
    let request = Request {
        service: args.service.clone(),
        method: args.method.clone(),
        payload: hex::decode(&args.payload).context("the payload is not hexadecimal")?,
        ..Default::default()
    };
    let response = agent.call(&args.method, agent.raw.request(request)).await?;
    Ok(Answer::yes(&Facts(json!({ "method": args.method, "payload": hex::encode(response.payload) })))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_parse_by_number_and_name() {
        for (text, number) in [("9", 9), ("TERM", 15), ("sigkill", 9), ("64", 64)] {
            assert_eq!(parse_signal(text), Ok(number), "{text}");
        }
        for refused in ["0", "65", "", "SIGNOTHING", "-9"] {
            assert!(parse_signal(refused).is_err(), "{refused}");
        }
    }
}
