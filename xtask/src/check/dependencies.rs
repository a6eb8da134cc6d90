//! Why the guest links each crate, and two versions of some: `docs/dependencies.md` has one row for each.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

use super::{
    Finding, Findings, Sources,
    tree::SourceFile,
    workspace::{Crate, Dependency, Workspace},
};
use crate::command::Run;

const TABLE: &str = "docs/dependencies.md";
const GUEST: &str = "agent";

/// What a manifest says about a crate: its features as declared, and which of our crates use it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Use {
    features: BTreeSet<String>,
    used_by: BTreeSet<String>,
}

/// One row of the document.
struct Row {
    line: usize,
    declared: Use,
    why: String,
}

pub(super) fn gate(sources: &Sources) -> Findings {
    let document = sources.tree.file(TABLE).with_context(|| format!("{TABLE} is missing"))?;
    let mut findings = compare(&rows(document), &linked(&guest_tree("normal")?, &sources.workspace));
    findings.extend(compare_doubles(document, &doubles(&guest_tree("normal,no-proc-macro")?)));
    Ok(findings)
}

fn compare(rows: &BTreeMap<String, Row>, linked: &BTreeMap<String, Use>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, actual) in linked {
        match rows.get(name) {
            None => findings.push(Finding::file(TABLE, format!("lacks `{}`", row_text(name, actual)))),
            Some(row) if row.declared != *actual => {
                findings.push(Finding::line(
                    TABLE,
                    row.line,
                    format!("should be `{}`", row_text(name, actual)),
                ));
            }
            Some(row) if row.why.is_empty() => {
                findings.push(Finding::line(TABLE, row.line, format!("`{name}` has no reason")));
            }
            Some(_) => {}
        }
    }
    let stale = rows.iter().filter(|(name, _)| !linked.contains_key(*name));
    findings.extend(
        stale.map(|(name, row)| Finding::line(TABLE, row.line, format!("the guest does not link `{name}`"))),
    );
    findings
}

/// The crates of others that our crates use directly, by `cargo tree`. The manifests alone would not do: they
/// name optional crates too, which the guest does not link.
fn linked(tree: &str, workspace: &Workspace) -> BTreeMap<String, Use> {
    let mut linked: BTreeMap<String, Use> = BTreeMap::new();
    let mut parents: Vec<&str> = Vec::new();
    for (depth, name) in tree.lines().filter_map(depth_and_name) {
        parents.truncate(depth);
        if let Some(user) = parents.last().and_then(|parent| workspace.find(parent))
            && workspace.find(name).is_none()
        {
            let entry = linked.entry(name.to_owned()).or_default();
            entry.used_by.insert(user.name.clone());
            entry.features.extend(declared_features(user, name));
        }
        parents.push(name);
    }
    linked
}

/// What the guest's binary links, as it ships: `cargo tree` resolves features for it alone.
fn guest_tree(edges: &str) -> anyhow::Result<String> {
    let tree = ["tree", "--package", GUEST, "--prefix", "depth", "--edges", edges];
    Ok(Run::cargo().args(tree).stdout()?)
}

/// Crates that the guest links in more than one version, as rows of the second table.
fn doubles(tree: &str) -> BTreeMap<String, String> {
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for line in tree.lines() {
        if let Some((_, name)) = depth_and_name(line)
            && let Some(version) = line.split(' ').nth(1)
        {
            versions.entry(name).or_default().insert(series(version));
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    let text = |versions: BTreeSet<String>| versions.into_iter().collect::<Vec<_>>().join(", ");
    versions.into_iter().map(|(name, versions)| (name.to_owned(), text(versions))).collect()
}

/// The part of a version that stays when cargo updates: `0.26` of `v0.26.4`, `2` of `v2.13.2`.
fn series(version: &str) -> String {
    let mut parts = version.trim_start_matches('v').split('.');
    match (parts.next().unwrap_or_default(), parts.next()) {
        ("0", Some(minor)) => format!("0.{minor}"),
        (major, _) => major.to_owned(),
    }
}

/// Compares with rows of the form `| crate | versions | why |`.
fn compare_doubles(document: &SourceFile, doubles: &BTreeMap<String, String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut missing = doubles.clone();
    for (line, text) in document.numbered_lines() {
        let cells: Vec<_> = text.split('|').map(str::trim).collect();
        let ["", name, versions, why, ""] = cells.as_slice() else { continue };
        if is_header(name) {
            continue;
        }
        match missing.remove(*name) {
            Some(actual) if actual != *versions => {
                findings.push(Finding::line(TABLE, line, format!("the versions of `{name}` are {actual}")));
            }
            Some(_) if why.is_empty() => {
                findings.push(Finding::line(TABLE, line, format!("`{name}` has no reason")));
            }
            Some(_) => {}
            None => findings.push(Finding::line(TABLE, line, format!("`{name}` is not linked twice"))),
        }
    }
    let row = |(name, versions): (&String, &String)| format!("lacks `| {name} | {versions} | why |`");
    findings.extend(missing.iter().map(|double| Finding::file(TABLE, row(double))));
    findings
}

fn is_header(name: &str) -> bool {
    name == "crate" || name.chars().all(|letter| letter == '-')
}

/// Reads a line of `cargo tree --prefix depth`, such as `1nix v0.31.3`.
fn depth_and_name(line: &str) -> Option<(usize, &str)> {
    let name = line.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let depth = line.strip_suffix(name)?.parse().ok()?;
    Some((depth, name.split(' ').next()?))
}

fn declared_features(user: &Crate, name: &str) -> Vec<String> {
    let linked = user.dependencies.iter().filter(|used| used.name == name && used.kind.is_none());
    let features = |used: &Dependency| {
        let default = used.uses_default_features.then(|| "default".to_owned());
        used.features.iter().cloned().chain(default).collect::<Vec<_>>()
    };
    linked.flat_map(features).collect()
}

/// Reads rows of the form `| crate | features | used by | why |`; other tables have other numbers of columns.
fn rows(document: &SourceFile) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    for (line, text) in document.numbered_lines() {
        let cells: Vec<_> = text.split('|').map(str::trim).collect();
        let ["", name, features, used_by, why, ""] = cells.as_slice() else { continue };
        if !is_header(name) {
            let declared = Use { features: words(features), used_by: words(used_by) };
            rows.insert((*name).to_owned(), Row { line, declared, why: (*why).to_owned() });
        }
    }
    rows
}

fn words(cell: &str) -> BTreeSet<String> {
    cell.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty() && *word != "none")
        .map(ToOwned::to_owned)
        .collect()
}

