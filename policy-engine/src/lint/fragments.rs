//! Entries for fragments that never load, or load more than they seem to.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::document::{Document, version};
use super::finding::Findings;

/// What a fragment may add.
const INCLUDES: [&str; 6] = [
    "containers",
    "external_processes",
    "fragments",
    "namespace",
    "platform_rules",
    "transparency_trust_lists",
];

pub(super) fn check(document: &Document, findings: &mut Findings) {
    let mut named: HashMap<(&str, &str), (String, String)> = HashMap::new();
    for (path, fragment) in document.list("fragments") {
        svn(&fragment["minimum_svn"], &path, findings);
        let includes: Vec<&str> =
            fragment["includes"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        for part in &includes {
            if !INCLUDES.contains(part) {
                let message = format!("a fragment has no `{part}` to add");
                findings.warning("fragment-include-unknown", format!("{path}.includes"), message);
            }
        }
        let (Some(issuer), Some(feed)) = (fragment["issuer"].as_str(), fragment["feed"].as_str()) else {
            continue;
        };
        if !issuer.starts_with("did:x509:") {
            let message =
                "the issuer of a signed fragment is a did:x509 identifier, so that none is this one";
            findings.warning("fragment-issuer", format!("{path}.issuer"), message);
        }
        let mut includes = includes;
        includes.sort_unstable();
        includes.dedup();
        let includes = includes.join(" ");
        match named.get(&(issuer, feed)) {
            Some((first, others)) if *others != includes => {
                let message =
                    format!("{first} has the same issuer and feed but includes others: none is loaded");
                findings.error("fragment-conflict", path, message);
            }
            Some(_) => {}
            None => {
                named.insert((issuer, feed), (path, includes));
            }
        }
    }
    for (path, list) in document.list("transparency_trust_lists") {
        svn(&list["minimum_svn"], &path, findings);
    }
}

fn svn(minimum: &Json, path: &str, findings: &mut Findings) {
    let path = format!("{path}.minimum_svn");
    match minimum {
        Json::String(text) if version(text).is_some() => {
            let message =
                "semantic versions are deprecated here and never compare with a number in the signed header";
            findings.note("fragment-svn-semver", path, message);
        }
        Json::String(text) if text.is_empty() || !text.bytes().all(|digit| digit.is_ascii_digit()) => {
            findings.error(
                "fragment-svn",
                path,
                format!("`{text}` compares with no version: nothing is loaded"),
            );
        }
        Json::Number(_) | Json::String(_) | Json::Null => {}
        _ => findings.error("fragment-svn", path, "this compares with no version: nothing is loaded"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::lint::fixture::Policy;

    fn changed(field: &str, value: Json) -> Policy {
        Policy::new().fragments(|fragments| fragments[0][field] = value)
    }

    #[test]
    fn versions_that_never_compare_are_found() {
        for minimum in [json!("latest"), json!(""), json!("1.2"), json!(true), json!("v1.2.3")] {
            assert_eq!(changed("minimum_svn", minimum).paths("fragment-svn"), ["fragments[0].minimum_svn"]);
        }
        for minimum in [json!("4"), json!(4), json!("1.2.3")] {
            assert_eq!(changed("minimum_svn", minimum).paths("fragment-svn"), [""; 0]);
        }
        assert_eq!(
            changed("minimum_svn", json!("1.2.3")).paths("fragment-svn-semver"),
            ["fragments[0].minimum_svn"]
        );
        assert_eq!(Policy::new().paths("fragment-svn-semver"), [""; 0]);
    }

    #[test]
    fn parts_that_fragments_do_not_have_are_found() {
        assert_eq!(Policy::new().paths("fragment-include-unknown"), [""; 0]);
        let policy = changed("includes", json!(["container"]));
        assert_eq!(policy.paths("fragment-include-unknown"), ["fragments[0].includes"]);
    }

    #[test]
    fn issuers_that_sign_nothing_are_found() {
        assert_eq!(Policy::new().paths("fragment-issuer"), [""; 0]);
        assert_eq!(
            changed("issuer", json!("did:web:example")).paths("fragment-issuer"),
            ["fragments[0].issuer"]
        );
    }

    #[test]
    fn entries_that_contradict_each_other_are_found() {
        let twice = |includes: Json| {
            Policy::new().fragments(|fragments| {
                let mut second = fragments[0].clone();
                second["includes"] = includes;
                fragments.push(second);
            })
        };
        assert_eq!(twice(json!(["fragments"])).paths("fragment-conflict"), ["fragments[1]"]);
        assert_eq!(twice(json!(["containers"])).paths("fragment-conflict"), [""; 0]);
    }
}
