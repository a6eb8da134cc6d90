//! A policy without findings, to be spoilt in one place.

use serde_json::{Value as Json, json};

use super::check;

const RULES: [&str; 22] = [
    "create_container",
    "dump_stacks",
    "exec_external",
    "exec_in_container",
    "get_properties",
    "host_network",
    "load_fragment",
    "load_transparency_trust_list",
    "mount_device",
    "mount_overlay",
    "plan9_mount",
    "plan9_unmount",
    "runtime_logging",
    "rw_mount_device",
    "rw_unmount_device",
    "scratch_mount",
    "scratch_unmount",
    "shutdown_container",
    "signal_container_process",
    "unmount_device",
    "unmount_overlay",
    "reason",
];

/// A policy with two containers and one fragment.
pub(super) struct Policy {
    containers: Vec<Json>,
    fragments: Vec<Json>,
    replaced: Vec<(String, String)>,
}

fn container(layer: char) -> Json {
    json!({
        "id": "registry.example/web:1", "name": "web",
        "command": ["/bin/web"],
        "env_rules": [
            {"pattern": "TERM=xterm", "strategy": "string", "required": false},
            {"pattern": "HOSTNAME=.+", "strategy": "re2", "required": false},
            {"name": "MODE", "name_strategy": "string", "value": "fast", "value_strategy": "string", "required": false},
        ],
        "layers": [layer.to_string().repeat(64)],
        "mounts": [{
            "destination": "/etc/resolv.conf", "options": ["rbind", "rw"], "type": "bind",
            "source": "sandbox:///tmp/resolvconf/.+",
        }],
        "exec_processes": [{"command": ["/bin/probe"], "signals": []}], "signals": [15],
        "user": {
            "user_idname": {"pattern": "web", "strategy": "name"},
            "group_idnames": [{"pattern": "1000", "strategy": "id"}],
            "umask": "0022",
        },
        "capabilities": {"bounding": [], "effective": [], "inheritable": [], "permitted": [], "ambient": []},
        "seccomp_profile_sha256": "", "allow_elevated": false, "working_dir": "/",
        "allow_stdio_access": false, "no_new_privileges": true,
    })
}

impl Policy {
    pub(super) fn new() -> Self {
        let fragment = json!({
            "issuer": "did:x509:0:sha256:issuer::subject:CN:example", "feed": "registry.example/fragment",
            "minimum_svn": "2", "includes": ["containers"],
        });
        Self {
            containers: vec![container('a'), container('b')],
            fragments: vec![fragment],
            replaced: Vec::new(),
        }
    }

    /// Changes a container.
    pub(super) fn container(mut self, index: usize, change: impl FnOnce(&mut Json)) -> Self {
        change(&mut self.containers[index]);
        self
    }

    /// Changes the list of containers.
    pub(super) fn containers(mut self, change: impl FnOnce(&mut Vec<Json>)) -> Self {
        change(&mut self.containers);
        self
    }

    /// Changes the list of fragments.
    pub(super) fn fragments(mut self, change: impl FnOnce(&mut Vec<Json>)) -> Self {
        change(&mut self.fragments);
        self
    }

    /// Replaces a part of the text.
    pub(super) fn replace(mut self, from: &str, to: &str) -> Self {
        self.replaced.push((from.to_owned(), to.to_owned()));
        self
    }

    fn text(&self) -> String {
        let rules: String = RULES.iter().map(|rule| format!("{rule} := data.framework.{rule}\n")).collect();
        let (containers, fragments) = (json!(self.containers), json!(self.fragments));
        let mut text = format!(
            "package policy\n\napi_version := \"0.12.0\"\nframework_version := \"0.5.0\"\n\
             containers := {containers}\nfragments := {fragments}\n\
             allow_properties_access := true\nallow_dump_stacks := false\nallow_runtime_logging := false\n\
             allow_environment_variable_dropping := true\nallow_unencrypted_scratch := false\n\
             allow_capability_dropping := true\nallow_host_network := false\n{rules}"
        );
        for (from, to) in &self.replaced {
            assert!(text.contains(from), "{from} is not in the policy");
            text = text.replace(from, to);
        }
        text
    }

    /// Where findings of this code are.
    pub(super) fn paths(&self, code: &str) -> Vec<String> {
        let findings = check(self.text().as_bytes()).unwrap();
        findings.into_iter().filter(|finding| finding.code == code).map(|finding| finding.path).collect()
    }
}

#[test]
fn a_careful_policy_has_no_findings() {
    assert_eq!(check(Policy::new().text().as_bytes()).unwrap(), []);
}
