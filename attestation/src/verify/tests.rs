#![expect(clippy::arithmetic_side_effects, reason = "offsets in small files")]

use std::thread;

use super::*;
use crate::evidence;

const REPORT: &str = "snp_report.bin";
const CHAIN: &str = "uvm_host_amd_certificate.pem";

struct Evidence {
    report: Vec<u8>,
    chain: Vec<u8>,
    expectations: Expectations,
    roots: TrustedRoots,
}

/// The real evidence with everything that is known about it.
fn real() -> Option<Evidence> {
    use base64::Engine as _;
    let policy = evidence::read("uvm_security_policy.base64")?;
    let policy = base64::engine::general_purpose::STANDARD.decode(policy).unwrap();
    let runtime_data = evidence::read("runtime_data.json")?;
    let report = evidence::read(REPORT)?;
    let expectations = Expectations {
        measurement: Some(Report::parse(&report).unwrap().measurement()),
        host_data: Some(HostData::of_policy(&policy)),
        report_data: Some(ReportData::from_runtime_data(&runtime_data)),
        ..Expectations::default()
    };
    Some(Evidence {
        report,
        chain: evidence::read(CHAIN)?,
        expectations,
        roots: TrustedRoots::amd().unwrap(),
    })
}

impl Evidence {
    fn verdict(&self) -> Verdict {
        let report = Report::parse(&self.report).unwrap();
        verify(&report, &CertificateBundle::parse(&self.chain).unwrap(), &self.roots, &self.expectations)
    }

    /// The only check that fails.
    fn failing(&self) -> CheckName {
        let verdict = self.verdict();
        assert!(!verdict.is_verified());
        let failing: Vec<_> = verdict.checks().iter().filter(|check| !check.ok).collect();
        assert_eq!(failing.len(), 1, "{failing:?}");
        failing[0].name
    }

    /// Whether the evidence passes with these bytes; anything that cannot be read does not.
    fn passes(&self, report: &[u8], chain: &[u8]) -> bool {
        let (Ok(report), Ok(bundle)) = (Report::parse(report), CertificateBundle::parse(chain)) else {
            return false;
        };
        // Without expectations, so that the cryptography alone must notice.
        verify(&report, &bundle, &self.roots, &Expectations::default()).is_verified()
    }
}

#[test]
fn real_evidence_verifies() {
    let Some(evidence) = real() else { return };
    let verdict = evidence.verdict();
    assert!(verdict.is_verified(), "{verdict:?}");
    let names: Vec<_> = verdict.checks().iter().map(|check| check.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "root",
            "chain",
            "signature",
            "tcb",
            "chip_id",
            "vmpl",
            "debug",
            "measurement",
            "host_data",
            "report_data"
        ]
    );
    assert_eq!(verdict.certificates()[2].not_after, "2029-11-29T01:55:56Z");
}

#[test]
fn each_expectation_is_enforced() {
    let Some(mut evidence) = real() else { return };
    evidence.expectations.host_data = Some(HostData::of_policy(b"package policy"));
    assert_eq!(evidence.failing(), CheckName::HostData);

    let mut evidence = real().unwrap();
    evidence.expectations.report_data = Some(ReportData::from_runtime_data(b"another nonce"));
    assert_eq!(evidence.failing(), CheckName::ReportData);

    let mut evidence = real().unwrap();
    evidence.expectations.measurement = Some(Measurement::new([0; 48]));
    assert_eq!(evidence.failing(), CheckName::Measurement);

    let mut evidence = real().unwrap();
    evidence.expectations.vmpl = 1;
    assert_eq!(evidence.failing(), CheckName::Vmpl);

    let mut evidence = real().unwrap();
    evidence.expectations.minimum_tcb = Some(Tcb([3, 0, 0, 0, 0, 0, 8, 0x74]));
    assert_eq!(evidence.failing(), CheckName::MinimumTcb);
    evidence.expectations.minimum_tcb = Some(Tcb([3, 0, 0, 0, 0, 0, 8, 0x73]));
    assert!(evidence.verdict().is_verified());
}

#[test]
fn another_root_is_not_trusted() {
    let Some(mut evidence) = real() else { return };
    evidence.roots = TrustedRoots::from_pem(sev::certs::snp::builtin::genoa::ARK).unwrap();
    assert_eq!(evidence.failing(), CheckName::Root);
}

#[test]
fn only_self_signed_authorities_are_roots() {
    assert!(TrustedRoots::from_pem(sev::certs::snp::builtin::turin::ARK).is_ok());
    let ask = TrustedRoots::from_pem(sev::certs::snp::builtin::milan::ASK);
    assert!(matches!(ask, Err(TrustRootsError::NotSelfSigned { number: 1, .. })));
    assert!(matches!(TrustedRoots::from_pem(b""), Err(TrustRootsError::None)));
    assert!(matches!(TrustedRoots::from_pem(b"AMD"), Err(TrustRootsError::Read(_))));
}

#[test]
fn certificates_may_come_in_any_order_but_all_must_come() {
    let Some(mut evidence) = real() else { return };
    let text = String::from_utf8(evidence.chain.clone()).unwrap();
    let blocks: Vec<_> = text.split_inclusive("-----END CERTIFICATE-----\n").collect();
    evidence.chain = [blocks[2], blocks[0], blocks[1]].concat().into_bytes();
    assert!(evidence.verdict().is_verified());
    let two = CertificateBundle::parse(blocks[..2].concat().as_bytes());
    assert!(matches!(two, Err(ParseBundleError::Count { given: 2 })));
    evidence.chain = [blocks[0], blocks[1], blocks[1]].concat().into_bytes();
    assert!(!evidence.verdict().is_verified());
    // The authorities of another processor family.
    let (ark, ask) = (sev::certs::snp::builtin::genoa::ARK, sev::certs::snp::builtin::genoa::ASK);
    evidence.chain = [blocks[0].as_bytes(), ask, ark].concat();
    assert_eq!(evidence.failing(), CheckName::Chain);
}

