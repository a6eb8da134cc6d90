//! Replays recorded sessions of a CCE engine.

use std::fmt;

use anyhow::{Context as _, ensure};
use policy_engine::replay::{Comparison, Difference, RecordedSession, Replay, Report};
use serde::Serialize;

use super::ReplayArgs;
use super::lines::Lines;
use crate::output::Answer;

#[derive(Debug, Serialize)]
struct Outcome {
    file: String,
    sessions: u64,
    evaluators: Vec<EvaluatorOutcome>,
}

#[derive(Debug, Serialize)]
struct EvaluatorOutcome {
    evaluator: &'static str,
    queries: u64,
    agree: u64,
    differ: u64,
    /// Questions that this evaluator answered itself; the rest of the native one's is the interpreter's.
    answered_itself: u64,
    /// Answers that depend on the half-anchored patterns of the recorded engine.
    half_anchored: u64,
    /// Answers that were given natively.
    native: u64,
    differences: Vec<DifferenceOutcome>,
    half_anchored_differences: Vec<DifferenceOutcome>,
}

#[derive(Debug, Serialize)]
struct DifferenceOutcome {
    session: String,
    step: usize,
    rule: String,
    field: &'static str,
    recorded: String,
    given: String,
    #[serde(skip)]
    text: String,
}

impl DifferenceOutcome {
    fn new(difference: &Difference) -> Self {
        Self {
            session: difference.session.to_string(),
            step: difference.step,
            rule: difference.rule.clone(),
            field: difference.field,
            recorded: difference.recorded.clone(),
            given: difference.given.clone(),
            text: difference.to_string(),
        }
    }
}

impl EvaluatorOutcome {
    fn new(evaluator: &'static str, report: &Report) -> Self {
        let listed = |list: &[Difference]| list.iter().map(DifferenceOutcome::new).collect();
        Self {
            evaluator,
            queries: report.queries,
            agree: report.agree,
            differ: report.differ,
            answered_itself: if evaluator == "native" { report.native } else { report.queries },
            half_anchored: report.half_anchored,
            native: report.native,
            differences: listed(&report.differences),
            half_anchored_differences: listed(&report.half_anchored_differences),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, evaluator) in self.evaluators.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            evaluator.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for EvaluatorOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { evaluator, queries, agree, differ, answered_itself, half_anchored, .. } = self;
        write!(f, "{queries} queries, {agree} agree, {differ} differ ({evaluator}")?;
        if answered_itself < queries {
            write!(f, ", which answered {answered_itself} itself")?;
        }
        f.write_str(")")?;
        for difference in &self.differences {
            write!(f, "\n{}", difference.text)?;
        }
        if *half_anchored > 0 {
            write!(
                f,
                "\n{half_anchored} depend on half-anchored patterns of the recorded engine, which are not copied:"
            )?;
        }
        for difference in &self.half_anchored_differences {
            write!(f, "\n{}", difference.text)?;
        }
        Ok(())
    }
}

/// Replays each session by each evaluator that was asked for.
///
/// # Errors
/// When the file cannot be read, or a line is no session that can be replayed.
pub(super) fn run(args: &ReplayArgs) -> anyhow::Result<Answer> {
    let comparison = if args.strict { Comparison::Strict } else { Comparison::Decisions };
    let mut replays: Vec<(&str, Replay)> = args
        .evaluator
        .evaluators()
        .iter()
        .map(|(name, evaluator)| (*name, Replay::new(comparison, *evaluator)))
        .collect();
    let file = args.file.display().to_string();
    let mut lines = Lines::open(&args.file).with_context(|| format!("cannot read {file}"))?;
    while let Some((number, line)) = lines.next().with_context(|| format!("cannot read {file}"))? {
        let at = || format!("{file}, line {number}");
        let session = RecordedSession::parse(line).with_context(at)?;
        for (_, replay) in &mut replays {
            replay.play(&session).with_context(at)?;
        }
    }
    let sessions = replays.first().map_or(0, |(_, replay)| replay.report().sessions);
    ensure!(sessions > 0, "{file} has no sessions");
    let evaluators: Vec<EvaluatorOutcome> =
        replays.iter().map(|(name, replay)| EvaluatorOutcome::new(name, replay.report())).collect();
    let agree = evaluators.iter().all(|evaluator| evaluator.differ == 0);
    let outcome = Outcome { file, sessions, evaluators };
    if agree { Answer::yes(&outcome) } else { Answer::no(&outcome) }
}
