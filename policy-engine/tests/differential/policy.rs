//! Policies in alias form.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::objects;
use crate::random::Random;

/// Every question of the API.
pub(crate) const POINTS: [&str; 26] = [
    "create_container",
    "dump_stacks",
    "exec_external",
    "exec_in_container",
    "get_properties",
    "host_network",
    "load_fragment",
    "load_transparency_trust_list",
    "log_provider",
    "mount_blockdev",
    "mount_cims",
    "mount_device",
    "mount_overlay",
    "plan9_mount",
    "plan9_unmount",
    "registry_changes",
    "runtime_logging",
    "rw_mount_device",
    "rw_unmount_device",
    "scratch_mount",
    "scratch_unmount",
    "shutdown_container",
    "signal_container_process",
    "unmount_blockdev",
    "unmount_device",
    "unmount_overlay",
];

const FLAGS: [&str; 8] = [
    "allow_log_provider_dropping",
    "allow_properties_access",
    "allow_dump_stacks",
    "allow_runtime_logging",
    "allow_host_network",
    "allow_environment_variable_dropping",
    "allow_unencrypted_scratch",
    "allow_capability_dropping",
];

const FRAMEWORK_VERSIONS: [&str; 12] = [
    "0.1.0",
    "0.2.0",
    "0.2.1",
    "0.2.2",
    "0.2.3",
    "0.3.0",
    "0.4.0",
    "0.4.1",
    "0.5.0-rc.1",
    "0.5.0+build",
    "v0.5.0",
    "0.6.0",
];

const API_VERSIONS: [&str; 12] = [
    "0.1.0", "0.2.0", "0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.8.0", "0.9.0", "0.10.0", "0.11.0", "0.11.1",
    "0.12.0",
];

/// A policy, and its objects for who makes requests of them.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    /// What it defines: values, and the rules that point to the framework as `None`.
    pub(crate) entries: Vec<(String, Option<Value>)>,
    pub(crate) layout: Layout,
}

/// How its text is written; no layout changes the meaning.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Layout {
    pub(crate) indented: bool,
    pub(crate) trailing_commas: bool,
    pub(crate) comments: bool,
    pub(crate) imports: bool,
    pub(crate) escapes: bool,
    pub(crate) carriage_returns: bool,
}

impl Policy {
    pub(crate) fn random(random: &mut Random) -> Self {
        let mut entries: Vec<(String, Option<Value>)> = Vec::new();
        let mut value = |name: &str, value: Value| entries.push((name.to_owned(), Some(value)));
        let framework = if random.percent(70) { "0.5.0" } else { *random.pick(&FRAMEWORK_VERSIONS) };
        match random.below(100) {
            0 => {}
            1 => value("framework_version", json!(5)),
            2..6 => value("framework_svn", json!(framework)),
            _ => value("framework_version", json!(framework)),
        }
        let api = if random.percent(60) { "0.12.0" } else { *random.pick(&API_VERSIONS) };
        match random.below(100) {
            0 => {}
            1..4 => value("api_svn", json!(api)),
            _ => value("api_version", json!(api)),
        }
        if random.percent(98) {
            let mut containers = objects::containers(random, 7);
            if framework != "0.5.0" {
                age(random, framework, &mut containers);
            }
            if random.percent(2) {
                spoil(random, &mut containers);
            }
            value("containers", Value::Array(containers));
        }
        if random.percent(85) {
            value("external_processes", Value::Array(objects::external_processes(random)));
        }
        if random.percent(70) {
            value("fragments", Value::Array(objects::fragments(random)));
        }
        if random.percent(25) {
            value("platform_rules", Value::Array(objects::platform_rules(random)));
        }
        if random.percent(40) {
            value("transparency_trust_lists", Value::Array(objects::trust_lists(random)));
        }
        if random.percent(50) {
            value("allowed_log_providers", random.pick(&[json!(["P"]), json!([])]).clone());
        }
        for flag in FLAGS {
            match random.below(10) {
                0..6 => value(flag, json!(true)),
                6..9 => value(flag, json!(false)),
                _ => {}
            }
        }
        for point in POINTS {
            if random.percent(96) {
                entries.push((point.to_owned(), None));
            }
        }
        match random.below(10) {
            0 => {}
            1..4 => entries.push(("reason".to_owned(), None)),
            _ => entries.push(("reason".to_owned(), Some(Value::Null))),
        }
        random.shuffle(&mut entries);
        let mut often = || random.percent(20);
        let layout = Layout {
            indented: often(),
            trailing_commas: often(),
            comments: often(),
            imports: often(),
            escapes: often(),
            carriage_returns: often(),
        };
        Self { entries, layout }
    }

