//! Containers that can never be created, and containers that cannot be told apart.

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use super::document::Document;
use super::finding::Findings;

/// What a request to create a container states exactly.
const IDENTITY: [&str; 8] = [
    "layers",
    "command",
    "working_dir",
    "user",
    "no_new_privileges",
    "allow_elevated",
    "seccomp_profile_sha256",
    "mounts",
];

/// What else of a container decides anything.
const FURTHER: [&str; 4] = ["env_rules", "capabilities", "exec_processes", "signals"];

const STDIO: &str = "allow_stdio_access";

/// Lists that are compared with their order.
const ORDERED: [&str; 2] = ["command", "layers"];

pub(super) fn check(document: &Document, findings: &mut Findings) {
    empty_list(document, findings);
    for (path, container) in document.list("containers") {
        layers(container, &path, findings);
        command(container, &path, findings);
    }
    told_apart(document, findings);
}

fn empty_list(document: &Document, findings: &mut Findings) {
    let listed = |name: &str| document.list(name).next().is_some();
    if document.delegates("create_container") && !listed("containers") && !listed("fragments") {
        findings.warning("containers-empty", "containers", "no container can ever be created");
    }
}

fn layers(container: &Json, path: &str, findings: &mut Findings) {
    let Some(layers) = container["layers"].as_array() else { return };
    let path = format!("{path}.layers");
    if layers.is_empty() {
        findings.error("layers-empty", &path, "a root file system has a layer, so that no request fits");
    }
    let mut seen = HashMap::new();
    for (index, layer) in layers.iter().enumerate() {
        let Some(layer) = layer.as_str() else { continue };
        let at = format!("{path}[{index}]");
        if layer.len() != 64 || !layer.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            findings.warning(
                "layer-not-a-digest",
                &at,
                "a root hash has 64 hexadecimal digits in lower case",
            );
        }
        if let Some(first) = seen.insert(layer, index) {
            findings.note("layer-duplicate", at, format!("the same layer as {path}[{first}]"));
        }
    }
}

fn command(container: &Json, path: &str, findings: &mut Findings) {
    let none = match container.get("command") {
        Some(Json::Null) => true,
        Some(Json::Array(words)) => words.is_empty(),
        _ => false,
    };
    if none {
        let message = "no program is named: a guest that starts one in each container never creates this one";
        findings.warning("command-empty", format!("{path}.command"), message);
    }
}

/// Where an earlier container is and what it was compared by.
type Seen = HashMap<String, (String, String)>;

fn told_apart(document: &Document, findings: &mut Findings) {
    let dropping = document.grants("allow_environment_variable_dropping")
        || document.grants("allow_capability_dropping");
    let (mut whole, mut without_stdio, mut by_identity) = (Seen::new(), Seen::new(), Seen::new());
    for (path, container) in document.list("containers") {
        let Some(container) = container.as_object() else { continue };
        let identity = key(container, &IDENTITY);
        let deciding = format!("{identity}{}", key(container, &FURTHER));
        let stdio = container.get(STDIO).map(Json::to_string).unwrap_or_default();
        let entry = (path.clone(), stdio.clone());
        if let Some((first, _)) = whole.get(&format!("{deciding}{stdio}")) {
            findings.warning("container-duplicate", path, format!("the same as {first} in all that decides"));
            continue;
        }
        whole.insert(format!("{deciding}{stdio}"), entry.clone());
        if let Some((first, _)) = without_stdio.get(&deciding) {
            let message = format!(
                "only `{STDIO}` differs from {first}: a request fits both, and is denied because they disagree"
            );
            findings.error("container-stdio-only", path, message);
            continue;
        }
        without_stdio.insert(deciding, entry.clone());
        match by_identity.get(&identity) {
            Some((first, first_stdio)) if *first_stdio != stdio => {
                let message = format!(
                    "fits the same root, command, user and mounts as {first} with another `{STDIO}`: a request \
                     that fits both is denied"
                );
                findings.warning("container-undecidable", path, message);
            }
            Some((first, _)) if dropping => {
                let message = format!(
                    "fits the same root, command, user and mounts as {first}: a request from which different \
                     parts would be dropped for the two is denied"
                );
                findings.warning("container-undecidable", path, message);
            }
            Some(_) => {}
            None => {
                by_identity.insert(identity, entry);
            }
        }
    }
}

/// Some fields as a text that is the same for containers that mean the same.
fn key(container: &Map<String, Json>, fields: &[&str]) -> String {
    let values = fields.iter().map(|field| {
        let value = container.get(*field).unwrap_or(&Json::Null);
        if ORDERED.contains(field) { value.to_string() } else { canonical(value) }
    });
    values.map(|value| format!("{value}\n")).collect()
}

/// A value as text, its lists as sets.
fn canonical(value: &Json) -> String {
    match value {
        Json::Array(list) => {
            let mut members: Vec<String> = list.iter().map(canonical).collect();
            members.sort_unstable();
            members.dedup();
            format!("[{}]", members.join(","))
        }
        Json::Object(fields) => {
            let mut members: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name:?}:{}", canonical_field(name, value)))
                .collect();
            members.sort_unstable();
            format!("{{{}}}", members.join(","))
        }
        other => other.to_string(),
    }
}

