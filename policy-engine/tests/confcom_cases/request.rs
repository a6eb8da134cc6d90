//! From a container of a policy to the requests that create it.

use serde_json::{Value as Json, json};

/// Where this container's parts are.
pub(crate) const ID: &str = "c0ffee";
pub(crate) const SANDBOX: &str = "/run/gcs/c/5a4d/sandboxMounts";
/// What a container has without a list of its own.
pub(crate) const CAPABILITY: &str = "CAP_CHOWN";
const HUGE_PAGES: &str = "/run/gcs/c/5a4d/hugepages";

/// Questions in order; the last one matters.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) questions: Vec<(&'static str, Json)>,
}

impl Attempt {
    /// The request to create the container.
    pub(crate) fn creation(&self) -> &Json {
        &self.questions.last().expect("a question").1
    }

    pub(crate) fn creation_mut(&mut self) -> &mut Json {
        &mut self.questions.last_mut().expect("a question").1
    }

    /// The first `count` questions.
    pub(crate) fn first(&self, count: usize) -> Self {
        Self { questions: self.questions[..count].to_vec() }
    }

    pub(crate) fn last_is(&self, rule: &str) -> bool {
        self.questions.last().is_some_and(|(last, _)| *last == rule)
    }
}

/// Mounts the layers, stacks them and creates the container with all that it may have.
pub(crate) fn allowed(container: &Json) -> Attempt {
    let layers = container["layers"].as_array().expect("layers");
    let mut questions: Vec<(&'static str, Json)> =
        layers.iter().enumerate().map(|(index, layer)| ("mount_device", device(index, layer))).collect();
    // The top layer first.
    let paths: Vec<String> = (0..layers.len()).rev().map(target).collect();
    let overlay =
        json!({"containerID": ID, "layerPaths": paths, "target": format!("/run/gcs/c/{ID}/rootfs")});
    questions.push(("mount_overlay", overlay));
    questions.push(("create_container", creation(container)));
    Attempt { questions }
}

fn target(index: usize) -> String {
    format!("/run/mounts/scsi/m{index}")
}

pub(crate) fn device(index: usize, layer: &Json) -> Json {
    json!({"target": target(index), "deviceHash": layer, "mountPathRegex": "/run/mounts/scsi/m[0-9]+"})
}

fn list<'a>(object: &'a Json, name: &str) -> impl Iterator<Item = &'a Json> {
    object[name].as_array().into_iter().flatten()
}

fn creation(container: &Json) -> Json {
    let env: Vec<String> =
        list(container, "env_rules").map(|rule| text(&rule["strategy"], &rule["pattern"])).collect();
    let mounts: Vec<Json> = list(container, "mounts").map(mount).chain([proc()]).collect();
    let groups: Vec<Json> =
        list(&container["user"], "group_idnames").map(|rule| id_name(rule, "100", "users")).collect();
    json!({
        "containerID": ID,
        "argList": container["command"],
        "envList": env,
        "workingDir": container["working_dir"],
        "sandboxDir": SANDBOX,
        "hugePagesDir": HUGE_PAGES,
        "mounts": mounts,
        "devices": [],
        "privileged": container["allow_elevated"],
        "noNewPrivileges": container["no_new_privileges"],
        "user": id_name(&container["user"]["user_idname"], "0", "root"),
        "groups": groups,
        "umask": container["user"]["umask"],
        "capabilities": capabilities(container),
        "seccompProfileSHA256": container["seccomp_profile_sha256"],
        "isSandboxContainer": false,
    })
}

fn capabilities(container: &Json) -> Json {
    if !container["capabilities"].is_null() {
        return container["capabilities"].clone();
    }
    let inheritable: &[&str] = if container["allow_elevated"] == true { &[CAPABILITY] } else { &[] };
    json!({
        "bounding": [CAPABILITY], "effective": [CAPABILITY], "permitted": [CAPABILITY],
        "inheritable": inheritable, "ambient": [],
    })
}

/// What every container may have mounted.
fn proc() -> Json {
    json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]})
}

fn mount(mount: &Json) -> Json {
    let source = mount["source"].as_str().expect("a source");
    let source = match (source.strip_prefix("sandbox://"), source.strip_prefix("hugepages://")) {
        (Some(pattern), _) => format!("{SANDBOX}{}", sample(pattern)),
        (_, Some(pattern)) => format!("{HUGE_PAGES}{}", sample(pattern)),
        _ => source.to_owned(),
    };
    json!({
        "destination": mount["destination"], "source": source, "options": mount["options"], "type": mount["type"],
    })
}

/// A user or group that fits the rule.
fn id_name(rule: &Json, any_id: &str, any_name: &str) -> Json {
    match rule["strategy"].as_str() {
        Some("id") => json!({"id": rule["pattern"], "name": any_name}),
        Some("any") => json!({"id": any_id, "name": any_name}),
        _ => json!({"id": any_id, "name": text(&rule["strategy"], &rule["pattern"])}),
    }
}

/// A text that fits a rule.
fn text(strategy: &Json, pattern: &Json) -> String {
    let pattern = pattern.as_str().expect("a pattern");
    if strategy == "re2" { sample(pattern) } else { pattern.to_owned() }
}

/// A text that a pattern of a generated policy matches: literals, groups, classes and `.`, each perhaps
/// repeated.
fn sample(pattern: &str) -> String {
    let mut text = String::new();
    let pattern = pattern.strip_prefix("(?i)").unwrap_or(pattern);
    let mut signs = pattern.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '(' | ')' | '+' | '*' | '?' | '^' | '$' => {}
            '.' => text.push('x'),
            '\\' => text.extend(signs.next()),
            '[' => {
                text.extend(signs.next());
                signs.find(|sign| *sign == ']');
            }
            other => text.push(other),
        }
    }
    text
}

#[test]
fn samples_fit_their_patterns() {
    for (pattern, expected) in [
        ("(?i)(FABRIC)_.+=.+", "FABRIC_x=x"),
        ("T(E)?MP=.+", "TEMP=x"),
        ("[A-Z0-9_]+_PORT_[0-9]+_TCP=.+", "A_PORT_0_TCP=x"),
        (r"/a\.b/.*", "/a.b/x"),
    ] {
        assert_eq!(sample(pattern), expected);
    }
}
