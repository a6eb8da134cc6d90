//! The native evaluator: answers policies that only list objects and point at the framework.
//!
//! The framework in Rego says what is right; this says the same, fast.

pub(crate) mod objects;
pub(crate) mod policy;
pub(crate) mod state;
