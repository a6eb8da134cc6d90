//! Wire-level conformance tests for any agent.
