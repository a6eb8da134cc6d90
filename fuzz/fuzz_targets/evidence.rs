//! Certificates and endorsements, which come from the host: they are read or refused.

#![no_main]

use attestation::verify::CertificateBundle;
use attestation::verify::endorsement::{Endorsement, TrustedEndorser};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _read_or_refused = CertificateBundle::parse(bytes);
    let _believed_or_refused =
        Endorsement::verify(bytes, &[TrustedEndorser::azure_confidential_containers()]);
});
