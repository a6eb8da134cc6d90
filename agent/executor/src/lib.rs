//! The only crate that touches the guest's kernel.
//!
//! Each function that changes something takes the token that allows it: a [`Permit`](policy_engine::Permit),
//! which it settles itself, a [`Grant`](policy_engine::Grant), an
//! [`Attempt`](policy_engine::authority::Attempt) or the
//! [`BootAuthority`](policy_engine::authority::BootAuthority). What to do is read from the token and from
//! nowhere else. A permit ends as *done* when all of it happened, as *untouched* when all of it was undone,
//! and as *unknown*, which poisons the guest, in every other case.
//!
//! The functions block: a server calls them from a thread that may.
//!
//! What a mount or device needs to go away again is owned by one value ([`layers::Layer`],
//! [`scratch::Scratch`], [`mounts::Overlay`], [`volumes::Volume`]). Dropping it takes nothing down: that needs a permit too.

#![deny(unsafe_code)]

pub mod boot;
pub mod cgroup;
pub mod container;
pub mod devices;
pub mod launcher;
pub mod layers;
mod loopback;
mod mountinfo;
pub mod mounts;
pub mod observe;
mod patience;
mod procfs;
mod retry;
mod rollback;
pub mod scratch;
pub mod stdio;
mod sys;
#[cfg(test)]
mod test_bench;
pub mod volumes;

pub use patience::SilentDiskError;
