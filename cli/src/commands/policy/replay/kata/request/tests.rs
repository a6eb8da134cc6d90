use proto::kata::METHODS;

use super::*;

#[test]
fn every_request_of_the_contract_is_a_kind_and_has_a_default() {
    let requests = METHODS.iter().filter(|method| method.service == "grpc.AgentService");
    let mut names: Vec<&str> =
        requests.map(|method| method.request_type.strip_prefix("grpc.").unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names, kinds);
    for kind in Kind::ALL {
        let complete = complete(*kind, &json!({})).unwrap();
        // What is complete stays as it is.
        assert_eq!(super::complete(*kind, &complete).unwrap(), complete, "{kind}");
    }
}

#[test]
fn absent_fields_have_their_defaults() {
    assert_eq!(
        complete(Kind::ExecProcessRequest, &json!({ "process": { "Args": ["ls"], "User": {} } })).unwrap(),
        json!({
            "container_id": "",
            "exec_id": "",
            "string_user": null,
            "process": {
                "Terminal": false,
                "ConsoleSize": null,
                "User": { "UID": 0, "GID": 0, "AdditionalGids": [], "Username": "" },
                "Args": ["ls"],
                "Env": [],
                "Cwd": "",
                "Capabilities": null,
                "Rlimits": [],
                "NoNewPrivileges": false,
                "ApparmorProfile": "",
                "OOMScoreAdj": 0,
                "SelinuxLabel": "",
            },
            "stdin_port": 0,
            "stdout_port": 0,
            "stderr_port": 0,
        })
    );
    assert_eq!(
        complete(Kind::CopyFileRequest, &json!({ "path": "/a", "data": [1] })).unwrap(),
        json!({
            "path": "/a", "file_type": "Unknown", "symlink_target": null, "file_size": 0, "file_mode": 0,
            "dir_mode": 0, "uid": 0, "gid": 0, "offset": 0,
        })
    );
    assert_eq!(
        complete(Kind::MemAgentCompactConfig, &json!({ "compact_order": 0 })).unwrap(),
        json!({
            "disabled": null, "period_secs": null, "period_psi_percent_limit": null,
            "compact_psi_percent_limit": null, "compact_sec_max": null, "compact_order": 0,
            "compact_threshold": null, "compact_force_times": null,
        })
    );
}

#[test]
fn nested_fields_are_completed_too() {
    let given = json!({
        "OCI": {
            "Annotations": { "a": "b" },
            "Mounts": [{ "destination": "/proc", "type_": "proc" }],
            "Linux": { "Seccomp": { "Syscalls": [
                { "Names": ["read"], "ErrnoRet": { "Errnoret": 38 } },
                { "ErrnoRet": null },
            ] } },
        },
    });
    let complete = complete(Kind::CreateContainerRequest, &given).unwrap();
    let oci = &complete["OCI"];
    assert_eq!(oci["Annotations"], json!({ "a": "b" }));
    assert_eq!(
        oci["Mounts"],
        json!([{ "destination": "/proc", "source": "", "type_": "proc", "options": [] }])
    );
    assert_eq!((&oci["Process"], &oci["Hooks"]), (&Json::Null, &Json::Null));
    assert_eq!(
        oci["Linux"]["Seccomp"]["Syscalls"],
        json!([
            { "Names": ["read"], "Action": "", "ErrnoRet": { "Errnoret": 38 }, "Args": [] },
            { "Names": [], "Action": "", "ErrnoRet": null, "Args": [] },
        ])
    );
    assert_eq!(oci["Linux"]["Resources"], Json::Null);
}

#[test]
fn values_of_another_type_are_refused() {
    for (kind, given) in [
        (Kind::CreateContainerRequest, json!({ "container_id": 1 })),
        (Kind::CreateContainerRequest, json!({ "container_id": null })),
        (Kind::CreateContainerRequest, json!({ "sandbox_pidns": "true" })),
        (Kind::CreateContainerRequest, json!({ "storages": {} })),
        (Kind::CreateContainerRequest, json!({ "storages": [null] })),
        (Kind::CreateContainerRequest, json!({ "OCI": [] })),
        (Kind::CreateContainerRequest, json!({ "OCI": { "Annotations": { "a": 1 } } })),
        (
            Kind::CreateContainerRequest,
            json!({ "OCI": { "Linux": { "Seccomp": { "Syscalls": [{ "ErrnoRet": { "x": 1 } }] } } } }),
        ),
        (Kind::SignalProcessRequest, json!({ "signal": -1 })),
        (Kind::SignalProcessRequest, json!({ "signal": 4_294_967_296_u64 })),
        (Kind::SignalProcessRequest, json!({ "signal": 9.0 })),
        (Kind::WriteStreamRequest, json!({ "data": [256] })),
        (Kind::WriteStreamRequest, json!({ "data": "aGk=" })),
        (Kind::CopyFileRequest, json!({ "file_type": "Socket" })),
        (Kind::CopyFileRequest, json!({ "symlink_target": 1 })),
        (Kind::CopyFileRequest, json!([])),
    ] {
        complete(kind, &given).unwrap_err();
    }
}
