//! The firmware's part: launches guests and signs their reports (AMD 56860).

use std::path::Path;

use attestation::report::layout::{self, REPORT_LEN, SIGNATURE_INTEGER_LEN, SIGNED_LEN};
use attestation::report::{ChipId, GuestPolicy, HostData, Measurement, ReportData, Tcb};
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};

use crate::certificates::{self, ChainPem, IssueCertificatesError};
use crate::keys::{Keys, LoadKeysError};

/// Versions of the emulated chip's firmware parts: boot loader 3, SNP 8, microcode 0x73.
pub(crate) const TCB: Tcb = Tcb([3, 0, 0, 0, 0, 0, 8, 0x73]);
/// The emulated chip.
pub(crate) const CHIP_ID: ChipId =
    ChipId::new(*b"emulated secure processor, no chip behind it, for tests only....");
/// Layout version of the reports.
const REPORT_VERSION: u32 = 3;
/// Family, model and stepping of a Milan processor.
const CPUID: [u8; 3] = [0x19, 0x01, 0x01];
/// `PLATFORM_INFO`: simultaneous multi-threading on, memory aliases checked.
const PLATFORM_INFO: u64 = 0b10_0001;
/// ECDSA P-384 with SHA-384.
const SIGNATURE_ALGORITHM: u32 = 1;
/// SNP firmware 1.55.21, as build, minor, major.
const FIRMWARE: [u8; 3] = [21, 55, 1];
/// Bit 17 of a guest policy must be one.
const POLICY_RESERVED_ONE: u64 = 1 << 17;
/// The lowest privilege level.
const MAX_VMPL: u32 = 3;

/// Why a guest cannot be launched.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The guest policy is malformed.
    #[error("bit 17 of the guest policy must be one")]
    Policy,
    /// There is no randomness.
    #[error("no random bytes for the report id")]
    Random(#[source] getrandom::Error),
}

/// Why a report is refused.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// No such privilege level.
    #[error("privilege level {0} does not exist")]
    Vmpl(u32),
    /// Signing failed.
    #[error("cannot sign the report")]
    Sign(#[source] p384::ecdsa::Error),
}

/// What the hypervisor says when it launches a guest. None of it can be changed afterwards.
#[derive(Clone, Copy, Debug)]
pub struct LaunchState {
    /// Launch digest of the guest's image.
    pub measurement: Measurement,
    /// Digest of the tenant's policy.
    pub host_data: HostData,
    /// Guest policy.
    pub policy: GuestPolicy,
    /// Security version of the guest's image.
    pub guest_svn: u32,
}

/// An emulated secure processor.
pub struct Psp {
    vcek: SigningKey,
    chain: ChainPem,
}

impl Psp {
    /// A processor with the keys in `folder`; they are generated once, which takes seconds.
    ///
    /// # Errors
    /// When keys or certificates cannot be made or kept.
    pub fn load_or_generate(folder: &Path) -> Result<Self, StartError> {
        let keys = Keys::load_or_generate(folder)?;
        let chain = certificates::issue(&keys)?;
        Ok(Self { vcek: SigningKey::from(keys.vcek), chain })
    }

    /// VCEK, ASK and ARK as PEM, as a verifier takes them.
    #[must_use]
    pub fn chain_pem(&self) -> String {
        [self.chain.vcek.as_str(), &self.chain.ask, &self.chain.ark].concat()
    }

    /// The root certificate as PEM. Whoever trusts it trusts this emulator.
    #[must_use]
    pub fn ark_pem(&self) -> &str {
        &self.chain.ark
    }

    /// Launches a guest.
    ///
    /// # Errors
    /// When the guest policy is malformed.
    pub fn launch(&self, state: LaunchState) -> Result<LaunchedGuest, LaunchError> {
        if state.policy.0 & POLICY_RESERVED_ONE == 0 {
            return Err(LaunchError::Policy);
        }
        let mut report_id = [0; 32];
        getrandom::fill(&mut report_id).map_err(LaunchError::Random)?;
        Ok(LaunchedGuest { vcek: self.vcek.clone(), state, report_id })
    }
}

