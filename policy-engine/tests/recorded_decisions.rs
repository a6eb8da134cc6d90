//! Replays decisions recorded from the engine that runs CCE policies in production today.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use policy_engine::replay::{Comparison, RecordedSession, Replay};

fn recordings() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("shared/vectors/cce-decisions/sessions.jsonl.gz");
    path.exists().then_some(path)
}

#[test]
fn recorded_decisions_are_ours() {
    let Some(path) = recordings() else {
        eprintln!("skipped: no recorded decisions beside the repository");
        return;
    };
    let file = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
    let mut replay = Replay::new(Comparison::Strict);
    for line in BufReader::new(file).lines() {
        replay.play(&RecordedSession::parse(line.unwrap().as_bytes()).unwrap()).unwrap();
    }
    let report = replay.report();
    eprintln!("{} queries agree, {} differ", report.agree, report.differ);
    for difference in &report.differences {
        eprintln!("{difference}");
    }
    assert_eq!((report.differ, report.half_anchored), (0, 0));
    assert!(report.agree > 3_000, "only {} answers were compared", report.agree);
}
