//! A report, which comes through the host: every field can be read.

#![no_main]

use attestation::Report;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(report) = Report::parse(bytes) {
        assert_eq!(report.as_bytes().as_slice(), bytes);
        let _fields = (
            report.version(),
            report.policy(),
            report.key_info(),
            report.cpu_id(),
            report.launch_mitigations(),
        );
    }
});
