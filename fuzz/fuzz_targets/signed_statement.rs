//! A signed statement, which comes from the host with its certificates and receipts: it is read or refused, and nobody is
//! believed who did not sign.

#![no_main]

use libfuzzer_sys::fuzz_target;
use signed_statement::{Envelope, Receipt, TrustList};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(envelope) = Envelope::parse(bytes) {
        let _believed_or_refused = envelope.verify();
    }
    let _read_or_refused = Receipt::parse(bytes);
    let _read_or_refused = TrustList::parse(bytes);
});
