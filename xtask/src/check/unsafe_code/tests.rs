use super::*;
use crate::check::workspace::{Crate, Target};

const GOOD: &str = "//! One call.\n//!\n//! UNSAFETY: no safe wrapper.\n\n\
    #![expect(unsafe_code, reason = \"one call\")]\n\n\
    fn a() {\n    // SAFETY: the pointer is ours.\n    unsafe { call() }\n}\n";

fn list(files: &[&str]) -> List {
    let module = |file: &&str| Module { file: (*file).to_owned(), purpose: "one call".to_owned() };
    List { modules: files.iter().map(module).collect() }
}

fn messages(listed: &[&str], text: &str) -> Vec<String> {
    let tree = Tree::of_files([("a.rs", text)]);
    judge_modules(&list(listed), &tree).iter().map(ToString::to_string).collect()
}

#[test]
fn a_listed_module_that_explains_itself_passes() {
    assert_eq!(messages(&["a.rs"], GOOD), [""; 0]);
}

#[test]
fn unsafe_code_outside_the_list_is_found_inside_macros_too() {
    assert_eq!(messages(&[], "fn a() { unsafe { call() } }\n").len(), 1);
    assert_eq!(messages(&[], "make! { fn a() { unsafe { call() } } }\n").len(), 1);
    assert_eq!(messages(&[], "#![allow(unsafe_code)]\n").len(), 1);
    assert_eq!(messages(&[], "#[expect(unsafe_code)]\nfn a() {}\n").len(), 1);
}

#[test]
fn the_word_in_a_comment_or_a_string_is_not_unsafe_code() {
    assert_eq!(messages(&[], "// unsafe\nconst A: &str = \"unsafe\";\n"), [""; 0]);
}

#[test]
fn each_missing_reason_is_found() {
    for missing in ["UNSAFETY:", "#![expect(unsafe_code, reason = \"one call\")]", "SAFETY: the pointer"] {
        let found = messages(&["a.rs"], &GOOD.replace(missing, ""));
        assert_eq!(found.len(), 1, "{missing}: {found:?}");
    }
}

#[test]
fn the_reason_may_stand_above_the_statement() {
    let text = GOOD.replace("    unsafe { call() }", "    let a = call(\n        unsafe { b() },\n    );");
    assert_eq!(messages(&["a.rs"], &text), [""; 0]);
}

#[test]
fn an_unsafe_implementation_needs_a_reason() {
    assert_eq!(messages(&["a.rs"], &format!("{GOOD}unsafe impl Send for A {{}}\n")).len(), 1);
}

#[test]
fn stale_entries_are_found() {
    assert_eq!(messages(&["b.rs"], "").len(), 1);
    let emptied = "//! UNSAFETY: none.\n#![expect(unsafe_code, reason = \"none\")]\n";
    assert_eq!(messages(&["a.rs"], emptied).len(), 1);
}

#[test]
fn a_crate_root_closes_the_door() {
    let target = Target { kind: vec!["lib".to_owned()], src_path: "a.rs".to_owned() };
    let member = Crate {
        name: "a".to_owned(),
        manifest_path: "Cargo.toml".to_owned(),
        dependencies: Vec::new(),
        targets: vec![target],
    };
    let workspace = Workspace { crates: vec![member] };
    let found = |text| judge_roots(&workspace, &Tree::of_files([("a.rs", text)])).len();
    assert_eq!(found("#![forbid(unsafe_code)]\n"), 0);
    assert_eq!(found("#![deny(unsafe_code)]\n"), 0);
    assert_eq!(found("#![warn(unsafe_code)]\n"), 1);
    assert_eq!(found("// #![forbid(unsafe_code)]\n"), 1);
}
