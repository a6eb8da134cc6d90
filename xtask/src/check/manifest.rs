//! Manifests: dependencies and lints are stated once, for all crates, in the root.

use std::collections::BTreeSet;

use anyhow::Context as _;
use toml::{Table, Value};

use super::{Finding, Findings, Sources, tree::Tree};

const ROOT: &str = "Cargo.toml";
const DEPENDENCY_TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Crates with generated code in them, which our lints cannot judge. They write their own table, and say why.
const OWN_LINTS: [&str; 1] = ["proto"];

pub(super) fn gate(sources: &Sources) -> Findings {
    let members = sources.workspace.crates.iter();
    judge(
        &sources.tree,
        &members.map(|member| (member.name.as_str(), member.manifest_path.as_str())).collect::<Vec<_>>(),
    )
}

fn judge(tree: &Tree, members: &[(&str, &str)]) -> Findings {
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    for &(name, path) in members {
        let text = &tree.file(path).with_context(|| format!("{path} is not tracked"))?.text;
        let manifest: Table = text.parse().with_context(|| format!("{path} does not parse"))?;
        for (dependency, value) in dependencies(&manifest) {
            used.insert(dependency.clone());
            if !inherits(value) {
                findings.push(Finding::file(path, format!("`{dependency}` lacks `workspace = true`")));
            }
        }
        let own_lints = OWN_LINTS.contains(&name) && lints_are_explained(text);
        if !manifest.get("lints").is_some_and(inherits) && !own_lints {
            findings.push(Finding::file(path, "lacks `lints.workspace = true`"));
        }
    }
    let root: Table = tree.file(ROOT).context("no root manifest")?.text.parse()?;
    let stated =
        root.get("workspace").and_then(|workspace| workspace.get("dependencies")).and_then(Value::as_table);
    let idle = stated.into_iter().flatten().map(|(name, _)| name).filter(|name| !used.contains(*name));
    findings.extend(idle.map(|name| Finding::file(ROOT, format!("no crate uses `{name}`: take it out"))));
    Ok(findings)
}

/// Every dependency of a manifest, those for one target among them.
fn dependencies(manifest: &Table) -> Vec<(&String, &Value)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let tables = targets.filter_map(|(_, target)| target.as_table()).chain([manifest]);
    let lists = tables.flat_map(|table| DEPENDENCY_TABLES.iter().filter_map(|name| table.get(*name)));
    lists.filter_map(Value::as_table).flatten().collect()
}

fn inherits(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// Whether a comment stands above the table of lints.
fn lints_are_explained(manifest: &str) -> bool {
    let lines: Vec<_> = manifest.lines().collect();
    lines
        .windows(2)
        .any(|pair| matches!(pair, [above, header] if header.starts_with("[lints") && above.starts_with('#')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT_TEXT: &str = "[workspace.dependencies]\nserde = \"1\"\n";

    fn findings(name: &str, manifest: &str) -> Vec<String> {
        let tree = Tree::of_files([("Cargo.toml", ROOT_TEXT), ("a/Cargo.toml", manifest)]);
        judge(&tree, &[(name, "a/Cargo.toml")]).unwrap().iter().map(ToString::to_string).collect()
    }

    const GOOD: &str = "[dependencies]\nserde.workspace = true\n[lints]\nworkspace = true\n";

    #[test]
    fn inherited_dependencies_and_lints_pass() {
        assert_eq!(findings("a", GOOD), [""; 0]);
        let featured =
            GOOD.replace("serde.workspace = true", "serde = { workspace = true, features = [\"rc\"] }");
        assert_eq!(findings("a", &featured), [""; 0]);
    }

    #[test]
    fn a_version_of_its_own_is_found_in_each_table() {
        for table in ["dev-dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"] {
            let found = findings("a", &format!("{GOOD}[{table}]\nlibc = \"1\"\n"));
            assert_eq!(found, ["a/Cargo.toml: `libc` lacks `workspace = true`"], "{table}");
        }
    }

    #[test]
    fn missing_lints_are_found_and_generated_code_says_why() {
        let own = GOOD.replace("[lints]\nworkspace = true", "[lints.rust]\nmissing_docs = \"allow\"");
        assert_eq!(findings("a", &own).len(), 1);
        assert_eq!(findings("proto", &own).len(), 1);
        let explained = own.replace("[lints.rust]", "# Generated code has no documentation.\n[lints.rust]");
        assert_eq!(findings("proto", &explained), [""; 0]);
        assert_eq!(findings("a", &explained).len(), 1);
    }

    #[test]
    fn a_dependency_that_nobody_uses_is_found() {
        assert_eq!(
            findings("a", "[lints]\nworkspace = true\n"),
            ["Cargo.toml: no crate uses `serde`: take it out"]
        );
    }
}
