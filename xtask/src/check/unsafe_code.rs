//! Where unsafe code may stand, and what it must say for itself: `xtask/unsafe-modules.toml`.

mod scan;

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Deserialize;

use super::{
    Finding, Findings, Sources,
    tree::{SourceFile, Tree},
    workspace::Workspace,
};

const LIST: &str = "xtask/unsafe-modules.toml";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    #[serde(default, rename = "module")]
    modules: Vec<Module>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Module {
    file: String,
    purpose: String,
}

pub(super) fn gate(sources: &Sources) -> Findings {
    let file = sources.tree.file(LIST).with_context(|| format!("{LIST} is missing"))?;
    let list: List = toml::from_str(&file.text).with_context(|| format!("{LIST} does not parse"))?;
    let mut findings = judge_modules(&list, &sources.tree);
    findings.extend(judge_roots(&sources.workspace, &sources.tree));
    Ok(findings)
}

fn judge_modules(list: &List, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut listed: BTreeMap<_, _> =
        list.modules.iter().map(|module| (module.file.as_str(), &module.purpose)).collect();
    for file in tree.rust_files() {
        let facts = match scan::facts(&file.text) {
            Ok(facts) => facts,
            Err(error) => {
                findings.push(Finding::file(&file.path, format!("does not parse: {error}")));
                continue;
            }
        };
        match listed.remove(file.path.as_str()) {
            Some(purpose) if purpose.trim().is_empty() => {
                findings.push(Finding::file(LIST, format!("{} has no purpose", file.path)));
            }
            Some(_) => findings.extend(judge_listed(file, &facts)),
            None => findings.extend(judge_unlisted(file, &facts)),
        }
    }
    findings.extend(listed.keys().map(|file| Finding::file(LIST, format!("there is no file {file}"))));
    findings
}

/// A file that is not on the list neither holds unsafe code nor asks to.
fn judge_unlisted(file: &SourceFile, facts: &scan::Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(line) = facts.first_unsafe {
        findings.push(Finding::line(
            &file.path,
            line,
            format!("unsafe code in a file that {LIST} does not name"),
        ));
    }
    if facts.opts_in {
        findings
            .push(Finding::file(&file.path, format!("opts into unsafe code, and {LIST} does not name it")));
    }
    findings
}

fn judge_listed(file: &SourceFile, facts: &scan::Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.first_unsafe.is_none() {
        findings.push(Finding::file(LIST, format!("{} holds no unsafe code any more", file.path)));
    }
    if !facts.opts_in {
        findings.push(Finding::file(&file.path, "lacks #![expect(unsafe_code, reason = \"...\")]"));
    }
    if !facts.justified {
        findings.push(Finding::file(
            &file.path,
            "its documentation lacks `UNSAFETY:` and why safe code does not do",
        ));
    }
    let unexplained = facts.unexplained.iter();
    findings.extend(
        unexplained.map(|line| Finding::line(&file.path, *line, "unsafe without `// SAFETY:` above")),
    );
    findings
}

/// Each crate root forbids unsafe code, or denies it where a listed module opts in.
fn judge_roots(workspace: &Workspace, tree: &Tree) -> Vec<Finding> {
    let roots = workspace.crates.iter().flat_map(|member| &member.targets);
    let shipped =
        roots.filter(|target| target.kind.iter().any(|kind| matches!(kind.as_str(), "lib" | "bin")));
    let files = shipped.filter_map(|target| tree.file(&target.src_path));
    let bare = files.filter(|file| !scan::facts(&file.text).is_ok_and(|facts| facts.closed));
    bare.map(|file| {
        Finding::line(&file.path, 1, "the crate root lacks #![forbid(unsafe_code)] or #![deny(unsafe_code)]")
    })
    .collect()
}

#[cfg(test)]
mod tests;
