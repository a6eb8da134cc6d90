//! Requests that fit an object of a policy.

use serde_json::{Value, json};

use crate::objects::{self, ENTRY_PATTERNS, WORD_PATTERNS};
use crate::random::Random;

pub(crate) const SANDBOX_DIRECTORY: &str = "/run/gcs/c/s/sandboxMounts";
pub(crate) const HUGE_PAGES_DIRECTORY: &str = "/run/gcs/c/s/hugepages";

/// What beside the object a request depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) container: &'a str,
    /// Directories that were shared with the container.
    pub(crate) shared: &'a [String],
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .map(|list| list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default()
}

fn matching(random: &mut Random, patterns: &[(&str, &[&str])], pattern: &str) -> String {
    let known = patterns.iter().find(|(known, texts)| *known == pattern && !texts.is_empty());
    known.map_or_else(|| pattern.to_owned(), |(_, texts)| (*random.pick(texts)).to_owned())
}

/// Whether the patterns of an environment rule or a mount are valid.
fn matches_something(object: &Value) -> bool {
    let pattern = object.get("pattern").or_else(|| object.get("source")).and_then(Value::as_str);
    let pattern = pattern.map(|pattern| pattern.rsplit("//").next().unwrap());
    let words = ["name", "value"].map(|field| object.get(field).and_then(Value::as_str));
    let is_valid = |pattern: &str| {
        let known = WORD_PATTERNS.iter().chain(&ENTRY_PATTERNS).find(|(known, _)| *known == pattern);
        known.is_none_or(|(_, texts)| !texts.is_empty())
    };
    words.into_iter().chain([pattern]).flatten().all(is_valid)
}

fn word(random: &mut Random, strategy: &Value, pattern: &Value) -> String {
    let pattern = pattern.as_str().unwrap_or_default();
    if strategy == "re2" { matching(random, &WORD_PATTERNS, pattern) } else { pattern.to_owned() }
}

/// An environment entry that a rule allows.
fn entry(random: &mut Random, rule: &Value) -> String {
    if rule.get("name").is_some() {
        let name = word(random, &rule["name_strategy"], &rule["name"]);
        return format!("{name}={}", word(random, &rule["value_strategy"], &rule["value"]));
    }
    let pattern = rule["pattern"].as_str().unwrap_or_default();
    if rule["strategy"] == "re2" { matching(random, &ENTRY_PATTERNS, pattern) } else { pattern.to_owned() }
}

fn environment(random: &mut Random, object: &Value) -> Vec<String> {
    let mut entries = Vec::new();
    for rule in object["env_rules"].as_array().into_iter().flatten() {
        let wanted = rule["required"] == true || random.percent(60);
        if wanted && (matches_something(rule) || random.percent(10)) {
            entries.push(entry(random, rule));
        }
    }
    if random.percent(25) {
        let others = ["A=1", "A=2", "A=", "AB=1", "B=1", "B=2", "C=3", "A"].map(str::to_owned);
        entries.extend(random.some(&others, 3));
    }
    if random.percent(30) {
        random.shuffle(&mut entries);
    }
    entries
}

fn identity(random: &mut Random, rule: &Value) -> Value {
    let pattern = rule["pattern"].as_str().unwrap_or_default();
    let any_id = *random.pick(&["0", "1000", "7"]);
    let any_name = *random.pick(&["root", "www", "", "é"]);
    match rule["strategy"].as_str() {
        Some("id") => json!({ "id": pattern, "name": any_name }),
        Some("name") => json!({ "id": any_id, "name": pattern }),
        Some("re2") => json!({ "id": any_id, "name": matching(random, &WORD_PATTERNS, pattern) }),
        _ => json!({ "id": any_id, "name": any_name }),
    }
}

fn groups(random: &mut Random, user: &Value) -> Vec<Value> {
    let rules: Vec<Value> = user["group_idnames"].as_array().cloned().unwrap_or_default();
    if rules.is_empty() {
        return Vec::new();
    }
    (0..random.below(3))
        .map(|_| {
            let rule = random.pick(&rules).clone();
            identity(random, &rule)
        })
        .collect()
}

fn capabilities(random: &mut Random, object: &Value, privileged: bool) -> Value {
    let granted = match object.get("capabilities") {
        Some(sets) if !sets.is_null() => sets.clone(),
        _ if privileged && object["allow_elevated"] == true => {
            let all = ["CAP_A", "CAP_B", "CAP_C"];
            json!({ "bounding": all, "effective": all, "inheritable": all, "permitted": all, "ambient": [] })
        }
        _ => {
            let few = ["CAP_A"];
            json!({ "bounding": few, "effective": few, "inheritable": [], "permitted": few, "ambient": [] })
        }
    };
    let mut sets = granted.as_object().cloned().unwrap_or_default();
    for (_, set) in &mut sets {
        let mut names = strings(set);
        if random.percent(20) {
            random.shuffle(&mut names);
        }
        if random.percent(10) {
            names.push((*random.pick(&objects::CAPABILITIES)).to_owned());
        }
        *set = json!(names);
    }
    Value::Object(sets)
}