    /// The objects of the list `name`.
    pub(crate) fn list(&self, name: &str) -> Vec<Value> {
        let list = self.entries.iter().find(|(entry, _)| entry == name);
        list.and_then(|(_, value)| value.as_ref()?.as_array().cloned()).unwrap_or_default()
    }

    /// The text that is loaded.
    pub(crate) fn text(&self) -> String {
        let mut text = "package policy\n\n".to_owned();
        if self.layout.imports {
            // Both at once is refused.
            let keywords = "import future.keywords.every\nimport future.keywords.in\n\n";
            text.push_str(if self.layout.comments { "import rego.v1\n\n" } else { keywords });
        }
        for (name, value) in &self.entries {
            if self.layout.comments {
                text.push_str("# A \"comment\" := [1\n");
            }
            match value {
                Some(Value::Null) if name == "reason" => {
                    text.push_str("reason := {\"errors\": data.framework.errors}");
                }
                Some(value) => {
                    write!(text, "{name} := ").unwrap();
                    self.layout.write(&mut text, value, 1);
                }
                None => write!(text, "{name} := data.framework.{name}").unwrap(),
            }
            text.push_str(if self.layout.comments { " # end\n" } else { "\n" });
        }
        if self.layout.carriage_returns { text.replace('\n', "\r\n") } else { text }
    }
}

impl Layout {
    fn write(self, text: &mut String, value: &Value, depth: usize) {
        let newline = if self.indented { format!("\n{}", "\t".repeat(depth)) } else { String::new() };
        let comma = if self.trailing_commas { "," } else { "" };
        let end = if self.indented { format!("\n{}", "\t".repeat(depth - 1)) } else { String::new() };
        match value {
            Value::Array(list) if !list.is_empty() => {
                text.push('[');
                for (index, member) in list.iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { "," });
                    text.push_str(&newline);
                    self.write(text, member, depth + 1);
                }
                write!(text, "{comma}{end}]").unwrap();
            }
            Value::Object(fields) if !fields.is_empty() => {
                text.push('{');
                for (index, (name, member)) in fields.iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { "," });
                    write!(text, "{newline}\"{name}\": ").unwrap();
                    self.write(text, member, depth + 1);
                }
                write!(text, "{comma}{end}}}").unwrap();
            }
            Value::String(word) if self.escapes && !word.is_empty() => {
                text.push('"');
                word.encode_utf16().for_each(|unit| write!(text, "\\u{unit:04x}").unwrap());
                text.push('"');
            }
            other => write!(text, "{other}").unwrap(),
        }
    }
}

/// Leaves out fields that the framework did not have yet. Rarely others: such a container is none.
fn age(random: &mut Random, framework: &str, containers: &mut [Value]) {
    let newer = [
        ("no_new_privileges", "0.2.0"),
        ("user", "0.2.1"),
        ("capabilities", "0.2.2"),
        ("seccomp_profile_sha256", "0.2.3"),
    ];
    for (field, since) in newer {
        // These versions compare like texts.
        if random.percent(if framework < since { 80 } else { 4 }) {
            containers
                .iter_mut()
                .for_each(|container| drop(container.as_object_mut().unwrap().remove(field)));
        }
    }
}

/// Takes one field from one container, or gives it another type.
fn spoil(random: &mut Random, containers: &mut [Value]) {
    let index = random.below(containers.len());
    let container = containers[index].as_object_mut().unwrap();
    let fields: Vec<String> = container.keys().cloned().collect();
    let field = random.pick(&fields);
    if random.percent(50) {
        container.remove(field);
    } else {
        container[field] = random.pick(&[Value::Null, json!("x"), json!(1), json!([]), json!({})]).clone();
    }
}

/// What stands beside the policy: like the guest's own, only smaller.
pub(crate) fn data() -> Map<String, Value> {
    let mount = |destination: &str, kind: &str, options: &[&str]| json!({ "destination": destination, "type": kind, "source": kind, "options": options });
    let data = json!({
        "defaultMounts": [mount("/proc", "proc", &["nosuid", "noexec"]), mount("/sys", "sysfs", &["ro"])],
        "privilegedMounts": [mount("/sys", "sysfs", &["rw"])],
        "defaultPrivilegedCapabilities": ["CAP_A", "CAP_B", "CAP_C"],
        "defaultUnprivilegedCapabilities": ["CAP_A"],
        "sandboxPrefix": "sandbox://",
        "hugePagesPrefix": "hugepages://",
        "plan9Prefix": "plan9://",
    });
    data.as_object().unwrap().clone()
}
