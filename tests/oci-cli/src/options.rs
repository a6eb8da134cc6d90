//! The command line, in the words that container engines use.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// An OCI runtime over the executor of the confidential guest's agent
#[derive(Debug, Parser)]
#[command(name = "cce-oci", version = concat!(env!("CARGO_PKG_VERSION"), "\nspec: 1.2.0"), args_override_self = true)]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Directory of the containers' state
    #[arg(long, default_value = "/run/cce-oci", value_name = "DIR")]
    pub(crate) root: PathBuf,
    /// File that errors are appended to, beside standard error
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,
    /// Form of the log file
    #[arg(long, value_enum, default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Accepted for engines that give it: there is nothing more to log
    #[arg(long)]
    pub(crate) debug: bool,
    /// Accepted and without effect: cgroups are made without systemd
    #[arg(long)]
    pub(crate) systemd_cgroup: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a container, which waits to be started
    Create(Create),
    /// Remove a container that has ended
    Delete(Delete),
    /// Show statistics, and processes that were killed for want of memory
    Events(Events),
    /// Execute a further process in a running container
    Exec(Box<Exec>),
    /// Say what this runtime can do
    Features,
    /// Hold the way to start a container (internal)
    #[command(hide = true)]
    HoldGate,
    /// Send a signal to a container
    Kill(Kill),
    /// List containers
    List(List),
    /// Stop a container's processes where they are
    Pause(Id),
    /// List a container's processes
    Ps(Ps),
    /// Let a paused container's processes go on
    Resume(Id),
    /// Create and start a container
    Run(Run),
    /// Write a new config.json
    Spec(Spec),
    /// Start a created container
    Start(Id),
    /// Show a container's state
    State(Id),
    /// Change a container's limits
    Update(Box<Update>),
}

#[derive(Debug, Args)]
pub(crate) struct Id {
    /// The container
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Directory with config.json
    #[arg(long, short, default_value = ".", value_name = "DIR")]
    pub(crate) bundle: PathBuf,
    /// Socket that is sent the terminal's master end
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// File that the number of the container's init is written to
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Accepted and without effect: roots that cannot be exchanged are covered
    #[arg(long)]
    pub(crate) no_pivot: bool,
    /// Accepted and without effect: sessions of keys are always new
    #[arg(long)]
    pub(crate) no_new_keyring: bool,
    /// How many further descriptors, from 3 up, the container gets
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) preserve_fds: u32,
    /// The container
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) create: Create,
    /// Do not wait for the end of the container
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// Leave the container's state when it has ended
    #[arg(long)]
    pub(crate) keep: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Kill it if it runs, and do not mind if there is none
    #[arg(long, short)]
    pub(crate) force: bool,
    /// The container
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Show statistics once
    #[arg(long)]
    pub(crate) stats: bool,
    /// Time between statistics, in whole seconds
    #[arg(long, default_value = "5s", value_parser = seconds, value_name = "5s")]
    pub(crate) interval: u64,
    /// The container
    pub(crate) id: String,
}

fn seconds(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix('s').unwrap_or(text).parse();
    number.ok().filter(|seconds| *seconds > 0).ok_or_else(|| "not a number of seconds such as 5s".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct Exec {
    /// File with the process, as `process` of config.json
    #[arg(long, short, value_name = "FILE")]
    pub(crate) process: Option<PathBuf>,
    /// Do not wait for the end of the process
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// With a terminal
    #[arg(long, short)]
    pub(crate) tty: bool,
    /// Socket that is sent the terminal's master end
    #[arg(long, value_name = "SOCKET")]
    pub(crate) console_socket: Option<PathBuf>,
    /// File that the number of the process is written to
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Working directory
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// Environment entry NAME=value, beside the container's
    #[arg(long, short, value_name = "NAME=value")]
    pub(crate) env: Vec<String>,
    /// User and group, by number
    #[arg(long, short, value_name = "UID[:GID]")]
    pub(crate) user: Option<String>,
    /// Further group, by number
    #[arg(long, short = 'g', value_name = "GID")]
    pub(crate) additional_gids: Vec<u32>,
    /// Capability, beside the container's
    #[arg(long, short, value_name = "CAP_NAME")]
    pub(crate) cap: Vec<String>,
    /// Forbid new privileges
    #[arg(long)]
    pub(crate) no_new_privs: bool,
    /// AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    pub(crate) apparmor: Option<String>,
    /// SELinux label
    #[arg(long, value_name = "LABEL")]
    pub(crate) process_label: Option<String>,
    /// Wait until a paused container goes on, instead of refusing
    #[arg(long)]
    pub(crate) ignore_paused: bool,
    /// Cgroup below the container's own; only `/`, which is that
    #[arg(long, value_name = "PATH")]
    pub(crate) cgroup: Vec<String>,
    /// How many further descriptors, from 3 up, the process gets
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) preserve_fds: u32,
    /// The container
    pub(crate) id: String,
    /// Program and arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) args: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// To all processes of the container
    #[arg(long, short)]
    pub(crate) all: bool,
    /// The container
    pub(crate) id: String,
    /// Name or number
    #[arg(default_value = "SIGTERM")]
    pub(crate) signal: String,
}

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    Json,
    Table,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Form of the list
    #[arg(long, short, value_enum, default_value = "table")]
    pub(crate) format: ListFormat,
    /// Ids only
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Form of the list
    #[arg(long, short, value_enum, default_value = "table")]
    pub(crate) format: ListFormat,
    /// The container
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Spec {
    /// Directory that it is written to
    #[arg(long, short, default_value = ".", value_name = "DIR")]
    pub(crate) bundle: PathBuf,
    /// Refused: users of the host are not looked up
    #[arg(long)]
    pub(crate) rootless: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Update {
    /// File with limits, as `linux.resources` of config.json; `-` for standard input
    #[arg(long, short, value_name = "FILE")]
    pub(crate) resources: Option<PathBuf>,
    /// Memory, in bytes; -1 for no limit
    #[arg(long, short, allow_hyphen_values = true)]
    pub(crate) memory: Option<i64>,
    /// Memory that is taken back first, in bytes; -1 for no limit
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) memory_reservation: Option<i64>,
    /// Memory and swap, in bytes; -1 for no limit
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) memory_swap: Option<i64>,
    /// CPU period, in microseconds
    #[arg(long)]
    pub(crate) cpu_period: Option<u64>,
    /// CPU time per period, in microseconds; -1 for no limit
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) cpu_quota: Option<i64>,
    /// Relative CPU weight
    #[arg(long)]
    pub(crate) cpu_share: Option<u64>,
    /// CPUs that may be used
    #[arg(long)]
    pub(crate) cpuset_cpus: Option<String>,
    /// Memory nodes that may be used
    #[arg(long)]
    pub(crate) cpuset_mems: Option<String>,
    /// Number of processes; -1 for no limit
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) pids_limit: Option<i64>,
    /// Relative I/O weight
    #[arg(long)]
    pub(crate) blkio_weight: Option<u16>,
    /// The container
    pub(crate) id: String,
}
