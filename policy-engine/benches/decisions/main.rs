//! How long decisions take and how much memory a policy takes: prints one JSON object of figures.
//!
//! Each decision is for the last container of a policy, and is settled as untouched, so that all are alike.
//! The interpreter is measured in turn with the native matcher, on the same policy with one rule more.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark stops where it cannot measure, and prints what it measured"
)]

mod memory;
mod workload;

use std::time::Instant;

use policy_engine::Engine;
use policy_engine::request::Request;
use serde_json::{Map, Value, json};

/// Sizes of the policies, in containers.
const CONTAINERS: [usize; 4] = [1, 10, 100, 1000];
/// Candidates that share their layers.
const CANDIDATES: usize = 500;

fn main() {
    if memory::is_asked_for() {
        return memory::print();
    }
    let mut figures = Figures::default();
    for containers in CONTAINERS {
        sizes(&mut figures, containers);
    }
    candidates(&mut figures);
    let growth = figures.of("create_container_1000_us") / figures.of("create_container_1_us");
    figures.insert("create_container_growth_ratio".to_owned(), growth);
    let text = workload::policy(1000, workload::layers);
    for (name, rules) in
        [("engine_memory_1000_ratio", ""), ("interpreter_memory_1000_ratio", workload::OWN_RULE)]
    {
        figures.insert(name.to_owned(), memory::ratio_in_fresh_process(&format!("{text}{rules}")));
    }
    println!("{}", Value::Object(figures.0));
}

/// Figures by name.
#[derive(Debug, Default)]
struct Figures(Map<String, Value>);

impl Figures {
    fn insert(&mut self, name: String, value: f64) {
        self.0.insert(name, json!((value * 100.0).round() / 100.0));
    }

    fn of(&self, name: &str) -> f64 {
        self.0[name].as_f64().unwrap()
    }
}

/// Decisions over a policy of `containers` with layers of their own.
fn sizes(figures: &mut Figures, containers: usize) {
    let text = workload::policy(containers, workload::layers);
    let interpreted = format!("{text}{}", workload::OWN_RULE);
    let loads = if containers >= 1000 { 3 } else { 11 };
    for (prefix, text) in [("", &text), ("interpreter_", &interpreted)] {
        let load = || drop(Engine::load(text.as_bytes()).expect("the policy loads"));
        let times = (0..loads).map(|_| time(load)).collect();
        figures.insert(format!("{prefix}load_{containers}_ms"), median(times) * 1e3);
    }
    let both = [("", &text), ("interpreter_", &interpreted)]
        .map(|(prefix, text)| (prefix, Engine::load(text.as_bytes()).expect("the policy loads")));
    let last = containers - 1;
    let mut measure = |name: &str, run: &dyn Fn(&Engine, usize) -> f64| {
        for (prefix, median) in interleaved(&both, run) {
            figures.insert(format!("{prefix}{name}_{containers}_us"), median * 1e6);
        }
    };
    measure("mount_device", &|engine, count| decisions(engine, count, || workload::mount_device(last, 0)));
    for (_, engine) in &both {
        (0..workload::LAYERS).for_each(|layer| settle(engine, workload::mount_device(last, layer)));
    }
    measure("mount_overlay", &|engine, count| decisions(engine, count, workload::mount_overlay));
    both.iter().for_each(|(_, engine)| settle(engine, workload::mount_overlay()));
    measure("create_container", &|engine, count| {
        decisions(engine, count, || workload::create_container(last))
    });
    both.iter().for_each(|(_, engine)| settle(engine, workload::create_container(last)));
    measure("exec_in_container", &|engine, count| decisions(engine, count, workload::exec));
    measure("signal_container_process", &|engine, count| decisions(engine, count, workload::signal));
}

/// Decisions where every container of the policy has the same layers.
fn candidates(figures: &mut Figures) {
    let text = workload::policy(CANDIDATES, |_, layer| workload::layers(0, layer));
    let interpreted = format!("{text}{}", workload::OWN_RULE);
    let both = [("", &text), ("interpreter_", &interpreted)]
        .map(|(prefix, text)| (prefix, Engine::load(text.as_bytes()).expect("the policy loads")));
    for (_, engine) in &both {
        (0..workload::LAYERS).for_each(|layer| settle(engine, workload::mount_device(0, layer)));
        settle(engine, workload::mount_overlay());
    }
    let last = CANDIDATES - 1;
    let create =
        |engine: &Engine, count: usize| decisions(engine, count, || workload::create_container(last));
    for (prefix, median) in interleaved(&both, &create) {
        figures.insert(format!("{prefix}create_{CANDIDATES}_candidates_us"), median * 1e6);
    }
    let denied = |engine: &Engine, count: usize| {
        let requests: Vec<_> = (0..count).map(|_| workload::denied_create_container(last)).collect();
        let began = Instant::now();
        for request in requests {
            engine.decide(request).map(drop).expect_err("denied");
        }
        began.elapsed().as_secs_f64() / count as f64
    };
    for (prefix, median) in interleaved(&both, &denied) {
        figures.insert(format!("{prefix}create_denied_{CANDIDATES}_candidates_us"), median * 1e6);
    }
}

/// The seconds of one decision of `run`'s, for each engine, measured in turn.
fn interleaved(
    engines: &[(&'static str, Engine)],
    run: &dyn Fn(&Engine, usize) -> f64,
) -> Vec<(&'static str, f64)> {
    const SAMPLES: usize = 31;
    // The first decisions compile patterns.
    let slow: Vec<bool> =
        engines.iter().map(|(_, engine)| (run(engine, 2), run(engine, 1)).1 > 1e-3).collect();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); engines.len()];
    for sample in 0..SAMPLES {
        for (index, (_, engine)) in engines.iter().enumerate() {
            // Slow ones need no averaging, and few samples.
            if !slow[index] {
                times[index].push(run(engine, 32));
            } else if sample < 7 {
                times[index].push(run(engine, 1));
            }
        }
    }
    engines.iter().map(|(prefix, _)| *prefix).zip(times.into_iter().map(median)).collect()
}

/// The seconds that an allow of `request` takes.
fn decisions<R: Request>(engine: &Engine, count: usize, request: impl Fn() -> R) -> f64 {
    let requests: Vec<R> = (0..count).map(|_| request()).collect();
    let began = Instant::now();
    for request in requests {
        engine.decide(request).expect("allowed").untouched();
    }
    began.elapsed().as_secs_f64() / count as f64
}

fn settle<R: Request>(engine: &Engine, request: R) {
    engine.decide(request).expect("allowed").done();
}

fn time(call: impl Fn()) -> f64 {
    let began = Instant::now();
    call();
    began.elapsed().as_secs_f64()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
