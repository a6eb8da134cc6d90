//! Reading the measurements of one directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::{CpuStats, HugepageStats, IoStats, MemoryStats, PidsStats, Pressure, Waiting};

/// From here on a limit of version 1 is none: the most pages that it can count, on any architecture.
const LEGACY_UNLIMITED: u64 = 1 << 62;

/// The files of one directory.
pub(super) struct Files(pub(super) PathBuf);

impl Files {
    fn text(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.0.join(file)).ok()
    }

    fn number(&self, file: &str) -> Option<u64> {
        self.text(file)?.trim().parse().ok()
    }

    fn legacy_limit(&self, file: &str) -> Option<u64> {
        self.number(file).filter(|limit| *limit < LEGACY_UNLIMITED)
    }

    fn flat(&self, file: &str) -> BTreeMap<String, u64> {
        self.text(file).map(|text| flat(&text)).unwrap_or_default()
    }

    pub(super) fn cpu(&self) -> CpuStats {
        let numbers = self.flat("cpu.stat");
        let number = |key: &str| numbers.get(key).copied().unwrap_or_default();
        CpuStats {
            usage_us: number("usage_usec"),
            per_cpu_ns: Vec::new(),
            user_us: number("user_usec"),
            system_us: number("system_usec"),
            periods: number("nr_periods"),
            throttled_periods: number("nr_throttled"),
            throttled_us: number("throttled_usec"),
        }
    }

    pub(super) fn add_throttling(&self, cpu: &mut CpuStats) {
        let numbers = self.flat("cpu.stat");
        let number = |key: &str| numbers.get(key).copied().unwrap_or_default();
        cpu.periods = number("nr_periods");
        cpu.throttled_periods = number("nr_throttled");
        cpu.throttled_us = number("throttled_time").checked_div(1000).unwrap_or_default();
    }

    pub(super) fn per_cpu(&self) -> Vec<u64> {
        let text = self.text("cpuacct.usage_percpu").unwrap_or_default();
        text.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
    }

    pub(super) fn pids(&self) -> Option<PidsStats> {
        let current = self.number("pids.current")?;
        Some(PidsStats { current, limit: self.number("pids.max") })
    }

    pub(super) fn memory(&self) -> Option<MemoryStats> {
        let usage_bytes = self.number("memory.current")?;
        let mut events = self.flat("memory.events");
        let details = self.flat("memory.stat");
        Some(MemoryStats {
            usage_bytes,
            peak_bytes: self.number("memory.peak").unwrap_or(usage_bytes),
            limit_bytes: self.number("memory.max"),
            limit_hits: events.remove("max").unwrap_or_default(),
            oom_kills: events.remove("oom_kill").unwrap_or_default(),
            swap_bytes: self.number("memory.swap.current").unwrap_or_default(),
            swap_limit_bytes: self.number("memory.swap.max"),
            kernel_bytes: details.get("kernel").copied().unwrap_or_default(),
            details,
        })
    }

    pub(super) fn legacy_memory(&self) -> Option<MemoryStats> {
        let usage_bytes = self.number("memory.usage_in_bytes")?;
        let mut details = self.flat("memory.stat");
        let limit_bytes = self.legacy_limit("memory.limit_in_bytes");
        let with_swap_bytes = self.legacy_limit("memory.memsw.limit_in_bytes");
        Some(MemoryStats {
            usage_bytes,
            peak_bytes: self.number("memory.max_usage_in_bytes").unwrap_or(usage_bytes),
            limit_bytes,
            limit_hits: self.number("memory.failcnt").unwrap_or_default(),
            oom_kills: self.flat("memory.oom_control").remove("oom_kill").unwrap_or_default(),
            swap_bytes: details.get("swap").copied().unwrap_or_default(),
            swap_limit_bytes: with_swap_bytes
                .zip(limit_bytes)
                .and_then(|(both, memory)| both.checked_sub(memory)),
            kernel_bytes: self.number("memory.kmem.usage_in_bytes").unwrap_or_default(),
            // By the name that version 2 has for it.
            details: {
                let cache = details.get("cache").copied();
                details.extend(cache.map(|bytes| ("file".to_owned(), bytes)));
                details
            },
        })
    }

    pub(super) fn io(&self) -> Vec<IoStats> {
        self.text("io.stat").map(|text| text.lines().filter_map(io).collect()).unwrap_or_default()
    }

    pub(super) fn legacy_io(&self) -> Vec<IoStats> {
        let mut devices = BTreeMap::new();
        let files = [
            ("blkio.throttle.io_service_bytes_recursive", true),
            ("blkio.throttle.io_serviced_recursive", false),
        ];
        for (file, bytes) in files {
            for line in self.text(file).unwrap_or_default().lines() {
                // The last line is the total of all devices.
                let _ = legacy_io(line, bytes, &mut devices);
            }
        }
        devices.into_values().collect()
    }

    /// The sizes of pages that there are files of, `hugetlb.<size>.<file>`.
    fn page_sizes(&self, file: &str) -> Vec<String> {
        let names = fs::read_dir(&self.0)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut sizes: Vec<String> = names
            .filter_map(|name| {
                name.strip_prefix("hugetlb.")?.strip_suffix(file)?.strip_suffix('.').map(str::to_owned)
            })
            .filter(|size| !size.contains('.'))
            .collect();
        sizes.sort();
        sizes
    }

    pub(super) fn hugepages(&self) -> Vec<HugepageStats> {
        let of = |page_size: String| {
            let usage_bytes = self.number(&format!("hugetlb.{page_size}.current"))?;
            let limit_bytes = self.number(&format!("hugetlb.{page_size}.max"));
            let limit_hits =
                self.flat(&format!("hugetlb.{page_size}.events")).remove("max").unwrap_or_default();
            Some(HugepageStats { page_size, usage_bytes, peak_bytes: usage_bytes, limit_bytes, limit_hits })
        };
        self.page_sizes("current").into_iter().filter_map(of).collect()
    }

    pub(super) fn legacy_hugepages(&self) -> Vec<HugepageStats> {
        let of = |page_size: String| {
            let number = |file: &str| self.number(&format!("hugetlb.{page_size}.{file}"));
            let usage_bytes = number("usage_in_bytes")?;
            let limit_bytes = self.legacy_limit(&format!("hugetlb.{page_size}.limit_in_bytes"));
            let (peak_bytes, limit_hits) =
                (number("max_usage_in_bytes"), number("failcnt").unwrap_or_default());
            let peak_bytes = peak_bytes.unwrap_or(usage_bytes);
            Some(HugepageStats { page_size, usage_bytes, peak_bytes, limit_bytes, limit_hits })
        };
        self.page_sizes("usage_in_bytes").into_iter().filter_map(of).collect()
    }

    pub(super) fn pressure(&self, file: &str) -> Option<Pressure> {
        let text = self.text(file)?;
        let of = |whom: &str| text.lines().find_map(|line| waiting(line.strip_prefix(whom)?));
        Some(Pressure { some: of("some ")?, full: of("full ").unwrap_or_default() })
    }
}

