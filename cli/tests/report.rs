//! `cce report verify` on real evidence, whole and with flipped bits.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test runs the built program, may stop, and says when it is skipped"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// How many bits are flipped, one at a time.
const FLIPS: usize = 64;

/// The folder of the real evidence; nothing in a checkout without the vectors.
fn evidence() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/evidence/aci-milan-1");
    if !folder.is_dir() {
        println!("skipped: the vectors are not beside this checkout");
        return None;
    }
    Some(folder)
}

/// Files for one call.
struct Files {
    report: PathBuf,
    certs: PathBuf,
    policy: PathBuf,
}

impl Files {
    fn of(evidence: &Path) -> Self {
        Self {
            report: evidence.join("snp_report.bin"),
            certs: evidence.join("uvm_host_amd_certificate.pem"),
            policy: evidence.join("uvm_security_policy.base64"),
        }
    }

    fn verify(&self, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cce"))
            .args(["report", "verify", "--json", "--report"])
            .arg(&self.report)
            .arg("--certs")
            .arg(&self.certs)
            .arg("--policy")
            .arg(&self.policy)
            .args(more)
            .output()
            .expect("cce runs")
    }
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

fn failing(json: &Value) -> Vec<&str> {
    let checks = json["checks"].as_array().expect("checks");
    checks.iter().filter(|check| check["ok"] == false).filter_map(|check| check["name"].as_str()).collect()
}

#[test]
fn real_evidence_verifies_in_every_form() {
    let Some(evidence) = evidence() else { return };
    let mut files = Files::of(&evidence);
    let at = |name: &str| evidence.join(name).display().to_string();
    let all = [
        "--runtime-data",
        &at("runtime_data.json"),
        "--endorsement",
        &at("body.uvm_reference_info.bin"),
        "--roots",
        "amd",
    ];
    let output = files.verify(&all);
    assert_eq!(code(&output), Some(0), "{output:?}");
    let verdict = json(&output);
    assert_eq!(verdict["verified"], true);
    assert_eq!(verdict["report"]["version"], 2);
    assert_eq!(verdict["checks"].as_array().map(Vec::len), Some(10));

    files.certs = evidence.join("uvm_host_amd_certificate.json");
    assert_eq!(code(&files.verify(&all)), Some(0));

    let folder = tempfile::tempdir().expect("folder");
    files.policy = folder.path().join("policy.rego");
    fs::write(&files.policy, decoded_policy(&evidence)).expect("policy");
    assert_eq!(code(&files.verify(&all)), Some(0));
}

fn decoded_policy(evidence: &Path) -> Vec<u8> {
    use base64::Engine as _;
    let text = fs::read(evidence.join("uvm_security_policy.base64")).expect("policy");
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
}

#[test]
fn what_is_not_expected_does_not_verify() {
    let Some(evidence) = evidence() else { return };
    let files = Files::of(&evidence);
    let report = files.report.display().to_string();
    let output = files.verify(&["--runtime-data", &report]);
    assert_eq!(code(&output), Some(1));
    assert_eq!(failing(&json(&output)), ["report_data"]);
    let output = files.verify(&["--measurement", &"00".repeat(48)]);
    assert_eq!((code(&output), failing(&json(&output))), (Some(1), vec!["measurement"]));
    let output = files.verify(&["--endorsement", &report]);
    assert_eq!((code(&output), failing(&json(&output))), (Some(1), vec!["endorsement"]));
    let info = evidence.join("body.uvm_reference_info.bin").display().to_string();
    let output = files.verify(&["--endorsement", &report, "--endorsement", &info]);
    assert_eq!(code(&output), Some(0), "one of the endorsements is about this launch");
    let output = files.verify(&["--endorsement", &report, "--endorsement", &report]);
    assert_eq!((code(&output), failing(&json(&output))), (Some(1), vec!["endorsement"]));
    let output = files.verify(&["--endorsement", &info, "--endorsement-feed", "another"]);
    assert_eq!((code(&output), failing(&json(&output))), (Some(1), vec!["endorsement"]));
    for (minimum, expected) in [("22", 0), ("23", 1)] {
        let output = files.verify(&["--endorsement", &info, "--endorsement-minimum-svn", minimum]);
        assert_eq!(code(&output), Some(expected), "the real image has security version 22: {output:?}");
    }
}

#[test]
fn roots_can_be_given() {
    let Some(evidence) = evidence() else { return };
    let mut files = Files::of(&evidence);
    let chain = fs::read_to_string(&files.certs).expect("chain");
    let [_, ask, ark] = chain.split_inclusive("-----END CERTIFICATE-----\n").collect::<Vec<_>>()[..] else {
        panic!("three certificates")
    };
    let folder = tempfile::tempdir().expect("folder");
    let root = folder.path().join("root.pem");
    let roots = ["--roots", &root.display().to_string()];
    fs::write(&root, ark).expect("root");
    assert_eq!(code(&files.verify(&roots)), Some(0));
    // An intermediate is no root.
    fs::write(&root, ask).expect("root");
    assert_eq!(code(&files.verify(&roots)), Some(2));
    files.certs = root.clone();
    assert_eq!(code(&files.verify(&[])), Some(2));
}

#[test]
fn broken_files_and_misuse_are_told_apart_from_a_no() {
    let Some(evidence) = evidence() else { return };
    let with = |change: fn(&mut Files, PathBuf), name: &str| {
        let mut files = Files::of(&evidence);
        change(&mut files, evidence.join(name));
        code(&files.verify(&[]))
    };
    assert_eq!(with(|files, path| files.report = path, "runtime_data.json"), Some(2));
    assert_eq!(with(|files, path| files.certs = path, "snp_report.bin"), Some(2));
    assert_eq!(with(|files, path| files.policy = path, "missing"), Some(2));
    assert_eq!(code(&Files::of(&evidence).verify(&["--measurement", "00"])), Some(2));
    assert_eq!(code(&Files::of(&evidence).verify(&["--roots", "missing.pem"])), Some(2));
}

/// A small generator (xorshift64*), so that a printed seed repeats a run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let limit = u64::try_from(limit).expect("64 bits");
        let drawn =
            self.0.wrapping_mul(0x2545_F491_4F6C_DD1D).checked_rem(limit).expect("something to draw from");
        usize::try_from(drawn).expect("below the limit")
    }
}

#[test]
fn any_flipped_bit_is_rejected() {
    let Some(evidence) = evidence() else { return };
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(1, |elapsed| elapsed.as_secs() | 1);
    println!("seed {seed}");
    let mut random = Random(seed);
    let folder = tempfile::tempdir().expect("folder");
    for _ in 0..FLIPS {
        let mut files = Files::of(&evidence);
        let target = match random.below(3) {
            0 => &mut files.report,
            1 => &mut files.certs,
            _ => &mut files.policy,
        };
        let mut bytes = fs::read(&*target).expect("file");
        let (position, bit) = (random.below(bytes.len()), random.below(8));
        let byte = bytes.get_mut(position).expect("inside");
        *byte ^= 1 << bit;
        let name = target.display().to_string();
        *target = folder.path().join("flipped");
        fs::write(&*target, bytes).expect("file");
        let output = files.verify(&[]);
        assert!(matches!(code(&output), Some(1 | 2)), "byte {position} bit {bit} of {name}: {output:?}");
    }
}