fn mount(random: &mut Random, rule: &Value, around: Surroundings<'_>) -> Value {
    let source = rule["source"].as_str().unwrap_or_default();
    let below = |random: &mut Random, directory: &str, pattern: &str| {
        format!("{directory}{}", matching(random, &WORD_PATTERNS, pattern))
    };
    let source = if let Some(pattern) = source.strip_prefix("sandbox://") {
        below(random, SANDBOX_DIRECTORY, pattern)
    } else if let Some(pattern) = source.strip_prefix("hugepages://") {
        below(random, HUGE_PAGES_DIRECTORY, pattern)
    } else if source.starts_with("plan9://") && !around.shared.is_empty() {
        random.pick(around.shared).clone()
    } else {
        source.to_owned()
    };
    let mut options = strings(&rule["options"]);
    if random.percent(30) {
        random.shuffle(&mut options);
    }
    json!({ "destination": rule["destination"], "options": options, "source": source, "type": rule["type"] })
}

fn mounts(random: &mut Random, object: &Value, privileged: bool, around: Surroundings<'_>) -> Vec<Value> {
    let rules: Vec<Value> = object["mounts"].as_array().cloned().unwrap_or_default();
    let mut rules = random.part(&rules, 60);
    rules.retain(|rule| matches_something(rule) || random.percent(10));
    let mut mounts: Vec<Value> = rules.iter().map(|rule| mount(random, rule, around)).collect();
    let default = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    if random.percent(40) {
        mounts.push(default("/proc", "proc", &["noexec", "nosuid"]));
    }
    match random.below(10) {
        0..2 => mounts.push(default("/sys", "sysfs", &["ro"])),
        2 if privileged || random.percent(20) => mounts.push(default("/sys", "sysfs", &["rw"])),
        3 if !privileged => mounts.push(default("/sys", "sysfs", &["rw", "nodev", "noexec", "nosuid"])),
        _ => {}
    }
    mounts
}

fn umask(user: &Value) -> Value {
    user.get("umask").cloned().unwrap_or_else(|| json!("0022"))
}

fn no_new_privileges(random: &mut Random, object: &Value) -> bool {
    object["no_new_privileges"] == true || random.percent(40)
}

/// `create_container` of the policy's container `object`.
pub(crate) fn create(random: &mut Random, object: &Value, around: Surroundings<'_>) -> Value {
    let privileged = object["allow_elevated"] == true && random.percent(60);
    let wants_sys = json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["rw", "nodev", "noexec", "nosuid"] });
    let mounts = mounts(random, object, privileged, around);
    json!({
        "containerID": around.container,
        "argList": object["command"],
        "envList": environment(random, object),
        "workingDir": object["working_dir"],
        "sandboxDir": SANDBOX_DIRECTORY,
        "hugePagesDir": HUGE_PAGES_DIRECTORY,
        "isSandboxContainer": mounts.contains(&wants_sys) || random.percent(20),
        "mounts": mounts,
        "devices": [],
        "privileged": privileged,
        "noNewPrivileges": no_new_privileges(random, object),
        "user": identity(random, &object["user"]["user_idname"]),
        "groups": groups(random, &object["user"]),
        "umask": umask(&object["user"]),
        "capabilities": capabilities(random, object, privileged),
        "seccompProfileSHA256": object.get("seccomp_profile_sha256").cloned().unwrap_or_else(|| json!("")),
    })
}

fn process_of(random: &mut Random, object: &Value) -> Value {
    let processes = object["exec_processes"].as_array().cloned().unwrap_or_default();
    if processes.is_empty() {
        return json!({ "command": objects::command(random), "signals": objects::signals(random) });
    }
    random.pick(&processes).clone()
}

/// `exec_in_container` of a process that the container may run.
pub(crate) fn exec(random: &mut Random, object: &Value, container: &str, privileged: bool) -> Value {
    json!({
        "containerID": container,
        "argList": process_of(random, object)["command"],
        "envList": environment(random, object),
        "workingDir": object["working_dir"],
        "noNewPrivileges": no_new_privileges(random, object),
        "user": identity(random, &object["user"]["user_idname"]),
        "groups": groups(random, &object["user"]),
        "umask": umask(&object["user"]),
        "capabilities": capabilities(random, object, privileged),
    })
}

/// `signal_container_process` to the container's init or to a process in it.
pub(crate) fn signal(random: &mut Random, object: &Value, container: &str) -> Value {
    let init = random.percent(50);
    let process = if init { object.clone() } else { process_of(random, object) };
    let allowed = process["signals"].as_array().cloned().unwrap_or_default();
    let signal = if allowed.is_empty() { json!(9) } else { random.pick(&allowed).clone() };
    json!({ "containerID": container, "signal": signal, "isInitProcess": init, "argList": process["command"] })
}

/// `exec_external` of the policy's process `object`.
pub(crate) fn external(random: &mut Random, object: &Value) -> Value {
    json!({
        "argList": object["command"],
        "envList": environment(random, object),
        "workingDir": object["working_dir"],
    })
}
