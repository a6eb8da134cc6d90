//! Replays decisions recorded from the engine that runs CCE policies in production today.
#![expect(
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test: a malformed recording ends it, and what came of it is told"
)]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use policy_engine::EvaluatorKind;
use policy_engine::replay::{Comparison, RecordedSession, Replay, Report};

fn recordings() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("shared/vectors/cce-decisions/sessions.jsonl.gz");
    path.exists().then_some(path)
}

#[test]
fn the_interpreter_decides_as_recorded() {
    let Some(report) = replay(EvaluatorKind::Interpreter) else { return };
    assert_eq!(report.native, 0);
}

#[test]
fn the_native_evaluator_decides_as_recorded() {
    let Some(report) = replay(EvaluatorKind::Native) else { return };
    // The others ask for reasons, are about fragments and trust lists, or to policies with rules of their own.
    assert!(report.native > report.queries * 17 / 20, "only {} of {}", report.native, report.queries);
}

fn replay(evaluator: EvaluatorKind) -> Option<Report> {
    let Some(path) = recordings() else {
        eprintln!("skipped: no recorded decisions beside the repository");
        return None;
    };
    let file = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
    let mut replay = Replay::new(Comparison::Strict, evaluator);
    for line in BufReader::new(file).lines() {
        replay.play(&RecordedSession::parse(line.unwrap().as_bytes()).unwrap()).unwrap();
    }
    let report = replay.report();
    eprintln!(
        "{} queries agree, {} differ, {} answered natively",
        report.agree, report.differ, report.native
    );
    for difference in &report.differences {
        eprintln!("{difference}");
    }
    assert_eq!((report.differ, report.half_anchored), (0, 0));
    assert!(report.agree > 3_000, "only {} answers were compared", report.agree);
    Some(report.clone())
}
