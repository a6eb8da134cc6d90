//! How long a container takes: for the launcher alone, beside other runtimes, and as a host sees it.

use std::fs;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::{Figure, Figures, median, runtimes};
use crate::command::repository_root;
use crate::stage::{self, Container, Launch, Stage as _, container_image};

/// Containers that are run.
const RUNS: u8 = 30;

/// Measures the launcher, and then a whole guest.
pub(super) fn measure() -> anyhow::Result<Figures> {
    let (mut figures, remarks) = runtimes::measure()?;
    figures.extend(as_a_host()?);
    Ok(Figures { bench: "launch", figures, remarks })
}

/// Runs containers of a native guest, one after the other.
fn as_a_host() -> anyhow::Result<[Figure; 3]> {
    let dir = repository_root().join("target/bench");
    fs::create_dir_all(&dir).context("cannot create the directory of the benchmark")?;
    let (cce, stage) = (stage::cce()?, stage::native(&dir)?);
    let image = container_image::build(&dir)?;
    let layer = stage::build_layer(&cce, &image, &dir.join("layers"))?;
    let (policy, command) = (dir.join("policy.rego"), ["/bin/true"]);
    stage::write_policy(&cce, &image, &command, &policy)?;
    let launch = Launch {
        name: "bench",
        policy: &policy,
        host_data_of: &policy,
        disks: std::slice::from_ref(&layer.disk),
    };
    let guest = stage.launch(&launch)?;
    let mut calls = Vec::new();
    let mut runs = Vec::new();
    for number in 0..RUNS {
        let began = Instant::now();
        guest.host(&cce, &["health"])?;
        calls.push(began.elapsed().as_secs_f64() * 1e3);
        let id = format!("{number:02x}").repeat(32);
        let options: &[&str] = if number == 0 { &[] } else { &["--no-sandbox"] };
        let began = Instant::now();
        let ran = Container { image: &image, layer: &layer, disk: 0, id: &id, command: &command, options };
        let answer = ran.run(&cce, &guest)?;
        runs.push(began.elapsed().as_secs_f64() * 1e3);
        ensure!(answer.ran_well(), "the container failed: {}", answer.json);
    }
    let (call_ms, run_ms) = (median(calls), median(runs));
    Ok([
        Figure::new("health_command_ms", call_ms, "ms"),
        Figure::new("container_run_command_ms", run_ms, "ms"),
        // Layer, scratch and root mounted, created, started, waited for, removed, unmounted; the client's own start
        // is taken off.
        Figure::new("container_run_ms", run_ms - call_ms, "ms"),
    ])
}
