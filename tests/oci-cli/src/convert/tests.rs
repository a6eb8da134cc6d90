use policy_engine::request::Maximum;
use policy_engine::request::linux::{DeviceKind, Namespace};
use serde_json::{Value as Json, json};

use super::*;

fn config() -> Json {
    json!({
        "ociVersion": "1.2.0",
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "inside",
        "process": {
            "user": {"uid": 1, "gid": 2, "additionalGids": [3], "umask": 0o27},
            "args": ["/bin/true"], "env": ["A=b"], "cwd": "/tmp/", "noNewPrivileges": true,
            "capabilities": {"bounding": ["CAP_KILL", "CAP_CHOWN"]},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 5, "hard": 6}],
        },
        "mounts": [{"destination": "/proc/", "type": "proc", "source": "proc"}],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "network", "path": "/proc/1/ns/net"}],
            "maskedPaths": ["/proc/kcore"],
            "resources": {
                "devices": [
                    {"allow": false, "access": "rwm"},
                    {"allow": true, "type": "c", "major": 10, "minor": -1, "access": "rw"},
                ],
                "memory": {"limit": 4096, "kernel": 1}, "pids": {"limit": -1},
                "unified": {"memory.high": "1", "cpu.weight": "2"},
            },
        },
    })
}

fn convert(config: Json) -> anyhow::Result<CreateContainer> {
    create_container(&"c1".parse()?, &serde_json::from_value(config)?, &"/b/rootfs".parse()?)
}

#[test]
fn a_configuration_becomes_a_request() {
    let request = convert(config()).unwrap();
    let process = &request.process;
    assert_eq!((process.user.uid, process.user.gid, process.umask), (1, 2, 0o27));
    assert_eq!(process.cwd.as_str(), "/tmp");
    assert_eq!(process.capabilities.bounding, ["CAP_CHOWN", "CAP_KILL"]);
    assert_eq!((process.rlimits[0].kind.as_str(), process.rlimits[0].hard), ("RLIMIT_NOFILE", 6));
    assert_eq!(request.mounts[0].destination.as_str(), "/proc");
    let namespaces = &request.linux.namespaces;
    assert_eq!((&namespaces.pid, &namespaces.mount), (&Namespace::New, &Namespace::Guest));
    assert_eq!(namespaces.network, Namespace::Join("/proc/1/ns/net".parse().unwrap()));
    // That all is denied which no rule allows goes without saying.
    let [rule] = request.linux.device_rules.as_slice() else { panic!("one rule") };
    assert_eq!((rule.allow, rule.kind, rule.minor), (true, Some(DeviceKind::Character), None));
    let resources = &request.resources;
    assert_eq!(resources.memory.limit_bytes, Some(Maximum::Limited(4096)));
    assert_eq!(resources.pids_limit, Some(Maximum::Unlimited));
    let files: Vec<_> = resources.unified.iter().map(|setting| setting.file.as_str()).collect();
    assert_eq!(files, ["cpu.weight", "memory.high"]);
}

#[test]
fn what_is_not_supported_is_named() {
    let refused = |place: &str, value: Json| {
        let mut config = config();
        *config.pointer_mut(place).unwrap() = value;
        format!("{:#}", convert(config).unwrap_err())
    };
    assert!(refused("/linux", json!({"intelRdt": {}})).contains("linux.intelRdt"));
    assert!(refused("/linux/namespaces", json!([{"type": "pid"}, {"type": "pid"}])).contains("two of type"));
    assert!(refused("/mounts", json!([{"destination": "/a/../b", "type": "tmpfs"}])).contains(".."));
    let resources = |section: Json| refused("/linux", json!({ "resources": section }));
    assert!(resources(json!({"network": {"classID": 5}})).contains("network"));
    assert!(resources(json!({"unified": {"cgroup.procs": "1"}})).contains("cgroup.procs"));
    assert!(resources(json!({"hugepageLimits": [{"pageSize": "2M", "limit": 1}]})).contains("hugepage"));
    assert!(refused("/linux", json!({"cgroupsPath": "system.slice:docker:1"})).contains("cgroupsPath"));
    assert!(refused("/linux", json!({"rootfsPropagation": "odd"})).contains("rootfsPropagation"));
    assert!(refused("/linux", json!({"timeOffsets": {"odd": {}}})).contains("odd"));
}
