//! From an image to a verified report: its maker signs the reference values, a host launches it, and a relying party
//! believes the report of a container in it by that signature, and by no other.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "tests stop at the first surprise"
)]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use statement_signer::{CertificateSpec, Curve, Identity, Key};
use tempfile::TempDir;
use vm::{
    BootFiles, Host, HostTool, IgvmLaunch, Initdata, Layer, PERMISSIVE_POLICY, VirtualMachine, VmConfig, cce,
};

const FEED: &str = "example.com/guest";
/// What the relying party gave the container to bind, and its base64.
const NONCE: &str = "the relying party's nonce";
const NONCE_BASE64: &str = "dGhlIHJlbHlpbmcgcGFydHkncyBub25jZQ==";

/// The maker of images, by a folder with a key and certificates.
struct Maker {
    folder: TempDir,
    did: String,
}

impl Maker {
    fn new(name: &str, secret: u16) -> Self {
        let folder = TempDir::new().unwrap();
        let root = Identity::root(&CertificateSpec::authority("Root"), Key::new(Curve::P384, secret));
        let maker = root.issue(&CertificateSpec::signer(name), Key::new(Curve::P384, secret + 1));
        fs::write(folder.path().join("key.pem"), maker.key.pkcs8_pem()).unwrap();
        fs::write(folder.path().join("chain.pem"), maker.chain_pem()).unwrap();
        Self { folder, did: maker.did(&format!("subject:CN:{name}")) }
    }

    /// Endorses one launch of the image with these reference values; the endorsement's file.
    fn endorse(&self, host: &Host, reference_values: &Path, launch: &str, feed: &str, svn: u32) -> PathBuf {
        let file = self.folder.path().join(format!("{launch}-{}-{svn}.cose", feed.replace('/', "-")));
        let mut args = args(&["statement", "endorsement", "--launch", launch, "--feed", feed, "--svn"]);
        args.extend([svn.to_string().into(), reference_values.into()]);
        args.extend(["--key".into(), self.folder.path().join("key.pem").into()]);
        args.extend(["--chain".into(), self.folder.path().join("chain.pem").into()]);
        args.extend(["--output".into(), file.clone().into()]);
        let signed = cce(host, args).unwrap();
        assert_eq!(signed["issuer"], self.did, "{signed}");
        file
    }
}

