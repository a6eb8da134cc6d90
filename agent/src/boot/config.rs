//! Where the agent finds its policy, its reports and its listener.

use std::net::SocketAddr;
use std::path::PathBuf;

use proto::kata::address::{ParseAddressError, ServerAddress, VSOCK_CID_ANY};
use registry_client::TrustAnchors;

use crate::pull::PullConfig;

/// Kata's port of the agent.
const SERVER_PORT: u32 = 1024;
/// Port of the SKR side-car, where workloads look for reports.
const WORKLOAD_API: ([u8; 4], u16) = ([127, 0, 0, 1], 8080);

/// How the policy reaches the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PolicySource {
    /// On a block device, in Kata's initdata form.
    Initdata,
    /// In a file, byte for byte.
    File(PathBuf),
}

/// Who signs reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reports {
    /// The CPU's secure processor.
    Hardware,
    /// An emulation of it, outside the guest.
    #[cfg(feature = "emulated-psp")]
    Emulated(String),
}

/// Whether the kernel writes to the console, which the host reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KernelMessages {
    /// It says why it fails, with the registers and the stack that it failed with.
    Shown,
    /// It is silent, however it fails.
    Hidden,
}

/// What differs between guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) kernel_messages: KernelMessages,
    pub(crate) server_address: ServerAddress,
    pub(crate) policy: PolicySource,
    pub(crate) reports: Reports,
    pub(crate) workload_api: SocketAddr,
    /// How images are pulled, if they are.
    pub(crate) pull: Option<PullConfig>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("cannot read the configuration file")]
    Read(#[source] std::io::Error),
    #[error("the configuration file is not valid")]
    Parse(#[source] toml::de::Error),
    #[error("the server address is not valid")]
    Address(#[source] ParseAddressError),
    #[error("the address of the proxy for pulls is not valid")]
    PullProxy(#[source] ParseAddressError),
    #[error("cannot read the certificates of authorities for pulls")]
    PullAuthorities(#[source] std::io::Error),
    #[error("nothing is to be said about pulls without `pull_proxy`")]
    NoPullProxy,
    #[error("the command line has no `cce.image=production` or `cce.image=development`")]
    Flavour,
    #[error("{word:?} on the command line is not for this agent")]
    Word { word: String },
    #[error("this agent is built without the emulated secure processor")]
    NoEmulatedPsp,
}

/// The configuration file of an agent that is an ordinary process.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server_addr: String,
    policy_file: PathBuf,
    psp: Option<String>,
    workload_api: Option<SocketAddr>,
    pull_proxy: Option<String>,
    pull_authorities: Option<PathBuf>,
    pull_plain_loopback: Option<bool>,
}

impl Config {
    /// Reads the configuration of an ordinary process.
    pub(super) fn from_file(path: &std::path::Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(ConfigError::Read)?;
        let file: File = toml::from_str(&text).map_err(ConfigError::Parse)?;
        let pull = file.pull()?;
        Ok(Self {
            kernel_messages: KernelMessages::Shown,
            server_address: file.server_addr.parse().map_err(ConfigError::Address)?,
            policy: PolicySource::File(file.policy_file),
            reports: reports(file.psp.as_deref())?,
            workload_api: file.workload_api.unwrap_or(SocketAddr::from(WORKLOAD_API)),
            pull,
        })
    }

    /// Reads the configuration of PID 1 from the kernel command line, which is part of the measurement.
    ///
    /// Words of ours that this agent does not know are refused: a command line written for another agent
    /// could mean something weaker or stronger than what is done.
    pub(super) fn from_kernel_command_line(line: &str) -> Result<Self, ConfigError> {
        let mut server_address = ServerAddress::Vsock { cid: VSOCK_CID_ANY, port: SERVER_PORT };
        let mut flavour = None;
        let mut psp = None;
        let mut pull_proxy = None;
        for word in line.split_ascii_whitespace() {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "agent.server_addr" => server_address = value.parse().map_err(ConfigError::Address)?,
                "cce.image" => flavour = Some(value),
                "cce.psp" => psp = Some(value),
                "cce.pull_proxy" => pull_proxy = Some(value),
                key if key.starts_with("cce.") || key.starts_with("agent.") => {
                    return Err(ConfigError::Word { word: word.to_owned() });
                }
                _ => {}
            }
        }
        let kernel_messages = match (flavour, psp) {
            (Some("production"), None) => KernelMessages::Hidden,
            (Some("development"), _) => KernelMessages::Shown,
            (Some("production"), Some(_)) => return Err(ConfigError::NoEmulatedPsp),
            _ => return Err(ConfigError::Flavour),
        };
        Ok(Self {
            kernel_messages,
            server_address,
            policy: PolicySource::Initdata,
            reports: reports(psp)?,
            workload_api: SocketAddr::from(WORKLOAD_API),
            pull: pull_proxy.map(pull_through).transpose()?,
        })
    }
}

impl File {
    fn pull(&self) -> Result<Option<PullConfig>, ConfigError> {
        let Some(proxy) = &self.pull_proxy else {
            let alone = self.pull_authorities.is_some() || self.pull_plain_loopback.is_some();
            return if alone { Err(ConfigError::NoPullProxy) } else { Ok(None) };
        };
        let authorities = self.pull_authorities.as_ref().map(std::fs::read);
        let authorities = authorities.transpose().map_err(ConfigError::PullAuthorities)?;
        Ok(Some(PullConfig {
            trust_anchors: authorities.map_or(TrustAnchors::Mozilla, TrustAnchors::Pem),
            plain_loopback: self.pull_plain_loopback.unwrap_or(false),
            ..pull_through(proxy)?
        }))
    }
}

fn pull_through(proxy: &str) -> Result<PullConfig, ConfigError> {
    proxy.parse().map(PullConfig::through).map_err(ConfigError::PullProxy)
}

#[cfg(feature = "emulated-psp")]
fn reports(psp: Option<&str>) -> Result<Reports, ConfigError> {
    Ok(psp.map_or(Reports::Hardware, |address| Reports::Emulated(address.to_owned())))
}

#[cfg(not(feature = "emulated-psp"))]
fn reports(psp: Option<&str>) -> Result<Reports, ConfigError> {
    psp.map_or(Ok(Reports::Hardware), |_| Err(ConfigError::NoEmulatedPsp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_production_command_line_is_understood() {
        let config = Config::from_kernel_command_line("console=ttyS0 panic=-1 cce.image=production").unwrap();
        assert_eq!(config.server_address, ServerAddress::Vsock { cid: VSOCK_CID_ANY, port: 1024 });
        assert_eq!(config.policy, PolicySource::Initdata);
        assert_eq!(config.reports, Reports::Hardware);
        assert_eq!(config.pull, None, "without a measured word the guest opens no connection");
        assert_eq!(config.kernel_messages, KernelMessages::Hidden);
    }

    #[test]
    fn a_guest_for_development_shows_what_its_kernel_says() {
        let config = Config::from_kernel_command_line("console=ttyS0 cce.image=development").unwrap();
        assert_eq!(config.kernel_messages, KernelMessages::Shown);
    }

    #[test]
    fn the_way_to_registries_is_measured() {
        let config =
            Config::from_kernel_command_line("cce.image=production cce.pull_proxy=vsock://2:3128").unwrap();
        let proxy = ServerAddress::Vsock { cid: 2, port: 3128 };
        assert_eq!(config.pull, Some(PullConfig::through(proxy)));
    }

    #[test]
    fn a_command_line_for_another_agent_is_refused() {
        for line in [
            "quiet",
            "cce.image=debug",
            "cce.image=production cce.psp=vsock://2:4050",
            "cce.image=production agent.debug_console",
            "cce.image=production cce.policy=off",
            "cce.image=production agent.server_addr=tcp://0.0.0.0:1",
            "cce.image=production cce.pull_proxy=http://proxy.example",
        ] {
            assert!(Config::from_kernel_command_line(line).is_err(), "{line}");
        }
    }
}
