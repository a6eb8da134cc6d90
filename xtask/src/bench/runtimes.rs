//! The launcher beside other runtimes.

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::Figure;
use crate::command::Run;

/// The cgroups that containers are measured in, as the benchmark of the executor names them: version 2 alone, as in the
/// guest, and what this machine has.
const CGROUPS: [&str; 2] = ["unified", "machine"];
/// Who ours are compared with.
const RIVAL: &str = "crun";
/// What a figure is meant to be at most, as a part of the rival's.
const RATIO_MAX: f64 = 0.5;
/// What is meant to be held for a container at most, in KiB.
const HELD_KIB_MAX: f64 = 200.0;

/// What the benchmark of the executor prints.
#[derive(Debug, Deserialize)]
struct Printed {
    figures: Map<String, Value>,
    remarks: Vec<String>,
}

/// Runs the executor's own benchmark; figures and remarks.
pub(super) fn measure() -> anyhow::Result<(Vec<Figure>, Vec<String>)> {
    let (mut figures, mut remarks) = (Vec::new(), Vec::new());
    for cgroups in CGROUPS {
        let run = Run::cargo().args(["bench", "--quiet", "--package", "executor", "--bench", "launch", "--"]);
        let printed = run.arg(cgroups).stdout()?;
        let printed: Printed = serde_json::from_str(&printed).context("the benchmark printed no figures")?;
        figures.extend(compared(cgroups, &printed.figures));
        remarks.extend(printed.remarks.iter().map(|remark| format!("{cgroups}: {remark}")));
    }
    Ok((figures, remarks))
}

/// The figures, each beside the rival's, with the ratio of the two.
fn compared(cgroups: &str, values: &Map<String, Value>) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (name, value) in values {
        // One that a runtime did not bear.
        let Some(value) = value.as_f64() else { continue };
        let unit = if name.ends_with("_kib") { "KiB" } else { "ms" };
        let figure = Figure::new(format!("{cgroups}_{name}"), value, unit);
        match values.get(&format!("{name}_{RIVAL}")).and_then(Value::as_f64) {
            Some(rival) => {
                figures.push(figure.beside(RIVAL, rival));
                let ratio = Figure::new(format!("{cgroups}_{name}_ratio"), value / rival, "x");
                figures.push(ratio.at_most(RATIO_MAX));
            }
            None if unit == "KiB" => figures.push(figure.at_most(HELD_KIB_MAX)),
            None if name.ends_with(RIVAL) => {}
            None => figures.push(figure),
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ours_are_compared_with_the_rivals() {
        let values = json!({ "run_ms": 2.0, "run_ms_crun": 5.0, "run_ms_runc": 20.0, "run_ms_youki": null, "held_kib": 201.0 });
        let figures = compared("unified", values.as_object().unwrap());
        let found = |name: &str| figures.iter().find(|figure| figure.name == name).unwrap();
        let ratio = found("unified_run_ms_ratio");
        assert!(ratio.target.as_ref().unwrap().met && (ratio.value - 0.4).abs() < 1e-9);
        assert!(found("unified_run_ms").peer.is_some());
        assert!(!found("unified_held_kib").target.as_ref().unwrap().met);
        assert!(found("unified_run_ms_runc").target.is_none());
        assert_eq!(figures.len(), 4);
    }
}
