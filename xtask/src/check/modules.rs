//! Names of modules, and Rust files that no module names and nobody compiles.

use std::collections::BTreeSet;

use syn::{Expr, ExprLit, Item, ItemMod, Lit, Meta};

use super::{
    Finding, Findings, Sources,
    tree::{SourceFile, Tree},
    workspace::Workspace,
};

/// Names that say nothing about what a module provides.
const EMPTY_NAMES: [&str; 9] =
    ["base", "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"];

/// Folders of files that no crate of the workspace has: those that must not compile, which a test gives to the
/// compiler one by one, and fuzz targets, which are built by `cargo xtask fuzz`.
const ELSEWHERE: [&str; 2] = ["compile_fail", "fuzz_targets"];

pub(super) fn gate(sources: &Sources) -> Findings {
    let mut findings = empty_names(&sources.tree);
    findings.extend(orphans(&sources.tree, &sources.workspace));
    Ok(findings)
}

fn empty_names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust_files() {
        let parts = file.path.trim_end_matches(".rs").split('/');
        let named = parts.map(ToOwned::to_owned).chain(inline_modules(file));
        for name in named.filter(|name| EMPTY_NAMES.contains(&name.as_str())) {
            findings.push(Finding::file(&file.path, format!("`{name}` does not say what is provided")));
        }
    }
    findings
}

/// The names of modules whose body is in this file.
fn inline_modules(file: &SourceFile) -> Vec<String> {
    modules(file)
        .into_iter()
        .filter(|item| item.content.is_some())
        .map(|item| item.ident.to_string())
        .collect()
}

fn modules(file: &SourceFile) -> Vec<ItemMod> {
    syn::parse_file(&file.text).map(|syntax| modules_of(syntax.items)).unwrap_or_default()
}

fn modules_of(items: Vec<Item>) -> Vec<ItemMod> {
    let only = |item| if let Item::Mod(item) = item { Some(item) } else { None };
    items.into_iter().filter_map(only).collect()
}

/// Files that no crate root reaches through `mod`.
fn orphans(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    let roots: BTreeSet<_> = workspace
        .crates
        .iter()
        .flat_map(|member| &member.targets)
        .map(|target| target.src_path.clone())
        .collect();
    let mut open: Vec<String> = roots.iter().cloned().collect();
    let mut reached = BTreeSet::new();
    while let Some(path) = open.pop() {
        if let Some(file) = tree.file(&path).filter(|_| reached.insert(path.clone())) {
            let (folder, children) = (folder_of(&path), children_folder(&path, roots.contains(&path)));
            open.extend(modules(file).iter().flat_map(|item| named_files(item, folder, &children)));
        }
    }
    tree.rust_files()
        .filter(|file| {
            !reached.contains(&file.path) && !file.path.split('/').any(|part| ELSEWHERE.contains(&part))
        })
        .map(|file| Finding::file(&file.path, "no module names this file, so nobody compiles it"))
        .collect()
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Where the modules of a file lie.
fn children_folder(path: &str, is_root: bool) -> String {
    if is_root || path.ends_with("/mod.rs") {
        folder_of(path).to_owned()
    } else {
        path.trim_end_matches(".rs").to_owned()
    }
}

/// The files a `mod` item may mean.
fn named_files(item: &ItemMod, folder: &str, children: &str) -> Vec<String> {
    let name = item.ident.to_string();
    if let Some((_, inner)) = &item.content {
        let deeper = format!("{children}/{name}");
        let nested = modules_of(inner.clone());
        return nested.iter().flat_map(|item| named_files(item, &deeper, &deeper)).collect();
    }
    match explicit_path(item) {
        Some(path) => vec![format!("{folder}/{path}")],
        None => vec![format!("{children}/{name}.rs"), format!("{children}/{name}/mod.rs")],
    }
}

/// The value of `#[path = "..."]`.
fn explicit_path(item: &ItemMod) -> Option<String> {
    item.attrs.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::workspace::{Crate, Target};

    fn orphans_of(files: &[(&str, &str)]) -> Vec<String> {
        let target = Target { kind: vec!["lib".to_owned()], src_path: "a/src/lib.rs".to_owned() };
        let member = Crate {
            name: "a".to_owned(),
            manifest_path: "a/Cargo.toml".to_owned(),
            dependencies: Vec::new(),
            targets: vec![target],
        };
        let workspace = Workspace { crates: vec![member] };
        orphans(&Tree::of_files(files.iter().copied()), &workspace)
            .into_iter()
            .map(|finding| finding.path)
            .collect()
    }

    #[test]
    fn each_way_to_name_a_file_reaches_it() {
        let files = [
            ("a/src/lib.rs", "mod b; mod c; mod d { mod e; } #[path = \"odd.rs\"] mod f;"),
            ("a/src/b.rs", "mod g;"),
            ("a/src/b/g.rs", ""),
            ("a/src/c/mod.rs", "mod h;"),
            ("a/src/c/h.rs", ""),
            ("a/src/d/e.rs", ""),
            ("a/src/odd.rs", ""),
            ("a/tests/compile_fail/forged.rs", ""),
        ];
        assert_eq!(orphans_of(&files), [""; 0]);
    }

    #[test]
    fn a_file_that_nobody_names_is_found() {
        let files =
            [("a/src/lib.rs", "mod b;"), ("a/src/b.rs", ""), ("a/src/c.rs", ""), ("a/src/b/d.rs", "")];
        assert_eq!(orphans_of(&files), ["a/src/c.rs", "a/src/b/d.rs"]);
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        let names = |path, text| empty_names(&Tree::of_files([(path, text)])).len();
        assert_eq!(names("a/src/layers.rs", "mod digest {}"), 0);
        assert_eq!(names("a/src/utils.rs", ""), 1);
        assert_eq!(names("a/tests/common/mod.rs", ""), 1);
        assert_eq!(names("a/src/lib.rs", "mod helpers {}"), 1);
    }
}
