//! Reports of the emulator, fetched and verified as a guest and its tenant would.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::thread;

use attestation::report::{GuestPolicy, HostData, Measurement, Report, ReportData, layout};
use attestation::source::{EmulatedPsp, ReportError, ReportSource as _};
use attestation::verify::{CertificateBundle, CheckName, Expectations, TrustedRoots, Verdict, verify};
use psp_emulator::{LaunchState, LoadKeysError, Psp, StartError};

const POLICY: &[u8] = b"package policy";
const DATA: ReportData = ReportData::new([0x5A; 64]);

/// Kept between runs, because generating takes long.
fn keys() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("psp-emulator-keys")
}

fn psp() -> &'static Psp {
    static PSP: OnceLock<Psp> = OnceLock::new();
    PSP.get_or_init(|| Psp::load_or_generate(&keys()).expect("keys"))
}

fn state(policy: u64) -> LaunchState {
    LaunchState {
        measurement: Measurement::new([0x11; 48]),
        host_data: HostData::of_policy(POLICY),
        policy: GuestPolicy(policy),
        guest_svn: 4,
    }
}

fn expectations() -> Expectations {
    Expectations {
        measurement: Some(Measurement::new([0x11; 48])),
        host_data: Some(HostData::of_policy(POLICY)),
        report_data: Some(DATA),
        ..Expectations::default()
    }
}

fn own_root() -> TrustedRoots {
    TrustedRoots::from_pem(psp().ark_pem().as_bytes()).expect("root")
}

fn judge(report: &Report, roots: &TrustedRoots, expectations: &Expectations) -> Verdict {
    let bundle = CertificateBundle::parse(psp().chain_pem().as_bytes()).expect("chain");
    verify(report, &bundle, roots, expectations)
}

fn failing(verdict: &Verdict) -> Vec<CheckName> {
    verdict.checks().iter().filter(|check| !check.ok).map(|check| check.name).collect()
}

fn signed(policy: u64, vmpl: u32) -> Report {
    let raw = psp().launch(state(policy)).expect("launch").sign(&DATA, vmpl).expect("report");
    Report::parse(&raw).expect("layout")
}

/// Serves a guest on a socket until the test process ends.
fn serving() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("psp");
    let listener = UnixListener::bind(&path).expect("socket");
    let guest = psp().launch(state(0x3_0000)).expect("launch");
    thread::spawn(move || psp_emulator::serve(&listener, &guest));
    (folder, path)
}

#[test]
fn a_fetched_report_verifies_under_its_own_root_only() {
    let (_folder, path) = serving();
    let source: EmulatedPsp = format!("unix://{}", path.display()).parse().expect("address");
    let report = source.report(&DATA).expect("report");
    let verdict = judge(&report, &own_root(), &expectations());
    assert!(verdict.is_verified(), "{verdict:?}");
    let amd = TrustedRoots::amd().expect("built-in roots");
    assert_eq!(failing(&judge(&report, &amd, &expectations())), [CheckName::Root]);
    // One launch, one identity.
    assert_eq!(source.report(&DATA).expect("report").report_id(), report.report_id());
    assert_ne!(signed(0x3_0000, 0).report_id(), report.report_id());
}

#[test]
fn another_policy_level_or_debugging_is_noticed() {
    let expected = Expectations { host_data: Some(HostData::of_policy(b"another")), ..expectations() };
    assert_eq!(failing(&judge(&signed(0x3_0000, 0), &own_root(), &expected)), [CheckName::HostData]);
    assert_eq!(failing(&judge(&signed(0x3_0000, 2), &own_root(), &expectations())), [CheckName::Vmpl]);
    assert_eq!(failing(&judge(&signed(0xB_0000, 0), &own_root(), &expectations())), [CheckName::Debug]);
    let debuggable = Expectations { allow_debug: true, ..expectations() };
    assert!(judge(&signed(0xB_0000, 0), &own_root(), &debuggable).is_verified());
}

#[test]
fn a_changed_report_is_noticed() {
    let mut raw = *signed(0x3_0000, 0).as_bytes();
    raw[layout::HOST_DATA] ^= 1;
    let report = Report::parse(&raw).expect("layout");
    let verdict = judge(&report, &own_root(), &expectations());
    assert_eq!(failing(&verdict), [CheckName::Signature, CheckName::HostData]);
}

#[test]
fn malformed_requests_are_refused() {
    assert!(psp().launch(state(0)).is_err());
    let (_folder, path) = serving();
    let ask = |length: u32, vmpl: u8, reserved: u8| {
        let mut request = [0; 96];
        (request[64], request[95]) = (vmpl, reserved);
        let mut connection = UnixStream::connect(&path).expect("connection");
        connection.write_all(&length.to_le_bytes()).expect("length");
        connection.write_all(&request).expect("request");
        let mut answer = [0; 4 + layout::REPORT_LEN];
        connection.read_exact(&mut answer).expect("answer");
        (answer[0], answer[4])
    };
    assert_eq!(ask(96, 0, 0), (0, 3));
    assert_eq!(ask(96, 4, 0), (0x16, 0));
    assert_eq!(ask(96, 0, 1), (0x16, 0));
    assert_eq!(ask(u32::MAX, 0, 0), (0x16, 0));
}

#[test]
fn keys_are_private_and_must_be_whole() {
    let key = keys().join("ark.key");
    psp();
    let mode = std::fs::metadata(key).expect("key file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let folder = tempfile::tempdir().expect("folder");
    let missing = Psp::load_or_generate(folder.path()).err();
    assert!(matches!(missing, Some(StartError::Keys(LoadKeysError::File { .. }))));
    for name in ["ark.key", "ask.key", "vcek.key"] {
        std::fs::write(folder.path().join(name), "x").expect("key file");
    }
    let damaged = Psp::load_or_generate(folder.path()).err();
    assert!(matches!(damaged, Some(StartError::Keys(LoadKeysError::Damaged { .. }))));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the program itself is tested")]
fn the_program_says_when_it_is_ready() {
    psp();
    let folder = tempfile::tempdir().expect("folder");
    let (socket, chain) = (folder.path().join("psp"), folder.path().join("chain.pem"));
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_psp-emulator"))
        .arg("--keys")
        .arg(keys())
        .arg(format!("--listen=unix://{}", socket.display()))
        .arg(format!("--host-data={}", HostData::of_policy(POLICY)))
        .arg(format!("--measurement={}", Measurement::new([0x11; 48])))
        .arg("--policy=0x30000")
        .arg("--cert-chain-out")
        .arg(&chain)
        .stdout(Stdio::piped())
        .spawn()
        .expect("program");
    let mut line = String::new();
    BufReader::new(program.stdout.take().expect("output")).read_line(&mut line).expect("line");
    assert_eq!(line, "ready\n");
    let source: EmulatedPsp = format!("unix://{}", socket.display()).parse().expect("address");
    let report = source.report(&DATA);
    program.kill().expect("kill");
    program.wait().expect("wait");
    let bundle = CertificateBundle::parse(&std::fs::read(chain).expect("chain")).expect("chain");
    assert!(verify(&report.expect("report"), &bundle, &own_root(), &expectations()).is_verified());
    assert!(matches!(source.report(&DATA), Err(ReportError::Connect(_))));
}
