//! Limits.

use anyhow::Context as _;
use oci_spec::runtime::LinuxResources;
use policy_engine::request::Resources;

/// The limits of a configuration, but for its rules about devices.
pub(crate) fn resources(asked: &LinuxResources) -> anyhow::Result<Resources> {
    let mut limits = Resources::default();
    super::refuse(&[
        ("blockIO", asked.block_io().as_ref().is_some_and(|block_io| *block_io != Default::default())),
        ("hugepageLimits", asked.hugepage_limits().as_ref().is_some_and(|limits| !limits.is_empty())),
        ("network", asked.network().as_ref().is_some_and(|network| *network != Default::default())),
        ("rdma", asked.rdma().as_ref().is_some_and(|rdma| !rdma.is_empty())),
        ("unified", asked.unified().as_ref().is_some_and(|unified| !unified.is_empty())),
    ])?;
    if let Some(memory) = asked.memory() {
        super::refuse(&[
            ("memory.reservation", memory.reservation().is_some()),
            ("memory.swap", memory.swap().is_some()),
            ("memory.kernel", memory.kernel().is_some()),
            ("memory.kernelTCP", memory.kernel_tcp().is_some()),
            ("memory.swappiness", memory.swappiness().is_some()),
            ("memory.disableOOMKiller", memory.disable_oom_killer() == Some(true)),
        ])?;
        limits.memory_limit_bytes = memory.limit().and_then(unless_unlimited);
    }
    if let Some(cpu) = asked.cpu() {
        super::refuse(&[
            ("cpu.burst", cpu.burst().is_some()),
            ("cpu.idle", cpu.idle().is_some()),
            ("cpu.realtimeRuntime", cpu.realtime_runtime().is_some()),
            ("cpu.realtimePeriod", cpu.realtime_period().is_some()),
        ])?;
        limits.cpu_shares = cpu.shares().filter(|shares| *shares != 0);
        limits.cpu_quota_us = cpu.quota().and_then(unless_unlimited);
        limits.cpu_period_us = cpu.period().filter(|period| *period != 0);
        let list = |text: &Option<String>| {
            text.as_deref().filter(|text| !text.is_empty()).map(str::parse).transpose()
        };
        limits.cpus = list(cpu.cpus()).context("`cpu.cpus`")?;
        limits.memory_nodes = list(cpu.mems()).context("`cpu.mems`")?;
    }
    limits.pids_limit = asked.pids().as_ref().and_then(|pids| unless_unlimited(pids.limit()));
    Ok(limits)
}

/// 0 is no limit as well, in the words of the specification's older versions.
fn unless_unlimited(limit: i64) -> Option<u64> {
    u64::try_from(limit).ok().filter(|limit| *limit != 0)
}
