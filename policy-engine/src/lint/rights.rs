//! What the policy lets the host see and do beyond running the containers; much of it is for debugging.

use serde_json::Value as Json;

use super::document::{Document, members};
use super::finding::Findings;

/// Rights that a policy in use should not grant.
const RISKY: [(&str, &str, &str); 4] = [
    ("allow_dump_stacks", "debug-dump-stacks", "the host may read the stacks of the guest's processes"),
    ("allow_runtime_logging", "debug-runtime-logging", "the host may read the guest's log"),
    (
        "allow_unencrypted_scratch",
        "scratch-unencrypted",
        "what containers write may lie on the host unencrypted",
    ),
    ("allow_host_network", "host-network", "containers may share the network of the guest itself"),
];

const SHELLS: [&str; 9] = ["ash", "bash", "cmd.exe", "csh", "dash", "ksh", "powershell", "sh", "zsh"];

pub(super) fn check(document: &Document, findings: &mut Findings) {
    for (name, code, message) in RISKY {
        if document.grants(name) {
            findings.warning(code, name, message);
        }
    }
    for (name, value) in &document.values {
        if name.starts_with("allow_") && !value.is_boolean() {
            findings.warning("right-not-boolean", name, "only `true` grants it");
        }
    }
    for (path, container) in document.list("containers") {
        if container["allow_elevated"] == Json::Bool(true) {
            findings.warning(
                "container-privileged",
                format!("{path}.allow_elevated"),
                "it may run privileged",
            );
        }
        stdio(container, &path, findings);
        for (path, process) in members(container.get("exec_processes"), &format!("{path}.exec_processes")) {
            if let Some(shell) = shell(process) {
                let message = format!("the host may run `{shell}` in the container and type what it likes");
                findings.warning("debug-shell", path, message);
            }
        }
    }
    for (path, process) in document.list("external_processes") {
        stdio(process, &path, findings);
    }
}

fn stdio(object: &Json, path: &str, findings: &mut Findings) {
    if object["allow_stdio_access"] == Json::Bool(true) {
        let path = format!("{path}.allow_stdio_access");
        findings.note("stdio-access", path, "the host reads the output and may write the input");
    }
}

/// The shell that a process runs without a script of its own.
fn shell(process: &Json) -> Option<&str> {
    let mut words = process["command"].as_array()?.iter().filter_map(Json::as_str);
    let name = |word: &str| word.rsplit('/').next().is_some_and(|name| SHELLS.contains(&name));
    let mut shell = words.next()?;
    if shell.rsplit('/').next() == Some("busybox") {
        shell = words.next()?;
    }
    // `sh -c SCRIPT` runs that script and nothing else.
    (name(shell) && !words.any(|word| word == "-c")).then_some(shell)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::lint::fixture::Policy;

    #[test]
    fn risky_rights_are_found() {
        for (name, code) in [
            ("allow_dump_stacks", "debug-dump-stacks"),
            ("allow_runtime_logging", "debug-runtime-logging"),
            ("allow_unencrypted_scratch", "scratch-unencrypted"),
            ("allow_host_network", "host-network"),
        ] {
            assert_eq!(Policy::new().paths(code), [""; 0]);
            let granted = Policy::new().replace(&format!("{name} := false"), &format!("{name} := true"));
            assert_eq!(granted.paths(code), [name]);
        }
    }

    #[test]
    fn only_true_grants_a_right() {
        assert_eq!(Policy::new().paths("right-not-boolean"), [""; 0]);
        let odd = Policy::new().replace("allow_dump_stacks := false", "allow_dump_stacks := \"true\"");
        assert_eq!(odd.paths("right-not-boolean"), ["allow_dump_stacks"]);
        assert_eq!(odd.paths("debug-dump-stacks"), [""; 0]);
    }

    #[test]
    fn privileged_containers_and_open_output_are_found() {
        for (field, code) in
            [("allow_elevated", "container-privileged"), ("allow_stdio_access", "stdio-access")]
        {
            assert_eq!(Policy::new().paths(code), [""; 0]);
            let policy = Policy::new().container(0, |container| container[field] = json!(true));
            assert_eq!(policy.paths(code), [format!("containers[0].{field}")]);
        }
    }

    #[test]
    fn shells_for_the_host_are_found() {
        let exec = |command: &[&str]| {
            let process = json!({"command": command, "signals": []});
            Policy::new().container(0, |container| container["exec_processes"] = json!([process]))
        };
        for command in [&["/bin/sh"][..], &["bash", "-i"], &["/bin/busybox", "ash"]] {
            assert_eq!(
                exec(command).paths("debug-shell"),
                ["containers[0].exec_processes[0]"],
                "{command:?}"
            );
        }
        for command in [&["/bin/sh", "-c", "id"][..], &["/bin/busybox", "id"], &["/bin/push"], &[]] {
            assert_eq!(exec(command).paths("debug-shell"), [""; 0], "{command:?}");
        }
    }
}
