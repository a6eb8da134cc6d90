//! The evaluators that must decide alike.

use serde_json::Value as Json;

use policy_engine::{EvaluatorKind, Session};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Evaluator {
    Interpreter,
    Native,
}

pub(crate) fn all() -> impl Iterator<Item = Evaluator> {
    [Evaluator::Interpreter, Evaluator::Native].into_iter()
}

impl Evaluator {
    pub(crate) fn load(self, policy: &[u8], data: Json) -> Session {
        let Json::Object(data) = data else { panic!("{data} is no object") };
        let kind = match self {
            Self::Interpreter => EvaluatorKind::Interpreter,
            Self::Native => EvaluatorKind::Native,
        };
        Session::load(policy, data, kind).expect("the policy loads")
    }
}
