//! Fragments and trust lists, signed by keys that everybody knows: over policies that are judged natively, and over the
//! same ones in the interpreter.

use std::sync::LazyLock;

use policy_engine::fragment::{FragmentError, FragmentLoaded, LoadTrustListError};
use policy_engine::limits::FRAGMENTS_MAX;
use policy_engine::{Engine, EvaluatorKind, LoadError, ScanError};
use serde_json::{Value, json};
use signed_statement::{Envelope, VerifiedStatement, media_type};
use statement_signer::{
    Cbor, CertificateSpec, Curve, Identity, Key, Ledger, StatementSpec, trust_list as ledger_list,
};

use crate::fixture::mount_device;

const FEED: &str = "example.com/sidecar";
const LISTS: &str = "example.com/ledgers";

fn identity(secret: u16) -> Identity {
    Identity::root(&CertificateSpec::authority("Root"), Key::new(Curve::P256, secret))
        .issue(&CertificateSpec::signer("Signer"), Key::new(Curve::P256, 99))
}

static SIGNER: LazyLock<Identity> = LazyLock::new(|| identity(1));
static STRANGER: LazyLock<Identity> = LazyLock::new(|| identity(2));

fn did(signer: &Identity) -> String {
    signer.did("subject:CN:Signer")
}

fn verified(spec: &StatementSpec, signer: &Identity) -> VerifiedStatement {
    Envelope::parse(&spec.sign(signer)).unwrap().verify().unwrap()
}

fn spec(feed: &str, svn: Option<i64>, text: &str) -> StatementSpec {
    StatementSpec::new(&did(&SIGNER), feed, svn, text.as_bytes())
}

fn signed(text: &str) -> VerifiedStatement {
    verified(&spec(FEED, Some(2), text), &SIGNER)
}

fn hash(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

/// A container whose only layer has this root hash: Rego that gives a text.
fn container(layer: &str) -> String {
    format!(
        r#"{{"command": ["/bin/sidecar"], "env_rules": [], "layers": [{layer}], "mounts": [], "exec_processes": [],
        "signals": [], "user": {{"user_idname": {{"pattern": "", "strategy": "any"}}, "group_idnames": [],
        "umask": "0022"}}, "capabilities": null, "seccomp_profile_sha256": "", "allow_elevated": false,
        "working_dir": "/", "allow_stdio_access": false, "no_new_privileges": true}}"#
    )
}

/// A fragment with one container.
fn sidecar(namespace: &str, byte: u8) -> String {
    let container = container(&format!("{:?}", hash(byte)));
    format!(
        "package {namespace}\n\nframework_version := \"0.5.0\"\n\nsvn := 2\n\ncontainers := [{container}]\n"
    )
}

fn entry(feed: &str, includes: &[&str]) -> Value {
    json!({"issuer": did(&SIGNER), "feed": feed, "minimum_svn": 2, "includes": includes})
}

fn policy(fragments: &Value, rules: &str) -> String {
    format!(
        "package policy\n\napi_version := \"0.12.0\"\n\nframework_version := \"0.5.0\"\n\ncontainers := []\n\n\
         fragments := {fragments}\n\ntransparency_trust_lists := [{{\"issuer\": \"{}\", \"subject\": \"{LISTS}\", \
         \"minimum_svn\": 3, \"allowed_ledgers\": [\"a.example.com\"]}}]\n\n\
         load_fragment := data.framework.load_fragment\n\n\
         load_transparency_trust_list := data.framework.load_transparency_trust_list\n\n\
         reason := data.framework.reason\n\n{rules}",
        did(&SIGNER)
    )
}

/// The policy judged natively and by the interpreter.
fn engines(fragments: &Value) -> [Engine; 2] {
    let native = policy(fragments, "mount_device := data.framework.mount_device\n");
    let interpreted = format!("{native}\nanother if 1 == 1\n");
    let engines = [native, interpreted].map(|text| Engine::load(text.as_bytes()).unwrap());
    assert_eq!(engines[0].summary().evaluator, EvaluatorKind::Native);
    assert_eq!(engines[1].summary().evaluator, EvaluatorKind::Interpreter);
    engines
}

/// Whether a layer of this root hash may be mounted.
fn mounts(engine: &Engine, byte: u8) -> bool {
    engine.decide(mount_device(byte.into(), [byte; 32])).is_ok_and(|permit| {
        permit.untouched();
        true
    })
}

