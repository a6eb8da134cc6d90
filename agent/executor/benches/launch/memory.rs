//! Memory of this process and its launchers, as the kernel counts it.

use std::fs;

/// The part of their resident memory that is theirs (`Pss`), in KiB, with shared pages divided among those who share.
pub(crate) fn held_kib() -> f64 {
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc").unwrap();
    let names = entries.filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let launchers = names.filter(|pid| is_launcher(pid, &own));
    launchers.chain([own.clone()]).map(|pid| proportional_kib(&pid)).sum()
}

fn is_launcher(pid: &str, parent: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(name, rest)| name.ends_with("(launcher") && rest.split(' ').nth(1) == Some(parent))
}

fn proportional_kib(pid: &str) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