/// Why there is no processor.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No keys.
    #[error("cannot load or generate the keys")]
    Keys(#[from] LoadKeysError),
    /// No certificates.
    #[error("cannot issue the certificates")]
    Certificates(#[from] IssueCertificatesError),
}

/// A launched guest, seen from the processor.
pub struct LaunchedGuest {
    vcek: SigningKey,
    state: LaunchState,
    report_id: [u8; 32],
}

impl LaunchedGuest {
    /// A signed report on `data` for privilege level `vmpl`.
    ///
    /// # Errors
    /// When there is no such level.
    pub fn sign(&self, data: &ReportData, vmpl: u32) -> Result<[u8; REPORT_LEN], SignError> {
        if vmpl > MAX_VMPL {
            return Err(SignError::Vmpl(vmpl));
        }
        let mut report = [0; REPORT_LEN];
        self.fill(&mut report, data, vmpl);
        let signed = report.iter().take(SIGNED_LEN).copied().collect::<Vec<_>>();
        let signature: Signature = self.vcek.try_sign(&signed).map_err(SignError::Sign)?;
        let little_endian = |big_endian: &[u8]| big_endian.iter().rev().copied().collect::<Vec<_>>();
        put::<{ layout::SIGNATURE }>(&mut report, &little_endian(&signature.r().to_bytes()));
        put::<{ layout::SIGNATURE + SIGNATURE_INTEGER_LEN }>(
            &mut report,
            &little_endian(&signature.s().to_bytes()),
        );
        Ok(report)
    }

    /// Everything but the signature.
    fn fill(&self, report: &mut [u8; REPORT_LEN], data: &ReportData, vmpl: u32) {
        put::<{ layout::VERSION }>(report, &REPORT_VERSION.to_le_bytes());
        put::<{ layout::GUEST_SVN }>(report, &self.state.guest_svn.to_le_bytes());
        put::<{ layout::POLICY }>(report, &self.state.policy.0.to_le_bytes());
        put::<{ layout::VMPL }>(report, &vmpl.to_le_bytes());
        put::<{ layout::SIGNATURE_ALGO }>(report, &SIGNATURE_ALGORITHM.to_le_bytes());
        put::<{ layout::CURRENT_TCB }>(report, &TCB.0);
        put::<{ layout::PLATFORM_INFO }>(report, &PLATFORM_INFO.to_le_bytes());
        put::<{ layout::REPORT_DATA }>(report, data.as_bytes());
        put::<{ layout::MEASUREMENT }>(report, self.state.measurement.as_bytes());
        put::<{ layout::HOST_DATA }>(report, self.state.host_data.as_bytes());
        put::<{ layout::REPORT_ID }>(report, &self.report_id);
        // No migration agent: all ones.
        put::<{ layout::REPORT_ID_MA }>(report, &[0xFF; 32]);
        put::<{ layout::REPORTED_TCB }>(report, &TCB.0);
        put::<{ layout::CPUID }>(report, &CPUID);
        put::<{ layout::CHIP_ID }>(report, CHIP_ID.as_bytes());
        put::<{ layout::COMMITTED_TCB }>(report, &TCB.0);
        put::<{ layout::CURRENT_FIRMWARE }>(report, &FIRMWARE);
        put::<{ layout::COMMITTED_FIRMWARE }>(report, &FIRMWARE);
        put::<{ layout::LAUNCH_TCB }>(report, &TCB.0);
    }
}

/// Writes `bytes` at the offset `AT`.
fn put<const AT: usize>(report: &mut [u8; REPORT_LEN], bytes: &[u8]) {
    for (target, byte) in report.iter_mut().skip(AT).zip(bytes) {
        *target = *byte;
    }
}
