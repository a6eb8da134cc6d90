//! Limits of a container, as a shim writes them.

use clap::Args;
use proto::kata::oci;
use protobuf::MessageField;

/// What a container may use.
#[derive(Debug, Args)]
pub(super) struct LimitArgs {
    /// The most memory, in bytes; -1 for no limit.
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    memory_limit: Option<i64>,
    /// The most processes; -1 for no limit.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// CPU time in each tenth of a second, in microseconds; -1 for no limit.
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// The most that is read from a block device in a second. May be repeated.
    #[arg(long, value_name = "MAJOR:MINOR=BYTES", value_parser = parse_rate)]
    read_rate: Vec<Rate>,
}

/// A rate of a block device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    major: i64,
    minor: i64,
    bytes_per_s: u64,
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    let parse = || {
        let (device, bytes) = text.split_once('=')?;
        let (major, minor) = device.split_once(':')?;
        Some(Rate {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            bytes_per_s: bytes.parse().ok()?,
        })
    };
    parse().ok_or_else(|| "not MAJOR:MINOR=BYTES".to_owned())
}

impl LimitArgs {
    /// The section of a specification that these limits are; nothing is limited that was not given.
    pub(super) fn resources(&self) -> oci::LinuxResources {
        let throttle = |rate: &Rate| oci::LinuxThrottleDevice {
            Major: rate.major,
            Minor: rate.minor,
            Rate: rate.bytes_per_s,
            ..Default::default()
        };
        let memory = |limit| oci::LinuxMemory { Limit: limit, ..Default::default() };
        let cpu = |quota| oci::LinuxCPU { Quota: quota, ..Default::default() };
        let pids = |limit| oci::LinuxPids { Limit: limit, ..Default::default() };
        let block_io = oci::LinuxBlockIO {
            ThrottleReadBpsDevice: self.read_rate.iter().map(throttle).collect(),
            ..Default::default()
        };
        oci::LinuxResources {
            Memory: self.memory_limit.map(memory).into(),
            CPU: self.cpu_quota.map(cpu).into(),
            Pids: self.pids_limit.map(pids).into(),
            BlockIO: MessageField::some(block_io),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_names_its_device() {
        assert_eq!(parse_rate("254:0=4096"), Ok(Rate { major: 254, minor: 0, bytes_per_s: 4096 }));
        for bad in ["", "254=1", "254:0", "a:0=1", "254:0=-1"] {
            assert!(parse_rate(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_what_is_given_is_limited() {
        let limits =
            LimitArgs { memory_limit: Some(-1), pids_limit: None, cpu_quota: None, read_rate: Vec::new() };
        let resources = limits.resources();
        assert_eq!(resources.Memory.Limit, -1);
        assert!(resources.Pids.is_none() && resources.CPU.is_none());
    }
}
