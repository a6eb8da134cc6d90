//! Asks one evaluator what a recorded session asked.

use serde_json::{Map, Value as Json};

use super::ReplayError;
use super::comparison::Answer;
use super::recorded::{Query, RecordedSession, Step};
use crate::evaluator::{LoadError, Session, Snapshot};

/// A session under way.
#[derive(Debug)]
pub(super) struct Player {
    /// Or why the policy was refused.
    session: Result<Session, String>,
    fragments: Vec<Fragment>,
    saved: Option<Snapshot>,
    /// `issuer>feed` and the namespace of the fragment that the last question was about.
    asked: Option<(String, String)>,
}

#[derive(Debug)]
struct Fragment {
    /// `issuer>feed`, where a question before told it.
    id: Option<String>,
    namespace: String,
    /// Why it was refused. The recorded engine compiles at the next question, which fails until the fragment is
    /// dropped; so do ours.
    refused: Option<String>,
}

/// The error and its causes on one line.
fn with_causes(error: &LoadError) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl Player {
    /// Starts `recorded` with a session that `load` makes.
    pub(super) fn start(
        recorded: &RecordedSession,
        load: impl FnOnce(&[u8], Map<String, Json>) -> Result<Session, LoadError>,
    ) -> Self {
        let mut data = recorded.data.clone();
        // The state is ours to keep, and is empty when a policy is loaded.
        data.remove("metadata");
        if let Some(os) = &recorded.os {
            data.insert("operatingsystem".to_owned(), os.as_str().into());
        }
        let session = load(recorded.policy.as_bytes(), data).map_err(|error| with_causes(&error));
        Self { session, fragments: Vec::new(), saved: None, asked: None }
    }

    /// How many questions were answered natively so far.
    pub(super) fn native_answers(&self) -> u64 {
        self.session.as_ref().map_or(0, Session::native_answers)
    }

    /// Takes one step; the answer of a query.
    pub(super) fn step(&mut self, step: &Step) -> Result<Option<Answer>, ReplayError> {
        match step {
            Step::Query(query) => return Ok(Some(self.ask(query))),
            Step::AddModule { namespace, code, parameters } => self.add(namespace, code, parameters),
            Step::RemoveModule { module } => self.remove(module.as_deref())?,
            Step::SaveMetadata => self.saved = self.session.as_ref().ok().map(Session::save),
            Step::RestoreMetadata => self.restore()?,
            Step::UpdateData { key, value } => {
                if let Ok(session) = &mut self.session {
                    session.set_data(key, value.clone()).map_err(ReplayError::Data)?;
                }
            }
        }
        Ok(None)
    }

    fn ask(&mut self, query: &Query) -> Answer {
        if query.rule.ends_with(".load_fragment") {
            let text = |name: &str| query.input.get(name).and_then(Json::as_str).unwrap_or_default();
            let id = format!("{}>{}", text("issuer"), text("feed"));
            self.asked = Some((id, text("namespace").to_owned()));
        }
        if let Some(refused) = self.fragments.iter().find_map(|fragment| fragment.refused.as_ref()) {
            return Answer::Failed(refused.clone());
        }
        match &mut self.session {
            Err(refused) => Answer::Failed(refused.clone()),
            Ok(session) => match session.query(&query.rule, &query.input) {
                Ok(value) => Answer::Value(value),
                Err(error) => Answer::Failed(error.to_string()),
            },
        }
    }

    fn add(&mut self, namespace: &str, code: &str, parameters: &Json) {
        let Ok(session) = &mut self.session else { return };
        let refused = session
            .add_fragment(namespace, code, parameters)
            .err()
            .map(|error| format!("fragment `{namespace}`: {}", with_causes(&error)));
        let asked = self.asked.as_ref().filter(|(_, asked)| asked == namespace);
        let id = asked.map(|(id, _)| id.clone());
        self.fragments.push(Fragment { id, namespace: namespace.to_owned(), refused });
    }

    /// Drops the fragment that `module` names, or the last one.
    fn remove(&mut self, module: Option<&str>) -> Result<(), ReplayError> {
        let Ok(session) = &mut self.session else { return Ok(()) };
        let names = |fragment: &Fragment| {
            module.is_none_or(|module| fragment.id.as_deref() == Some(module) || fragment.namespace == module)
        };
        let position = self.fragments.iter().rposition(names);
        // One that no question named can only be told when it is alone.
        let position = position.or_else(|| (self.fragments.len() == 1).then_some(0));
        let Some(position) = position else {
            return Err(ReplayError::NoSuchFragment { module: module.unwrap_or_default().to_owned() });
        };
        let before =
            self.fragments.iter().take(position).filter(|fragment| fragment.refused.is_none()).count();
        let removed = self.fragments.remove(position);
        if removed.refused.is_none() {
            session.remove_fragment(before).map_err(ReplayError::Fragments)?;
        }
        Ok(())
    }

    fn restore(&mut self) -> Result<(), ReplayError> {
        let Ok(session) = &mut self.session else { return Ok(()) };
        session.restore(self.saved.as_ref().ok_or(ReplayError::NothingSaved)?);
        Ok(())
    }
}
