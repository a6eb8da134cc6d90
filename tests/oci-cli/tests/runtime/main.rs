//! The command line as an engine calls it, with real containers of this kernel.
//!
//! They need root, cgroup v2 and a static busybox (`/bin/busybox` of Debian's busybox-static); without these they say so
//! and do nothing.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "tests call the program, fail by panicking and say what they skip"
)]

mod bench;
mod errors;
mod exec;
mod hooks;
mod lifecycle;
mod limits;
mod terminal;
