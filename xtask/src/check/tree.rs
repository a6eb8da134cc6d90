//! The text files of the repository, in memory.

use anyhow::Context as _;

use crate::command::{Run, repository_root};

/// One text file.
#[derive(Debug, Clone)]
pub(super) struct SourceFile {
    /// Relative to the repository's root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl SourceFile {
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The lines with their numbers, from 1.
    pub(super) fn numbered_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }
}

/// Every text file that is part of the project, ordered by path.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: Vec<SourceFile>,
    binary_paths: Vec<String>,
}

impl Tree {
    /// What git tracks, and what it would track once added: a check must not wait for `git add`.
    pub(super) fn of_repository() -> anyhow::Result<Self> {
        let root = repository_root();
        let listing = Run::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"])
            .stdout()?;
        let mut tree = Self::default();
        for path in listing.split_terminator('\0') {
            let absolute = root.join(path);
            if !absolute.is_file() {
                continue;
            }
            let bytes = std::fs::read(&absolute).with_context(|| format!("cannot read {path}"))?;
            match String::from_utf8(bytes) {
                Ok(text) => tree.files.push(SourceFile { path: path.to_owned(), text }),
                Err(_) => tree.binary_paths.push(path.to_owned()),
            }
        }
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter()
    }

    pub(super) fn rust_files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files().filter(|file| file.is_rust())
    }

    pub(super) fn file(&self, path: &str) -> Option<&SourceFile> {
        self.files().find(|file| file.path == path)
    }

    /// Whether the path names a file of the project or a folder that holds one.
    pub(super) fn holds(&self, path: &str) -> bool {
        let below = format!("{path}/");
        let named = |known: &str| path.is_empty() || known == path || known.starts_with(&below);
        self.files().any(|file| named(&file.path)) || self.binary_paths.iter().any(|known| named(known))
    }

    #[cfg(test)]
    pub(super) fn of_files<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let files =
            files.into_iter().map(|(path, text)| SourceFile { path: path.to_owned(), text: text.to_owned() });
        Self { files: files.collect(), binary_paths: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_files_are_held_and_prefixes_are_not() {
        let tree = Tree::of_files([("docs/a.md", "")]);
        assert!(tree.holds("docs/a.md") && tree.holds("docs") && tree.holds(""));
        assert!(!tree.holds("doc") && !tree.holds("docs/b.md"));
    }

    #[test]
    fn this_repository_lists_this_file() {
        assert!(Tree::of_repository().unwrap().holds("xtask/src/check/tree.rs"));
    }
}
