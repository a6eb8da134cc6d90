//! Limits.

use anyhow::Context as _;
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources, LinuxThrottleDevice};
use policy_engine::request::{
    BlockIoResources, CpuResources, DeviceNumber, DeviceRate, DeviceWeight, HugepageLimit, Maximum,
    MemoryResources, RdmaLimit, Resources, ThrottleKind, UnifiedSetting,
};

/// The limits of a configuration, but for its rules about devices.
pub(crate) fn resources(asked: &LinuxResources) -> anyhow::Result<Resources> {
    super::refuse(&[(
        "network",
        asked.network().as_ref().is_some_and(|network| *network != Default::default()),
    )])?;
    let hugepages = asked.hugepage_limits().iter().flatten().map(|limit| {
        let limit_bytes = u64::try_from(limit.limit()).map_or(Maximum::Unlimited, Maximum::Limited);
        Ok(HugepageLimit { page_size: limit.page_size().parse()?, limit_bytes })
    });
    let rdma = asked.rdma().iter().flatten().map(|(device, limit)| {
        let limit = RdmaLimit::new(device, limit.hca_handles(), limit.hca_objects());
        limit.context("no device is called that")
    });
    let mut unified: Vec<_> = asked.unified().iter().flatten().collect();
    unified.sort();
    let unified = unified.into_iter().map(|(file, value)| {
        let file = file.parse().with_context(|| format!("{file:?}"))?;
        Ok(UnifiedSetting { file, value: value.clone() })
    });
    Ok(Resources {
        memory: asked.memory().as_ref().map(memory).transpose()?.unwrap_or_default(),
        cpu: asked.cpu().as_ref().map(cpu).transpose()?.unwrap_or_default(),
        pids_limit: asked.pids().as_ref().and_then(|pids| Maximum::from_oci(pids.limit())),
        block_io: asked
            .block_io()
            .as_ref()
            .map(block_io)
            .transpose()
            .context("`blockIO`")?
            .unwrap_or_default(),
        hugepages: hugepages.collect::<anyhow::Result<_>>().context("`hugepageLimits`")?,
        rdma: rdma.collect::<anyhow::Result<_>>().context("`rdma`")?,
        unified: unified.collect::<anyhow::Result<_>>().context("`unified`")?,
    })
}

/// Limits of the kernel's own memory are left out as `runc` leaves them out: Linux has none any more.
fn memory(asked: &LinuxMemory) -> anyhow::Result<MemoryResources> {
    let maximum = |limit: Option<i64>| limit.and_then(Maximum::from_oci);
    Ok(MemoryResources {
        limit_bytes: maximum(asked.limit()),
        reservation_bytes: maximum(asked.reservation()),
        with_swap_bytes: maximum(asked.swap()),
        swappiness: asked.swappiness().map(u8::try_from).transpose().context("`memory.swappiness`")?,
        disable_oom_killer: asked.disable_oom_killer(),
        check_before_update: asked.check_before_update().unwrap_or_default(),
    })
}

fn cpu(asked: &LinuxCpu) -> anyhow::Result<CpuResources> {
    let list =
        |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(str::parse).transpose();
    Ok(CpuResources {
        shares: asked.shares().filter(|shares| *shares != 0),
        quota_us: asked.quota().and_then(Maximum::from_oci),
        period_us: asked.period().filter(|period| *period != 0),
        burst_us: asked.burst(),
        realtime_runtime_us: asked.realtime_runtime().and_then(Maximum::from_oci),
        realtime_period_us: asked.realtime_period().filter(|period| *period != 0),
        cpus: list(asked.cpus()).context("`cpu.cpus`")?,
        memory_nodes: list(asked.mems()).context("`cpu.mems`")?,
        idle: asked.idle().map(|idle| idle != 0),
    })
}

fn block_io(asked: &LinuxBlockIo) -> anyhow::Result<BlockIoResources> {
    let set = |weight: Option<u16>| weight.filter(|weight| *weight != 0);
    let weight_device = |device: &oci_spec::runtime::LinuxWeightDevice| {
        Ok(DeviceWeight {
            device: device_number(device.major(), device.minor())?,
            weight: set(device.weight()),
            leaf_weight: set(device.leaf_weight()),
        })
    };
    let throttles: [(&Option<Vec<LinuxThrottleDevice>>, ThrottleKind); 4] = [
        (asked.throttle_read_bps_device(), ThrottleKind::ReadBytes),
        (asked.throttle_write_bps_device(), ThrottleKind::WrittenBytes),
        (asked.throttle_read_iops_device(), ThrottleKind::Reads),
        (asked.throttle_write_iops_device(), ThrottleKind::Writes),
    ];
    let throttles = throttles.into_iter().flat_map(|(devices, kind)| {
        devices.iter().flatten().map(move |device| {
            let rate = if device.rate() == 0 { Maximum::Unlimited } else { Maximum::Limited(device.rate()) };
            Ok(DeviceRate { device: device_number(device.major(), device.minor())?, kind, rate })
        })
    });
    Ok(BlockIoResources {
        weight: set(asked.weight()),
        leaf_weight: set(asked.leaf_weight()),
        weight_devices: asked
            .weight_device()
            .iter()
            .flatten()
            .map(weight_device)
            .collect::<anyhow::Result<_>>()?,
        throttles: throttles.collect::<anyhow::Result<_>>()?,
    })
}

fn device_number(major: i64, minor: i64) -> anyhow::Result<DeviceNumber> {
    Ok(DeviceNumber { major: u32::try_from(major)?, minor: u32::try_from(minor)? })
}
