//! A policy in genpolicy's manner, and requests that fit it.

use policy_engine::kata::{KataPolicy, Kind, Refusal};
use serde_json::{Value as Json, json};

pub(crate) const POLICY: &str = include_str!("../policies/kata.rego");

pub(crate) fn policy() -> KataPolicy {
    load(POLICY)
}

pub(crate) fn load(text: &str) -> KataPolicy {
    KataPolicy::load(text).expect("the policy loads")
}

/// A policy of these rules.
pub(crate) fn rules(rules: &str) -> KataPolicy {
    load(&format!("package agent_policy\n{rules}\n"))
}

/// Creates the web server.
pub(crate) fn web(id: &str) -> Json {
    create(id, &["/bin/web", "--port=80"])
}

pub(crate) fn create(id: &str, args: &[&str]) -> Json {
    json!({
        "container_id": id,
        "storages": [{ "source": "a?~", "mount_point": "/run/storage/YT9-" }],
        "OCI": {
            "Hooks": null,
            "Annotations": { "io.kubernetes.cri.sandbox-name": "pod" },
            "Root": { "Path": format!("/run/containers/{id}/rootfs") },
            "Process": { "Args": args, "Env": [] },
        },
    })
}

pub(crate) fn probe(id: &str) -> Json {
    json!({ "container_id": id, "string_user": null, "process": { "Args": ["/bin/probe"] } })
}

pub(crate) fn container(id: &str) -> Json {
    json!({ "container_id": id })
}

/// Does what the policy must allow.
pub(crate) fn does(policy: &KataPolicy, kind: Kind, input: Json) {
    policy.judge(kind, input).expect("an allowed request").done();
}

pub(crate) fn refusal(policy: &KataPolicy, kind: Kind, input: Json) -> Refusal {
    match policy.judge(kind, input) {
        Ok(allowed) => {
            allowed.untouched();
            panic!("{kind} is allowed")
        }
        Err(refusal) => refusal,
    }
}

/// The policy itself says no.
pub(crate) fn denied(policy: &KataPolicy, kind: Kind, input: Json) {
    let refusal = refusal(policy, kind, input);
    assert!(matches!(refusal, Refusal::Denied { .. }), "{refusal:?}");
}
