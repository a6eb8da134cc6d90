//! What no text of the project may hold: unfinished work, stray white space, paths of one machine.

use super::{Finding, Findings, Sources, tree::SourceFile};

/// Marks of work that is not done. Written in pieces, so that this file does not find itself.
const UNFINISHED: [&str; 4] =
    [concat!("to", "do!("), concat!("unimpl", "emented!("), concat!("FIX", "ME"), concat!("TO", "DO")];

/// First folders of paths that exist on somebody's machine only.
const MACHINE_FOLDERS: [&str; 4] = ["home", "root", "Users", "work"];

pub(super) fn gate(sources: &Sources) -> Findings {
    Ok(sources.tree.files().flat_map(judge).collect())
}

fn judge(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in file.numbered_lines() {
        let mut found = |message: String| findings.push(Finding::line(&file.path, number, message));
        if line.ends_with(char::is_whitespace) && !is_data(file) {
            found("white space at the end of the line".to_owned());
        }
        if let Some(mark) = unfinished(file, line) {
            found(format!("`{mark}`: finish it, or open an issue and take it out"));
        }
        if let Some(folder) = machine_path(line) {
            found(format!("a path below /{folder} exists on one machine only"));
        }
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') && !is_data(file) {
        findings.push(Finding::file(&file.path, "the last line does not end"));
    }
    findings
}

/// Whether the file is what another program wrote, for a test to read: its bytes stay as they are.
fn is_data(file: &SourceFile) -> bool {
    let is_ours = [".rs", ".md", ".toml"].iter().any(|end| file.path.ends_with(end));
    !is_ours && file.path.split('/').any(|part| part == "tests")
}

fn unfinished(file: &SourceFile, line: &str) -> Option<&'static str> {
    if !file.is_rust() {
        return None;
    }
    UNFINISHED.into_iter().find(|mark| line.contains(mark))
}

/// The machine's folder that an absolute path in the line starts with.
fn machine_path(line: &str) -> Option<&'static str> {
    let starts_path = |before: Option<char>| {
        before.is_none_or(|before| before.is_whitespace() || "\"'`(<[=:,".contains(before))
    };
    MACHINE_FOLDERS.into_iter().find(|folder| {
        let needle = format!("/{folder}/");
        let mut hits = line.match_indices(&needle);
        hits.any(|(at, _)| starts_path(line.get(..at).and_then(|before| before.chars().next_back())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let file = SourceFile { path: path.to_owned(), text: text.to_owned() };
        judge(&file).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn clean_text_passes() {
        assert_eq!(messages("a.rs", "fn a() {}\n"), [""; 0]);
        assert_eq!(messages("empty.rs", ""), [""; 0]);
    }

    #[test]
    fn unfinished_work_is_found_in_code() {
        for mark in UNFINISHED {
            assert_eq!(messages("a.rs", &format!("fn a() {{ {mark} }}\n")).len(), 1, "{mark}");
        }
        assert_eq!(messages("a.md", &format!("no {} here\n", UNFINISHED[2])), [""; 0]);
    }

    #[test]
    fn stray_white_space_is_found() {
        assert_eq!(messages("a.md", "a \n"), ["a.md:1: white space at the end of the line"]);
        assert_eq!(messages("a.md", "a\n\tb\t\n").len(), 1);
        assert_eq!(messages("a.md", "a\r\n").len(), 0, "line endings are git's concern");
        assert_eq!(messages("a.md", "a"), ["a.md: the last line does not end"]);
    }

    #[test]
    fn data_of_tests_keeps_its_bytes() {
        assert_eq!(messages("a/tests/policies/b.rego", "package policy \n\nallowed"), [""; 0]);
        assert_eq!(messages("a/tests/b.rs", "fn a() {} ").len(), 2);
        assert_eq!(messages("a/src/b.rego", "package policy ").len(), 2);
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        for folder in MACHINE_FOLDERS {
            assert_eq!(messages("a.md", &format!("see /{folder}/me/a\n")).len(), 1, "{folder}");
            assert_eq!(messages("a.toml", &format!("a = \"/{folder}/me\"\n")).len(), 1, "{folder}");
        }
    }

    #[test]
    fn a_folder_of_that_name_deeper_in_a_path_is_fine() {
        for line in ["/run/scratch/work/upper", "{scratch}/work/upper", "https://a.example/home/b", "/root"] {
            assert_eq!(machine_path(line), None, "{line}");
        }
    }
}
