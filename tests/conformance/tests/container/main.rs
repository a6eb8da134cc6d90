//! Containers over the wire: a built agent, layers made here, policies written by `cce`, and a host that is honest in
//! all but one thing. Each test has an agent and disks of its own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking and says why it was skipped"
)]

mod bad_input;
mod disks;
mod guest;
mod image;
mod life;
mod policy;
mod pull;
mod registry;
mod requests;
mod state;
mod stdio;
mod storages;
mod what_runs;
