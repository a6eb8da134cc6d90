//! Wire-level conformance tests for any agent.
//!
//! [`checks`] speak ttrpc to an agent at an address, in frames of their own making where the traffic is to be
//! malformed. [`agent`] finds the agent: one that runs already (`AGENT_ADDRESS`), or the built one
//! (`CCE_AGENT_BIN`), started in namespaces of its own. A foreign agent should run on a machine of its own: it may
//! do what it is asked, such as set the clock.

#![forbid(unsafe_code)]

pub mod agent;
mod cgroup;
pub mod checks;
pub mod connection;
