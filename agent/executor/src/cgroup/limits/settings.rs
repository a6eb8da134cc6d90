//! What limits are in the files of each version. The maps from values of version 1 to version 2 are those that runc and
//! crun have made customary.

use std::borrow::Cow;
use std::io;

use policy_engine::request::{
    BlockIoResources, CpuResources, DeviceNumber, DeviceRate, HugepageLimit, Maximum, MemoryResources,
    RdmaLimit, Resources, ThrottleKind,
};

use super::Limit;

/// How one limit is set.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) limit: Limit,
    /// The first of them that is there is written, in order.
    pub(super) places: Vec<(Place, Vec<Write>)>,
    /// What it means when none is there.
    pub(super) absent: Absent,
}

/// A directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Unified,
    /// That of a controller of version 1.
    Legacy(&'static str),
}

/// What it means that the kernel does not have a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    /// It is named as not enforced.
    Named,
    /// Nothing: it comes with another one, or asks for nothing.
    Ignored,
    /// The request fails.
    Refused,
}

/// A file and what is written to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) file: Cow<'static, str>,
    pub(super) value: Value,
}

/// What is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Instead of what is there.
    Whole(String),
    /// Instead of the line that begins with the same word.
    Line(String),
    /// Several such lines, each by itself.
    Lines(String),
    /// The second word of `cpu.max`, the first stays.
    Period(u64),
    /// What is left for swap of so many bytes together with memory.
    SwapBeyond(u64),
}

fn whole(file: impl Into<Cow<'static, str>>, value: impl ToString) -> Vec<Write> {
    vec![Write { file: file.into(), value: Value::Whole(value.to_string()) }]
}

fn line(file: &'static str, line: String) -> Vec<Write> {
    vec![Write { file: file.into(), value: Value::Line(line) }]
}

/// The number as version 2 has it.
fn unified(maximum: Maximum) -> String {
    maximum.limited().map_or_else(|| "max".to_owned(), |number| number.to_string())
}

/// The number as version 1 has it.
fn legacy(maximum: Maximum) -> String {
    maximum.limited().map_or_else(|| "-1".to_owned(), |number| number.to_string())
}

/// What to set, in order.
pub(super) fn compile(resources: &Resources) -> Result<Vec<Setting>, (Limit, io::Error)> {
    let mut settings = Settings(Vec::new());
    settings.memory(&resources.memory)?;
    settings.cpu(&resources.cpu);
    if let Some(limit) = resources.pids_limit {
        let writes = whole("pids.max", unified(limit));
        settings.add(Limit::Pids, [(Place::Unified, writes.clone()), (Place::Legacy("pids"), writes)]);
    }
    settings.block_io(&resources.block_io);
    resources.hugepages.iter().for_each(|limit| settings.hugepages(limit));
    resources.rdma.iter().for_each(|limit| settings.rdma(limit));
    for setting in &resources.unified {
        let value = Value::Lines(setting.value.clone());
        let writes = vec![Write { file: setting.file.as_str().to_owned().into(), value }];
        settings.push(Limit::Unified(setting.file.clone()), [(Place::Unified, writes)], Absent::Refused);
    }
    Ok(settings.0)
}

struct Settings(Vec<Setting>);

impl Settings {
    fn push<const N: usize>(&mut self, limit: Limit, places: [(Place, Vec<Write>); N], absent: Absent) {
        self.0.push(Setting { limit, places: places.into(), absent });
    }

    fn add<const N: usize>(&mut self, limit: Limit, places: [(Place, Vec<Write>); N]) {
        self.push(limit, places, Absent::Named);
    }

    fn memory(&mut self, memory: &MemoryResources) -> Result<(), (Limit, io::Error)> {
        let place = Place::Legacy("memory");
        if let Some(limit) = memory.limit_bytes {
            let version_1 = whole("memory.limit_in_bytes", legacy(limit));
            let places = [(Place::Unified, whole("memory.max", unified(limit))), (place, version_1)];
            self.add(Limit::Memory, places);
        }
        let swap = match (memory.limit_bytes, memory.with_swap_bytes) {
            // Otherwise what was set for both together would still hold.
            (Some(Maximum::Unlimited), None) => Some((Maximum::Unlimited, Absent::Ignored)),
            (_, with_swap) => with_swap.map(|with_swap| (with_swap, Absent::Named)),
        };
        if let Some((total, absent)) = swap {
            let version_2 = swap_beside(memory.limit_bytes, total)
                .ok_or_else(|| (Limit::Swap, io::Error::from(io::ErrorKind::InvalidInput)))?;
            let version_2 = vec![Write { file: "memory.swap.max".into(), value: version_2 }];
            let version_1 = whole("memory.memsw.limit_in_bytes", legacy(total));
            self.push(Limit::Swap, [(Place::Unified, version_2), (place, version_1)], absent);
        }
        if let Some(bytes) = memory.reservation_bytes {
            let version_1 = whole("memory.soft_limit_in_bytes", legacy(bytes));
            let places = [(Place::Unified, whole("memory.low", unified(bytes))), (place, version_1)];
            self.add(Limit::MemoryReservation, places);
        }
        if let Some(swappiness) = memory.swappiness {
            self.add(Limit::Swappiness, [(place, whole("memory.swappiness", swappiness))]);
        }
        if let Some(disabled) = memory.disable_oom_killer {
            let absent = if disabled { Absent::Named } else { Absent::Ignored };
            self.push(Limit::OomKiller, [(place, whole("memory.oom_control", u8::from(disabled)))], absent);
        }
        Ok(())
    }

