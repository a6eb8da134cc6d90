//! Limits of containers. A number that was not set arrives as zero, and one below zero says that there is no limit.

use policy_engine::request::{
    BlockIoResources, CpuResources, DeviceNumber, DeviceRate, DeviceWeight, HugepageLimit, IndexList,
    Maximum, MemoryResources, Resources, ThrottleKind,
};
use proto::kata::oci;

use super::{RequestError, refuse};

/// The most entries of a list: sizes of pages, or devices.
const ENTRIES_MAX: usize = 64;

/// Limits of a message. Device rules are left out: the guest has one fixed list of devices, stricter than any that a
/// host sends.
pub(super) fn resources(resources: &oci::LinuxResources) -> Result<Resources, RequestError> {
    refuse(resources.Network.is_some(), "OCI.Linux.Resources.Network", "classes of traffic are cgroup v1's")?;
    Ok(Resources {
        memory: resources.Memory.as_ref().map(memory).transpose()?.unwrap_or_default(),
        cpu: resources.CPU.as_ref().map(cpu).transpose()?.unwrap_or_default(),
        pids_limit: resources.Pids.as_ref().and_then(|pids| Maximum::from_oci(pids.Limit)),
        block_io: resources.BlockIO.as_ref().map(block_io).transpose()?.unwrap_or_default(),
        hugepages: hugepages(&resources.HugepageLimits)?,
        rdma: Vec::new(),
        unified: Vec::new(),
    })
}

fn memory(memory: &oci::LinuxMemory) -> Result<MemoryResources, RequestError> {
    let kernel = memory.Kernel != 0 || memory.KernelTCP != 0;
    refuse(kernel, "OCI.Linux.Resources.Memory.Kernel", "no kernel limits its own memory alone")?;
    let swappiness =
        match memory.Swappiness {
            0 => None,
            swappiness => Some(u8::try_from(swappiness).ok().filter(|value| *value <= 100).ok_or(
                RequestError::Value { field: "OCI.Linux.Resources.Memory.Swappiness", expected: "0 to 100" },
            )?),
        };
    Ok(MemoryResources {
        limit_bytes: Maximum::from_oci(memory.Limit),
        reservation_bytes: Maximum::from_oci(memory.Reservation),
        with_swap_bytes: Maximum::from_oci(memory.Swap),
        swappiness,
        disable_oom_killer: memory.DisableOOMKiller.then_some(true),
        check_before_update: false,
    })
}

fn cpu(cpu: &oci::LinuxCPU) -> Result<CpuResources, RequestError> {
    let set = |value: u64| Some(value).filter(|value| *value != 0);
    Ok(CpuResources {
        shares: set(cpu.Shares),
        quota_us: Maximum::from_oci(cpu.Quota),
        period_us: set(cpu.Period),
        burst_us: None,
        realtime_runtime_us: Maximum::from_oci(cpu.RealtimeRuntime),
        realtime_period_us: set(cpu.RealtimePeriod),
        cpus: index_list("OCI.Linux.Resources.CPU.Cpus", &cpu.Cpus)?,
        memory_nodes: index_list("OCI.Linux.Resources.CPU.Mems", &cpu.Mems)?,
        idle: None,
    })
}

fn index_list(field: &'static str, text: &str) -> Result<Option<IndexList>, RequestError> {
    let expected = "numbers and ranges such as `0-3,7`";
    let text = Some(text).filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(|_| RequestError::Value { field, expected })).transpose()
}

fn block_io(io: &oci::LinuxBlockIO) -> Result<BlockIoResources, RequestError> {
    let throttles = [
        (&io.ThrottleReadBpsDevice, ThrottleKind::ReadBytes),
        (&io.ThrottleWriteBpsDevice, ThrottleKind::WrittenBytes),
        (&io.ThrottleReadIOPSDevice, ThrottleKind::Reads),
        (&io.ThrottleWriteIOPSDevice, ThrottleKind::Writes),
    ];
    bound("OCI.Linux.Resources.BlockIO.WeightDevice", io.WeightDevice.len())?;
    let mut rates = Vec::new();
    for (devices, kind) in throttles {
        bound("OCI.Linux.Resources.BlockIO.Throttle", devices.len())?;
        for device in devices {
            let rate = if device.Rate == 0 { Maximum::Unlimited } else { Maximum::Limited(device.Rate) };
            rates.push(DeviceRate { device: device_number(device.Major, device.Minor)?, kind, rate });
        }
    }
    let weight_device = |device: &oci::LinuxWeightDevice| {
        Ok(DeviceWeight {
            device: device_number(device.Major, device.Minor)?,
            weight: weight(device.Weight)?,
            leaf_weight: weight(device.LeafWeight)?,
        })
    };
    Ok(BlockIoResources {
        weight: weight(io.Weight)?,
        leaf_weight: weight(io.LeafWeight)?,
        weight_devices: io.WeightDevice.iter().map(weight_device).collect::<Result<_, _>>()?,
        throttles: rates,
    })
}

fn weight(weight: u32) -> Result<Option<u16>, RequestError> {
    match u16::try_from(weight) {
        Ok(0) => Ok(None),
        Ok(weight @ 10..=1000) => Ok(Some(weight)),
        _ => Err(RequestError::Value {
            field: "OCI.Linux.Resources.BlockIO",
            expected: "weights of 10 to 1000",
        }),
    }
}

fn device_number(major: i64, minor: i64) -> Result<DeviceNumber, RequestError> {
    let number = |number: i64| {
        let expected = "numbers that a device has";
        u32::try_from(number)
            .map_err(|_| RequestError::Value { field: "OCI.Linux.Resources.BlockIO.Major", expected })
    };
    Ok(DeviceNumber { major: number(major)?, minor: number(minor)? })
}

