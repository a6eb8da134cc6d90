//! The evaluators that must decide alike.

use serde_json::Value as Json;

use policy_engine::{EvaluatorKind, Session};

pub(crate) fn all() -> [EvaluatorKind; 2] {
    [EvaluatorKind::Interpreter, EvaluatorKind::Native]
}

pub(crate) fn load(policy: &[u8], data: Json, evaluator: EvaluatorKind) -> Session {
    let Json::Object(data) = data else { panic!("{data} is no object") };
    Session::load(policy, data, evaluator).expect("the policy loads")
}
