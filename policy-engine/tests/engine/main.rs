//! The engine as the agent uses it: requests in, permits or denials out.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests: a broken expectation ends them"
)]

mod fixture;
mod fragments;
mod framework;
mod limits;
mod loading;
mod opa;
mod points;
mod session;
mod settings;
mod settling;
mod windows;