    fn cpu(&mut self, cpu: &CpuResources) {
        let place = Place::Legacy("cpu");
        let quota = cpu.quota_us.map(|quota| match cpu.period_us {
            Some(period) => Value::Whole(format!("{} {period}", unified(quota))),
            None => Value::Whole(unified(quota)),
        });
        if let Some(value) = quota.or(cpu.period_us.map(Value::Period)) {
            let version_2 = vec![Write { file: "cpu.max".into(), value }];
            let period = cpu.period_us.map(|period| whole("cpu.cfs_period_us", period));
            let quota = cpu.quota_us.map(|quota| whole("cpu.cfs_quota_us", legacy(quota)));
            let version_1 = [period, quota].into_iter().flatten().flatten().collect();
            self.add(Limit::CpuQuota, [(Place::Unified, version_2), (place, version_1)]);
        }
        if let Some(burst) = cpu.burst_us {
            let version_1 = whole("cpu.cfs_burst_us", burst);
            self.add(Limit::CpuBurst, [(Place::Unified, whole("cpu.max.burst", burst)), (place, version_1)]);
        }
        if let Some(shares) = cpu.shares {
            let version_2 = whole("cpu.weight", cpu_weight(shares));
            self.add(Limit::CpuWeight, [(Place::Unified, version_2), (place, whole("cpu.shares", shares))]);
        }
        if let Some(idle) = cpu.idle {
            let writes = whole("cpu.idle", u8::from(idle));
            self.add(Limit::CpuIdle, [(Place::Unified, writes.clone()), (place, writes)]);
        }
        let period = cpu.realtime_period_us.map(|period| whole("cpu.rt_period_us", period));
        let runtime = cpu.realtime_runtime_us.map(|runtime| whole("cpu.rt_runtime_us", legacy(runtime)));
        for writes in [period, runtime].into_iter().flatten() {
            self.add(Limit::CpuRealtime, [(place, writes)]);
        }
        let sets =
            [(Limit::Cpus, "cpuset.cpus", &cpu.cpus), (Limit::MemoryNodes, "cpuset.mems", &cpu.memory_nodes)];
        for (limit, file, set) in sets {
            if let Some(set) = set {
                let writes = whole(file, set);
                self.add(limit, [(Place::Unified, writes.clone()), (Place::Legacy("cpuset"), writes)]);
            }
        }
    }

    fn block_io(&mut self, io: &BlockIoResources) {
        let place = Place::Legacy("blkio");
        if let Some(weight) = io.weight {
            let places = [
                (Place::Unified, line("io.bfq.weight", format!("default {weight}"))),
                (Place::Unified, line("io.weight", format!("default {}", io_weight(weight)))),
                (place, whole("blkio.weight", weight)),
                (place, whole("blkio.bfq.weight", weight)),
            ];
            self.add(Limit::IoWeight, places);
        }
        if let Some(weight) = io.leaf_weight {
            self.add(Limit::IoWeight, [(place, whole("blkio.leaf_weight", weight))]);
        }
        for device in &io.weight_devices {
            let number = number(device.device);
            if let Some(weight) = device.weight {
                let words = format!("{number} {weight}");
                let places = [
                    (Place::Unified, line("io.bfq.weight", words.clone())),
                    (Place::Unified, line("io.weight", format!("{number} {}", io_weight(weight)))),
                    (place, line("blkio.weight_device", words.clone())),
                    (place, line("blkio.bfq.weight_device", words)),
                ];
                self.add(Limit::IoWeight, places);
            }
            if let Some(weight) = device.leaf_weight {
                let writes = line("blkio.leaf_weight_device", format!("{number} {weight}"));
                self.add(Limit::IoWeight, [(place, writes)]);
            }
        }
        io.throttles.iter().for_each(|rate| self.throttle(*rate));
    }

