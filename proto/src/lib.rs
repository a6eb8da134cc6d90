//! Wire contracts: Kata's ttrpc services.
//!
//! Messages, clients and service traits are generated from `protos/` at build time. This crate knows bytes and
//! names only: no policy, no kernel, and nothing of what a request does.

#![deny(unsafe_code)]

pub mod kata;