fn args(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// A report that a container got in a guest of its own, and what it is verified with.
struct Evidence {
    folder: TempDir,
    machine: VirtualMachine,
}

impl Evidence {
    /// Launches the image, by the IGVM file or behind firmware, and lets a container ask for a report.
    fn collect(host: &Host, name: &str, igvm: Option<IgvmLaunch>) -> Self {
        let folder = TempDir::new().unwrap();
        let layer = Layer::of_busybox(host, folder.path()).unwrap();
        let initdata = Initdata::with_policy(PERMISSIVE_POLICY).unwrap();
        fs::write(folder.path().join("initdata.toml"), initdata.document()).unwrap();
        fs::write(folder.path().join("nonce"), NONCE).unwrap();
        let usual = VmConfig::new(name, BootFiles::in_folder(&host.image).unwrap(), [0; 32]);
        let config = VmConfig {
            // That of the reference values.
            memory_mib: if igvm.is_some() { 2048 } else { usual.memory_mib },
            igvm,
            disks: vec![layer.disk()],
            ..usual.with_initdata(initdata)
        };
        let machine = VirtualMachine::start(host, &config).unwrap();
        let layer = layer.arguments(machine.disks()[0]);
        let body = json!({ "runtime_data": NONCE_BASE64 });
        let script = format!("busybox wget -q -O - --post-data '{body}' http://127.0.0.1:8080/attest/raw");
        let mut args = vec!["run"];
        args.extend(layer.iter().map(String::as_str));
        args.extend(["/bin/busybox", "sh", "-c", &script].iter().flat_map(|&arg| ["--arg", arg]));
        let ran = HostTool::new(host, &machine).call(&args).unwrap();
        let answer: Value = serde_json::from_str(ran["stdout"].as_str().unwrap_or_default())
            .unwrap_or_else(|_| panic!("the container got no report: {ran}"));
        let report = hex::decode(answer["report"].as_str().unwrap()).unwrap();
        fs::write(folder.path().join("report.bin"), report).unwrap();
        Self { folder, machine }
    }

    /// The relying party's judgement, by these endorsements and what else it wants of them.
    fn verify(&self, host: &Host, endorsements: &[&Path], more: &[&str]) -> Value {
        let file = |name: &str| OsString::from(self.folder.path().join(name));
        let mut args = args(&["report", "verify", "--report"]);
        args.extend([file("report.bin"), "--policy".into(), file("initdata.toml")]);
        args.extend(["--runtime-data".into(), file("nonce")]);
        args.extend(["--certs".into(), self.machine.certificate_chain().into()]);
        args.extend(["--roots".into(), self.machine.root_certificate().into()]);
        args.extend(endorsements.iter().flat_map(|&path| ["--endorsement".into(), path.into()]));
        args.extend(more.iter().map(OsString::from));
        cce(host, args).unwrap()
    }
}

/// It verifies.
fn assert_believed(verdict: &Value) {
    assert_eq!(verdict["verified"], true, "{verdict}");
}

/// It does not verify, for the endorsement alone and for this reason; none where another measurement is endorsed.
fn assert_doubted(verdict: &Value, reason: Option<&str>) {
    assert_eq!(verdict["verified"], false, "{verdict}");
    let failed: Vec<_> =
        verdict["checks"].as_array().unwrap().iter().filter(|check| check["ok"] == false).collect();
    let [check] = failed[..] else { panic!("not one check fails: {verdict}") };
    assert_eq!(check["name"], "endorsement", "{verdict}");
    match reason {
        Some(reason) => assert!(check["reason"].as_str().unwrap().contains(reason), "{check}"),
        None => assert_ne!(check["expected"], check["given"], "{check}"),
    }
}

#[test]
fn a_report_is_believed_by_an_endorsement_of_the_image_and_by_no_other() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let (maker, stranger) = (Maker::new("Images", 5), Maker::new("Images", 7));
    let values = host.image.join("reference-values.json");
    let firmware = maker.endorse(&host, &values, "firmware", FEED, 4);
    let igvm = maker.endorse(&host, &values, "igvm", FEED, 4);
    let wanted =
        ["--endorsement-issuer", &maker.did, "--endorsement-feed", FEED, "--endorsement-minimum-svn", "4"];

    let evidence = Evidence::collect(&host, "endorsement-firmware", None);
    assert_believed(&evidence.verify(&host, &[&firmware], &wanted));
    assert_believed(&evidence.verify(&host, &[&igvm, &firmware], &wanted));
    // Of the same image, launched in another way.
    assert_doubted(&evidence.verify(&host, &[&igvm], &wanted), None);

    // Of another image, by the same maker.
    let mut other: Value = serde_json::from_slice(&fs::read(&values).unwrap()).unwrap();
    let reversed: String = other["measurement"].as_str().unwrap().chars().rev().collect();
    other["measurement"] = reversed.into();
    let other_values = maker.folder.path().join("other.json");
    fs::write(&other_values, other.to_string()).unwrap();
    let other = maker.endorse(&host, &other_values, "firmware", "example.com/other", 4);
    assert_doubted(
        &evidence.verify(&host, &[&other], &wanted),
        Some("feed example.com/other is not trusted"),
    );
    let of_other = ["--endorsement-issuer", &maker.did, "--endorsement-feed", "example.com/other"];
    assert_doubted(&evidence.verify(&host, &[&other], &of_other), None);

    // Of this image, for another product, when it was older, by somebody else of the same name, and by the one that is
    // believed where nobody is named.
    let feed = maker.endorse(&host, &values, "firmware", "example.com/test", 4);
    assert_doubted(&evidence.verify(&host, &[&feed], &wanted), Some("example.com/test is not trusted"));
    let old = maker.endorse(&host, &values, "firmware", FEED, 3);
    assert_doubted(&evidence.verify(&host, &[&old], &wanted), Some("security version 3, at least 4"));
    assert_believed(&evidence.verify(&host, &[&old], &wanted[..4]));
    let strange = stranger.endorse(&host, &values, "firmware", FEED, 4);
    assert_doubted(&evidence.verify(&host, &[&strange], &wanted), Some("is not trusted"));
    assert_doubted(&evidence.verify(&host, &[&firmware], &[]), Some("is not trusted"));

    // A signature says nothing about other bytes.
    let mut bytes = fs::read(&firmware).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let changed = maker.folder.path().join("changed.cose");
    fs::write(&changed, bytes).unwrap();
    assert_doubted(&evidence.verify(&host, &[&changed], &wanted), Some("the endorsement"));
}

#[test]
fn a_guest_without_firmware_is_believed_by_the_endorsement_of_its_file() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let maker = Maker::new("Images", 5);
    let values = host.image.join("reference-values.json");
    let [firmware, igvm] = ["firmware", "igvm"].map(|launch| maker.endorse(&host, &values, launch, FEED, 1));
    let launch = IgvmLaunch { file: host.image.join("guest.igvm"), refusal: None };
    let evidence = Evidence::collect(&host, "endorsement-igvm", Some(launch));
    let wanted = ["--endorsement-issuer", &maker.did, "--endorsement-feed", FEED];
    assert_believed(&evidence.verify(&host, &[&igvm], &wanted));
    assert_believed(&evidence.verify(&host, &[&firmware, &igvm], &wanted));
    assert_doubted(&evidence.verify(&host, &[&firmware], &wanted), None);
}