fn canonical_field(name: &str, value: &Json) -> String {
    if ORDERED.contains(&name) { value.to_string() } else { canonical(value) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lint::fixture::Policy;

    /// A policy whose second container is the first but for a change.
    fn twice(change: impl FnOnce(&mut Json)) -> Policy {
        Policy::new().containers(|containers| {
            containers[1] = containers[0].clone();
            change(&mut containers[1]);
        })
    }

    #[test]
    fn policies_without_containers_are_found() {
        assert_eq!(Policy::new().paths("containers-empty"), [""; 0]);
        let none = || Policy::new().containers(Vec::clear);
        assert_eq!(none().paths("containers-empty"), [""; 0], "a fragment may bring them");
        assert_eq!(none().fragments(Vec::clear).paths("containers-empty"), ["containers"]);
        let own = none().fragments(Vec::clear).replace(
            "create_container := data.framework.create_container",
            "create_container := {\"allowed\": input.workingDir == \"/\"}",
        );
        assert_eq!(own.paths("containers-empty"), [""; 0]);
    }

    #[test]
    fn layers_must_be_digests() {
        for code in ["layers-empty", "layer-not-a-digest", "layer-duplicate"] {
            assert_eq!(Policy::new().paths(code), [""; 0]);
        }
        let layers = |layers: Json| Policy::new().container(0, |container| container["layers"] = layers);
        assert_eq!(layers(json!([])).paths("layers-empty"), ["containers[0].layers"]);
        for layer in ["ab".to_owned(), "A".repeat(64), "g".repeat(64)] {
            assert_eq!(layers(json!([layer])).paths("layer-not-a-digest"), ["containers[0].layers[0]"]);
        }
        let hash = "c".repeat(64);
        assert_eq!(layers(json!([hash, hash])).paths("layer-duplicate"), ["containers[0].layers[1]"]);
    }

    #[test]
    fn containers_without_a_command_are_found() {
        assert_eq!(Policy::new().paths("command-empty"), [""; 0]);
        for command in [Json::Null, json!([])] {
            let policy = || Policy::new().container(0, |container| container["command"] = command.clone());
            assert_eq!(policy().paths("command-empty"), ["containers[0].command"]);
            assert_eq!(policy().paths("field-type"), [""; 0]);
        }
    }

    #[test]
    fn containers_with_the_same_meaning_are_found() {
        let renamed = twice(|container| {
            container["name"] = json!("other");
            container["env_rules"].as_array_mut().unwrap().reverse();
        });
        assert_eq!(renamed.paths("container-duplicate"), ["containers[1]"]);
        for code in ["container-duplicate", "container-stdio-only", "container-undecidable"] {
            assert_eq!(Policy::new().paths(code), [""; 0]);
            let other = twice(|container| container["command"] = json!(["/bin/web", "-v"]));
            assert_eq!(other.paths(code), [""; 0]);
        }
    }

    #[test]
    fn orders_of_commands_and_layers_count() {
        let commands = |first: &[&str], second: &[&str]| {
            twice(|container| container["command"] = json!(second)).container(0, |container| {
                container["command"] = json!(first);
            })
        };
        assert_eq!(commands(&["a", "b"], &["b", "a"]).paths("container-duplicate"), [""; 0]);
        assert_eq!(commands(&["a", "b"], &["a", "b"]).paths("container-duplicate"), ["containers[1]"]);
        let execs = |words: &[&str]| json!([{"command": words, "signals": []}]);
        let processes = twice(|container| container["exec_processes"] = execs(&["b", "a"]))
            .container(0, |container| container["exec_processes"] = execs(&["a", "b"]));
        assert_eq!(processes.paths("container-duplicate"), [""; 0]);
    }

    #[test]
    fn containers_that_differ_by_stdio_only_are_found() {
        let policy = twice(|container| container["allow_stdio_access"] = json!(true));
        assert_eq!(policy.paths("container-stdio-only"), ["containers[1]"]);
        assert_eq!(policy.paths("container-duplicate"), [""; 0]);
    }

    #[test]
    fn containers_that_a_request_may_not_tell_apart_are_found() {
        let env = json!([{"pattern": "A=1", "strategy": "string", "required": false}]);
        let policy = || twice(|container| container["env_rules"] = env.clone());
        assert_eq!(policy().paths("container-undecidable"), ["containers[1]"]);
        let without_dropping = policy()
            .replace("variable_dropping := true", "variable_dropping := false")
            .replace("capability_dropping := true", "capability_dropping := false");
        assert_eq!(without_dropping.paths("container-undecidable"), [""; 0]);
        let stdio = without_dropping.container(1, |container| container["allow_stdio_access"] = json!(true));
        assert_eq!(stdio.paths("container-undecidable"), ["containers[1]"]);
    }
}
