//! The interpreter and the native matcher mean the same: generated policies, requests and states drive both,
//! and one disagreement fails.
//!
//! `CCE_DIFFERENTIAL_DECISIONS` says how many decisions, `CCE_DIFFERENTIAL_SEED` which ones.
//! `cargo xtask fuzz --differential` runs many in release mode.
#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: whatever goes wrong ends it"
)]

mod engines;
mod fitting;
mod fragment;
mod near;
mod objects;
mod pair;
mod policy;
mod random;
mod regressions;
mod shrink;
mod story;
mod tally;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use pair::Pair;
use policy::{POINTS, Policy};
use random::Random;
use shrink::Case;
use tally::Tally;

/// Decisions when nothing else is asked for: seconds.
const DECISIONS: u64 = 20_000;
/// Stories told of each policy. Loading one costs as much as many decisions.
const STORIES: u64 = 8;

/// How often the states after a story are compared too. The native one must be written out for it.
const STATES_PERCENT: usize = 5;

/// Questions that are never allowed.
const DENIED_ALWAYS: [&str; 4] = ["mount_blockdev", "mount_cims", "registry_changes", "unmount_blockdev"];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn generated_decisions_are_alike() {
    let decisions = setting("CCE_DIFFERENTIAL_DECISIONS", DECISIONS);
    let seed = setting("CCE_DIFFERENTIAL_SEED", 1);
    let began = Instant::now();
    let (next_round, made, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let total = Mutex::new(Tally::default());
    let work = || {
        while made.load(Ordering::Relaxed) < decisions && !failed.load(Ordering::Relaxed) {
            let number = next_round.fetch_add(1, Ordering::Relaxed);
            match round(seed, number) {
                Ok(tally) => {
                    made.fetch_add(tally.decisions(), Ordering::Relaxed);
                    total.lock().unwrap().add(&tally);
                }
                Err(case) => {
                    failed.store(true, Ordering::Relaxed);
                    let case = case.shrunk();
                    let difference = case.difference().unwrap();
                    panic!(
                        "the evaluators differ (seed {seed}, round {number}) in {}\n  interpreter {}\n  \
                         native      {}\n\n{case}",
                        difference.what, difference.interpreter, difference.native
                    );
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(work);
        }
    });
    let total = total.into_inner().unwrap();
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = total.decisions() as f64 / seconds;
    eprintln!("{total}\nseed {seed}, {seconds:.1} s, {rate:.0} decisions a second, 0 disagreements");
    assert_coverage(&total);
}

/// One policy and its stories; a case on which the evaluators differ is the error.
fn round(seed: u64, number: u64) -> Result<Tally, Box<Case>> {
    let mut random = Random::new(seed, number);
    let policy = Policy::random(&mut random);
    let mut tally = Tally { policies: 1, ..Tally::default() };
    let case = |steps| Box::new(Case { policy: policy.clone(), steps });
    let Some(mut pair) = Pair::load(&policy.text()).map_err(|_| case(Vec::new()))? else { return Ok(tally) };
    for _ in 0..STORIES {
        let steps = story::story(&mut random, &policy);
        let ran = pair.run(&steps, &mut tally);
        let compare = random.percent(STATES_PERCENT);
        let compared = ran.and_then(|()| if compare { pair.compare_states().map(drop) } else { Ok(()) });
        compared.map_err(|_| case(steps))?;
        pair.reset().map_err(|_| case(Vec::new()))?;
    }
    tally.native_policies = u64::from(pair.is_native());
    Ok(tally)
}

fn assert_coverage(total: &Tally) {
    let decisions = total.decisions();
    for point in POINTS {
        let answers = total.of(point);
        let floor = decisions / 10_000;
        assert!(answers.denied > floor, "{point} was denied {} times", answers.denied);
        let allowed_ever = !DENIED_ALWAYS.contains(&point);
        assert!(!allowed_ever || answers.allowed > floor, "{point} was allowed {} times", answers.allowed);
    }
    let creates = total.of("create_container");
    assert!(creates.allowed * 15 > creates.total(), "few containers are created: {creates:?}");
    assert!(total.explained * 100 > decisions, "{} denials are explained", total.explained);
    assert!(total.native() * 2 > decisions, "only {} answers were native", total.native());
}
