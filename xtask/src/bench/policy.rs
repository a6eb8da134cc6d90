//! How long a decision takes.

use anyhow::Context as _;
use serde_json::Value;

use super::{Figure, Figures};
use crate::command::Run;

/// Runs the policy engine's own benchmark, which prints a JSON object of medians in microseconds.
pub(super) fn measure() -> anyhow::Result<Figures> {
    let printed = Run::cargo()
        .args(["bench", "--quiet", "--package", "policy-engine", "--bench", "decisions"])
        .stdout()?;
    let medians: Value = serde_json::from_str(&printed).context("the benchmark printed no JSON")?;
    let medians = medians.as_object().context("the benchmark printed no object")?;
    let figures = medians.iter().map(|(name, value)| {
        let unit = if name.ends_with("_ms") { "ms" } else { "us" };
        let figure = Figure::new(name, value.as_f64().unwrap_or(f64::NAN), unit);
        // OPA in hcsshim, with one container.
        match name.as_str() {
            "create_container_1_us" => figure.beside("hcsshim", 3200.0),
            "mount_device_1_us" => figure.beside("hcsshim", 400.0),
            "exec_in_container_1_us" => figure.beside("hcsshim", 2700.0),
            "load_1_ms" => figure.beside("hcsshim", 65.0),
            _ => figure,
        }
    });
    Ok(Figures { bench: "policy", figures: figures.collect() })
}
