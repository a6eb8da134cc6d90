//! The evaluators that must decide alike.

use serde_json::Value as Json;

use policy_engine::Session;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Evaluator {
    Interpreter,
}

pub(crate) fn all() -> impl Iterator<Item = Evaluator> {
    [Evaluator::Interpreter].into_iter()
}

impl Evaluator {
    pub(crate) fn load(self, policy: &[u8], data: Json) -> Session {
        let Json::Object(data) = data else { panic!("{data} is no object") };
        Session::load(policy, data).expect("the policy loads")
    }
}
