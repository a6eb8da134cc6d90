//! Replays recorded sessions: asks the engine what another one was asked, and compares the answers.
//!
//! The state is compared through what follows. Patterns are the one point where this engine means to differ: it
//! holds them against whole texts, the engine that sessions are recorded from lets `a|b` match what begins with
//! `a` and what ends with `b`. A query whose answer depends on that is listed apart. It is one
//!
//! - that the interpreter answers as recorded when the session is replayed from its start with the other
//!   engine's anchors, and
//! - that the interpreter answers with whole anchors as the evaluator at hand does.
//!
//! So neither a fault of the interpreter nor one of another evaluator hides behind a pattern.

mod comparison;
mod player;
mod recorded;

use std::fmt;

pub use comparison::Comparison;
pub use recorded::{Query, RecordedSession, SessionFormatError, SessionId, Step};

use crate::evaluator::{Anchoring, EvaluatorKind, LoadError, Session};
use comparison::{Answer, Mismatch};
use player::Player;

/// How many differences of each kind are kept.
pub const DIFFERENCES_MAX: usize = 20;

/// Why a session cannot be replayed to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// A step is not possible where it stands.
    #[error("session {session}, step {step}")]
    Step {
        /// The session.
        session: SessionId,
        /// The step's index.
        step: usize,
        /// What is wrong.
        #[source]
        cause: Box<ReplayError>,
    },
    /// The data beside the policy is refused.
    #[error("the data cannot be replaced")]
    Data(#[source] LoadError),
    /// The fragments that remain are refused.
    #[error("the other fragments cannot be loaded again")]
    Fragments(#[source] LoadError),
    /// A fragment is dropped that is not there.
    #[error("there is no fragment `{module}` to remove")]
    NoSuchFragment {
        /// Its name in the session.
        module: String,
    },
    /// The state is restored without having been saved.
    #[error("no state was saved")]
    NothingSaved,
}

/// An answer that is not the recorded one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The session.
    pub session: SessionId,
    /// The step's index in it.
    pub step: usize,
    /// The rule that was asked for.
    pub rule: String,
    /// The part of the answer.
    pub field: &'static str,
    /// What it is in the recording, shortened.
    pub recorded: String,
    /// What it is here, shortened.
    pub given: String,
}

/// What came of the sessions so far.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// How many sessions were replayed.
    pub sessions: u64,
    /// How many questions were asked.
    pub queries: u64,
    /// How many answers are the recorded ones.
    pub agree: u64,
    /// How many are not.
    pub differ: u64,
    /// How many depend on the half-anchored patterns of the recorded engine.
    pub half_anchored: u64,
    /// How many answers were given natively.
    pub native: u64,
    /// The first that differ, at most [`DIFFERENCES_MAX`].
    pub differences: Vec<Difference>,
    /// The first that depend on half-anchored patterns, at most [`DIFFERENCES_MAX`].
    pub half_anchored_differences: Vec<Difference>,
}

/// Replays sessions, one at a time.
#[derive(Debug)]
pub struct Replay {
    comparison: Comparison,
    evaluator: EvaluatorKind,
    report: Report,
}

impl Replay {
    /// Will ask this evaluator and compare in this way.
    #[must_use]
    pub fn new(comparison: Comparison, evaluator: EvaluatorKind) -> Self {
        Self { comparison, evaluator, report: Report::default() }
    }

    /// What came of the sessions so far.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Replays one session.
    ///
    /// # Errors
    ///
    /// When a step is not possible where it stands. A policy or fragment that is refused is no error: each
    /// question about it is left without an answer.
    pub fn play(&mut self, recorded: &RecordedSession) -> Result<(), ReplayError> {
        self.report.sessions = self.report.sessions.saturating_add(1);
        let evaluator = self.evaluator;
        let Played { answers, native } =
            play(recorded, |policy, data| Session::load(policy, data, evaluator))?;
        self.report.native = self.report.native.saturating_add(native);
        let mut mismatches = Vec::new();
        for (step, query, given) in queries(recorded, &answers) {
            self.report.queries = self.report.queries.saturating_add(1);
            match self.comparison.mismatch(&query.rule, &query.input, &query.answer(), given) {
                None => self.report.agree = self.report.agree.saturating_add(1),
                Some(mismatch) => mismatches.push((step, mismatch)),
            }
        }
        if !mismatches.is_empty() {
            self.sort(recorded, &answers, mismatches)?;
        }
        Ok(())
    }

