//! Processes.

use policy_engine::request::linux::ProcessSettings;
use policy_engine::request::{CapabilitySets, ExecInContainer, ProcessSpec, Rlimit, TerminalSize, User};
use proto::kata::{agent, oci};

use super::{RequestError, container_id, refuse, refuse_stdio_ports, refuse_string_user};

/// CRI's mask of a container process; Kata's wire has no field for it.
const UMASK: u16 = 0o022;
/// Limits of Linux, `getrlimit(2)`.
const RLIMITS: [&str; 16] = [
    "RLIMIT_AS",
    "RLIMIT_CORE",
    "RLIMIT_CPU",
    "RLIMIT_DATA",
    "RLIMIT_FSIZE",
    "RLIMIT_LOCKS",
    "RLIMIT_MEMLOCK",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_NOFILE",
    "RLIMIT_NPROC",
    "RLIMIT_RSS",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
    "RLIMIT_SIGPENDING",
    "RLIMIT_STACK",
];

/// The process of an OCI specification.
pub(super) fn process_spec(process: &oci::Process) -> Result<ProcessSpec, RequestError> {
    refuse(
        !process.ApparmorProfile.is_empty(),
        "Process.ApparmorProfile",
        "the guest has no AppArmor profiles",
    )?;
    refuse(!process.SelinuxLabel.is_empty(), "Process.SelinuxLabel", "the guest has no SELinux policy")?;
    if process.Args.is_empty() {
        return Err(RequestError::Missing { field: "Process.Args" });
    }
    refuse_nul("Process.Args", &process.Args)?;
    refuse_nul("Process.Env", &process.Env)?;
    let oom_score_adj = match process.OOMScoreAdj {
        0 => None,
        score => Some(
            i16::try_from(score)
                .ok()
                .filter(|score| (-1000..=1000).contains(score))
                .ok_or(RequestError::Value { field: "Process.OOMScoreAdj", expected: "-1000 to 1000" })?,
        ),
    };
    Ok(ProcessSpec {
        args: process.Args.clone(),
        env: process.Env.clone(),
        cwd: match process.Cwd.as_str() {
            "" => "/".parse(),
            cwd => cwd.parse(),
        }
        .map_err(|source| RequestError::Path { field: "Process.Cwd", source })?,
        user: user(&process.User)?,
        umask: UMASK,
        capabilities: process.Capabilities.as_ref().map(capabilities).transpose()?.unwrap_or_default(),
        no_new_privileges: process.NoNewPrivileges,
        rlimits: process.Rlimits.iter().map(rlimit).collect::<Result<_, _>>()?,
        terminal: process
            .Terminal
            .then(|| terminal_size(process.ConsoleSize.Height, process.ConsoleSize.Width))
            .transpose()?,
        oom_score_adj,
        settings: ProcessSettings::default(),
    })
}

/// The request of `ExecProcess`.
pub(crate) fn exec(message: &agent::ExecProcessRequest) -> Result<ExecInContainer, RequestError> {
    refuse_stdio_ports(message.stdin_port, message.stdout_port, message.stderr_port)?;
    refuse_string_user(message.string_user.as_ref())?;
    let container_id = container_id(&message.container_id)?;
    let exec_id =
        super::exec_id(&message.exec_id, &container_id)?.ok_or(RequestError::Missing { field: "exec_id" })?;
    let process = message.process.as_ref().ok_or(RequestError::Missing { field: "process" })?;
    Ok(ExecInContainer { container_id, exec_id, process: process_spec(process)? })
}

/// A NUL would cut a string short on its way into the kernel: what runs would not be what was judged.
fn refuse_nul(field: &'static str, strings: &[String]) -> Result<(), RequestError> {
    if strings.iter().any(|string| string.contains('\0')) {
        return Err(RequestError::Value { field, expected: "strings without NUL bytes" });
    }
    Ok(())
}

fn user(user: &oci::User) -> Result<User, RequestError> {
    refuse(!user.Username.is_empty(), "Process.User.Username", "users are given by number")?;
    Ok(User {
        uid: user.UID,
        gid: user.GID,
        additional_gids: user.AdditionalGids.clone(),
        user_name: String::new(),
        group_names: Vec::new(),
    })
}

fn capabilities(sets: &oci::LinuxCapabilities) -> Result<CapabilitySets, RequestError> {
    Ok(CapabilitySets {
        bounding: capability_names(&sets.Bounding)?,
        effective: capability_names(&sets.Effective)?,
        inheritable: capability_names(&sets.Inheritable)?,
        permitted: capability_names(&sets.Permitted)?,
        ambient: capability_names(&sets.Ambient)?,
    })
}

/// Capability names with their prefix, which Kata's Rust shim leaves out.
fn capability_names(names: &[String]) -> Result<Vec<String>, RequestError> {
    let prefixed = |name: &String| {
        let bare = name.strip_prefix("CAP_").unwrap_or(name);
        let plain = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        plain.then(|| format!("CAP_{bare}")).ok_or(RequestError::Value {
            field: "Process.Capabilities",
            expected: "names such as `CAP_CHOWN` or `CHOWN`",
        })
    };
    names.iter().map(prefixed).collect()
}

fn rlimit(limit: &oci::POSIXRlimit) -> Result<Rlimit, RequestError> {
    if !RLIMITS.contains(&limit.Type.as_str()) {
        return Err(RequestError::Value { field: "Process.Rlimits", expected: "a limit that Linux has" });
    }
    if limit.Soft > limit.Hard {
        return Err(RequestError::Value {
            field: "Process.Rlimits",
            expected: "a soft limit below the hard one",
        });
    }
    // Attack: a program that ends at a limit of the host's choice leaves its memory in a file, on scratch that policy
    // lets the host read.
    let dumps = limit.Type == "RLIMIT_CORE" && limit.Soft != 0;
    refuse(dumps, "Process.Rlimits: RLIMIT_CORE", "no program's memory is written to a file")?;
    Ok(Rlimit { kind: limit.Type.clone(), soft: limit.Soft, hard: limit.Hard })
}

/// The size of a terminal, in characters.
pub(crate) fn terminal_size(rows: u32, columns: u32) -> Result<TerminalSize, RequestError> {
    let side = |side: u32| {
        u16::try_from(side)
            .map_err(|_| RequestError::Value { field: "terminal size", expected: "sides below 65,536" })
    };
    Ok(TerminalSize { rows: side(rows)?, columns: side(columns)? })
}
