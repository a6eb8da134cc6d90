//! Two evaluators of one policy, asked the same.

use policy_engine::{EvaluationError, EvaluatorKind, LoadError, Session, Snapshot};
use serde_json::{Map, Value, json};

use crate::policy;
use crate::story::Step;
use crate::tally::Tally;

/// The interpreter, which is the specification, and the native matcher.
#[derive(Debug)]
pub(crate) struct Pair {
    interpreter: Session,
    native: Session,
    data: Map<String, Value>,
    /// The state of both before anything was asked.
    fresh: [Snapshot; 2],
    /// How many fragments are loaded.
    fragments: usize,
    changed_data: bool,
}

/// Where the two differ.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    pub(crate) what: String,
    pub(crate) interpreter: String,
    pub(crate) native: String,
}

impl Difference {
    fn new(
        what: impl Into<String>,
        interpreter: &impl std::fmt::Debug,
        native: &impl std::fmt::Debug,
    ) -> Self {
        Self { what: what.into(), interpreter: format!("{interpreter:?}"), native: format!("{native:?}") }
    }
}

impl Pair {
    /// Loads `policy` twice. `None` when both refuse it.
    pub(crate) fn load(policy: &str) -> Result<Option<Self>, Difference> {
        let data = policy::data();
        let load = |kind| Session::load(policy.as_bytes(), data.clone(), kind);
        match (load(EvaluatorKind::Interpreter), load(EvaluatorKind::Native)) {
            (Ok(interpreter), Ok(native)) => {
                let fresh = [interpreter.save(), native.save()];
                Ok(Some(Self { interpreter, native, data, fresh, fragments: 0, changed_data: false }))
            }
            (Err(_), Err(_)) => Ok(None),
            (interpreter, native) => Err(Difference::new("load", &interpreter.map(drop), &native.map(drop))),
        }
    }

    /// Whether the native matcher has answered anything.
    pub(crate) fn is_native(&self) -> bool {
        self.native.native_answers() > 0
    }

    /// Runs `steps`.
    pub(crate) fn run(&mut self, steps: &[Step], tally: &mut Tally) -> Result<(), Difference> {
        let mut saved = None;
        for step in steps {
            match step {
                Step::Query { rule, input, explain } => self.ask(rule, input, *explain, tally)?,
                Step::AddFragment { namespace, text, parameters } => {
                    let add = |session: &mut Session| session.add_fragment(namespace, text, parameters);
                    self.fragments += usize::from(self.both("add_fragment", add)?);
                }
                Step::RemoveFragment => self.remove_fragment()?,
                Step::SetData { key, value } => {
                    self.changed_data = true;
                    self.both("set_data", |session| session.set_data(key, value.clone()))?;
                }
                Step::Save => saved = Some([self.interpreter.save(), self.native.save()]),
                Step::Restore => {
                    if let Some([interpreter, native]) = &saved {
                        self.interpreter.restore(interpreter);
                        self.native.restore(native);
                    }
                }
            }
        }
        Ok(())
    }

    fn remove_fragment(&mut self) -> Result<(), Difference> {
        if self.fragments > 0 {
            self.fragments -= 1;
            let last = self.fragments;
            self.both("remove_fragment", |session| session.remove_fragment(last))?;
        }
        Ok(())
    }

    /// Returns to the start.
    pub(crate) fn reset(&mut self) -> Result<(), Difference> {
        while self.fragments > 0 {
            self.remove_fragment()?;
        }
        if self.changed_data {
            self.changed_data = false;
            for (key, value) in self.data.clone() {
                self.both("set_data", |session| session.set_data(&key, value.clone()))?;
            }
        }
        self.interpreter.restore(&self.fresh[0]);
        self.native.restore(&self.fresh[1]);
        Ok(())
    }

    /// Changes both; whether that was accepted.
    fn both(
        &mut self,
        what: &str,
        change: impl Fn(&mut Session) -> Result<(), LoadError>,
    ) -> Result<bool, Difference> {
        let (interpreter, native) = (change(&mut self.interpreter), change(&mut self.native));
        if interpreter.is_ok() != native.is_ok() {
            return Err(Difference::new(what, &interpreter, &native));
        }
        Ok(native.is_ok())
    }

    fn ask(&mut self, rule: &str, input: &Value, explain: bool, tally: &mut Tally) -> Result<(), Difference> {
        let before = self.native.native_answers();
        let answer = self.same(rule, input)?;
        tally.count(rule, answer.as_ref(), self.native.native_answers() > before);
        let denied = answer.is_none_or(|answer| answer.get("allowed") != Some(&json!(true)));
        if explain
            && denied
            && let Value::Object(fields) = input
        {
            let mut fields = fields.clone();
            fields.insert("rule".to_owned(), rule.rsplit('.').next().into());
            let reason = self.same("data.policy.reason", &Value::Object(fields))?;
            let reasons = reason.as_ref().and_then(|reason| reason.get("errors")?.as_array());
            tally.explained += u64::from(reasons.is_some_and(|reasons| !reasons.is_empty()));
        }
        Ok(())
    }

    /// The answer of both; `None` for an error of both.
    fn same(&mut self, rule: &str, input: &Value) -> Result<Option<Value>, Difference> {
        let mut interpreter = self.interpreter.query(rule, input);
        let mut native = self.native.query(rule, input);
        // Changes of state are compared by what they lead to: a native answer does not name them.
        for answer in [&mut interpreter, &mut native] {
            if let Ok(Value::Object(fields)) = answer {
                fields.remove("metadata");
            }
        }
        if alike(&interpreter, &native) {
            return Ok(native.ok());
        }
        Err(Difference::new(format!("{rule} {input}"), &interpreter, &native))
    }

    /// Compares the whole state, as rules read it, and returns it.
    pub(crate) fn compare_states(&mut self) -> Result<Value, Difference> {
        let state = |session: &mut Session| {
            let mut state = session.query("data.framework.state", &json!({}));
            state.iter_mut().for_each(|state| reduce(&mut state["matches"]));
            state
        };
        let (interpreter, native) = (state(&mut self.interpreter), state(&mut self.native));
        match native {
            Ok(state) if interpreter.as_ref() == Ok(&state) => Ok(state),
            native => Err(Difference::new("the state", &interpreter, &native)),
        }
    }
}

/// Takes out of candidates what decides nothing: the order of capabilities, and what tools call a container.
fn reduce(matches: &mut Value) {
    let candidates = matches.as_object_mut().into_iter().flat_map(|matches| matches.values_mut());
    let candidates = candidates.filter_map(Value::as_array_mut).flatten();
    for candidate in candidates.filter_map(Value::as_object_mut) {
        candidate.remove("id");
        candidate.remove("name");
        let sets = candidate.get_mut("capabilities").and_then(Value::as_object_mut);
        for set in sets.into_iter().flat_map(|sets| sets.values_mut()).filter_map(Value::as_array_mut) {
            set.sort_by_key(Value::to_string);
        }
    }
}

fn alike(interpreter: &Result<Value, EvaluationError>, native: &Result<Value, EvaluationError>) -> bool {
    match (interpreter, native) {
        (Ok(interpreter), Ok(native)) => interpreter == native,
        (Err(interpreter), Err(native)) => {
            std::mem::discriminant(interpreter) == std::mem::discriminant(native)
        }
        _ => false,
    }
}
