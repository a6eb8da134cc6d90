//! A request that nobody judged.

use policy_engine::Permit;
use policy_engine::request::DestroySandbox;

fn destroy(permit: Permit<DestroySandbox>) {
    permit.untouched();
}

fn main() {
    destroy(DestroySandbox);
}
