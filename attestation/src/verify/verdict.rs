//! The outcome of a verification: named checks, each with what was expected and what was found.

use std::error::Error;
use std::fmt::Display;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};
use sha2::{Digest as _, Sha256};

use super::chain::Chain;
use super::endorsement::{Endorsement, EndorsementError};
use crate::report::Report;

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// The chain ends in a root that the caller trusts.
    Root,
    /// Each certificate is issued by the next.
    Chain,
    /// The VCEK signed the report.
    Signature,
    /// The VCEK is for `REPORTED_TCB`.
    Tcb,
    /// The VCEK is for `CHIP_ID`.
    ChipId,
    /// `VMPL`.
    Vmpl,
    /// The debug bit of `POLICY`.
    Debug,
    /// `REPORTED_TCB` is new enough.
    MinimumTcb,
    /// `MEASUREMENT`.
    Measurement,
    /// `HOST_DATA`.
    HostData,
    /// `REPORT_DATA`.
    ReportData,
    /// The image's maker endorsed `MEASUREMENT`.
    Endorsement,
}

impl CheckName {
    /// The stable name, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Chain => "chain",
            Self::Signature => "signature",
            Self::Tcb => "tcb",
            Self::ChipId => "chip_id",
            Self::Vmpl => "vmpl",
            Self::Debug => "debug",
            Self::MinimumTcb => "minimum_tcb",
            Self::Measurement => "measurement",
            Self::HostData => "host_data",
            Self::ReportData => "report_data",
            Self::Endorsement => "endorsement",
        }
    }
}

/// The outcome of one check.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// What was checked.
    pub name: CheckName,
    /// Whether it holds.
    pub ok: bool,
    /// The value that would have held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The value found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// Why it does not hold, where two values do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A certificate of the chain, to be shown. Dates are not judged: no clock is trusted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct CertificateSummary {
    /// `ark`, `ask` or `vcek`.
    pub role: &'static str,
    /// Distinguished name.
    pub subject: String,
    /// Start of validity.
    pub not_before: String,
    /// End of validity.
    pub not_after: String,
    /// SHA-256 of the DER, in hexadecimal.
    pub sha256: String,
}

/// All checks. JSON: `verified`, `checks`, `certificates`.
#[derive(Clone, Debug)]
pub struct Verdict {
    checks: Vec<Check>,
    certificates: Vec<CertificateSummary>,
}

impl Verdict {
    pub(super) const fn new() -> Self {
        Self { checks: Vec::new(), certificates: Vec::new() }
    }

    /// Whether the report is from an AMD processor that the roots vouch for and everything is as expected: each check
    /// holds, and none of those that make the signer's identity is missing.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        let identity =
            [CheckName::Root, CheckName::Chain, CheckName::Signature, CheckName::Tcb, CheckName::ChipId];
        self.checks.iter().all(|check| check.ok)
            && identity.iter().all(|name| self.checks.iter().any(|check| check.name == *name))
    }

    /// The checks, in the order they were made.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The certificates of the chain from the root, when their roles are clear.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateSummary] {
        &self.certificates
    }

    /// Adds the check that `endorsement` is valid and about the measurement in `report`.
    pub fn add_endorsement(&mut self, report: &Report, endorsement: Result<Endorsement, EndorsementError>) {
        match endorsement {
            Ok(endorsement) => {
                self.equal(CheckName::Endorsement, &endorsement.measurement, &report.measurement());
            }
            Err(error) => self.result(CheckName::Endorsement, Err(error)),
        }
    }

    /// `expected` must be `given`.
    pub(super) fn equal<T: PartialEq + Display>(&mut self, name: CheckName, expected: &T, given: &T) {
        self.compare(name, expected == given, expected, given);
    }

    /// `given` stands in the right relation to `expected`, or not.
    pub(super) fn compare(&mut self, name: CheckName, ok: bool, expected: &dyn Display, given: &dyn Display) {
        let (expected, given) = (Some(expected.to_string()), Some(given.to_string()));
        self.checks.push(Check { name, ok, expected, given, reason: None });
    }

    pub(super) fn condition(&mut self, name: CheckName, ok: bool, reason_if_not: &str) {
        let reason = (!ok).then(|| reason_if_not.to_owned());
        self.checks.push(Check { name, ok, expected: None, given: None, reason });
    }

    pub(super) fn result(&mut self, name: CheckName, result: Result<(), impl Error>) {
        let reason = result.err().map(|error| causes(&error));
        self.checks.push(Check { name, ok: reason.is_none(), expected: None, given: None, reason });
    }

    pub(super) fn describe(&mut self, chain: &Chain<'_>) {
        self.certificates = chain
            .by_role()
            .into_iter()
            .map(|(role, certificate)| CertificateSummary {
                role,
                subject: certificate.content().subject.to_string(),
                not_before: certificate.content().validity.not_before.to_string(),
                not_after: certificate.content().validity.not_after.to_string(),
                sha256: hex::encode(Sha256::digest(certificate.der())),
            })
            .collect();
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Verdict", 3)?;
        object.serialize_field("verified", &self.is_verified())?;
        object.serialize_field("checks", &self.checks)?;
        object.serialize_field("certificates", &self.certificates)?;
        object.end()
    }
}

/// An error with its causes on one line.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
