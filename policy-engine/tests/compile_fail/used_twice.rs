//! One permit for two effects.

use policy_engine::Permit;
use policy_engine::request::DestroySandbox;

fn destroy(permit: Permit<DestroySandbox>) {
    permit.untouched();
}

fn twice(permit: Permit<DestroySandbox>) {
    destroy(permit);
    destroy(permit);
}

fn main() {}
