//! What the policy's text defines: answers to questions, values, and names that nobody reads.

use super::document::{Document, VALUES};
use super::finding::Findings;
use super::spelling;

/// Questions without a request to look at: rights, which their own check reads.
const RIGHTS: [&str; 4] = ["dump_stacks", "get_properties", "host_network", "runtime_logging"];

pub(super) fn check(document: &Document, findings: &mut Findings) {
    for (name, rule) in &document.rules {
        let is_point = document.points.contains_key(name);
        match &rule.framework {
            Some(other) if is_point && other != name => {
                let message = format!("the question is answered by the framework's rule `{other}`");
                findings.warning("rule-misdirected", name, message);
            }
            None if is_point => own_rule(document, name, findings),
            _ if is_point || VALUES.contains(&name.as_str()) => {}
            _ => unknown(document, name, findings),
        }
    }
}

fn own_rule(document: &Document, name: &str, findings: &mut Findings) {
    let open = document.points.get(name).is_some_and(|point| point.open);
    if open && !RIGHTS.contains(&name) {
        findings.warning("rule-open", name, "every request is allowed");
    } else {
        findings.note("rule-own", name, "the policy decides this itself; its lists do not bind it");
    }
}

fn unknown(document: &Document, name: &str, findings: &mut Findings) {
    let known = document.points.keys().map(String::as_str).chain(VALUES);
    match spelling::meant(name, known) {
        Some(meant) if !document.rules.contains_key(meant) => {
            findings.warning("name-misspelt", name, format!("nobody reads this name; is `{meant}` meant?"));
        }
        _ => findings.note("name-unknown", name, "the framework does not read this name"),
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::fixture::Policy;

    #[test]
    fn rules_that_answer_another_question_are_found() {
        assert_eq!(Policy::new().paths("rule-misdirected"), [""; 0]);
        let wrong =
            Policy::new().replace(":= data.framework.unmount_device", ":= data.framework.mount_device");
        assert_eq!(wrong.paths("rule-misdirected"), ["unmount_device"]);
    }

    #[test]
    fn rules_of_the_policy_are_told_from_open_doors() {
        for code in ["rule-open", "rule-own"] {
            assert_eq!(Policy::new().paths(code), [""; 0]);
        }
        let alias = ":= data.framework.exec_external";
        let open = Policy::new().replace(alias, ":= {\"allowed\": true}");
        assert_eq!(open.paths("rule-open"), ["exec_external"]);
        let own = Policy::new().replace(alias, ":= {\"allowed\": true} if input.workingDir == \"/\"");
        assert_eq!(own.paths("rule-own"), ["exec_external"]);
        assert_eq!(own.paths("rule-open"), [""; 0]);
    }

    #[test]
    fn names_that_nobody_reads_are_found() {
        for code in ["name-misspelt", "name-unknown"] {
            assert_eq!(Policy::new().paths(code), [""; 0]);
        }
        let misspelt = Policy::new().replace("allow_dump_stacks :=", "allow_dump_stack :=");
        assert_eq!(misspelt.paths("name-misspelt"), ["allow_dump_stack"]);
        let more = Policy::new().replace("allow_dump_stacks :=", "helper := 1\nallow_dump_stacks :=");
        assert_eq!(more.paths("name-unknown"), ["helper"]);
    }

    #[test]
    fn the_rule_for_settings_is_the_policys_own() {
        let with =
            |rule: &str| Policy::new().replace("package policy", &format!("package policy\n\n{rule}\n"));
        let open = with("linux_settings := {\"allowed\": true}");
        assert_eq!(open.paths("rule-open"), ["linux_settings"]);
        let own = with("linux_settings := {\"allowed\": input.linux.hooks.startContainer == []}");
        assert_eq!(own.paths("rule-own"), ["linux_settings"]);
        assert_eq!(own.paths("name-unknown"), [""; 0]);
    }
}
