//! What a policy allows and denies.

use policy_engine::kata::{Kind, Refusal};
use serde_json::{Value as Json, json};

use crate::fixture::{container, create, denied, does, policy, probe, refusal, rules, web};

fn changed(mut input: Json, pointer: &str, value: Json) -> Json {
    *input.pointer_mut(pointer).unwrap() = value;
    input
}

#[test]
fn containers() {
    let policy = policy();
    for input in [
        changed(web("a"), "/OCI/Process/Args", json!(["/bin/web"])),
        changed(web("a"), "/OCI/Process/Env", json!(["MODE=debug"])),
        changed(web("a"), "/OCI/Process/Env", json!(["WEB_PORT=123456"])),
        changed(web("a"), "/OCI/Root/Path", json!("/run/containers/b/rootfs")),
        changed(web("a"), "/OCI/Hooks", json!({})),
        changed(web("a"), "/storages/0/mount_point", json!("/run/storage/YT9+")),
        changed(web("a"), "/storages/0/source", json!("b")),
    ] {
        denied(&policy, Kind::CreateContainerRequest, input);
    }
    let env = json!(["MODE=plain", "WEB_PORT=80"]);
    does(&policy, Kind::CreateContainerRequest, changed(web("a"), "/OCI/Process/Env", env));
}

#[test]
fn processes() {
    let policy = policy();
    denied(&policy, Kind::ExecProcessRequest, probe("a"));
    does(&policy, Kind::CreateContainerRequest, web("a"));
    does(&policy, Kind::CreateContainerRequest, create("b", &["/pause"]));
    denied(&policy, Kind::ExecProcessRequest, probe("b"));
    denied(&policy, Kind::ExecProcessRequest, changed(probe("a"), "/process/Args", json!(["/bin/sh"])));
    denied(&policy, Kind::ExecProcessRequest, changed(probe("a"), "/string_user", json!({ "uid": "0" })));
    does(&policy, Kind::ExecProcessRequest, probe("a"));
    does(&policy, Kind::RemoveContainerRequest, container("a"));
    denied(&policy, Kind::ExecProcessRequest, probe("a"));
}

#[test]
fn the_sandbox_and_its_network() {
    let policy = policy();
    let copy = |file_type: &str, path: &str, target: Json| json!({ "file_type": file_type, "path": path, "symlink_target": target });
    let sandbox = |hooks: &str| json!({ "guest_hook_path": hooks, "kernel_modules": [] });
    let interface =
        |name: &str, raw_flags: u32| json!({ "interface": { "name": name, "raw_flags": raw_flags } });
    let routes = |source: &str| json!({ "routes": { "Routes": [{ "source": source }] } });
    let neighbors = |state: i32| json!({ "neighbors": { "ARPNeighbors": [{ "state": state }] } });
    let shared = "/run/shared/0123abcd-hosts";
    for (kind, allowed, denials) in [
        (
            Kind::CopyFileRequest,
            vec![
                copy("Regular", shared, Json::Null),
                copy("Directory", shared, Json::Null),
                copy("Symlink", &format!("{shared}/a"), json!("..b/c")),
            ],
            vec![
                copy("Regular", "/run/shared/0123abcd-a/b", Json::Null),
                copy("Regular", "/etc/passwd", Json::Null),
                copy("Unknown", shared, Json::Null),
                copy("Symlink", shared, json!("a")),
                copy("Symlink", &format!("{shared}/a"), json!("/etc")),
                copy("Symlink", &format!("{shared}/a"), json!("a/../../b")),
            ],
        ),
        (Kind::CreateSandboxRequest, vec![sandbox("")], vec![sandbox("/hooks")]),
        (
            Kind::UpdateInterfaceRequest,
            vec![interface("eth0", 0), interface("eth0", 128)],
            vec![interface("eth0", 129), interface("lo", 0)],
        ),
        (Kind::UpdateRoutesRequest, vec![routes("10.0.0.1")], vec![routes("127.0.0.1")]),
        (Kind::AddARPNeighborsRequest, vec![neighbors(2), neighbors(128)], vec![neighbors(4)]),
        (Kind::StartContainerRequest, vec![json!({})], vec![]),
        (Kind::WaitProcessRequest, vec![json!({})], vec![]),
        (Kind::PauseContainerRequest, vec![], vec![json!({})]),
    ] {
        for input in allowed {
            does(&policy, kind, input);
        }
        for input in denials {
            denied(&policy, kind, input);
        }
    }
}

#[test]
fn each_kind_is_asked_of_its_own_rule() {
    for kind in Kind::ALL {
        let policy =
            rules(&format!("default {kind} := false\n{kind} {{ input.policy == \"package agent_policy\" }}"));
        denied(&policy, *kind, json!({ "policy": "" }));
        for other in Kind::ALL.iter().filter(|other| *other != kind) {
            let refusal = refusal(&policy, *other, json!({ "policy": "package agent_policy" }));
            assert!(matches!(refusal, Refusal::Undefined { .. }), "{refusal:?}");
        }
        does(&policy, *kind, json!({ "policy": "package agent_policy" }));
    }
}

#[test]
fn patterns_are_those_of_the_peer() {
    // In the peer's engine `\d` is any decimal digit and `(?x)` a flag; RE2 knows neither.
    let policy = rules("WaitProcessRequest { regex.match(`(?x) ^ \\d $`, input.exec_id) }");
    does(&policy, Kind::WaitProcessRequest, json!({ "exec_id": "٣" }));
    assert!(matches!(
        refusal(&policy, Kind::WaitProcessRequest, json!({ "exec_id": "x" })),
        Refusal::Undefined { .. }
    ));
}
