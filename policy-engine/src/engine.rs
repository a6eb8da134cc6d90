//! The engine: one policy, its state, and the decisions over both.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use signed_statement::VerifiedStatement;

use crate::authority::Attempt;
use crate::denial::{Denial, Refusal};
use crate::evaluator::{Evaluator, LoadError, PolicySummary, Staged};
use crate::fragment::{FragmentError, FragmentLoaded, LoadTrustListError, TrustListLoaded};
use crate::permit::{Grant, Permit, Settlement};
use crate::request::{EnforcementPoint, ReadRequest, Request};

/// Judges requests against one policy. Cheap to clone; all clones share the policy's state.
#[derive(Debug, Clone)]
pub struct Engine {
    core: Arc<Core>,
}

/// What an engine and its permits share.
#[derive(Debug)]
pub(crate) struct Core {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    evaluator: Evaluator,
    /// The state change of the outstanding permit, which commits or vanishes with it.
    outstanding: Option<Staged>,
    poisoned: bool,
}

impl Engine {
    /// Loads `policy`, the exact bytes whose digest is in HOST_DATA.
    ///
    /// # Errors
    ///
    /// When the policy is no text, exceeds the limits, does not parse, or is for another API version.
    pub fn load(policy: &[u8]) -> Result<Self, LoadError> {
        let state = State { evaluator: Evaluator::load(policy)?, outstanding: None, poisoned: false };
        Ok(Self { core: Arc::new(Core { state: Mutex::new(state) }) })
    }

    /// Decides `request`. An allow is a permit to carry it out, amended as policy wants it.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: denied, undefined or failing policy; a poisoned guest; another change under way.
    pub fn decide<R: Request>(&self, mut request: R) -> Result<Permit<R>, Refusal> {
        let mut state = self.core.lock();
        if state.outstanding.is_some() {
            return Err(Refusal::Busy);
        }
        if state.poisoned && !R::TEARDOWN {
            return Err(Refusal::Poisoned);
        }
        if let Some(settings) = request.settings() {
            state.evaluator.judge(EnforcementPoint::LinuxSettings, &settings)?;
        }
        let decision = state.evaluator.judge(R::POINT, &request.question())?;
        request.amend(&decision.amendment);
        state.outstanding = Some(decision.staged);
        Ok(Permit::new(request, Arc::clone(&self.core)))
    }

    /// Decides a request that only reads. It does not wait for the change that is under way.
    ///
    /// # Errors
    ///
    /// When policy denies it.
    pub fn inspect<R: ReadRequest>(&self, request: R) -> Result<Grant<R>, Denial> {
        self.core.lock().evaluator.judge(R::POINT, &request.question())?;
        Ok(Grant::new(request))
    }

    /// Takes in a fragment of policy that somebody signed, when the policy wants it.
    ///
    /// # Errors
    ///
    /// [`FragmentError`]; nothing has changed then.
    pub fn load_fragment(&self, statement: &VerifiedStatement) -> Result<FragmentLoaded, FragmentError> {
        let mut state = self.core.lock();
        if state.outstanding.is_some() {
            return Err(FragmentError::Busy);
        }
        if state.poisoned {
            return Err(FragmentError::Poisoned);
        }
        state.evaluator.load_fragment(statement)
    }

    /// Takes in a list of transparency ledgers that somebody signed, as far as the policy wants them: the receipts of
    /// these ledgers count for fragments from now on.
    ///
    /// # Errors
    ///
    /// [`LoadTrustListError`]; nothing has changed then.
    pub fn load_transparency_trust_list(
        &self,
        statement: &VerifiedStatement,
    ) -> Result<TrustListLoaded, LoadTrustListError> {
        let mut state = self.core.lock();
        if state.outstanding.is_some() {
            return Err(LoadTrustListError::Busy);
        }
        if state.poisoned {
            return Err(LoadTrustListError::Poisoned);
        }
        state.evaluator.load_trust_list(statement)
    }

    /// The right to look at what the host offers, before a decision.
    ///
    /// # Errors
    ///
    /// In a poisoned guest, which prepares nothing any more.
    pub fn attempt(&self) -> Result<Attempt, Refusal> {
        if self.is_poisoned() { Err(Refusal::Poisoned) } else { Ok(Attempt(())) }
    }

    /// What the policy says of itself.
    #[must_use]
    pub fn summary(&self) -> PolicySummary {
        self.core.lock().evaluator.summary().clone()
    }

    /// Whether an effect ended in an unknown state.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.core.lock().poisoned
    }
}

impl Core {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            // A panic while deciding left the state half-done: fail closed.
            let mut state = PoisonError::into_inner(poisoned);
            state.poisoned = true;
            state
        })
    }

    pub(crate) fn settle(&self, settlement: Settlement) {
        let mut state = self.lock();
        let staged = state.outstanding.take();
        match (settlement, staged) {
            (Settlement::Done, Some(staged)) => state.poisoned |= state.evaluator.commit(staged).is_err(),
            (Settlement::Untouched, Some(_)) => {}
            (Settlement::Unknown, _) | (_, None) => state.poisoned = true,
        }
    }
}