    fn throttle(&mut self, DeviceRate { device, kind, rate }: DeviceRate) {
        let (key, file) = match kind {
            ThrottleKind::ReadBytes => ("rbps", "blkio.throttle.read_bps_device"),
            ThrottleKind::WrittenBytes => ("wbps", "blkio.throttle.write_bps_device"),
            ThrottleKind::Reads => ("riops", "blkio.throttle.read_iops_device"),
            ThrottleKind::Writes => ("wiops", "blkio.throttle.write_iops_device"),
        };
        let number = number(device);
        let places = [
            (Place::Unified, line("io.max", format!("{number} {key}={}", unified(rate)))),
            // Version 1 takes zero for no bound.
            (Place::Legacy("blkio"), line(file, format!("{number} {}", rate.limited().unwrap_or(0)))),
        ];
        self.add(Limit::IoRate, places);
    }

    fn hugepages(&mut self, HugepageLimit { page_size, limit_bytes }: &HugepageLimit) {
        for (reserved, absent) in [("", Absent::Named), ("rsvd.", Absent::Ignored)] {
            let version_2 = whole(format!("hugetlb.{page_size}.{reserved}max"), unified(*limit_bytes));
            let file = format!("hugetlb.{page_size}.{reserved}limit_in_bytes");
            let version_1 = whole(file, legacy(*limit_bytes));
            let places = [(Place::Unified, version_2), (Place::Legacy("hugetlb"), version_1)];
            self.push(Limit::Hugepages, places, absent);
        }
    }

    fn rdma(&mut self, limit: &RdmaLimit) {
        let word = |key: &str, number: Option<u32>| number.map(|number| format!(" {key}={number}"));
        let words = [word("hca_handle", limit.handles), word("hca_object", limit.objects)];
        let words: String = words.into_iter().flatten().collect();
        if !words.is_empty() {
            let writes = line("rdma.max", format!("{}{words}", limit.device()));
            self.add(Limit::Rdma, [(Place::Unified, writes.clone()), (Place::Legacy("rdma"), writes)]);
        }
    }
}

fn number(DeviceNumber { major, minor }: DeviceNumber) -> String {
    format!("{major}:{minor}")
}

/// The limit of swap alone, for one of memory and swap together; `None` when the two contradict each other.
fn swap_beside(memory: Option<Maximum>, total: Maximum) -> Option<Value> {
    match (total, memory) {
        (Maximum::Unlimited, _) => Some(Value::Whole("max".to_owned())),
        (Maximum::Limited(total), None) => Some(Value::SwapBeyond(total)),
        (Maximum::Limited(total), Some(Maximum::Limited(memory))) => {
            Some(Value::Whole(total.checked_sub(memory)?.to_string()))
        }
        (Maximum::Limited(_), Some(Maximum::Unlimited)) => None,
    }
}

/// The weight (1 to 10,000) for shares of version 1 (2 to 262,144).
fn cpu_weight(shares: u64) -> u64 {
    scaled(shares.clamp(2, 262_144).saturating_sub(2), 262_142)
}

/// The weight of version 2 (1 to 10,000) for one of version 1 (10 to 1,000).
fn io_weight(weight: u16) -> u64 {
    scaled(u64::from(weight.clamp(10, 1000)).saturating_sub(10), 990)
}

/// From 0 to `range` linearly to 1 to 10,000.
fn scaled(above: u64, range: u64) -> u64 {
    above.saturating_mul(9999).checked_div(range).unwrap_or_default().saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_version_1_are_scaled() {
        assert_eq!([0, 2, 1024, 262_144, u64::MAX].map(cpu_weight), [1, 1, 39, 10_000, 10_000]);
        assert_eq!([0, 10, 500, 1000, u16::MAX].map(io_weight), [1, 1, 4950, 10_000, 10_000]);
    }

    #[test]
    fn swap_is_what_is_left_beside_memory() {
        use Maximum::{Limited, Unlimited};
        let whole = |value: &str| Some(Value::Whole(value.to_owned()));
        assert_eq!(swap_beside(Some(Limited(3)), Limited(5)), whole("2"));
        assert_eq!(swap_beside(Some(Limited(3)), Limited(3)), whole("0"));
        assert_eq!(swap_beside(Some(Limited(3)), Limited(2)), None);
        assert_eq!(swap_beside(Some(Unlimited), Limited(2)), None);
        assert_eq!(swap_beside(None, Limited(2)), Some(Value::SwapBeyond(2)));
        assert_eq!(swap_beside(Some(Limited(3)), Unlimited), whole("max"));
    }

    #[test]
    fn what_is_not_limited_is_not_written() {
        assert_eq!(compile(&Resources::default()).unwrap(), []);
    }
}
