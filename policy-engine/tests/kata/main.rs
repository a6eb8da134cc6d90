//! Policies of Kata's dialect: what they allow, what they remember, and how they fail.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests: a broken expectation ends them"
)]

mod decisions;
mod faults;
mod fixture;
mod set_policy;
mod state;