/// The numbers of a flat keyed file.
pub(in crate::cgroup) fn flat(text: &str) -> BTreeMap<String, u64> {
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.parse().ok()?))
    };
    text.lines().filter_map(pair).collect()
}

/// A line of `io.stat`.
fn io(line: &str) -> Option<IoStats> {
    let (device, numbers) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    let mut stats = IoStats { major: major.parse().ok()?, minor: minor.parse().ok()?, ..IoStats::default() };
    for (key, value) in numbers.split(' ').filter_map(|pair| pair.split_once('=')) {
        // Of other controllers there are other values.
        let value = value.parse().unwrap_or_default();
        match key {
            "rbytes" => stats.read_bytes = value,
            "wbytes" => stats.written_bytes = value,
            "rios" => stats.reads = value,
            "wios" => stats.writes = value,
            "dbytes" => stats.discarded_bytes = value,
            "dios" => stats.discards = value,
            _ => {}
        }
    }
    Some(stats)
}

/// Adds a line of version 1, `8:0 Read 4096`, of bytes or of operations.
fn legacy_io(line: &str, bytes: bool, devices: &mut BTreeMap<(u64, u64), IoStats>) -> Option<()> {
    let mut words = line.split(' ');
    let (major, minor) = words.next()?.split_once(':')?;
    let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
    let (operation, value) = (words.next()?, words.next()?.parse().ok()?);
    let stats = devices.entry((major, minor)).or_insert(IoStats { major, minor, ..IoStats::default() });
    match (operation, bytes) {
        ("Read", true) => stats.read_bytes = value,
        ("Write", true) => stats.written_bytes = value,
        ("Discard", true) => stats.discarded_bytes = value,
        ("Read", false) => stats.reads = value,
        ("Write", false) => stats.writes = value,
        ("Discard", false) => stats.discards = value,
        _ => {}
    }
    Some(())
}

