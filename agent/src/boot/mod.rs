//! Everything before the first byte of the host is read as a request.

mod cdh;
mod config;
mod policy;

use std::path::PathBuf;
use std::sync::Arc;

use attestation::source::{DetectSourceError, ReportSource};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use executor::boot::SecurityContext;
use executor::launcher::Launcher;
use policy_engine::authority::BootAuthority;
use policy_engine::{Engine, LoadError};

use crate::telemetry::HOST;
use cdh::{CdhError, PullSettings};
pub(crate) use config::Config;
use config::{ConfigError, KernelMessages, PolicySource, Reports};
use policy::{BoundPolicy, DOCUMENT_MAX_BYTES, DeliveredPolicy, PolicyError};

/// A guest that may open its door: a bound policy is loaded.
pub(crate) struct Booted {
    pub(crate) config: Config,
    pub(crate) engine: Engine,
    pub(crate) launcher: Launcher,
    pub(crate) security_context: SecurityContext,
    pub(crate) reports: Arc<dyn ReportSource>,
    /// The exact bytes of the policy, for workloads to read.
    pub(crate) policy: Arc<[u8]>,
}

/// How the agent was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    /// The only program of a measured guest.
    Init,
    /// A process on a machine that somebody else set up.
    Process {
        /// The configuration file.
        config: PathBuf,
    },
}

/// Why the door stays shut.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BootError {
    #[error("cannot set the guest up")]
    Guest(#[source] executor::boot::BootError),
    #[error("cannot read the kernel command line")]
    CommandLine(#[source] std::io::Error),
    #[error("cannot configure the agent")]
    Config(#[source] ConfigError),
    #[error("cannot hide the messages of the kernel")]
    KernelMessages(#[source] executor::boot::LockdownError),
    #[error("cannot start the launcher process")]
    Launcher(#[source] executor::launcher::StartError),
    #[error("there is no source of SNP reports")]
    NoReports(#[source] DetectSourceError),
    #[cfg(feature = "emulated-psp")]
    #[error("the address of the emulated secure processor is not valid")]
    EmulatedPsp(#[source] attestation::source::ParseAddressError),
    #[error("cannot look for initdata")]
    Initdata(#[source] executor::boot::InitdataError),
    #[error("no policy was delivered")]
    NoPolicy,
    #[error("no policy is bound to this guest")]
    Policy(#[source] PolicyError),
    #[error("cannot follow what initdata says about pulls")]
    Pull(#[source] CdhError),
    #[error("the policy cannot be loaded")]
    Load(#[source] LoadError),
    #[error("cannot publish the security context for containers")]
    SecurityContext(#[source] executor::boot::PublishError),
}

/// Brings the guest up to the point where the policy, and nothing else, says what happens.
///
/// The order matters: the launcher is forked before any thread exists, and the policy is bound to HOST_DATA
/// before it is parsed.
///
/// # Errors
///
/// With the authority back, which is good for switching the guest off.
pub(crate) fn run(authority: BootAuthority, role: &Role) -> Result<Booted, (BootError, BootAuthority)> {
    boot(&authority, role).map_err(|error| (error, authority))
}

fn boot(authority: &BootAuthority, role: &Role) -> Result<Booted, BootError> {
    let mut config = match role {
        Role::Init => {
            let guest = executor::boot::enter_guest(authority).map_err(BootError::Guest)?;
            if !guest.modules_without_hardware.is_empty() {
                let modules = guest.modules_without_hardware.join(", ");
                tracing::info!(target: HOST, "no hardware for {modules}");
            }
            let line = executor::boot::kernel_command_line(authority).map_err(BootError::CommandLine)?;
            let config = Config::from_kernel_command_line(&line).map_err(BootError::Config)?;
            if config.kernel_messages == KernelMessages::Hidden {
                executor::boot::hide_kernel_messages(authority).map_err(BootError::KernelMessages)?;
            }
            config
        }
        Role::Process { config } => {
            executor::boot::prepare_directories(authority).map_err(BootError::Guest)?;
            Config::from_file(config).map_err(BootError::Config)?
        }
    };
    let launcher = Launcher::start(authority).map_err(BootError::Launcher)?;
    let reports = report_source(&config.reports)?;
    let policy = bound_policy(authority, &config.policy, &*reports)?;
    let settings = PullSettings::of_initdata(&policy.files).map_err(BootError::Pull)?;
    config.pull = settings.complete(config.pull).map_err(BootError::Pull)?;
    let engine = Engine::load(&policy.text).map_err(BootError::Load)?;
    // Where ACI's workloads look for it.
    let files = [("security-policy-base64", BASE64.encode(&policy.text).into_bytes())];
    let files = files.each_ref().map(|(name, content)| (*name, content.as_slice()));
    let security_context =
        executor::boot::publish_security_context(authority, &files).map_err(BootError::SecurityContext)?;
    Ok(Booted { config, engine, launcher, security_context, reports, policy: policy.text.into() })
}

fn report_source(reports: &Reports) -> Result<Arc<dyn ReportSource>, BootError> {
    match reports {
        Reports::Hardware => attestation::source::detect().map(Arc::from).map_err(BootError::NoReports),
        #[cfg(feature = "emulated-psp")]
        Reports::Emulated(address) => {
            let psp: attestation::source::EmulatedPsp = address.parse().map_err(BootError::EmulatedPsp)?;
            Ok(Arc::new(psp))
        }
    }
}

fn bound_policy(
    authority: &BootAuthority,
    source: &PolicySource,
    reports: &dyn ReportSource,
) -> Result<BoundPolicy, BootError> {
    let delivered = match source {
        PolicySource::File(path) => DeliveredPolicy::from_file(path),
        PolicySource::Initdata => {
            let initdata = executor::boot::find_initdata(authority, DOCUMENT_MAX_BYTES)
                .map_err(BootError::Initdata)?
                .ok_or(BootError::NoPolicy)?;
            DeliveredPolicy::from_initdata(&initdata)
        }
    };
    delivered.and_then(|policy| policy.bind(reports)).map_err(BootError::Policy)
}
