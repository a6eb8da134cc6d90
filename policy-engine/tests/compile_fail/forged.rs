//! A permit that no decision gave.

use policy_engine::Permit;
use policy_engine::request::DestroySandbox;

fn main() {
    let _: Permit<DestroySandbox> = Permit { open: None };
}
