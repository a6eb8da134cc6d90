//! Which of our crates may use which: `xtask/layering.toml` against the manifests.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde::Deserialize;

use super::{
    Finding, Findings, Sources,
    workspace::{Crate, Kind, Workspace},
};

const TABLE: &str = "xtask/layering.toml";

/// One row of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Row {
    uses: BTreeSet<String>,
    #[serde(default)]
    tests_use: BTreeSet<String>,
    #[serde(default)]
    features_for: BTreeMap<String, BTreeSet<String>>,
    reason: String,
}

type Table = BTreeMap<String, Row>;

pub(super) fn gate(sources: &Sources) -> Findings {
    let file = sources.tree.file(TABLE).with_context(|| format!("{TABLE} is missing"))?;
    let table: Table = toml::from_str(&file.text).with_context(|| format!("{TABLE} does not parse"))?;
    Ok(compare(&table, &sources.workspace))
}

fn compare(table: &Table, workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, row) in table {
        if workspace.find(name).is_none() {
            findings.push(Finding::file(TABLE, format!("there is no crate `{name}`")));
        }
        if row.reason.trim().is_empty() {
            findings.push(Finding::file(TABLE, format!("`{name}` has no reason")));
        }
    }
    for (name, row) in table {
        for (feature, allowed) in &row.features_for {
            findings.extend(compare_feature(workspace, name, feature, allowed));
        }
    }
    for member in &workspace.crates {
        match table.get(&member.name) {
            Some(row) => findings.extend(compare_row(member, row)),
            None => findings.push(Finding::file(
                &member.manifest_path,
                format!("`{}` has no row in {TABLE}", member.name),
            )),
        }
    }
    findings
}

fn compare_row(member: &Crate, row: &Row) -> Vec<Finding> {
    let product = ours(member, |kind| kind != Some(Kind::Dev));
    let tests = ours(member, |kind| kind == Some(Kind::Dev));
    let forbidden = |used: &&String| {
        Finding::file(
            &member.manifest_path,
            format!("`{}` must not use `{used}`: {}", member.name, row.reason),
        )
    };
    let stale = |list: &str, used: &String| {
        Finding::file(TABLE, format!("`{}` no longer {list} `{used}`: take the edge out", member.name))
    };
    let mut findings: Vec<_> =
        product.iter().filter(|used| !row.uses.contains(*used)).map(|used| forbidden(&used)).collect();
    let for_tests = |used: &&String| !row.uses.contains(*used) && !row.tests_use.contains(*used);
    findings.extend(tests.iter().filter(for_tests).map(|used| forbidden(&used)));
    findings.extend(row.uses.difference(&product).map(|used| stale("uses", used)));
    findings.extend(row.tests_use.difference(&tests).map(|used| stale("tests-use", used)));
    findings
}

/// Who enables a feature that only `allowed` crates may, in whatever way they use the crate.
fn compare_feature(
    workspace: &Workspace,
    name: &str,
    feature: &str,
    allowed: &BTreeSet<String>,
) -> Vec<Finding> {
    let enables = |member: &&Crate| {
        let mut uses = member.dependencies.iter().filter(|used| used.path.is_some() && used.name == name);
        uses.any(|used| used.features.iter().any(|enabled| enabled == feature))
    };
    let enabling: BTreeSet<String> =
        workspace.crates.iter().filter(enables).map(|member| member.name.clone()).collect();
    let message = |text: String| Finding::file(TABLE, text);
    let mut findings: Vec<_> = enabling
        .difference(allowed)
        .map(|member| message(format!("`{member}` must not enable `{feature}` of `{name}`")))
        .collect();
    findings.extend(
        allowed.difference(&enabling).map(|member| {
            message(format!("`{member}` no longer enables `{feature}` of `{name}`: take it out"))
        }),
    );
    findings
}

