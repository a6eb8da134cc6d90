//! A host that changes, crafts, hides and takes away disks: no container ever sees a byte that the root hash does not
//! cover, and the agent goes on.

#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "tests stop at the first surprise, say what they did, and start programs of the host"
)]

mod changed;
mod crafted;
mod detached;
mod guest;
mod many;
mod random;
