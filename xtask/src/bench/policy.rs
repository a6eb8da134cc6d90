//! How long a decision takes, and what a policy takes.

use anyhow::Context as _;
use serde_json::Value;

use super::{Figure, Figures};
use crate::command::Run;

/// What OPA in hcsshim takes on such a machine. Its largest policy has 500 containers.
const PEER: [(&str, f64); 17] = [
    ("load_1_ms", 65.0),
    ("load_10_ms", 80.0),
    ("load_100_ms", 180.0),
    ("load_1000_ms", 592.0),
    ("mount_device_1_us", 400.0),
    ("mount_device_10_us", 470.0),
    ("mount_device_100_us", 470.0),
    ("mount_device_1000_us", 1500.0),
    ("mount_overlay_1_us", 600.0),
    ("mount_overlay_1000_us", 7100.0),
    ("create_container_1_us", 3200.0),
    ("create_container_1000_us", 3200.0),
    ("exec_in_container_1_us", 2700.0),
    ("exec_in_container_1000_us", 3200.0),
    ("signal_container_process_1_us", 610.0),
    ("create_500_candidates_us", 77_000.0),
    ("create_denied_500_candidates_us", 932_000.0),
];

/// What figures are meant to be at most, by the start of their names. The interpreter has no target.
const TARGETS: [(&str, f64); 8] = [
    ("load_10_ms", 30.0),
    ("load_1000_ms", 500.0),
    ("mount_device_", 2.0),
    ("create_container_growth_ratio", 1.5),
    ("create_container_", 20.0),
    ("exec_in_container_", 20.0),
    ("create_denied_500_candidates_us", 300.0),
    ("engine_memory_1000_ratio", 5.0),
];

/// Runs the policy engine's own benchmark, which prints a JSON object.
pub(super) fn measure() -> anyhow::Result<Figures> {
    let printed = Run::cargo()
        .args(["bench", "--quiet", "--package", "policy-engine", "--bench", "decisions"])
        .stdout()?;
    let values: Value = serde_json::from_str(&printed).context("the benchmark printed no JSON")?;
    let values = values.as_object().context("the benchmark printed no object")?;
    let (interpreted, native): (Vec<_>, Vec<_>) =
        values.iter().partition(|(name, _)| name.starts_with("interpreter_"));
    let figures = native.into_iter().chain(interpreted).map(|(name, value)| figure(name, value));
    Ok(Figures { bench: "policy", figures: figures.collect(), remarks: Vec::new() })
}

fn figure(name: &str, value: &Value) -> Figure {
    let unit = match name.rsplit('_').next() {
        Some("ms") => "ms",
        Some("us") => "us",
        _ => "x",
    };
    let mut figure = Figure::new(name, value.as_f64().unwrap_or(f64::NAN), unit);
    if let Some((_, target)) = TARGETS.iter().find(|(start, _)| name.starts_with(start)) {
        figure = figure.at_most(*target);
    }
    match PEER.iter().find(|(peer, _)| *peer == name) {
        Some((name, value)) if name.contains("_1000_") => figure.beside("hcsshim, 500 containers", *value),
        Some((_, value)) => figure.beside("hcsshim", *value),
        None => figure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_for_the_figures_that_they_name() {
        let target =
            |name: &str, value: f64| figure(name, &Value::from(value)).target.map(|target| target.met);
        assert_eq!(target("create_container_1_us", 20.0), Some(true));
        assert_eq!(target("create_container_1000_us", 20.1), Some(false));
        assert_eq!(target("create_container_growth_ratio", 1.6), Some(false));
        assert_eq!(target("interpreter_create_container_1_us", 1.0), None);
        assert_eq!(target("load_1_ms", 1.0), None);
    }

    #[test]
    fn units_are_in_the_names() {
        assert_eq!(figure("load_1_ms", &Value::from(1)).unit, "ms");
        assert_eq!(figure("mount_device_1_us", &Value::from(1)).unit, "us");
        assert_eq!(figure("engine_memory_1000_ratio", &Value::from(1)).unit, "x");
    }
}
