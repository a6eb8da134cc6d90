//! The in-guest agent: policy-enforcing container runtime.

fn main() {}
