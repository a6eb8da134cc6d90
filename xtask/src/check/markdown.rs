//! Links between our documents: each relative one names something that exists.

use super::{
    Finding, Findings, Sources,
    tree::{SourceFile, Tree},
};

pub(super) fn gate(sources: &Sources) -> Findings {
    Ok(judge(&sources.tree))
}

fn judge(tree: &Tree) -> Vec<Finding> {
    let documents = tree.files().filter(|file| file.path.ends_with(".md"));
    documents.flat_map(|file| judge_file(file, tree)).collect()
}

fn judge_file(file: &SourceFile, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_code = false;
    for (number, line) in file.numbered_lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let links = if in_code { Vec::new() } else { links(line) };
        for link in links.iter().filter(|link| !leads_elsewhere(link)) {
            let path = link.split('#').next().unwrap_or_default();
            if !resolve(&file.path, path).is_some_and(|path| tree.holds(&path)) {
                findings.push(Finding::line(&file.path, number, format!("the link `{link}` leads nowhere")));
            }
        }
    }
    findings
}

/// Another site, or another place of the same document.
fn leads_elsewhere(link: &str) -> bool {
    link.contains("://") || link.starts_with("mailto:") || link.starts_with('#')
}

/// The targets of `[text](target)` and `[name]: target`, code spans apart.
fn links(line: &str) -> Vec<String> {
    let prose: String = line.split('`').step_by(2).collect();
    let target = |text: &str, end: char| text.split([end, ' ']).next().unwrap_or_default().to_owned();
    let mut links: Vec<_> = prose.split("](").skip(1).map(|rest| target(rest, ')')).collect();
    if let Some((_, rest)) = prose.split_once("]: ").filter(|_| prose.starts_with('[')) {
        links.push(target(rest.trim(), ' '));
    }
    links
}

/// The path that a link of a document means, or nothing when it leaves the repository.
fn resolve(document: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let tree =
            Tree::of_files([("docs/a.md", text), ("docs/b.md", ""), ("README.md", ""), ("cli/src/x.rs", "")]);
        judge(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        for link in
            ["b.md", "./b.md#part", "../README.md", "../cli/", "../cli/src", "#here", "https://a.example/b"]
        {
            assert_eq!(findings(&format!("see [it]({link}) and [`code`]({link}).\n")), [""; 0], "{link}");
            assert_eq!(findings(&format!("[it]: {link}\n")), [""; 0], "{link}");
        }
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        for link in ["c.md", "README.md", "../../README.md", "../cli/src/y.rs"] {
            assert_eq!(
                findings(&format!("see [`it`]({link}).\n")),
                [format!("docs/a.md:1: the link `{link}` leads nowhere")]
            );
            assert_eq!(findings(&format!("[it]: {link}\n")).len(), 1, "{link}");
        }
    }

    #[test]
    fn code_is_not_searched_for_links() {
        assert_eq!(findings("`[a](nowhere)`\n```\n[a](nowhere)\n```\n"), [""; 0]);
        assert_eq!(findings("```\ncode\n```\n[a](nowhere)\n").len(), 1);
    }
}
