//! Points that no request of this agent asks yet, and fragments: a policy of the current versions under test.

use policy_engine::{EvaluatorKind, Session};
use serde_json::{Map, Value, json};

pub(crate) const POLICY: &str = include_str!("../policies/current.rego");
pub(crate) const ISSUER: &str = "did:x509:0:sha256:issuer";

pub(crate) fn data() -> Map<String, Value> {
    let data = json!({
        "defaultMounts": [],
        "privilegedMounts": [{"destination": "/sys", "options": ["rw"], "source": "sysfs", "type": "sysfs"}],
        "defaultPrivilegedCapabilities": ["CAP_CHOWN", "CAP_SYS_ADMIN"],
        "defaultUnprivilegedCapabilities": ["CAP_CHOWN"],
        "sandboxPrefix": "sandbox://",
        "hugePagesPrefix": "hugepages://",
        "plan9Prefix": "plan9://",
    });
    data.as_object().unwrap().clone()
}

fn session() -> Session {
    Session::load(POLICY.as_bytes(), data(), EvaluatorKind::Interpreter).unwrap()
}

pub(crate) fn allowed(session: &mut Session, point: &str, request: &Value) -> bool {
    let answer = session.query(&format!("data.policy.{point}"), request).unwrap();
    answer["allowed"] == json!(true)
}

pub(crate) fn reasons(session: &mut Session, point: &str, mut request: Value) -> Value {
    request["rule"] = json!(point);
    session.query("data.policy.reason", &request).unwrap()["errors"].clone()
}

#[test]
fn writable_disks_are_encrypted_and_formatted_here() {
    let mut session = session();
    let disk = |encrypted: bool, fresh: bool, filesystem: &str, target: &str| {
        json!({
            "target": target, "encrypted": encrypted, "ensureFilesystem": fresh, "filesystem": filesystem,
            "mountPathRegex": "/run/gcs/c/[0-9a-f]{4}",
        })
    };
    for bad in [
        disk(false, true, "ext4", "/run/gcs/c/00aa"),
        disk(true, false, "ext4", "/run/gcs/c/00aa"),
        disk(true, true, "vfat", "/run/gcs/c/00aa"),
        disk(true, true, "ext4", "/run/gcs/c/00aa/.."),
        disk(true, true, "ext4", "/etc"),
    ] {
        assert!(!allowed(&mut session, "rw_mount_device", &bad), "{bad}");
    }
    let good = disk(true, true, "xfs", "/run/gcs/c/00aa");
    assert!(allowed(&mut session, "rw_mount_device", &good));
    assert!(!allowed(&mut session, "rw_mount_device", &good));
    let unmount = json!({"unmountTarget": "/run/gcs/c/00aa"});
    assert!(allowed(&mut session, "rw_unmount_device", &unmount));
    assert!(!allowed(&mut session, "rw_unmount_device", &unmount));
}

#[test]
fn block_devices_are_never_passed_on() {
    let mut session = session();
    assert!(!allowed(&mut session, "mount_blockdev", &json!({"target": "/dev/x"})));
    assert!(!allowed(&mut session, "unmount_blockdev", &json!({"unmountTarget": "/dev/x"})));
}

#[test]
fn processes_of_the_guest_are_listed() {
    let mut session = session();
    let probe = |args: Value, env: Value| json!({"argList": args, "envList": env, "workingDir": "/"});
    assert!(allowed(&mut session, "exec_external", &probe(json!(["/bin/probe"]), json!([]))));
    assert!(!allowed(&mut session, "exec_external", &probe(json!(["/bin/probe", "-v"]), json!([]))));
    let environment = probe(json!(["/bin/probe"]), json!(["A=secret"]));
    assert!(!allowed(&mut session, "exec_external", &environment));
    assert_eq!(reasons(&mut session, "exec_external", environment), json!(["invalid env list: A"]));
}

