//! Judges a report: who signed it, and whether it says what the caller expects.

mod bundle;
mod chain;
pub mod endorsement;
mod pem;
mod roots;
mod signature;
#[cfg(test)]
mod tests;
mod vcek_extensions;
mod verdict;

pub use bundle::{CertificateBundle, MAX_BUNDLE_LEN, ParseBundleError};
pub use chain::ChainError;
pub use pem::ParsePemError;
pub use roots::{TrustRootsError, TrustedRoots};
pub use signature::SignatureError;
pub use signed_statement::x509::{IssueError, ParseCertificateError};
pub use vcek_extensions::ReadVcekError;
pub use verdict::{CertificateSummary, Check, CheckName, Verdict};

use chain::Chain;

use crate::report::{HostData, Measurement, Report, ReportData, Tcb};

/// What the caller expects of a guest. The default: privilege level 0, no debugging, nothing else.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    /// `MEASUREMENT`: which image runs.
    pub measurement: Option<Measurement>,
    /// `HOST_DATA`: which policy binds it.
    pub host_data: Option<HostData>,
    /// `REPORT_DATA`: what the guest bound, for instance a nonce.
    pub report_data: Option<ReportData>,
    /// `VMPL` of who asked for the report.
    pub vmpl: u32,
    /// Whether a guest whose memory the host can read is acceptable.
    pub allow_debug: bool,
    /// The oldest acceptable `REPORTED_TCB`, part by part.
    pub minimum_tcb: Option<Tcb>,
}

/// Verifies `report` with the certificates in `bundle` against `roots`, and compares it with `expectations`.
///
/// All checks are made, so that a person sees everything that is wrong; only [`Verdict::is_verified`] counts.
#[must_use]
pub fn verify(
    report: &Report,
    bundle: &CertificateBundle,
    roots: &TrustedRoots,
    expectations: &Expectations,
) -> Verdict {
    let mut verdict = Verdict::new();
    match Chain::sort(bundle) {
        Ok(chain) => check_identity(&mut verdict, report, bundle, roots, &chain),
        Err(error) => verdict.result(CheckName::Chain, Err(error)),
    }
    check_expectations(&mut verdict, report, expectations);
    verdict
}

/// Who signed: root, chain, signature, and that the signing key belongs to this chip at this TCB.
fn check_identity(
    verdict: &mut Verdict,
    report: &Report,
    bundle: &CertificateBundle,
    roots: &TrustedRoots,
    chain: &Chain<'_>,
) {
    verdict.describe(chain);
    verdict.condition(CheckName::Root, roots.contain(chain.ark), "the ARK is none of the trusted roots");
    verdict.result(CheckName::Chain, chain.verify());
    match chain.vcek_key() {
        Ok(key) => verdict.result(CheckName::Signature, signature::check(report, &key)),
        Err(error) => verdict.result(CheckName::Signature, Err(error)),
    }
    match vcek_extensions::tcb(chain.vcek) {
        Ok(certified) => {
            let reported = report.reported_tcb();
            // A cache that names another TCB than the certificate it sends is broken or lying.
            let differing =
                [Some(certified), bundle.claimed_tcb].into_iter().flatten().find(|tcb| *tcb != reported);
            verdict.equal(CheckName::Tcb, &differing.unwrap_or(certified), &reported);
        }
        Err(error) => verdict.result(CheckName::Tcb, Err(error)),
    }
    match vcek_extensions::chip_id(chain.vcek) {
        Ok(certified) => verdict.equal(CheckName::ChipId, &certified, &report.chip_id()),
        Err(error) => verdict.result(CheckName::ChipId, Err(error)),
    }
}

/// What is signed: level and debugging always, the rest where the caller expects something.
fn check_expectations(verdict: &mut Verdict, report: &Report, expectations: &Expectations) {
    verdict.equal(CheckName::Vmpl, &expectations.vmpl, &report.vmpl());
    verdict.condition(
        CheckName::Debug,
        expectations.allow_debug || !report.policy().debug_allowed(),
        "the guest's policy lets the host read its memory",
    );
    if let Some(minimum) = expectations.minimum_tcb {
        verdict.compare(
            CheckName::MinimumTcb,
            report.reported_tcb().is_at_least(minimum),
            &minimum,
            &report.reported_tcb(),
        );
    }
    if let Some(measurement) = expectations.measurement {
        verdict.equal(CheckName::Measurement, &measurement, &report.measurement());
    }
    if let Some(host_data) = expectations.host_data {
        verdict.equal(CheckName::HostData, &host_data, &report.host_data());
    }
    if let Some(report_data) = expectations.report_data {
        verdict.equal(CheckName::ReportData, &report_data, &report.report_data());
    }
}
