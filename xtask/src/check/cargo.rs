//! Gates that cargo and its tools judge. Their own words are printed as they come.

use crate::{
    command::{CommandError, Run},
    tool,
};

use super::{Finding, Findings, Sources};

/// Formatting, by rustfmt.toml.
pub(super) fn format(_: &Sources) -> Findings {
    judge("format", &[Run::cargo().args(["fmt", "--all", "--check"])])
}

/// Lints: everything at once, then the guest's binary as it ships and as tests run it, because cargo unites
/// the features of a workspace and would hide what only one of them compiles.
pub(super) fn clippy(_: &Sources) -> Findings {
    let clippy = |what: &[&str]| {
        Run::cargo().args(["clippy", "--keep-going"]).args(what).args(["--", "-D", "warnings"])
    };
    judge(
        "clippy",
        &[
            clippy(&["--workspace", "--all-targets"]),
            clippy(&["--package", "agent"]),
            clippy(&["--package", "agent", "--features", "emulated-psp"]),
        ],
    )
}

/// Documentation: no broken link, in private items either. It is built for readers of this source, who see private
/// items, so links to those are welcome.
pub(super) fn docs(_: &Sources) -> Findings {
    let doc = ["doc", "--workspace", "--no-deps", "--document-private-items", "--keep-going"];
    let flags = "-D warnings -A rustdoc::private_intra_doc_links";
    judge("docs", &[Run::cargo().args(doc).env("RUSTDOCFLAGS", flags)])
}

/// Licences, bans and sources, by deny.toml.
pub(super) fn deny(_: &Sources) -> Findings {
    let deny = tool::CARGO_DENY.ready()?;
    judge("deny", &[Run::new(deny).args(["check", "licenses", "bans", "sources"])])
}

/// A lock file that cargo would not change.
pub(super) fn lockfile(_: &Sources) -> Findings {
    match Run::cargo().args(["metadata", "--locked", "--format-version", "1"]).stdout() {
        Ok(_) => Ok(Vec::new()),
        Err(CommandError::Failed { stderr, .. }) => Ok(vec![Finding::file("Cargo.lock", stderr.trim_end())]),
        Err(failure) => Err(failure.into()),
    }
}

/// Runs every command; each that fails is a finding.
fn judge(gate: &str, commands: &[Run]) -> Findings {
    let mut findings = Vec::new();
    for command in commands {
        match command.run() {
            Ok(()) => {}
            Err(failure @ CommandError::Failed { .. }) => {
                findings.push(Finding::file(gate, format!("{failure}; its words are above")));
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_that_fails_is_a_finding() {
        let (good, bad) = (|| Run::new("true"), || Run::new("false"));
        assert_eq!(judge("gate", &[good(), good()]).unwrap(), []);
        assert_eq!(judge("gate", &[bad(), good(), bad()]).unwrap().len(), 2);
    }

    #[test]
    fn a_missing_program_is_no_pass() {
        judge("gate", &[Run::new("no-such-program-anywhere")]).unwrap_err();
    }
}
