//! `cargo xtask check`: every rule about the sources that a machine can judge.
//!
//! A gate is a function from the sources to a list of findings. All gates run, whatever the others found.

mod cargo;
mod dependencies;
mod layering;
mod length;
mod manifest;
mod markdown;
mod modules;
mod text;
mod tree;
mod unsafe_code;
mod workspace;

use std::{fmt, time::Instant};

use anyhow::{Context as _, bail};
use tree::Tree;
use workspace::Workspace;

/// Arguments of `cargo xtask check`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run this gate alone; may be given more than once
    #[arg(long, value_name = "GATE", value_parser = GATES.iter().map(|gate| gate.name).collect::<Vec<_>>())]
    only: Vec<String>,
    /// Name the gates and what each of them judges
    #[arg(long)]
    list: bool,
}

/// One rule that is broken, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    path: String,
    /// 1 is the first line; `None` when the finding is about the whole file.
    line: Option<usize>,
    message: String,
}

impl Finding {
    fn file(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: None, message: message.into() }
    }

    fn line(path: impl Into<String>, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.into(), line: Some(line), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.message),
            None => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

/// What gates look at.
struct Sources {
    tree: Tree,
    workspace: Workspace,
}

type Findings = anyhow::Result<Vec<Finding>>;

struct Gate {
    name: &'static str,
    judges: &'static str,
    run: fn(&Sources) -> Findings,
}

/// Quick gates first, so that a person reads their findings while the compiler works.
const GATES: &[Gate] = &[
    Gate { name: "layering", judges: "which of our crates uses which", run: layering::gate },
    Gate { name: "length", judges: "lines of a file and of a function", run: length::gate },
    Gate { name: "unsafe", judges: "where unsafe code may stand, and its reasons", run: unsafe_code::gate },
    Gate { name: "text", judges: "unfinished work, white space, paths of a machine", run: text::gate },
    Gate { name: "modules", judges: "names of modules, and files that no module names", run: modules::gate },
    Gate { name: "markdown", judges: "links between our documents", run: markdown::gate },
    Gate { name: "manifest", judges: "inherited dependencies and lints", run: manifest::gate },
    Gate { name: "dependencies", judges: "why the guest links each crate", run: dependencies::gate },
    Gate { name: "lockfile", judges: "that Cargo.lock is fresh", run: cargo::lockfile },
    Gate { name: "format", judges: "rustfmt", run: cargo::format },
    Gate { name: "deny", judges: "licences, bans and sources of dependencies", run: cargo::deny },
    Gate { name: "clippy", judges: "lints, all targets, each feature set that we ship", run: cargo::clippy },
    Gate { name: "docs", judges: "rustdoc without a warning", run: cargo::docs },
];

/// Runs the gates and prints their findings.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if args.list {
        GATES.iter().for_each(|gate| println!("{:<14}{}", gate.name, gate.judges));
        return Ok(());
    }
    let sources = Sources {
        tree: Tree::of_repository().context("cannot list the sources")?,
        workspace: Workspace::load().context("cannot read the workspace")?,
    };
    let chosen = |gate: &&Gate| args.only.is_empty() || args.only.iter().any(|name| name == gate.name);
    let mut summary = Vec::new();
    let mut total = 0_usize;
    for gate in GATES.iter().filter(chosen) {
        let findings = run_gate(gate, &sources).len();
        total = total.saturating_add(findings);
        summary.push((gate.name, findings));
    }
    println!("\n{} gates, {total} findings", summary.len());
    if total == 0 {
        return Ok(());
    }
    let failed = summary.iter().filter(|(_, findings)| *findings > 0).map(|(name, _)| *name);
    bail!("these gates did not pass: {}", failed.collect::<Vec<_>>().join(", "));
}

/// Runs one gate; a gate that cannot judge is a finding, never a pass.
fn run_gate(gate: &Gate, sources: &Sources) -> Vec<Finding> {
    let start = Instant::now();
    let findings = (gate.run)(sources)
        .unwrap_or_else(|failure| vec![Finding::file(gate.name, format!("cannot judge: {failure:#}"))]);
    let seconds = start.elapsed().as_secs_f64();
    let verdict = if findings.is_empty() { "ok".to_owned() } else { format!("{} findings", findings.len()) };
    println!("{:<14}{verdict} ({seconds:.1} s)", gate.name);
    findings.iter().for_each(|finding| println!("  {finding}"));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Sources {
        Sources { tree: Tree::default(), workspace: Workspace::default() }
    }

    #[test]
    fn a_gate_that_cannot_judge_is_a_finding() {
        let gate = Gate { name: "broken", judges: "nothing", run: |_| bail!("no table") };
        let findings = run_gate(&gate, &sources());
        assert_eq!(findings, [Finding::file("broken", "cannot judge: no table")]);
    }

    #[test]
    fn a_finding_reads_as_path_line_message() {
        assert_eq!(Finding::line("a.rs", 3, "too long").to_string(), "a.rs:3: too long");
        assert_eq!(Finding::file("a.rs", "too long").to_string(), "a.rs: too long");
    }

    #[test]
    fn gates_have_one_name_each() {
        let names: std::collections::BTreeSet<_> = GATES.iter().map(|gate| gate.name).collect();
        assert_eq!(names.len(), GATES.len());
    }
}
