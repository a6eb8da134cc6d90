//! `cce report verify`: the tenant's judgement of a guest.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use attestation::report::{HostData, Measurement, Report, ReportData};
use attestation::verify::endorsement::{Endorsement, EndorsementError, TrustedEndorser};
use attestation::verify::{CertificateBundle, Check, Expectations, TrustedRoots, Verdict, verify};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use serde::Serialize;

use crate::output::Answer;

/// Longest file that is read, in bytes. Policies of many containers have a few MiB.
const MAX_FILE_LEN: u64 = 64 * 1024 * 1024;

/// Arguments of `cce report verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The report, 1184 bytes.
    #[arg(long, value_name = "FILE")]
    report: PathBuf,
    /// VCEK, ASK and ARK: a PEM bundle or the JSON of a certificate cache (THIM).
    #[arg(long, value_name = "FILE")]
    certs: PathBuf,
    /// The policy whose SHA-256 HOST_DATA must be, as text or in base64.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The data whose SHA-256 REPORT_DATA must begin with; zeros must follow.
    #[arg(long, value_name = "FILE")]
    runtime_data: Option<PathBuf>,
    /// A COSE_Sign1 endorsement of the image (Azure's reference info) that MEASUREMENT must match. Can be repeated, as an
    /// image has one for each way to launch it: one of them must match.
    #[arg(id = "endorsement", long, value_name = "FILE")]
    endorsements: Vec<PathBuf>,
    /// Who may sign the endorsement, as did:x509; by default Microsoft, for confidential containers on Azure.
    #[arg(long, value_name = "DID", requires = "endorsement")]
    endorsement_issuer: Option<String>,
    /// What the endorsement must be about; by default the image of confidential containers on Azure.
    #[arg(long, value_name = "NAME", requires = "endorsement")]
    endorsement_feed: Option<String>,
    /// The oldest security version of the image that is good enough.
    #[arg(long, value_name = "NUMBER", requires = "endorsement")]
    endorsement_minimum_svn: Option<u64>,
    /// Trusted roots: `amd`, or a PEM file of ARK certificates.
    #[arg(long, value_name = "amd|FILE", default_value = "amd")]
    roots: PathBuf,
    /// The launch measurement, 96 hexadecimal digits.
    #[arg(long, value_name = "HEX")]
    measurement: Option<Measurement>,
}

/// What was found, for people and as JSON.
#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    verdict: Verdict,
    report: Report,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in self.verdict.checks() {
            writeln!(f, "{}", Line(check))?;
        }
        f.write_str(if self.verdict.is_verified() { "verified" } else { "NOT VERIFIED" })
    }
}

/// A check as a line for people.
struct Line<'a>(&'a Check);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Check { name, ok, expected, given, reason } = self.0;
        let name = name.as_str();
        match (ok, expected, given, reason) {
            (true, _, Some(given), _) => write!(f, "ok   {name:<11} {given}"),
            (true, ..) => write!(f, "ok   {name}"),
            (false, Some(expected), Some(given), _) => {
                write!(f, "FAIL {name:<11} expected {expected}, the report says {given}")
            }
            (false, _, _, reason) => write!(f, "FAIL {name:<11} {}", reason.as_deref().unwrap_or_default()),
        }
    }
}

/// Verifies a report. A clean "does not verify" is an answer; a file that cannot be read is an error.
///
/// # Errors
/// When a file is missing, too long, or not what it must be.
pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<Answer> {
    let named = |path: &Path| format!("cannot use {}", path.display());
    let report = Report::parse(&read(&args.report)?).with_context(|| named(&args.report))?;
    let bundle = CertificateBundle::parse(&read(&args.certs)?).with_context(|| named(&args.certs))?;
    let roots = if args.roots.as_os_str() == "amd" {
        TrustedRoots::amd()?
    } else {
        TrustedRoots::from_pem(&read(&args.roots)?).with_context(|| named(&args.roots))?
    };
    let policy = args.policy.as_deref().map(read).transpose()?;
    let runtime_data = args.runtime_data.as_deref().map(read).transpose()?;
    let expectations = Expectations {
        measurement: args.measurement,
        host_data: policy.map(|policy| expected_host_data(&policy, report.host_data())),
        report_data: runtime_data.map(|data| ReportData::from_runtime_data(&data)),
        ..Expectations::default()
    };
    let mut verdict = verify(&report, &bundle, &roots, &expectations);
    if let Some(endorsement) = endorsement(args, &report)? {
        verdict.add_endorsement(&report, endorsement);
    }
    let verified = verdict.is_verified();
    let outcome = Outcome { verdict, report };
    if verified { Answer::yes(&outcome) } else { Answer::no(&outcome) }
}

/// The endorsement that is valid and about this report; else the first one, for the verdict to say what is wrong with it.
fn endorsement(
    args: &VerifyArgs,
    report: &Report,
) -> anyhow::Result<Option<Result<Endorsement, EndorsementError>>> {
    let mut first = None;
    for path in &args.endorsements {
        let endorsement = Endorsement::verify(&read(path)?, &[trusted_endorser(args)]);
        if endorsement.as_ref().is_ok_and(|valid| valid.measurement == report.measurement()) {
            return Ok(Some(endorsement));
        }
        first.get_or_insert(endorsement);
    }
    Ok(first)
}

fn trusted_endorser(args: &VerifyArgs) -> TrustedEndorser {
    let azure = TrustedEndorser::azure_confidential_containers();
    TrustedEndorser {
        issuer: args.endorsement_issuer.clone().unwrap_or(azure.issuer),
        feed: args.endorsement_feed.clone().unwrap_or(azure.feed),
        minimum_security_version: args.endorsement_minimum_svn.unwrap_or(azure.minimum_security_version),
    }
}

/// The digest of the policy in a file. Azure hands policies around in base64, where HOST_DATA is the digest of the
/// decoded text; such a file counts only when it is canonical base64 of the very policy that the report binds, so that
/// no other spelling of it passes.
fn expected_host_data(file: &[u8], given: HostData) -> HostData {
    let text = HostData::of_policy(file);
    if text == given {
        return text;
    }
    let base64 = file.strip_suffix(b"\n").unwrap_or(file);
    match STANDARD.decode(base64).map(|policy| HostData::of_policy(&policy)) {
        Ok(decoded) if decoded == given => decoded,
        _ => text,
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let named = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_LEN.saturating_add(1)).read_to_end(&mut bytes))
        .with_context(named)?;
    let fits = u64::try_from(bytes.len()).is_ok_and(|length| length <= MAX_FILE_LEN);
    ensure!(fits, "{} has more than {MAX_FILE_LEN} bytes", path.display());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_counts_as_text_or_as_canonical_base64() {
        let policy = b"package policy\n";
        let bound = HostData::of_policy(policy);
        let base64 = STANDARD.encode(policy);
        assert_eq!(expected_host_data(policy, bound), bound);
        assert_eq!(expected_host_data(base64.as_bytes(), bound), bound);
        assert_eq!(expected_host_data(format!("{base64}\n").as_bytes(), bound), bound);
        for other in
            [format!("{base64}\n\n"), format!("{base64}="), base64.replace('c', "d"), "package".to_owned()]
        {
            assert_ne!(expected_host_data(other.as_bytes(), bound), bound, "{other}");
        }
    }
}
