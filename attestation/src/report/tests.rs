use super::*;
use crate::evidence;

fn blank(version: u32) -> [u8; REPORT_LEN] {
    let mut raw = [0; REPORT_LEN];
    raw[..4].copy_from_slice(&version.to_le_bytes());
    raw
}

#[test]
fn real_report_parses() {
    let Some(bytes) = evidence::read("snp_report.bin") else { return };
    let report = Report::parse(&bytes).unwrap();
    assert_eq!(report.version(), Version::V2);
    assert_eq!(report.guest_svn(), 2);
    assert_eq!(report.policy(), GuestPolicy(0x3_001F));
    assert_eq!(report.policy().abi_minor(), 31);
    assert!(report.policy().smt_allowed());
    assert!(!report.policy().debug_allowed());
    assert_eq!(report.vmpl(), 0);
    assert_eq!(report.signature_algorithm(), 1);
    assert_eq!(report.key_info().signing_key(), SigningKey::Vcek);
    assert_eq!(report.reported_tcb().to_string(), "7308000000000003");
    assert_eq!(report.cpu_id(), None);
    let runtime = evidence::read("runtime_data.json").unwrap();
    assert_eq!(report.report_data(), ReportData::from_runtime_data(&runtime));
    assert!(report.host_data().to_string().starts_with("cadd74f7"));
    assert!(report.measurement().to_string().starts_with("51068107"));
}

#[test]
fn only_known_versions_parse() {
    for version in 2..=5 {
        assert_eq!(Report::parse(&blank(version)).unwrap().version().number(), version);
    }
    for version in [0, 1, 6, 0x0200_0000, u32::MAX] {
        let refused = Report::parse(&blank(version)).unwrap_err();
        assert!(matches!(refused, ParseReportError::Version { given } if given == version));
    }
}

#[test]
fn only_the_exact_length_parses() {
    for length in [0, 4, REPORT_LEN - 1, REPORT_LEN + 1, 4000] {
        let refused = Report::parse(&vec![2; length]).unwrap_err();
        assert!(matches!(refused, ParseReportError::Length { given } if given == length));
    }
}

#[test]
fn fields_of_later_versions_are_absent_before() {
    let v3 = Report::parse(&blank(3)).unwrap();
    assert!(v3.cpu_id().is_some());
    assert_eq!(v3.launch_mitigations(), None);
    let v5 = Report::parse(&blank(5)).unwrap();
    assert_eq!(v5.current_mitigations(), Some(0));
}

#[test]
fn a_debuggable_guest_is_recognised() {
    let mut raw = blank(3);
    raw[layout::POLICY + 2] = 1 << 3;
    assert!(Report::parse(&raw).unwrap().policy().debug_allowed());
}

#[test]
fn tcb_order_is_per_part() {
    let minimum = Tcb([3, 0, 0, 0, 0, 0, 8, 0x73]);
    assert!(Tcb([3, 0, 0, 0, 0, 0, 9, 0x73]).is_at_least(minimum));
    assert!(!Tcb([2, 0, 0, 0, 0, 0, 9, 0xFF]).is_at_least(minimum));
}

#[test]
fn digests_round_trip_as_hexadecimal() {
    let host_data = HostData::of_policy(b"package policy");
    assert_eq!(host_data.to_string().parse::<HostData>().unwrap(), host_data);
    assert!("00".parse::<HostData>().is_err());
    assert!("zz".repeat(32).parse::<HostData>().is_err());
}
