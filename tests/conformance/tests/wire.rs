//! The agent against a host that does not keep to the contract. No container is needed for any of it.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking and says why it was skipped"
)]

use conformance::agent::{AgentUnderTest, Setup};
use conformance::checks::{self, Check};

/// A policy that has no rule: whatever it is asked, it does not allow.
const NOTHING_ALLOWED: &str = "package policy\n\napi_version := \"0.10.0\"\nframework_version := \"0.2.3\"\n";

/// Runs a check against an agent of its own; skips it, except in CI, where there is none.
fn run(check: Check) {
    let setup = Setup { policy: NOTHING_ALLOWED.to_owned(), configuration: String::new() };
    let agent = match AgentUnderTest::find(&setup) {
        Ok(agent) => agent,
        Err(reason) if reason.is_reason_to_skip() && std::env::var_os("CI").is_none() => {
            println!("skipped: {reason}");
            return;
        }
        Err(reason) => panic!("no agent to test: {reason:?}"),
    };
    if let Err(deviation) = check(agent.address()) {
        panic!("{deviation}\n{deviation:?}\nthe agent said: {}", agent.log());
    }
}

macro_rules! checks {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            run(checks::$name);
        })*

        #[test]
        fn every_check_is_run() {
            assert_eq!(checks::ALL.map(|(name, _)| name), [$(stringify!($name)),*]);
        }
    };
}

checks! {
    health,
    unknown_method,
    unknown_service,
    truncated_frames,
    oversized_request,
    even_stream_id,
    stray_frames,
    garbage,
    many_connections,
    empty_requests,
    hostile_container_ids,
    hostile_sandbox_ids,
    undecodable_requests,
    many_parts,
    cancelled_call,
}
