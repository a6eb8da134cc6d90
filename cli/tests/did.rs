//! `cce did check` on vectors that are right, and on the same ones made wrong.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test says what is wrong by panicking, and why it skips"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn vectors() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/did-x509/vectors.json");
    if !path.exists() {
        println!("skipped: the vectors are not beside this checkout");
    }
    path.exists().then_some(path)
}

fn check(path: &Path) -> (Option<i32>, String) {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let output = Command::new(env!("CARGO_BIN_EXE_cce")).args(["did", "check"]).arg(path).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_methods_vectors_agree() {
    let Some(path) = vectors() else { return };
    let (code, text) = check(&path);
    assert_eq!((code, text.trim_end()), (Some(0), "29 vectors, 29 agree, 0 differ"));
}

#[test]
fn a_difference_is_shown_and_is_a_no() {
    let Some(path) = vectors() else { return };
    let wrong = std::fs::read_to_string(path)
        .unwrap()
        .replacen("SAN predicate does not match", "SAN predicate matches", 1)
        .replacen("\"P-256\"", "\"P-384\"", 1);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), wrong).unwrap();
    let (code, text) = check(file.path());
    assert_eq!(code, Some(1));
    assert!(
        text.contains("\nsan-invalid-value\n") && text.contains("  expected: error: SAN predicate matches")
    );
    assert!(text.ends_with("29 vectors, 27 agree, 2 differ\n"), "{text}");
}

#[test]
fn a_file_of_something_else_is_misuse() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[{\"id\": 1}]").unwrap();
    assert_eq!(check(file.path()).0, Some(2));
}