#[test]
fn the_answer_of_a_certificate_cache_is_read() {
    let Some(mut evidence) = real() else { return };
    evidence.chain = evidence::read("uvm_host_amd_certificate.json").unwrap();
    assert!(evidence.verdict().is_verified());
    let text = String::from_utf8(evidence.chain.clone()).unwrap();
    evidence.chain = text.replace("7308000000000003", "7308000000000004").into_bytes();
    assert_eq!(evidence.failing(), CheckName::Tcb);
    for (from, to) in [("tcbm", "tcbn"), ("7308000000000003", "+308000000000003"), ("cacheControl", "more")] {
        assert!(CertificateBundle::parse(text.replace(from, to).as_bytes()).is_err(), "{from}");
    }
}

#[test]
fn a_cache_vouches_for_nothing_that_the_certificate_does_not_say() {
    let Some(mut evidence) = real() else { return };
    // A report of another TCB, and a cache that agrees with it.
    evidence.report[crate::report::layout::REPORTED_TCB] = 4;
    let text = String::from_utf8(evidence::read("uvm_host_amd_certificate.json").unwrap()).unwrap();
    evidence.chain = text.replace("7308000000000003", "7308000000000004").into_bytes();
    let verdict = evidence.verdict();
    let failing: Vec<_> = verdict.checks().iter().filter(|check| !check.ok).map(|check| check.name).collect();
    assert_eq!(failing, [CheckName::Signature, CheckName::Tcb]);
}

#[test]
fn only_the_lifetime_of_a_cached_answer_can_flip() {
    let Some(evidence) = real() else { return };
    let cached = evidence::read("uvm_host_amd_certificate.json").unwrap();
    let lifetime = cached.windows(5).rposition(|window| window == b"86400").unwrap();
    for bit in unnoticed(&cached, QUICK_STEP, |chain| evidence.passes(&evidence.report, chain)) {
        assert!((lifetime..lifetime + 5).contains(&(bit / 8)), "bit {bit}");
    }
}

#[test]
fn other_bytes_are_no_bundle() {
    for bytes in [&b""[..], b"{}", b"{", b"\xff", b"-----BEGIN CERTIFICATE-----\n"] {
        assert!(CertificateBundle::parse(bytes).is_err(), "{bytes:?}");
    }
    let long = vec![b'-'; MAX_BUNDLE_LEN + 1];
    assert!(matches!(CertificateBundle::parse(&long), Err(ParseBundleError::TooLong { .. })));
}

#[test]
fn a_verdict_is_json_with_stable_keys() {
    let Some(evidence) = real() else { return };
    let json = serde_json::to_value(evidence.verdict()).unwrap();
    assert_eq!(json["verified"], true);
    assert_eq!(json["checks"][8]["name"], "host_data");
    assert_eq!(json["checks"][8]["given"], json["checks"][8]["expected"]);
    let report = serde_json::to_value(Report::parse(&evidence.report).unwrap()).unwrap();
    assert_eq!(report["host_data"], json["checks"][8]["given"]);
    assert_eq!(report["policy"]["debug_allowed"], false);
}

/// Every bit of `original` that can flip without notice, looking at every `step`th.
fn unnoticed(original: &[u8], step: usize, passes: impl Fn(&[u8]) -> bool + Sync) -> Vec<usize> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let passes = &passes;
        let search = |worker: usize| {
            let bits = (0..original.len() * 8).step_by(step).skip(worker).step_by(workers);
            let mut bytes = original.to_vec();
            bits.filter(|bit| {
                bytes[bit / 8] ^= 1 << (bit % 8);
                let passed = passes(&bytes);
                bytes[bit / 8] ^= 1 << (bit % 8);
                passed
            })
            .collect::<Vec<_>>()
        };
        let searches: Vec<_> = (0..workers).map(|worker| scope.spawn(move || search(worker))).collect();
        searches.into_iter().flat_map(|search| search.join().unwrap()).collect()
    })
}

/// Which bits the quick tests look at: a prime step visits all positions within bytes, lines and certificates. A
/// verification takes milliseconds, all bits take minutes.
const QUICK_STEP: usize = 127;

fn check_report_bits(step: usize) {
    let Some(evidence) = real() else { return };
    assert!(evidence.passes(&evidence.report, &evidence.chain));
    assert_eq!(unnoticed(&evidence.report, step, |report| evidence.passes(report, &evidence.chain)), [0; 0]);
}

fn check_chain_bits(step: usize) {
    let Some(evidence) = real() else { return };
    assert_eq!(unnoticed(&evidence.chain, step, |chain| evidence.passes(&evidence.report, chain)), [0; 0]);
}

#[test]
fn no_bit_of_the_report_can_flip() {
    check_report_bits(QUICK_STEP);
}

#[test]
fn no_bit_of_the_chain_can_flip() {
    check_chain_bits(QUICK_STEP);
}

#[test]
#[ignore = "takes a minute or more"]
fn no_bit_at_all_of_the_report_can_flip() {
    check_report_bits(1);
}

#[test]
#[ignore = "takes minutes"]
fn no_bit_at_all_of_the_chain_can_flip() {
    check_chain_bits(1);
}