/// The rest of a line of pressure: `avg10=0.12 avg60=0.00 avg300=0.00 total=34`.
fn waiting(line: &str) -> Option<Waiting> {
    let word = |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let part = |key: &str| {
        let (percent, hundredths) = word(key)?.split_once('.')?;
        let hundredths = if hundredths.len() == 2 { hundredths.parse::<u32>().ok()? } else { return None };
        percent.parse::<u32>().ok()?.checked_mul(100)?.checked_add(hundredths)
    };
    Some(Waiting {
        of_10_s: part("avg10")?,
        of_60_s: part("avg60")?,
        of_300_s: part("avg300")?,
        total_us: word("total")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn directory(files: &[(&str, &str)]) -> (TempDir, Files) {
        let directory = TempDir::new().unwrap();
        for (file, text) in files {
            fs::write(directory.path().join(file), text).unwrap();
        }
        let files = Files(directory.path().to_owned());
        (directory, files)
    }

    #[test]
    fn processors_are_measured() {
        let text = "usage_usec 12\nuser_usec 8\nsystem_usec 4\nnr_throttled 1\nsome.other x\n";
        let (_directory, files) = directory(&[("cpu.stat", text), ("cpuacct.usage_percpu", "5 7 \n")]);
        let stats = files.cpu();
        assert_eq!((stats.usage_us, stats.user_us, stats.system_us, stats.throttled_periods), (12, 8, 4, 1));
        assert_eq!(files.per_cpu(), [5, 7]);
        let text = "nr_periods 3\nnr_throttled 2\nthrottled_time 5000\n";
        let (_directory, files) = directory(&[("cpu.stat", text)]);
        let mut stats = CpuStats::default();
        files.add_throttling(&mut stats);
        assert_eq!((stats.periods, stats.throttled_periods, stats.throttled_us), (3, 2, 5));
    }

    #[test]
    fn memory_is_measured_in_both_versions() {
        let (_directory, files) = directory(&[
            ("memory.current", "10\n"),
            ("memory.max", "max\n"),
            ("memory.swap.max", "7\n"),
            ("memory.events", "low 0\nmax 3\noom_kill 2\n"),
            ("memory.stat", "file 4\nkernel 5\n"),
        ]);
        let stats = files.memory().unwrap();
        assert_eq!((stats.usage_bytes, stats.peak_bytes, stats.limit_bytes), (10, 10, None));
        assert_eq!((stats.limit_hits, stats.oom_kills), (3, 2));
        assert_eq!((stats.swap_limit_bytes, stats.kernel_bytes), (Some(7), 5));
        let (_directory, files) = directory(&[
            ("memory.usage_in_bytes", "10\n"),
            ("memory.limit_in_bytes", "20\n"),
            ("memory.memsw.limit_in_bytes", "26\n"),
            ("memory.stat", "cache 4\nswap 1\n"),
            ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
        ]);
        let stats = files.legacy_memory().unwrap();
        assert_eq!((stats.limit_bytes, stats.swap_limit_bytes), (Some(20), Some(6)));
        assert_eq!((stats.swap_bytes, stats.oom_kills, stats.details["file"]), (1, 2, 4));
        fs::write(files.0.join("memory.limit_in_bytes"), "9223372036854771712\n").unwrap();
        assert_eq!(files.legacy_memory().unwrap().limit_bytes, None);
    }

    #[test]
    fn block_devices_are_measured_in_both_versions() {
        let device = io("254:16 rbytes=4096 wbytes=1 rios=2 wios=3 dbytes=4 dios=5 cost.usage=x").unwrap();
        assert_eq!((device.major, device.minor, device.read_bytes, device.writes), (254, 16, 4096, 3));
        assert_eq!((device.discarded_bytes, device.discards), (4, 5));
        assert_eq!(io("garbage"), None);
        let (_directory, files) = directory(&[
            (
                "blkio.throttle.io_service_bytes_recursive",
                "8:0 Read 10\n8:0 Write 20\n8:16 Read 1\nTotal 31\n",
            ),
            ("blkio.throttle.io_serviced_recursive", "8:0 Read 3\n8:0 Total 3\n"),
        ]);
        let devices = files.legacy_io();
        assert_eq!(devices.len(), 2);
        assert_eq!((devices[0].read_bytes, devices[0].written_bytes, devices[0].reads), (10, 20, 3));
        assert_eq!((devices[1].minor, devices[1].read_bytes), (16, 1));
    }

    #[test]
    fn huge_pages_are_measured_in_both_versions() {
        let (_directory, files) = directory(&[
            ("hugetlb.2MB.current", "4194304\n"),
            ("hugetlb.2MB.max", "max\n"),
            ("hugetlb.2MB.events", "max 3\n"),
            ("hugetlb.2MB.rsvd.current", "9\n"),
            ("hugetlb.1GB.current", "0\n"),
            ("hugetlb.1GB.max", "0\n"),
        ]);
        let [big, small] = files.hugepages().try_into().unwrap();
        assert_eq!((big.page_size.as_str(), big.limit_bytes), ("1GB", Some(0)));
        assert_eq!((small.usage_bytes, small.limit_bytes, small.limit_hits), (4 << 20, None, 3));
        let (_directory, files) = directory(&[
            ("hugetlb.2MB.usage_in_bytes", "1\n"),
            ("hugetlb.2MB.max_usage_in_bytes", "2\n"),
            ("hugetlb.2MB.limit_in_bytes", "3\n"),
            ("hugetlb.2MB.failcnt", "4\n"),
        ]);
        let [page] = files.legacy_hugepages().try_into().unwrap();
        assert_eq!(
            (page.usage_bytes, page.peak_bytes, page.limit_bytes, page.limit_hits),
            (1, 2, Some(3), 4)
        );
    }

    #[test]
    fn pressure_is_measured() {
        let text = "some avg10=1.05 avg60=0.00 avg300=100.00 total=34\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=3\n";
        let (_directory, files) = directory(&[("io.pressure", text), ("cpu.pressure", "nonsense\n")]);
        let pressure = files.pressure("io.pressure").unwrap();
        assert_eq!(
            (pressure.some.of_10_s, pressure.some.of_300_s, pressure.some.total_us),
            (105, 10_000, 34)
        );
        assert_eq!((pressure.full.of_10_s, pressure.full.total_us), (50, 3));
        assert_eq!(files.pressure("cpu.pressure"), None);
        assert_eq!(files.pressure("memory.pressure"), None);
    }
}
