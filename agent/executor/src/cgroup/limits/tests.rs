//! Against directories with files that only look like the kernel's: what is written where, and undone.

use std::collections::BTreeMap;
use std::fs;

use policy_engine::request::{
    BlockIoResources, CpuResources, DeviceNumber, DeviceRate, DeviceWeight, HugepageLimit, Maximum,
    MemoryResources, RdmaLimit, ThrottleKind, UnifiedSetting,
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::settings::Value;
use super::*;

/// A kernel: version 2, and version 1 for all controllers.
struct Kernel {
    directory: TempDir,
}

impl Kernel {
    /// One that has these files of version 2, and of version 1 with a leading slash.
    fn with(files: &[(&str, &str)]) -> Self {
        let kernel = Self { directory: TempDir::new().unwrap() };
        fs::create_dir(kernel.unified()).unwrap();
        fs::create_dir(kernel.directory.path().join("legacy")).unwrap();
        for (file, text) in files {
            fs::write(kernel.path(file), text).unwrap();
        }
        kernel
    }

    fn path(&self, file: &str) -> PathBuf {
        match file.strip_prefix('/') {
            Some(file) => self.directory.path().join("legacy").join(file),
            None => self.unified().join(file),
        }
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap()
    }
}

impl Directories for Kernel {
    fn unified(&self) -> PathBuf {
        self.directory.path().join("unified")
    }

    fn legacy(&self, _controller: &str) -> io::Result<Option<PathBuf>> {
        Ok(Some(self.directory.path().join("legacy")))
    }
}

const DISK: DeviceNumber = DeviceNumber { major: 254, minor: 16 };

/// Something of everything.
fn everything() -> Resources {
    Resources {
        memory: MemoryResources {
            limit_bytes: Some(Maximum::Limited(64 << 20)),
            reservation_bytes: Some(Maximum::Limited(32 << 20)),
            with_swap_bytes: Some(Maximum::Limited(96 << 20)),
            swappiness: Some(60),
            disable_oom_killer: Some(true),
            check_before_update: true,
        },
        cpu: CpuResources {
            shares: Some(1024),
            quota_us: Some(Maximum::Limited(20_000)),
            period_us: Some(50_000),
            burst_us: Some(1_000),
            realtime_runtime_us: Some(Maximum::Limited(5)),
            realtime_period_us: Some(10),
            cpus: Some("0-1".parse().unwrap()),
            memory_nodes: Some("0".parse().unwrap()),
            idle: Some(false),
        },
        pids_limit: Some(Maximum::Unlimited),
        block_io: BlockIoResources {
            weight: Some(100),
            leaf_weight: Some(200),
            weight_devices: vec![DeviceWeight { device: DISK, weight: Some(300), leaf_weight: Some(400) }],
            throttles: vec![DeviceRate {
                device: DISK,
                kind: ThrottleKind::Reads,
                rate: Maximum::Limited(7),
            }],
        },
        hugepages: vec![HugepageLimit {
            page_size: "2MB".parse().unwrap(),
            limit_bytes: Maximum::Limited(4 << 20),
        }],
        rdma: vec![RdmaLimit::new("mlx5_0", Some(2), None).unwrap()],
        unified: Vec::new(),
    }
}

#[test]
fn version_2_gets_everything_that_it_has() {
    let files = [
        "memory.max",
        "memory.swap.max",
        "memory.low",
        "cpu.max",
        "cpu.max.burst",
        "cpu.weight",
        "cpu.idle",
        "pids.max",
        "cpuset.cpus",
        "cpuset.mems",
        "io.weight",
        "io.max",
        "hugetlb.2MB.max",
        "hugetlb.2MB.rsvd.max",
        "rdma.max",
    ];
    let kernel = Kernel::with(&files.map(|file| (file, "0\n")));
    let unenforced = set(&kernel, &everything()).unwrap();
    assert_eq!(unenforced, [Limit::Swappiness, Limit::OomKiller, Limit::CpuRealtime, Limit::IoWeight]);
    let written: BTreeMap<&str, String> = files.into_iter().map(|file| (file, kernel.read(file))).collect();
    let expected = [
        ("cpu.idle", "0"),
        ("cpu.max", "20000 50000"),
        ("cpu.max.burst", "1000"),
        ("cpu.weight", "39"),
        ("cpuset.cpus", "0-1"),
        ("cpuset.mems", "0"),
        ("hugetlb.2MB.max", "4194304"),
        ("hugetlb.2MB.rsvd.max", "4194304"),
        ("io.max", "254:16 riops=7"),
        // The kernel keeps each line; a plain file keeps the last.
        ("io.weight", "254:16 2930"),
        ("memory.low", "33554432"),
        ("memory.max", "67108864"),
        ("memory.swap.max", "33554432"),
        ("pids.max", "max"),
        ("rdma.max", "mlx5_0 hca_handle=2"),
    ];
    assert_eq!(written, expected.map(|(file, value)| (file, value.to_owned())).into());
}

#[test]
fn version_1_gets_what_version_2_lacks() {
    let files = [
        "/memory.limit_in_bytes",
        "/memory.memsw.limit_in_bytes",
        "/memory.soft_limit_in_bytes",
        "/memory.swappiness",
        "/memory.oom_control",
        "/cpu.cfs_quota_us",
        "/cpu.cfs_period_us",
        "/cpu.cfs_burst_us",
        "/cpu.rt_runtime_us",
        "/cpu.rt_period_us",
        "/cpu.shares",
        "/cpu.idle",
        "/pids.max",
        "/cpuset.cpus",
        "/cpuset.mems",
        "/blkio.weight",
        "/blkio.leaf_weight",
        "/blkio.weight_device",
        "/blkio.leaf_weight_device",
        "/blkio.throttle.read_iops_device",
        "/hugetlb.2MB.limit_in_bytes",
        "/hugetlb.2MB.rsvd.limit_in_bytes",
        "/rdma.max",
    ];
    let kernel = Kernel::with(&files.map(|file| (file, "0\n")));
    let mut resources = everything();
    resources.memory.limit_bytes = Some(Maximum::Unlimited);
    resources.memory.with_swap_bytes = None;
    resources.cpu.quota_us = Some(Maximum::Unlimited);
    assert_eq!(set(&kernel, &resources).unwrap(), []);
    let written: BTreeMap<&str, String> = files.into_iter().map(|file| (file, kernel.read(file))).collect();
    let expected = [
        ("/blkio.leaf_weight", "200"),
        ("/blkio.leaf_weight_device", "254:16 400"),
        ("/blkio.throttle.read_iops_device", "254:16 7"),
        ("/blkio.weight", "100"),
        ("/blkio.weight_device", "254:16 300"),
        ("/cpu.cfs_burst_us", "1000"),
        ("/cpu.cfs_period_us", "50000"),
        ("/cpu.cfs_quota_us", "-1"),
        ("/cpu.idle", "0"),
        ("/cpu.rt_period_us", "10"),
        ("/cpu.rt_runtime_us", "5"),
        ("/cpu.shares", "1024"),
        ("/cpuset.cpus", "0-1"),
        ("/cpuset.mems", "0"),
        ("/hugetlb.2MB.limit_in_bytes", "4194304"),
        ("/hugetlb.2MB.rsvd.limit_in_bytes", "4194304"),
        ("/memory.limit_in_bytes", "-1"),
        ("/memory.memsw.limit_in_bytes", "-1"),
        ("/memory.oom_control", "1"),
        ("/memory.soft_limit_in_bytes", "33554432"),
        ("/memory.swappiness", "60"),
        ("/pids.max", "max"),
        ("/rdma.max", "mlx5_0 hca_handle=2"),
    ];
    assert_eq!(written, expected.map(|(file, value)| (file, value.to_owned())).into());
}

#[test]
fn what_the_kernel_lacks_is_named_once() {
    let kernel = Kernel::with(&[]);
    let mut resources = everything();
    resources.memory.disable_oom_killer = Some(false);
    let unenforced = set(&kernel, &resources).unwrap();
    let names: Vec<String> = unenforced.iter().map(ToString::to_string).collect();
    assert_eq!(
        names.join(", "),
        "memory, swap, memory reservation, swappiness, cpu quota, cpu burst, cpu weight, cpu idle, cpu realtime, cpus, \
         memory nodes, pids, io weight, io rate, hugepages, rdma"
    );
}

#[test]
fn a_period_alone_keeps_the_quota() {
    let kernel = Kernel::with(&[("cpu.max", "20000 100000\n")]);
    let cpu = CpuResources { period_us: Some(50_000), ..CpuResources::default() };
    assert_eq!(set(&kernel, &Resources { cpu, ..Resources::default() }).unwrap(), []);
    assert_eq!(kernel.read("cpu.max"), "20000 50000");
}

#[test]
fn swap_is_beside_the_memory_that_is_allowed_now() {
    let swap = |limit: &str, total| {
        let kernel = Kernel::with(&[("memory.max", limit), ("memory.swap.max", "max\n")]);
        let memory =
            MemoryResources { with_swap_bytes: Some(Maximum::Limited(total)), ..MemoryResources::default() };
        set(&kernel, &Resources { memory, ..Resources::default() }).map(|_| kernel.read("memory.swap.max"))
    };
    assert_eq!(swap("4096\n", 4096).unwrap(), "0");
    assert_eq!(swap("4096\n", 12288).unwrap(), "8192");
    assert!(matches!(swap("4096\n", 4095), Err(NotSet { limit: Limit::Swap, .. })));
    assert!(matches!(swap("max\n", 4096), Err(NotSet { limit: Limit::Swap, .. })));
}

#[test]
fn a_limit_below_what_is_used_is_refused_if_asked() {
    let kernel = Kernel::with(&[("memory.current", "8192\n"), ("memory.max", "max\n")]);
    let set = |limit, check_before_update| {
        let memory = MemoryResources {
            limit_bytes: Some(Maximum::Limited(limit)),
            check_before_update,
            ..MemoryResources::default()
        };
        set(&kernel, &Resources { memory, ..Resources::default() })
    };
    let refused = set(8192, true).unwrap_err();
    assert_eq!((refused.limit, refused.undone), (Limit::Memory, true));
    assert_eq!(kernel.read("memory.max"), "max\n");
    set(8193, true).unwrap();
    set(4096, false).unwrap();
    assert_eq!(kernel.read("memory.max"), "4096");
}

#[test]
fn a_file_of_version_2_that_is_not_there_is_an_error() {
    let kernel = Kernel::with(&[("memory.high", "max\n"), ("memory.max", "max\n"), ("io.max", "")]);
    let unified = |file: &str, value: &str| {
        let setting = UnifiedSetting { file: file.parse().unwrap(), value: value.to_owned() };
        let memory = MemoryResources { limit_bytes: Some(Maximum::Limited(1)), ..MemoryResources::default() };
        set(&kernel, &Resources { memory, unified: vec![setting], ..Resources::default() })
    };
    assert_eq!(unified("memory.high", "1024").unwrap(), []);
    assert_eq!(kernel.read("memory.high"), "1024");
    // It comes last, and wins.
    assert_eq!(unified("memory.max", "7").unwrap(), []);
    assert_eq!(kernel.read("memory.max"), "7");
    fs::write(kernel.path("memory.max"), "5").unwrap();
    let error = unified("memory.oom.group", "1").unwrap_err();
    assert_eq!((error.limit.to_string().as_str(), error.undone), ("memory.oom.group", true));
    assert_eq!(kernel.read("memory.max"), "5", "nothing was changed");
}

#[test]
fn lines_are_undone_by_what_they_were() {
    let undo = |file: &str, before: &str, line: &str| {
        let kernel = Kernel::with(&[(file, before)]);
        let write = Write { file: file.to_owned().into(), value: Value::Line(line.to_owned()) };
        let mut done = Vec::new();
        write.carry_out(&kernel.path(file), &mut done).unwrap();
        assert_eq!(kernel.read(file), line);
        done.pop().unwrap().carry_out().map(|()| kernel.read(file))
    };
    let other = "8:0 rbps=1 wbps=max riops=max wiops=max\n";
    assert_eq!(undo("io.max", other, "8:0 rbps=2").unwrap(), other.trim_end());
    assert_eq!(undo("io.max", other, "8:16 rbps=2").unwrap(), "8:16 rbps=max wbps=max riops=max wiops=max");
    assert_eq!(undo("io.weight", "default 100\n8:0 50\n", "default 20").unwrap(), "default 100");
    assert_eq!(undo("/blkio.throttle.read_bps_device", "", "8:0 5").unwrap(), "8:0 0");
    assert_eq!(undo("memory.high", "max\n", "5").unwrap(), "max");
    assert!(undo("some.file", "", "8:0 5").is_err(), "nobody knows what takes the line back");
}

#[test]
fn the_oom_killers_switch_is_undone() {
    let kernel = Kernel::with(&[("/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")]);
    let value = Value::Whole("1".to_owned());
    let write = Write { file: "memory.oom_control".into(), value };
    let mut done = Vec::new();
    write.carry_out(&kernel.path("/memory.oom_control"), &mut done).unwrap();
    done.pop().unwrap().carry_out().unwrap();
    assert_eq!(kernel.read("/memory.oom_control"), "0");
}

fn maximum() -> impl Strategy<Value = Option<Maximum>> {
    proptest::option::of(prop_oneof![any::<u64>().prop_map(Maximum::Limited), Just(Maximum::Unlimited)])
}

prop_compose! {
    fn resources()(
        limit_bytes in maximum(), with_swap_bytes in maximum(), quota_us in maximum(), pids_limit in maximum(),
        period_us in proptest::option::of(any::<u64>()), shares in proptest::option::of(any::<u64>()),
        weight in proptest::option::of(any::<u16>()), rate in maximum(), pages in maximum(),
    ) -> Resources {
        let throttle = |rate| DeviceRate { device: DISK, kind: ThrottleKind::WrittenBytes, rate };
        let page = |limit_bytes| HugepageLimit { page_size: "2MB".parse().unwrap(), limit_bytes };
        Resources {
            memory: MemoryResources { limit_bytes, with_swap_bytes, ..MemoryResources::default() },
            cpu: CpuResources { quota_us, period_us, shares, ..CpuResources::default() },
            pids_limit,
            block_io: BlockIoResources {
                weight, throttles: rate.map(throttle).into_iter().collect(), ..BlockIoResources::default()
            },
            hugepages: pages.map(page).into_iter().collect(),
            ..Resources::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every value is one line for one file of a controller, whatever is asked for.
    #[test]
    fn settings_are_lines_for_files_of_controllers(resources in resources()) {
        let Ok(settings) = settings::compile(&resources) else {
            prop_assert!(resources.memory.with_swap_bytes.is_some());
            return Ok(());
        };
        for (place, write) in settings.iter().flat_map(|setting| &setting.places).flat_map(|(place, writes)| {
            assert!(!writes.is_empty());
            writes.iter().map(move |write| (place, write))
        }) {
            prop_assert!(!write.file.contains('/') && write.file.contains('.'));
            match (&write.value, place) {
                (Value::Whole(text) | Value::Line(text), place) => {
                    prop_assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
                    prop_assert!(!(text.contains("max") && *place != Place::Unified && write.file != "pids.max"));
                    prop_assert!(!(text.contains("-1") && *place == Place::Unified), "{}: {text}", write.file);
                }
                (Value::Period(_) | Value::SwapBeyond(_), place) => prop_assert_eq!(*place, Place::Unified),
                (Value::Lines(_), _) => prop_assert!(false, "nobody asked for that"),
            }
        }
    }

    /// When the last of the limits cannot be set, all others are as they were.
    #[test]
    fn limits_are_set_all_or_none(resources in resources()) {
        let before = [
            ("memory.max", "max"), ("memory.swap.max", "5"), ("cpu.max", "max 100000"), ("cpu.weight", "100"),
            ("io.weight", "default 100"), ("hugetlb.2MB.max", "max"),
        ];
        let kernel = Kernel::with(&before);
        // A directory cannot be written to.
        fs::create_dir(kernel.path("memory.stuck")).unwrap();
        let stuck = UnifiedSetting { file: "memory.stuck".parse().unwrap(), value: "1".to_owned() };
        let error = set(&kernel, &Resources { unified: vec![stuck], ..resources }).unwrap_err();
        prop_assert!(error.undone);
        for (file, value) in before {
            prop_assert_eq!(kernel.read(file), value);
        }
    }
}
