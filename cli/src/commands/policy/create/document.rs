//! The text of a CCE policy, in the form that `az confcom` 1.x writes: values of the tenant, and rules that hand every
//! question to the framework of the guest.

use policy_engine::request::DEFAULT_CAPABILITIES;
use serde::Serialize;

/// Rules that the framework answers.
const DELEGATED: [&str; 17] = [
    "mount_device",
    "unmount_device",
    "mount_overlay",
    "unmount_overlay",
    "create_container",
    "exec_in_container",
    "exec_external",
    "shutdown_container",
    "signal_container_process",
    "plan9_mount",
    "plan9_unmount",
    "get_properties",
    "dump_stacks",
    "runtime_logging",
    "load_fragment",
    "scratch_mount",
    "scratch_unmount",
];
/// SIGKILL and SIGTERM.
const SIGNALS: [i32; 2] = [9, 15];

/// The policy that allows these containers and nothing else.
///
/// # Errors
/// When a container cannot be written as JSON.
pub(super) fn policy(containers: &[Container]) -> serde_json::Result<String> {
    let containers = serde_json::to_string(containers)?;
    let delegated: String =
        DELEGATED.iter().map(|rule| format!("{rule} := data.framework.{rule}\n")).collect();
    Ok(format!(
        r#"package policy

import future.keywords.every
import future.keywords.in

api_version := "0.10.0"
framework_version := "0.2.3"

fragments := []

containers := {containers}

allow_properties_access := true
allow_dump_stacks := false
allow_runtime_logging := false
allow_environment_variable_dropping := true
allow_unencrypted_scratch := false
allow_capability_dropping := true

{delegated}
reason := {{"errors": data.framework.errors}}
"#
    ))
}

/// One container that may be created. Fields are in the order of their names, as in every policy of this form.
#[derive(Debug, Serialize)]
pub(super) struct Container {
    pub(super) allow_elevated: bool,
    pub(super) allow_stdio_access: bool,
    pub(super) capabilities: Capabilities,
    pub(super) command: Vec<String>,
    pub(super) env_rules: Vec<EnvironmentRule>,
    pub(super) exec_processes: Vec<ExecProcess>,
    pub(super) id: String,
    pub(super) layers: Vec<String>,
    /// None: an image's container gets no file systems but its own.
    pub(super) mounts: [&'static str; 0],
    pub(super) name: String,
    pub(super) no_new_privileges: bool,
    pub(super) seccomp_profile_sha256: String,
    pub(super) signals: Vec<i32>,
    pub(super) user: User,
    pub(super) working_dir: String,
}

impl Container {
    /// What holds for every container that is not privileged; command and layers are still missing.
    pub(super) fn unprivileged() -> Self {
        Self {
            allow_elevated: false,
            allow_stdio_access: true,
            capabilities: Capabilities {
                ambient: &[],
                bounding: &DEFAULT_CAPABILITIES,
                effective: &DEFAULT_CAPABILITIES,
                inheritable: &[],
                permitted: &DEFAULT_CAPABILITIES,
            },
            command: Vec::new(),
            env_rules: Vec::new(),
            exec_processes: Vec::new(),
            id: String::new(),
            layers: Vec::new(),
            mounts: [],
            name: String::new(),
            no_new_privileges: false,
            seccomp_profile_sha256: String::new(),
            signals: SIGNALS.to_vec(),
            user: User::of_image(""),
            working_dir: "/".to_owned(),
        }
    }
}

/// Capability sets.
#[derive(Debug, Serialize)]
pub(super) struct Capabilities {
    ambient: &'static [&'static str],
    bounding: &'static [&'static str],
    effective: &'static [&'static str],
    inheritable: &'static [&'static str],
    permitted: &'static [&'static str],
}

/// An environment variable that may be set.
#[derive(Debug, Serialize)]
pub(super) struct EnvironmentRule {
    pattern: String,
    required: bool,
    strategy: &'static str,
}

impl EnvironmentRule {
    /// `NAME=VALUE` to the letter, or not at all.
    pub(super) const fn exactly(variable: String) -> Self {
        Self { pattern: variable, required: false, strategy: "string" }
    }
}

/// A process that may be started in a running container.
#[derive(Debug, Serialize)]
pub(super) struct ExecProcess {
    command: Vec<String>,
    signals: Vec<i32>,
}

impl ExecProcess {
    pub(super) fn new(command: Vec<String>) -> Self {
        Self { command, signals: SIGNALS.to_vec() }
    }
}

/// Who the process may be.
#[derive(Debug, Serialize)]
pub(super) struct User {
    group_idnames: [IdName; 1],
    umask: &'static str,
    user_idname: IdName,
}

#[derive(Debug, Serialize)]
struct IdName {
    pattern: String,
    strategy: &'static str,
}

impl IdName {
    /// A number is an id, anything else a name; with neither, anyone.
    fn new(text: &str) -> Self {
        let strategy = match text {
            "" => "any",
            id if id.bytes().all(|byte| byte.is_ascii_digit()) => "id",
            _ => "name",
        };
        Self { pattern: text.to_owned(), strategy }
    }
}

impl User {
    /// The user of an image: `USER[:GROUP]`, names or numbers, or empty.
    pub(super) fn of_image(text: &str) -> Self {
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        Self { group_idnames: [IdName::new(group)], umask: "0022", user_idname: IdName::new(user) }
    }
}