fn hugepages(limits: &[oci::LinuxHugepageLimit]) -> Result<Vec<HugepageLimit>, RequestError> {
    const FIELD: &str = "OCI.Linux.Resources.HugepageLimits";
    bound(FIELD, limits.len())?;
    let limit = |limit: &oci::LinuxHugepageLimit| {
        let page_size = limit.Pagesize.parse();
        let page_size =
            page_size.map_err(|_| RequestError::Value { field: FIELD, expected: "sizes such as `2MB`" })?;
        Ok(HugepageLimit { page_size, limit_bytes: Maximum::Limited(limit.Limit) })
    };
    limits.iter().map(limit).collect()
}

/// Each entry is written to the kernel by itself.
fn bound(field: &'static str, entries: usize) -> Result<(), RequestError> {
    refuse(entries > ENTRIES_MAX, field, "more than 64 entries")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(change: impl FnOnce(&mut oci::LinuxResources)) -> Result<Resources, RequestError> {
        let mut message = oci::LinuxResources::default();
        change(&mut message);
        resources(&message)
    }

    #[test]
    fn what_is_not_set_is_not_limited() {
        assert_eq!(of(|_| {}).unwrap(), Resources::default());
        let empty = of(|message| {
            message.Memory = Some(oci::LinuxMemory::default()).into();
            message.CPU = Some(oci::LinuxCPU::default()).into();
            message.Pids = Some(oci::LinuxPids::default()).into();
            message.BlockIO = Some(oci::LinuxBlockIO::default()).into();
        });
        assert_eq!(empty.unwrap(), Resources::default());
    }

    #[test]
    fn below_zero_there_is_no_limit() {
        let all = of(|message| {
            message.Memory =
                Some(oci::LinuxMemory { Limit: -1, Swap: 7, Reservation: -1, ..Default::default() }).into();
            message.CPU = Some(oci::LinuxCPU { Quota: -1, Period: 5, ..Default::default() }).into();
            message.Pids = Some(oci::LinuxPids { Limit: -1, ..Default::default() }).into();
        })
        .unwrap();
        assert_eq!(all.memory.limit_bytes, Some(Maximum::Unlimited));
        assert_eq!(all.memory.with_swap_bytes, Some(Maximum::Limited(7)));
        assert_eq!(all.memory.reservation_bytes, Some(Maximum::Unlimited));
        assert_eq!((all.cpu.quota_us, all.cpu.period_us), (Some(Maximum::Unlimited), Some(5)));
        assert_eq!(all.pids_limit, Some(Maximum::Unlimited));
    }

    #[test]
    fn devices_and_huge_pages_are_limited() {
        let throttle =
            |rate| oci::LinuxThrottleDevice { Major: 254, Minor: 16, Rate: rate, ..Default::default() };
        let all = of(|message| {
            message.BlockIO = Some(oci::LinuxBlockIO {
                Weight: 500,
                ThrottleReadBpsDevice: vec![throttle(4096)],
                ThrottleWriteIOPSDevice: vec![throttle(0)],
                ..Default::default()
            })
            .into();
            let page = oci::LinuxHugepageLimit { Pagesize: "2MB".into(), Limit: 0, ..Default::default() };
            message.HugepageLimits.push(page);
        })
        .unwrap();
        let device = DeviceNumber { major: 254, minor: 16 };
        assert_eq!(all.block_io.weight, Some(500));
        let rate = |kind, rate| DeviceRate { device, kind, rate };
        assert_eq!(
            all.block_io.throttles,
            [
                rate(ThrottleKind::ReadBytes, Maximum::Limited(4096)),
                rate(ThrottleKind::Writes, Maximum::Unlimited)
            ]
        );
        // Zero pages are a limit.
        assert_eq!(all.hugepages[0].limit_bytes, Maximum::Limited(0));
    }

    #[test]
    fn what_no_kernel_limits_is_refused() {
        let io = |io: oci::LinuxBlockIO| of(|message| message.BlockIO = Some(io).into()).unwrap_err();
        for weight in [1, 9, 1001, 65_536 + 10] {
            io(oci::LinuxBlockIO { Weight: weight, ..Default::default() });
        }
        let device = oci::LinuxThrottleDevice { Major: -1, Rate: 1, ..Default::default() };
        io(oci::LinuxBlockIO { ThrottleReadBpsDevice: vec![device], ..Default::default() });
        let devices = vec![oci::LinuxThrottleDevice { Rate: 1, ..Default::default() }; 65];
        io(oci::LinuxBlockIO { ThrottleWriteBpsDevice: devices, ..Default::default() });
        let devices = vec![oci::LinuxWeightDevice { Weight: 10, ..Default::default() }; 65];
        io(oci::LinuxBlockIO { WeightDevice: devices, ..Default::default() });
        let memory =
            |memory: oci::LinuxMemory| of(|message| message.Memory = Some(memory).into()).unwrap_err();
        memory(oci::LinuxMemory { Kernel: 1, ..Default::default() });
        memory(oci::LinuxMemory { KernelTCP: -1, ..Default::default() });
        memory(oci::LinuxMemory { Swappiness: 101, ..Default::default() });
        let pages = |size: &str, count| {
            let page = oci::LinuxHugepageLimit { Pagesize: size.into(), Limit: 1, ..Default::default() };
            of(|message| message.HugepageLimits = vec![page; count])
        };
        pages("2MB", 64).unwrap();
        pages("2MB", 65).unwrap_err();
        pages("../2MB", 1).unwrap_err();
        of(|message| message.Network = Some(oci::LinuxNetwork::default()).into()).unwrap_err();
        of(|message| message.CPU = Some(oci::LinuxCPU { Cpus: "x".into(), ..Default::default() }).into())
            .unwrap_err();
    }
}
