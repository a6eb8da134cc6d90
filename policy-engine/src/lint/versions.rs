//! The versions that a policy was written for, and what they demand of it.

use super::document::Document;
use super::finding::Findings;

/// Questions that only Windows guests ask, and questions that the framework always denies: nothing is lost
/// without a rule.
const NOT_NEEDED: [&str; 5] =
    ["log_provider", "mount_blockdev", "mount_cims", "registry_changes", "unmount_blockdev"];

pub(super) fn check(document: &Document, findings: &mut Findings) {
    let of_engine = [
        ("api_version", document.api_version, document.engine_api_version),
        ("framework_version", document.framework_version, document.engine_framework_version),
    ];
    for (name, policy, engine) in of_engine {
        let (Some(policy), Some(engine)) = (policy, engine) else { continue };
        if policy < engine {
            let message = format!("{policy} is older than {engine}: what came later has its default meaning");
            findings.note("version-older", name, message);
        } else if policy > engine {
            let message = format!("{policy} is newer than {engine}: the policy is not accepted");
            findings.error("version-newer", name, message);
        }
    }
    for (deprecated, name) in [("api_svn", "api_version"), ("framework_svn", "framework_version")] {
        if document.rules.contains_key(deprecated) {
            findings.note("name-deprecated", deprecated, format!("the name is now `{name}`"));
        }
    }
    missing_rules(document, findings);
}

fn missing_rules(document: &Document, findings: &mut Findings) {
    let Some(version) = document.api_version else { return };
    for (name, point) in &document.points {
        let demanded = point.introduced <= version && !NOT_NEEDED.contains(&name.as_str());
        if demanded && !document.rules.contains_key(name) {
            let message = format!(
                "API {version} asks this since {}; without a rule it is always denied",
                point.introduced
            );
            findings.warning("rule-missing", name, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::fixture::Policy;

    #[test]
    fn older_and_newer_versions_are_found() {
        let current = Policy::new();
        assert_eq!(current.paths("version-older"), [""; 0]);
        assert_eq!(current.paths("version-newer"), [""; 0]);
        let old = Policy::new().replace("\"0.12.0\"", "\"0.10.0\"");
        assert_eq!(old.paths("version-older"), ["api_version"]);
        let new = Policy::new().replace("\"0.5.0\"", "\"0.6.0\"");
        assert_eq!(new.paths("version-newer"), ["framework_version"]);
    }

    #[test]
    fn deprecated_names_are_found() {
        assert_eq!(Policy::new().paths("name-deprecated"), [""; 0]);
        let old = Policy::new().replace("api_version :=", "api_svn :=");
        assert_eq!(old.paths("name-deprecated"), ["api_svn"]);
    }

    #[test]
    fn rules_that_the_version_demands_are_missed() {
        assert_eq!(Policy::new().paths("rule-missing"), [""; 0]);
        let without = || Policy::new().replace("host_network := data.framework.host_network\n", "");
        assert_eq!(without().paths("rule-missing"), ["host_network"]);
        // An older policy is not asked.
        assert_eq!(without().replace("\"0.12.0\"", "\"0.11.1\"").paths("rule-missing"), [""; 0]);
    }
}