/// The names of our own crates that a crate uses in the given ways.
fn ours(member: &Crate, wanted: impl Fn(Option<Kind>) -> bool) -> BTreeSet<String> {
    let used = member.dependencies.iter().filter(|used| used.path.is_some() && wanted(used.kind));
    used.map(|used| used.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::workspace::Dependency;

    const TABLE_TEXT: &str = r#"
        [agent]
        uses = ["proto"]
        tests-use = ["emulator"]
        reason = "joins"
        [proto]
        uses = []
        reason = "stands alone"
        [emulator]
        uses = []
        reason = "holds keys"
    "#;

    fn member(name: &str, uses: &[(&str, Option<Kind>)]) -> Crate {
        let dependency = |&(name, kind): &(&str, Option<Kind>)| Dependency {
            name: name.to_owned(),
            kind,
            path: Some("somewhere".to_owned()),
            uses_default_features: true,
            features: Vec::new(),
        };
        Crate {
            name: name.to_owned(),
            manifest_path: format!("{name}/Cargo.toml"),
            dependencies: uses.iter().map(dependency).collect(),
            targets: Vec::new(),
        }
    }

    fn messages(crates: Vec<Crate>) -> Vec<String> {
        let table = toml::from_str(TABLE_TEXT).unwrap();
        compare(&table, &Workspace { crates }).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_edges_of_the_table_are_allowed() {
        let agent = member("agent", &[("proto", None), ("emulator", Some(Kind::Dev))]);
        assert_eq!(messages(vec![agent, member("proto", &[]), member("emulator", &[])]), [""; 0]);
    }

    #[test]
    fn an_edge_outside_the_table_is_refused_in_each_kind() {
        for kind in [None, Some(Kind::Build), Some(Kind::Dev)] {
            let agent = member("agent", &[("proto", None), ("emulator", Some(Kind::Dev))]);
            let crates = vec![agent, member("proto", &[("emulator", kind)]), member("emulator", &[])];
            assert_eq!(messages(crates), ["proto/Cargo.toml: `proto` must not use `emulator`: stands alone"]);
        }
    }

    #[test]
    fn what_only_tests_may_use_does_not_get_into_the_product() {
        let agent = member("agent", &[("proto", None), ("emulator", None), ("emulator", Some(Kind::Dev))]);
        let found = messages(vec![agent, member("proto", &[]), member("emulator", &[])]);
        assert_eq!(found, ["agent/Cargo.toml: `agent` must not use `emulator`: joins"]);
    }

    #[test]
    fn a_stale_edge_and_a_stale_row_are_found() {
        let agent = member("agent", &[("emulator", Some(Kind::Dev))]);
        let found = messages(vec![agent, member("emulator", &[])]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().any(|message| message.contains("no crate `proto`")));
        assert!(found.iter().any(|message| message.contains("`agent` no longer uses `proto`")));
    }

    #[test]
    fn a_feature_for_some_is_enabled_by_them_alone() {
        let text = "[proto]\nuses = []\nfeatures-for = { door = [\"agent\"] }\nreason = \"stands alone\"\n\
                    [agent]\nuses = [\"proto\"]\nreason = \"joins\"\n\
                    [tool]\nuses = [\"proto\"]\nreason = \"joins\"\n";
        let table: Table = toml::from_str(text).unwrap();
        let enabling = |name: &str| {
            let mut member = member(name, &[("proto", Some(Kind::Dev)), ("proto", None)]);
            member.dependencies[1].features.push("door".to_owned());
            member
        };
        let check = |agent: Crate, tool: Crate| -> Vec<String> {
            let workspace = Workspace { crates: vec![agent, tool, member("proto", &[])] };
            compare(&table, &workspace).iter().map(ToString::to_string).collect()
        };
        let plain = || member("tool", &[("proto", None)]);
        assert_eq!(check(enabling("agent"), plain()), [""; 0]);
        let found = check(enabling("agent"), enabling("tool"));
        assert_eq!(found, ["xtask/layering.toml: `tool` must not enable `door` of `proto`"]);
        let found = check(member("agent", &[("proto", None)]), plain());
        assert!(found.len() == 1 && found[0].contains("no longer enables"), "{found:?}");
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let agent = member("agent", &[("proto", None), ("emulator", Some(Kind::Dev))]);
        let crates = vec![agent, member("proto", &[]), member("emulator", &[]), member("new", &[])];
        assert_eq!(messages(crates), ["new/Cargo.toml: `new` has no row in xtask/layering.toml"]);
    }

    #[test]
    fn a_row_without_a_reason_does_not_parse() {
        assert!(toml::from_str::<Table>("[agent]\nuses = []").is_err());
    }
}
