//! The permit of one request for the effect of another.

use policy_engine::Permit;
use policy_engine::request::{ShutdownContainer, UnmountDevice};

fn unmount(permit: Permit<UnmountDevice>) {
    permit.untouched();
}

fn exchanged(permit: Permit<ShutdownContainer>) {
    unmount(permit);
}

fn main() {}
