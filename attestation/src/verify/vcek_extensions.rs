//! What AMD certifies of a chip in its VCEK (AMD 57230, table "VCEK extensions").

use x509_cert::der::asn1::{ObjectIdentifier, OctetStringRef};
use x509_cert::der::{self, Decode as _};

use crate::report::{ChipId, Tcb};
use signed_statement::x509::Certificate;

const BOOT_LOADER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.1");
const SECURE_OS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.2");
const SNP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.3");
const SPARE_4: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.4");
const SPARE_5: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.5");
const SPARE_6: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.6");
const SPARE_7: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.7");
const MICROCODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.8");
/// Only chips from Turin on have this part; the order of the TCB's bytes changed with it.
const FMC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.9");
const HARDWARE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");

/// Why a VCEK does not say what it is for.
#[derive(Debug, thiserror::Error)]
pub enum ReadVcekError {
    /// An extension is not there.
    #[error("the VCEK lacks the extension {0}")]
    Missing(ObjectIdentifier),
    /// An extension is malformed.
    #[error("the extension {0} of the VCEK is malformed")]
    Malformed(ObjectIdentifier, #[source] der::Error),
    /// The chip's identity has neither 64 nor 8 bytes.
    #[error("the chip identity in the VCEK has {0} bytes")]
    HardwareId(usize),
}

/// The TCB that the VCEK was derived from.
pub(super) fn tcb(vcek: &Certificate) -> Result<Tcb, ReadVcekError> {
    if value(vcek, FMC).is_err() {
        let parts = [BOOT_LOADER, SECURE_OS, SPARE_4, SPARE_5, SPARE_6, SPARE_7, SNP, MICROCODE]
            .map(|oid| number(vcek, oid));
        return collect(parts);
    }
    let [fmc, boot_loader, secure_os, snp, microcode] =
        [FMC, BOOT_LOADER, SECURE_OS, SNP, MICROCODE].map(|oid| number(vcek, oid));
    collect([fmc, boot_loader, secure_os, snp, Ok(0), Ok(0), Ok(0), microcode])
}

fn collect(parts: [Result<u8, ReadVcekError>; 8]) -> Result<Tcb, ReadVcekError> {
    let mut tcb = [0; 8];
    for (byte, part) in tcb.iter_mut().zip(parts) {
        *byte = part?;
    }
    Ok(Tcb(tcb))
}

/// The chip that the VCEK belongs to, as it stands in reports: 8 bytes (Turin) are followed by zeros.
pub(super) fn chip_id(vcek: &Certificate) -> Result<ChipId, ReadVcekError> {
    let value = value(vcek, HARDWARE_ID)?;
    // Some certificates wrap the bytes once more.
    let id = match value.len() {
        8 | 64 => value,
        _ => OctetStringRef::from_der(value)
            .map_err(|source| ReadVcekError::Malformed(HARDWARE_ID, source))?
            .as_bytes(),
    };
    if !matches!(id.len(), 8 | 64) {
        return Err(ReadVcekError::HardwareId(id.len()));
    }
    let mut bytes = [0; ChipId::LEN];
    for (byte, source) in bytes.iter_mut().zip(id) {
        *byte = *source;
    }
    Ok(ChipId::new(bytes))
}

fn value(vcek: &Certificate, oid: ObjectIdentifier) -> Result<&[u8], ReadVcekError> {
    let extensions = vcek.content().extensions.as_deref().unwrap_or_default();
    extensions
        .iter()
        .find(|extension| extension.extn_id == oid)
        .map(|extension| extension.extn_value.as_bytes())
        .ok_or(ReadVcekError::Missing(oid))
}

fn number(vcek: &Certificate, oid: ObjectIdentifier) -> Result<u8, ReadVcekError> {
    u8::from_der(value(vcek, oid)?).map_err(|source| ReadVcekError::Malformed(oid, source))
}