fn denied(engine: &Engine, statement: &VerifiedStatement) -> Vec<String> {
    match engine.load_fragment(statement) {
        Err(FragmentError::Denied(denial)) => denial.reasons,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fragment_that_the_policy_wants_adds_what_it_includes() {
    for engine in engines(&json!([entry(FEED, &["containers"])])) {
        assert!(!mounts(&engine, 7));
        let loaded = engine.load_fragment(&signed(&sidecar("sidecar", 7))).unwrap();
        let expected = FragmentLoaded {
            namespace: "sidecar".to_owned(),
            parameter_sets: 1,
            namespace_kept: false,
            was_loaded: false,
        };
        assert_eq!(loaded, expected);
        assert!(mounts(&engine, 7) && !mounts(&engine, 8));
        // Again: nothing more happens.
        let again = engine.load_fragment(&signed(&sidecar("sidecar", 7))).unwrap();
        assert_eq!(again, FragmentLoaded { was_loaded: true, ..expected });
        assert!(mounts(&engine, 7));
        // What the policy does not include stays outside.
    }
    for engine in engines(&json!([entry(FEED, &["fragments"])])) {
        engine.load_fragment(&signed(&sidecar("sidecar", 7))).unwrap();
        assert!(!mounts(&engine, 7));
    }
}

#[test]
fn issuer_feed_and_version_are_those_of_the_policy() {
    for engine in engines(&json!([entry(FEED, &["containers"])])) {
        let text = sidecar("sidecar", 7);
        let other_issuer = StatementSpec::new(&did(&STRANGER), FEED, Some(2), text.as_bytes());
        assert_eq!(denied(&engine, &verified(&other_issuer, &STRANGER)), ["invalid fragment issuer"]);
        let other_feed = verified(&spec("example.com/other", Some(2), &text), &SIGNER);
        assert_eq!(denied(&engine, &other_feed), ["invalid fragment feed"]);
        let too_old = verified(&spec(FEED, Some(1), &text), &SIGNER);
        assert!(denied(&engine, &too_old)[0].starts_with("fragment svn is below the specified minimum"));
        // The text says 2.
        assert!(!denied(&engine, &verified(&spec(FEED, Some(3), &text), &SIGNER)).is_empty());
        let newer_text = text.replace("svn := 2", "svn := \"3\"");
        assert!(!mounts(&engine, 7), "a refused fragment left something behind");
        engine.load_fragment(&verified(&spec(FEED, None, &newer_text), &SIGNER)).unwrap();
        assert!(mounts(&engine, 7));
    }
    for engine in engines(&json!([entry(FEED, &["containers"])])) {
        let without_version = sidecar("sidecar", 7).replace("svn := 2\n", "");
        assert!(!denied(&engine, &verified(&spec(FEED, None, &without_version), &SIGNER)).is_empty());
        let old_text = sidecar("sidecar", 7).replace("svn := 2", "svn := 1");
        assert!(!denied(&engine, &verified(&spec(FEED, None, &old_text), &SIGNER)).is_empty());
        engine.load_fragment(&verified(&spec(FEED, Some(2), &without_version), &SIGNER)).unwrap();
        assert!(mounts(&engine, 7));
    }
}

#[test]
fn a_policy_without_fragments_takes_none() {
    for engine in engines(&json!([])) {
        assert!(!denied(&engine, &signed(&sidecar("sidecar", 7))).is_empty());
        assert!(!mounts(&engine, 7));
    }
    // A policy that never heard of them.
    let old = "package policy\napi_version := \"0.8.0\"\nframework_version := \"0.1.0\"\ncontainers := []\n";
    let engine = Engine::load(old.as_bytes()).unwrap();
    assert!(matches!(engine.load_fragment(&signed(&sidecar("a", 7))), Err(FragmentError::Denied(_))));
}

#[test]
fn the_first_line_is_a_package_of_one_free_name() {
    let [engine, _] = engines(&json!([entry(FEED, &["containers"])]));
    for first in [
        "package a.b",
        "package",
        " package a",
        "package 1a",
        "# package a",
        "package a # b",
        "package a;b",
        "",
    ] {
        let text = format!("{first}\nsvn := 2\n");
        let error = engine.load_fragment(&signed(&text)).unwrap_err();
        assert!(matches!(error, FragmentError::Package), "{first:?}: {error:?}");
    }
    for name in ["framework", "api", "policy", "metadata", "defaultMounts", "sandboxPrefix"] {
        let error = engine.load_fragment(&signed(&sidecar(name, 7))).unwrap_err();
        assert!(matches!(error, FragmentError::Reserved { .. }), "{name}: {error:?}");
    }
    let [engine, _] = engines(&json!([entry(FEED, &["containers"])]));
    engine.load_fragment(&signed(&sidecar("  _side_car9  ", 7))).unwrap();
}

#[test]
fn a_fragment_does_not_become_part_of_another_package() {
    for engine in engines(&json!([entry(FEED, &["containers", "namespace"])])) {
        for rules in [
            "package policy\nmount_device := {\"allowed\": true}\n",
            "data.policy.mount_device := {\"allowed\": true}\n",
            "data.framework.mount_device := {\"allowed\": true}\n",
            "import data.framework as policy\npolicy.mount_device := {\"allowed\": true}\n",
        ] {
            let text = format!("{}{rules}", sidecar("sidecar", 7));
            let _ = engine.load_fragment(&signed(&text));
            assert!(!mounts(&engine, 9), "{rules}");
        }
    }
}

#[test]
fn recursion_and_other_texts_that_are_no_rego_are_refused() {
    for engine in engines(&json!([entry(FEED, &["containers"])])) {
        let refused =
            |rules: &str| match engine.load_fragment(&signed(&format!("{}{rules}", sidecar("sidecar", 7)))) {
                Err(FragmentError::Load(error)) => error,
                other => panic!("{other:?}"),
            };
        assert!(matches!(refused("f(x) := f(x)\n"), LoadError::Recursion(_)));
        assert!(matches!(refused("a := \"\n"), LoadError::Scan(ScanError::Unterminated { .. })));
        assert!(matches!(refused("a := := 1\n"), LoadError::Parse { .. }));
        assert!(!mounts(&engine, 7));
        // The next fragment does not suffer from it.
        engine.load_fragment(&signed(&sidecar("sidecar", 7))).unwrap();
        assert!(mounts(&engine, 7));
    }
}

#[test]
fn only_texts_of_rego_are_fragments() {
    let [engine, _] = engines(&json!([entry(FEED, &["containers"])]));
    let typed = |content_type: Option<&'static str>| {
        let spec = StatementSpec { content_type, ..spec(FEED, Some(2), &sidecar("sidecar", 7)) };
        engine.load_fragment(&verified(&spec, &SIGNER))
    };
    for other in ["application/json", media_type::TRUST_LIST, "application/vnd.tcb-reference-info.v1+cose"] {
        assert!(matches!(typed(Some(other)), Err(FragmentError::ContentType { .. })), "{other}");
    }
    assert!(typed(None).is_ok());
    assert!(typed(Some("application/unknown+rego")).is_ok());
    assert!(typed(Some("application/unknown+json")).is_ok());
    let bytes = StatementSpec { payload: b"package a\n\xff".to_vec(), ..spec(FEED, Some(2), "") };
    assert!(matches!(engine.load_fragment(&verified(&bytes, &SIGNER)), Err(FragmentError::Text(_))));
}

#[test]
fn parameters_of_the_policy_shape_the_fragment() {
    let with = |byte: u8, includes: &[&str]| {
        let mut entry = entry(FEED, includes);
        entry["parameters"] = json!({"layer": hash(byte)});
        entry
    };
    let text = format!(
        "package sidecar\n\nframework_version := \"0.5.0\"\n\nsvn := 2\n\ncontainers := [{}]\n",
        container("parameter(\"layer\")")
    );
    for engine in engines(&json!([with(7, &["containers"]), with(8, &["containers"])])) {
        assert_eq!(engine.load_fragment(&signed(&text)).unwrap().parameter_sets, 2);
        assert!(mounts(&engine, 7) && mounts(&engine, 8) && !mounts(&engine, 9));
    }
    // A package can stand for one set only; nothing of the first set remains.
    let includes = ["containers", "namespace"];
    for engine in engines(&json!([with(7, &includes), with(8, &includes)])) {
        let error = engine.load_fragment(&signed(&text)).unwrap_err();
        assert!(matches!(error, FragmentError::SeveralParameterSets { sets: 2 }), "{error:?}");
        assert!(!mounts(&engine, 7) && !mounts(&engine, 8));
    }
    // Entries that include different things contradict each other.
    for engine in engines(&json!([with(7, &["containers"]), with(7, &["fragments"])])) {
        assert!(matches!(engine.load_fragment(&signed(&text)), Err(FragmentError::Denied(_))));
        assert!(!mounts(&engine, 7));
    }
}

#[test]
fn fragments_of_fragments_are_let_in_by_those() {
    let inner = format!("[{}]", entry("example.com/inner", &["containers"]));
    let outer =
        format!("package outer\n\nframework_version := \"0.5.0\"\n\nsvn := 2\n\nfragments := {inner}\n");
    let inner = verified(&spec("example.com/inner", Some(2), &sidecar("inner", 7)), &SIGNER);
    for engine in engines(&json!([entry(FEED, &["fragments"])])) {
        assert!(!denied(&engine, &inner).is_empty());
        engine.load_fragment(&signed(&outer)).unwrap();
        engine.load_fragment(&inner).unwrap();
        assert!(mounts(&engine, 7));
    }
    for engine in engines(&json!([entry(FEED, &["containers"])])) {
        engine.load_fragment(&signed(&outer)).unwrap();
        assert!(!denied(&engine, &inner).is_empty());
    }
}

/// A policy whose own rule refers to what a fragment says.
fn trusting_namespace(includes: &[&str]) -> Engine {
    let fragments = json!([entry(FEED, includes), entry("example.com/other", includes)]);
    let rule = "mount_device := {\"allowed\": data.sidecar.open}\n";
    Engine::load(policy(&fragments, rule).as_bytes()).unwrap()
}

#[test]
fn a_namespace_is_kept_when_the_policy_includes_it() {
    let text = format!("{}\nopen := true\n", sidecar("sidecar", 7));
    let engine = trusting_namespace(&["namespace"]);
    assert!(!mounts(&engine, 9));
    assert!(engine.load_fragment(&signed(&text)).unwrap().namespace_kept);
    assert!(mounts(&engine, 9));
    let engine = trusting_namespace(&["containers"]);
    assert!(!engine.load_fragment(&signed(&text)).unwrap().namespace_kept);
    assert!(!mounts(&engine, 9));
}

#[test]
fn a_kept_namespace_has_one_owner() {
    let closed = format!("{}\nopen := false\n", sidecar("sidecar", 7));
    let open = format!("{}\nopen := true\n", sidecar("sidecar", 7));
    let engine = trusting_namespace(&["namespace"]);
    engine.load_fragment(&signed(&closed)).unwrap();
    for other in [signed(&open), verified(&spec("example.com/other", Some(2), &open), &SIGNER)] {
        let error = engine.load_fragment(&other).unwrap_err();
        assert!(matches!(error, FragmentError::NamespaceTaken { .. }), "{error:?}");
        assert!(!mounts(&engine, 9));
    }
    assert!(engine.load_fragment(&signed(&closed)).unwrap().was_loaded);
}

#[test]
fn fragments_are_counted() {
    let [engine, _] = engines(&json!([entry(FEED, &["containers"])]));
    let text = |number: usize| {
        signed(&format!("package a\n\nframework_version := \"0.5.0\"\n\nsvn := 2\n# {number}\n"))
    };
    for number in 0..FRAGMENTS_MAX {
        engine.load_fragment(&text(number)).unwrap();
    }
    assert!(matches!(engine.load_fragment(&text(FRAGMENTS_MAX)), Err(FragmentError::TooMany)));
    assert!(engine.load_fragment(&text(0)).unwrap().was_loaded);
}

#[test]
fn nothing_is_loaded_beside_another_change_or_after_a_failure() {
    let text = sidecar("sidecar", 7);
    for engine in engines(&json!([entry(FEED, &["containers"])])) {
        engine.load_fragment(&signed(&text)).unwrap();
        let permit = engine.decide(mount_device(0, [7; 32])).unwrap();
        assert!(matches!(engine.load_fragment(&signed(&text)), Err(FragmentError::Busy)));
        assert!(matches!(engine.load_transparency_trust_list(&list(3)), Err(LoadTrustListError::Busy)));
        drop(permit);
        assert!(matches!(engine.load_fragment(&signed(&text)), Err(FragmentError::Poisoned)));
        assert!(matches!(engine.load_transparency_trust_list(&list(3)), Err(LoadTrustListError::Poisoned)));
    }
}

fn ledger(name: &str, secret: u16) -> Ledger {
    Ledger { name: name.to_owned(), key_id: b"key".to_vec(), key: Key::new(Curve::P256, secret) }
}

fn list_spec(svn: Option<i64>) -> StatementSpec {
    let ledgers = [ledger("a.example.com", 11), ledger("b.example.com", 12)];
    StatementSpec {
        content_type: Some(media_type::TRUST_LIST),
        ..StatementSpec::new(&did(&SIGNER), LISTS, svn, &ledger_list(&ledgers))
    }
}

fn list(svn: i64) -> VerifiedStatement {
    verified(&list_spec(Some(svn)), &SIGNER)
}

/// The fragment with receipts of these ledgers.
fn registered(ledgers: &[Ledger]) -> VerifiedStatement {
    let mut spec = spec(FEED, Some(2), &sidecar("sidecar", 7));
    let envelope = spec.sign(&SIGNER);
    let receipts = ledgers.iter().map(|ledger| Cbor::Bytes(ledger.receipt(&envelope))).collect();
    spec.unprotected = vec![(Cbor::Int(394), Cbor::Array(receipts))];
    verified(&spec, &SIGNER)
}

#[test]
fn receipts_of_ledgers_that_count_satisfy_the_policy() {
    for required in [format!("TTL:{LISTS}"), "a.example.com".to_owned(), "*".to_owned()] {
        let mut entry = entry(FEED, &["containers"]);
        entry["required_receipts"] = json!([required]);
        for engine in engines(&json!([entry])) {
            let (a, b) = (ledger("a.example.com", 11), ledger("b.example.com", 12));
            // No ledger counts yet.
            assert!(!denied(&engine, &registered(std::slice::from_ref(&a))).is_empty());
            let loaded = engine.load_transparency_trust_list(&list(3)).unwrap();
            assert_eq!(loaded.ledgers, ["a.example.com"]);
            // None, of a ledger that the policy does not allow, by another key in the ledger's name.
            let forged = Ledger { key: b.key.clone(), ..a.clone() };
            for receipts in [&[][..], &[b][..], &[forged][..]] {
                assert!(!denied(&engine, &registered(receipts)).is_empty(), "{required}: {receipts:?}");
                assert!(!mounts(&engine, 7));
            }
            engine.load_fragment(&registered(&[a])).unwrap();
            assert!(mounts(&engine, 7));
        }
    }
}

#[test]
fn trust_lists_are_those_of_the_policy() {
    for engine in engines(&json!([])) {
        let error = |spec: StatementSpec, signer: &Identity| {
            engine.load_transparency_trust_list(&verified(&spec, signer)).unwrap_err()
        };
        assert!(matches!(error(list_spec(Some(2)), &SIGNER), LoadTrustListError::Denied(_)));
        assert!(matches!(error(list_spec(None), &SIGNER), LoadTrustListError::NoVersion));
        let mut other_issuer = list_spec(Some(3));
        other_issuer.claims = Some((did(&STRANGER), LISTS.to_owned(), Some(3)));
        assert!(matches!(error(other_issuer, &STRANGER), LoadTrustListError::Denied(_)));
        let mut other_subject = list_spec(Some(3));
        other_subject.claims = Some((did(&SIGNER), FEED.to_owned(), Some(3)));
        assert!(matches!(error(other_subject, &SIGNER), LoadTrustListError::Denied(_)));
        let fragment = StatementSpec { content_type: Some(media_type::FRAGMENT), ..list_spec(Some(3)) };
        assert!(matches!(error(fragment, &SIGNER), LoadTrustListError::ContentType));
        let no_list = StatementSpec { payload: b"package a".to_vec(), ..list_spec(Some(3)) };
        assert!(matches!(error(no_list, &SIGNER), LoadTrustListError::Parse(_)));
        assert!(engine.load_transparency_trust_list(&list(3)).is_ok());
    }
}