#[test]
fn rights_of_the_host_are_granted_one_by_one() {
    let mut session = session();
    for point in ["dump_stacks", "runtime_logging", "host_network"] {
        assert!(allowed(&mut session, point, &json!({})), "{point}");
    }
    assert!(!allowed(&mut session, "get_properties", &json!({})));
    let silent = POLICY.replace("allow_", "formerly_allow_");
    let mut session = Session::load(silent.as_bytes(), data(), EvaluatorKind::Interpreter).unwrap();
    for point in ["dump_stacks", "runtime_logging", "host_network"] {
        assert!(!allowed(&mut session, point, &json!({})), "{point}");
    }
}

fn create(session: &mut Session, changes: &Value) -> Value {
    let mut request = json!({
        "containerID": "web", "argList": ["/bin/web"], "envList": ["MODE=fast"], "workingDir": "/",
        "sandboxDir": "/sandbox", "hugePagesDir": "/huge", "mounts": [], "devices": [], "privileged": false,
        "noNewPrivileges": false, "user": {"id": "1", "name": "www"}, "groups": [{"id": "2", "name": "staff"}],
        "umask": "0027", "seccompProfileSHA256": "", "isSandboxContainer": false,
        "capabilities": {
            "bounding": ["CAP_CHOWN"], "effective": ["CAP_CHOWN"], "inheritable": [], "permitted": ["CAP_CHOWN"],
            "ambient": [],
        },
    });
    for (field, value) in changes.as_object().unwrap() {
        request[field] = value.clone();
    }
    session.query("data.policy.create_container", &request).unwrap()
}

fn with_overlay() -> Session {
    let mut session = session();
    let device = json!({"target": "/m1", "deviceHash": "aa", "mountPathRegex": "/m[0-9]+"});
    assert!(allowed(&mut session, "mount_device", &device));
    let overlay = json!({"containerID": "web", "layerPaths": ["/m1"], "target": "/rootfs"});
    assert!(allowed(&mut session, "mount_overlay", &overlay));
    session
}

#[test]
fn containers_of_the_current_framework() {
    let mut session = with_overlay();
    let saved = session.save();
    let wide = json!(["CAP_CHOWN", "CAP_SYS_ADMIN"]);
    let privileged = json!({
        "privileged": true,
        "capabilities": {"bounding": wide, "effective": wide, "inheritable": wide, "permitted": wide, "ambient": []},
        "mounts": [{"destination": "/sys", "options": ["rw"], "source": "sysfs", "type": "sysfs"}],
    });
    let mut unprivileged = privileged.clone();
    unprivileged["privileged"] = json!(false);
    for (changes, expected) in [
        (json!({}), true),
        (json!({"envList": ["MODE=slow", "TERM=xterm"]}), true),
        (json!({"envList": ["MODE=slower"]}), false),
        (json!({"envList": ["XMODE=fast"]}), false),
        (json!({"envList": ["MODE=fast", "MODE"]}), false),
        (json!({"envList": ["TERM=xterm"]}), false),
        (json!({"user": {"id": "1", "name": "wwww"}}), false),
        (json!({"groups": [{"id": "2", "name": "staff"}, {"id": "0", "name": "root"}]}), false),
        (json!({"umask": "0022"}), false),
        (json!({"devices": [{"path": "/dev/kvm"}]}), false),
        (privileged, true),
        // Without privileges `null` stands for the smaller default sets.
        (unprivileged, false),
    ] {
        let answer = create(&mut session, &changes);
        assert_eq!(answer["allowed"], json!(expected), "{changes}");
        session.restore(&saved);
    }
}

#[test]
fn shared_directories_are_mounted_for_one_container() {
    let mut session = with_overlay();
    let mount =
        |target: &str| json!({"rootPrefix": "/c", "mountPathPrefix": "/mounts/m[0-9]+", "target": target});
    for bad in ["/c/other/mounts/m1", "/c/web/mounts/m", "/c/web/mounts/m1/x", "/web/mounts/m1", "/c/web"] {
        assert!(!allowed(&mut session, "plan9_mount", &mount(bad)), "{bad}");
    }
    let data = json!({"mounts": [
        {"destination": "/data", "options": ["ro"], "source": "/c/web/mounts/m1", "type": "bind"},
    ]});
    assert_eq!(create(&mut session, &data)["allowed"], json!(false));
    assert!(allowed(&mut session, "plan9_mount", &mount("/c/web/mounts/m1")));
    assert!(!allowed(&mut session, "plan9_mount", &mount("/c/web/mounts/m1")));
    assert_eq!(create(&mut session, &data)["allowed"], json!(true));
    let unmount = json!({"unmountTarget": "/c/web/mounts/m1"});
    assert!(allowed(&mut session, "plan9_unmount", &unmount));
    assert!(!allowed(&mut session, "plan9_unmount", &unmount));
}