fn row_text(name: &str, actual: &Use) -> String {
    let list = |words: &BTreeSet<String>| words.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let features = if actual.features.is_empty() { "none".to_owned() } else { list(&actual.features) };
    format!("| {name} | {features} | {} | why |", list(&actual.used_by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::workspace::Kind;

    const CARGO_TREE: &str = "0agent v0.1.0 (/x/agent)\n1nix v0.31.3\n2libc v0.2.191\n";

    fn workspace() -> Workspace {
        let dependency = |name: &str, kind| Dependency {
            name: name.to_owned(),
            kind,
            path: None,
            uses_default_features: false,
            features: vec!["std".to_owned()],
        };
        let agent = Crate {
            name: "agent".to_owned(),
            manifest_path: "agent/Cargo.toml".to_owned(),
            dependencies: vec![
                dependency("nix", None),
                dependency("nix", Some(Kind::Dev)),
                dependency("trybuild", Some(Kind::Dev)),
                dependency("sev", None),
            ],
            targets: Vec::new(),
        };
        Workspace { crates: vec![agent] }
    }

    fn messages(document: &str) -> Vec<String> {
        let file = SourceFile { path: TABLE.to_owned(), text: document.to_owned() };
        compare(&rows(&file), &linked(CARGO_TREE, &workspace())).iter().map(ToString::to_string).collect()
    }

    const HEADER: &str = "| crate | features | used by | why |\n|---|---|---|---|\n";

    #[test]
    fn a_row_for_each_linked_crate_passes_and_tests_need_none() {
        assert_eq!(messages(&format!("{HEADER}| nix | std | agent | system calls |\n")), [""; 0]);
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        assert_eq!(messages(HEADER), ["docs/dependencies.md: lacks `| nix | std | agent | why |`"]);
    }

    #[test]
    fn wrong_features_no_reason_and_stale_rows_are_found() {
        for row in [
            "| nix | none | agent | system calls |",
            "| nix | std | cli | system calls |",
            "| nix | std | agent | |",
        ] {
            assert_eq!(messages(&format!("{HEADER}{row}\n")).len(), 1, "{row}");
        }
        let stale = "| nix | std | agent | system calls |\n| libc | std | agent | system calls |\n";
        assert_eq!(
            messages(&format!("{HEADER}{stale}")),
            ["docs/dependencies.md:4: the guest does not link `libc`"]
        );
    }

    #[test]
    fn two_versions_need_a_row() {
        let tree = "0agent v0.1.0 (/x/agent)\n1nix v0.31.3\n1ttrpc v0.10.0\n2nix v0.26.4\n2nix v0.31.3 (*)\n";
        let doubles = doubles(tree);
        assert_eq!(doubles, BTreeMap::from([("nix".to_owned(), "0.26, 0.31".to_owned())]));
        let found = |rows: &str| {
            let text = format!("| crate | versions | why |\n|---|---|---|\n{rows}");
            let document = SourceFile { path: TABLE.to_owned(), text };
            compare_doubles(&document, &doubles).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(found("| nix | 0.26, 0.31 | ttrpc is behind |\n"), [""; 0]);
        assert_eq!(found(""), ["docs/dependencies.md: lacks `| nix | 0.26, 0.31 | why |`"]);
        assert_eq!(found("| nix | 0.26 | ttrpc is behind |\n").len(), 1);
        assert_eq!(found("| nix | 0.26, 0.31 | |\n").len(), 1);
        assert_eq!(found("| nix | 0.26, 0.31 | a |\n| libc | 1, 2 | b |\n").len(), 1);
    }
}
