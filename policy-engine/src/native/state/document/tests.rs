use serde_json::json;

use super::*;
use crate::native::load::tests::container;
use crate::native::objects::{PlatformRule, SourcePrefixes};
use crate::native::state::Change;
use crate::pattern::Room;

fn reader() -> Reader {
    Reader::new(SourcePrefixes::default(), Room::default())
}

/// A state with something under each name.
fn state() -> State {
    let mut reader = reader();
    let container = Arc::new(reader.container(&container(), FRAMEWORK).unwrap());
    let rule = json!({"env_rules": [{"pattern": "P=1", "strategy": "string", "required": false}]});
    let rule: Arc<PlatformRule> = Arc::new(reader.platform_rule(&rule).unwrap());
    let candidates: Arc<[Candidate]> = [
        Candidate { container: Arc::clone(&container), rule: None },
        Candidate { container, rule: Some(rule) },
    ]
    .into();
    let mut state = State::default();
    for change in [
        Change::MountDevice { target: "/m0".into(), root_hash: "aa".into() },
        Change::MountRwDevice("/rw".into()),
        Change::ScratchMount { target: "/s".into(), encrypted: true },
        Change::MountOverlay {
            target: "/o".into(),
            container_id: "c1".into(),
            candidates: Arc::clone(&candidates),
        },
        Change::Plan9Mount { target: "/p".into(), container_id: "c1".into() },
        Change::Start { container_id: "c1".into(), candidates, privileged: true },
    ] {
        state.commit(change);
    }
    state
}

fn with(document: &Value, name: &str, json: &Json) -> Value {
    let mut document = document.clone();
    document.as_object_mut().unwrap().insert(name.into(), Value::from(json.clone()));
    document
}

#[test]
fn a_state_comes_back() {
    let state = state();
    let document = state.to_document();
    let json = serde_json::to_value(&document).unwrap();
    assert_eq!(json["devices"], json!({"/m0": "aa"}));
    assert_eq!(json["rw_devices"], json!({"/rw": true}));
    assert_eq!(json["scratch_mounts"], json!({"/s": {"encrypted": true}}));
    assert_eq!(json["overlayTargets"], json!({"/o": true}));
    assert_eq!(json["p9mounts"], json!({"/p": "c1"}));
    assert_eq!(json["started"], json!({"c1": {"privileged": true}}));
    assert_eq!(json["matches"]["c1"][0]["env_rules"].as_array().unwrap().len(), 2);
    assert_eq!(json["matches"]["c1"][1]["env_rules"].as_array().unwrap().len(), 3);
    for known in [&state, &State::default()] {
        let again = known.read_document(&document, &mut reader()).unwrap();
        assert_eq!(again.to_document(), document);
    }
    // Candidates that are known are shared.
    let again = state.read_document(&document, &mut reader()).unwrap();
    assert!(Arc::ptr_eq(&again.matches["c1"], &state.matches["c1"]));
}

#[test]
fn an_empty_state_is_the_interpreter_s() {
    assert_eq!(State::default().to_document(), crate::evaluator::metadata::Metadata::new().document());
}

#[test]
fn a_state_without_a_typed_form_is_not_read() {
    let state = state();
    let document = state.to_document();
    let read = |document: &Value| state.read_document(document, &mut reader()).is_some();
    assert!(read(&document));
    let mut windows = container();
    windows["registry_changes"] = json!({});
    let mut more = state.matches["c1"][0].to_json();
    more["note"] = json!("x");
    for (name, json) in [
        ("devices", json!([])),
        ("devices", json!({"/m": 1})),
        ("devices", json!({"/m": null})),
        ("rw_devices", json!({"/m": false})),
        ("scratch_mounts", json!({"/m": {}})),
        ("scratch_mounts", json!({"/m": {"encrypted": true, "more": 1}})),
        ("overlayTargets", json!({"/m": "x"})),
        ("p9mounts", json!({"/m": true})),
        ("started", json!({"c1": {"privileged": "yes"}})),
        ("matches", json!({"c1": {}})),
        ("matches", json!({"c1": [{}]})),
        ("matches", json!({"c1": [windows]})),
        ("matches", json!({"c1": [more]})),
        ("issuers", json!([])),
        ("issuers", json!({"i": {"feeds": {"f": [{"containers": [{}]}]}}})),
        ("issuers", json!({"i": {"feeds": {"f": [{"containers": {}}]}}})),
        ("fragment_parameters", json!([])),
        ("other", json!({})),
    ] {
        assert!(!read(&with(&document, name, &json)), "{name}: {json}");
    }
    // A set is no list.
    let mut set = Value::new_set();
    set.as_set_mut().unwrap().insert("aa".into());
    let mut document = document.clone();
    document.as_object_mut().unwrap().insert("devices".into(), set);
    assert!(!read(&document));
}

#[test]
fn what_fragments_added_is_read() {
    let issuers = json!({"i": {"feeds": {"f": [
        {"containers": [container()], "fragments": [{"anything": 1}]},
        {
            "external_processes": [{
                "command": ["/bin/x"], "env_rules": [], "working_dir": "/", "allow_stdio_access": true,
            }],
            "platform_rules": [{"mounts": []}, {}],
        },
    ]}}});
    let state = State::default();
    let document = with(&state.to_document(), "issuers", &issuers);
    let fragments = state.read_document(&document, &mut reader()).unwrap().fragments;
    assert_eq!(
        (fragments.containers.len(), fragments.external_processes.len(), fragments.platform_rules.len()),
        (1, 1, 2)
    );
}