fn fragment(feed: &str, loaded: bool, svn: i64, receipts: &Value) -> Value {
    json!({
        "issuer": ISSUER, "feed": feed, "namespace": "sidecar", "fragment_loaded": loaded,
        "has_header_svn": true, "header_svn": svn, "receipts": receipts,
    })
}

#[test]
fn fragments_add_what_the_policy_includes() {
    let mut session = session();
    let none = json!([]);
    assert!(!allowed(&mut session, "load_fragment", &fragment("example/other", false, 2, &none)));
    assert!(!allowed(&mut session, "load_fragment", &fragment("example/sidecar", false, 1, &none)));
    let first = fragment("example/sidecar", false, 2, &none);
    let answer = session.query("data.policy.load_fragment", &first).unwrap();
    assert_eq!(answer["parameters"], json!([{"command": "/bin/sidecar"}]));
    let text = "package sidecar\nframework_version := \"0.5.0\"\nsvn := 2\n\
        containers := [{\"layers\": [\"bb\"], \"command\": [parameter(\"command\"), parameter(\"flag\")]}]\n\
        parameters_api := {\"flag\": {\"default\": \"-q\"}}\n";
    session.add_fragment("sidecar", text, &answer["parameters"][0]).unwrap();
    let device = json!({"target": "/m2", "deviceHash": "bb", "mountPathRegex": "/m[0-9]+"});
    assert!(!allowed(&mut session, "mount_device", &device), "not before the second question");
    assert!(
        !allowed(&mut session, "load_fragment", &fragment("example/sidecar", true, 3, &none)),
        "two versions"
    );
    assert!(allowed(&mut session, "load_fragment", &fragment("example/sidecar", true, 2, &none)));
    session.remove_fragment(0).unwrap();
    assert!(allowed(&mut session, "mount_device", &device));
}

#[test]
fn fragments_cannot_take_names_that_mean_something() {
    let mut session = session();
    for namespace in ["framework", "api", "policy", "metadata", "defaultMounts"] {
        let text = format!("package {namespace}\nsvn := 1\n");
        assert!(session.add_fragment(namespace, &text, &json!({})).is_err(), "{namespace}");
    }
    assert!(session.add_fragment("a", "package framework\nsvn := 1\n", &json!({})).is_err());
}

#[test]
fn receipts_prove_that_a_ledger_holds_a_fragment() {
    let mut session = session();
    let ask = |receipts: Value| fragment("example/recorded", false, 1, &receipts);
    assert!(!allowed(&mut session, "load_fragment", &ask(json!([]))));
    let other = json!([{"issuer": "ledger.example", "ttl_subjects": ["others"]}]);
    assert!(!allowed(&mut session, "load_fragment", &ask(other.clone())));
    let missing = reasons(&mut session, "load_fragment", ask(other));
    assert_eq!(missing, json!(["missing receipt from TTL:ledgers"]));
    let right = json!([{"issuer": "ledger.example", "ttl_subjects": ["ledgers"]}]);
    assert!(allowed(&mut session, "load_fragment", &ask(right)));
}

#[test]
fn trust_lists_name_ledgers_that_the_policy_allows() {
    let mut session = session();
    let list = |svn: i64, ledgers: Value| json!({"issuer": ISSUER, "subject": "ledgers", "svn": svn, "ledgers": ledgers});
    let both = list(3, json!(["ledger.example", "other.example"]));
    let answer = session.query("data.policy.load_transparency_trust_list", &both).unwrap();
    assert_eq!(answer["allowed_ledgers"], json!(["ledger.example"]));
    for bad in [list(2, json!(["ledger.example"])), list(3, json!(["other.example"])), list(3, json!([]))] {
        assert!(!allowed(&mut session, "load_transparency_trust_list", &bad), "{bad}");
    }
}