    /// Tells differences from answers that depend on half-anchored patterns.
    fn sort(
        &mut self,
        recorded: &RecordedSession,
        given: &[Option<Answer>],
        mismatches: Vec<(usize, Mismatch)>,
    ) -> Result<(), ReplayError> {
        let anchored =
            |anchoring| play(recorded, |policy, data| Session::load_anchored(policy, data, anchoring));
        let (half, whole) = (anchored(Anchoring::Half)?.answers, anchored(Anchoring::Whole)?.answers);
        for (step, mismatch) in mismatches {
            let Some(Step::Query(query)) = recorded.steps.get(step) else { continue };
            let answer = |answers: &[Option<Answer>]| answers.get(step).cloned().flatten();
            let same = |one: Option<Answer>, other: Option<Answer>| {
                let (Some(one), Some(other)) = (one, other) else { return false };
                self.comparison.mismatch(&query.rule, &query.input, &one, &other).is_none()
            };
            let by_anchors = same(Some(query.answer()), answer(&half)) && same(answer(&whole), answer(given));
            let Mismatch { field, recorded: in_recording, given } = mismatch;
            let (session, rule) = (recorded.id.clone(), query.rule.clone());
            let difference = Difference { session, step, rule, field, recorded: in_recording, given };
            let report = &mut self.report;
            let (count, kept) = if by_anchors {
                (&mut report.half_anchored, &mut report.half_anchored_differences)
            } else {
                (&mut report.differ, &mut report.differences)
            };
            *count = count.saturating_add(1);
            if kept.len() < DIFFERENCES_MAX {
                kept.push(difference);
            }
        }
        Ok(())
    }
}

/// What one evaluator made of a session.
struct Played {
    /// Its answers, at the indices of their steps.
    answers: Vec<Option<Answer>>,
    /// How many of them are native.
    native: u64,
}

fn play(
    recorded: &RecordedSession,
    load: impl FnOnce(&[u8], serde_json::Map<String, serde_json::Value>) -> Result<Session, LoadError>,
) -> Result<Played, ReplayError> {
    let mut player = Player::start(recorded, load);
    let at = |step: usize, cause: ReplayError| {
        let (session, cause) = (recorded.id.clone(), Box::new(cause));
        ReplayError::Step { session, step, cause }
    };
    let answers = recorded
        .steps
        .iter()
        .enumerate()
        .map(|(index, step)| player.step(step).map_err(|cause| at(index, cause)))
        .collect::<Result<_, _>>()?;
    Ok(Played { answers, native: player.native_answers() })
}

fn queries<'a>(
    recorded: &'a RecordedSession,
    answers: &'a [Option<Answer>],
) -> impl Iterator<Item = (usize, &'a Query, &'a Answer)> {
    recorded.steps.iter().zip(answers).enumerate().filter_map(|(index, pair)| match pair {
        (Step::Query(query), Some(answer)) => Some((index, query, answer)),
        _ => None,
    })
}

impl Query {
    fn answer(&self) -> Answer {
        match &self.error {
            None | Some(serde_json::Value::Null) => Answer::Value(self.result.clone()),
            Some(error) => Answer::Failed(error.to_string()),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session, step, rule, field, recorded, given } = self;
        write!(
            f,
            "session {session}, step {step}: {rule}, {field}\n  recorded {recorded}\n  given    {given}"
        )
    }
}

#[cfg(test)]
mod tests;
