//! Evaluates enforcement points: the policy's rules over a request and over what has happened so far.

mod budget;
pub(crate) mod defaults;
mod functions;
mod interpreter;
pub mod limits;
mod load;
pub(crate) mod metadata;
mod native_first;
mod outcome;
mod points;
pub(crate) mod recursion;
pub(crate) mod rego;
pub(crate) mod scan;
mod session;
pub(crate) mod tokens;
mod typed;
pub(crate) mod wrap;

use serde::Serialize;
use signed_statement::{TrustedLedgers, VerifiedStatement};

pub use load::{LoadError, PolicySummary};
pub(crate) use load::{RESERVED as RESERVED_NAMESPACES, policy_rules};
pub use recursion::RecursionError;
pub(crate) use rego::Anchoring;
pub use rego::EvaluationError;
pub(crate) use scan::Rule;
pub use scan::ScanError;
pub use session::{Session, Snapshot};

use crate::amendment::Amendment;
use crate::denial::Denial;
use crate::fragment::{
    Fragment, FragmentError, FragmentLoaded, LoadTrustListError, TrustListLoaded, TrustListStatement,
};
use crate::native::state::Change as NativeChange;
use crate::question::Question;
use crate::request::EnforcementPoint;
use interpreter::Interpreter;
use native_first::{Change, NativeFirst};

/// How a policy is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EvaluatorKind {
    /// By the Rego interpreter: any policy.
    Interpreter,
    /// Natively, and by the interpreter what is left: a policy that only lists objects and points its rules at
    /// the framework. The answers are the same.
    Native,
}

/// A change of policy state that waits for its permit to be settled.
#[derive(Debug)]
pub(crate) struct Staged {
    change: Change,
    creates_sandbox: bool,
}

/// An allow.
#[derive(Debug)]
pub(crate) struct Decision {
    pub(crate) amendment: Amendment,
    pub(crate) staged: Staged,
}

impl Decision {
    /// An allow by the guest's own rules.
    fn by_guest(creates_sandbox: bool) -> Self {
        let change = Change::Native(NativeChange::Nothing);
        Self { amendment: Amendment::default(), staged: Staged { change, creates_sandbox } }
    }
}

/// The change that was staged cannot be applied: nobody knows the state any more.
#[derive(Debug)]
pub(crate) struct StateLost;

/// One policy and its state.
#[derive(Debug)]
pub(crate) struct Evaluator {
    judge: Judge,
    summary: PolicySummary,
    sandbox_created: bool,
    ledgers: TrustedLedgers,
}

#[derive(Debug)]
enum Judge {
    Interpreter(Box<Interpreter>),
    Native(Box<NativeFirst>),
}

impl Evaluator {
    pub(crate) fn load(policy: &[u8]) -> Result<Self, LoadError> {
        let (judge, summary) = match NativeFirst::load(load::text(policy)?) {
            Some((native, summary)) => (Judge::Native(Box::new(native)), summary),
            None => {
                let (interpreter, summary) = Interpreter::load(policy)?;
                (Judge::Interpreter(Box::new(interpreter)), summary)
            }
        };
        Ok(Self { judge, summary, sandbox_created: false, ledgers: TrustedLedgers::default() })
    }

    pub(crate) fn summary(&self) -> &PolicySummary {
        &self.summary
    }

    pub(crate) fn judge(
        &mut self,
        point: EnforcementPoint,
        question: &Question<'_>,
    ) -> Result<Decision, Denial> {
        let (amendment, change) = match (point, &mut self.judge) {
            (EnforcementPoint::CreateSandbox, _) => return self.judge_create_sandbox(),
            // The host can stop the processors and cut the power at any time.
            (EnforcementPoint::ControlContainer | EnforcementPoint::DestroySandbox, _) => {
                return Ok(Decision::by_guest(false));
            }
            (_, Judge::Native(native)) => native.judge(point, question)?,
            (_, Judge::Interpreter(interpreter)) => {
                let (amendment, change) = interpreter.judge(point, question)?;
                (amendment, Change::Interpreter(change))
            }
        };
        Ok(Decision { amendment, staged: Staged { change, creates_sandbox: false } })
    }

    /// The sandbox is set up once, before anything runs in it: a second set-up would pull the ground from
    /// under running containers.
    fn judge_create_sandbox(&self) -> Result<Decision, Denial> {
        let denied =
            |reason: &str| Err(Denial::new(EnforcementPoint::CreateSandbox, vec![reason.to_owned()]));
        if self.sandbox_created {
            return denied("sandbox already created");
        }
        let has_containers = match &self.judge {
            Judge::Native(native) => native.has_containers(),
            Judge::Interpreter(interpreter) => {
                let metadata = interpreter.metadata();
                metadata.has_entries("matches") || metadata.has_entries("started")
            }
        };
        if has_containers {
            return denied("containers exist already");
        }
        Ok(Decision::by_guest(true))
    }

    /// From now on the interpreter judges, if there is one.
    fn hand_over(&mut self, interpreter: Option<Interpreter>) {
        if let Some(interpreter) = interpreter {
            self.judge = Judge::Interpreter(Box::new(interpreter));
            self.summary.evaluator = EvaluatorKind::Interpreter;
        }
    }

    /// Takes in a fragment, or changes nothing.
    pub(crate) fn load_fragment(
        &mut self,
        statement: &VerifiedStatement,
    ) -> Result<FragmentLoaded, FragmentError> {
        let fragment = Fragment::read(statement, self.ledgers.verified_receipts(statement))?;
        match &mut self.judge {
            Judge::Interpreter(interpreter) => interpreter.load_fragment(&fragment),
            Judge::Native(native) => {
                let (loaded, interpreter) = native.load_fragment(&fragment)?;
                self.hand_over(interpreter);
                Ok(loaded)
            }
        }
    }

    /// Takes in the ledgers of a trust list that the policy allows, or changes nothing.
    pub(crate) fn load_trust_list(
        &mut self,
        statement: &VerifiedStatement,
    ) -> Result<TrustListLoaded, LoadTrustListError> {
        let statement = TrustListStatement::read(statement)?;
        let answer = match &mut self.judge {
            Judge::Interpreter(interpreter) => interpreter.ask_trust_list(&statement.question())?,
            Judge::Native(native) => native.ask_trust_list(&statement.question())?,
        };
        let allowed = statement.allowed(&answer)?;
        self.ledgers.add(statement.subject(), &statement.list, allowed.iter().copied())?;
        Ok(TrustListLoaded { ledgers: allowed.into_iter().map(str::to_owned).collect() })
    }

    /// Applies what was decided on this very state.
    pub(crate) fn commit(&mut self, staged: Staged) -> Result<(), StateLost> {
        self.sandbox_created |= staged.creates_sandbox;
        match (&mut self.judge, staged.change) {
            (_, Change::Native(NativeChange::Nothing)) => {}
            (Judge::Native(native), change) => {
                let interpreter = native.commit(change).map_err(|_| StateLost)?;
                self.hand_over(interpreter);
            }
            (Judge::Interpreter(interpreter), Change::Interpreter(change)) => interpreter.commit(change),
            (Judge::Interpreter(_), Change::Native(_)) => return Err(StateLost),
        }
        Ok(())
    }
}
