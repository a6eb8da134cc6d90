use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use protobuf::{EnumOrUnknown, Message, MessageField};

use super::*;

struct Unserved;
impl agent_ttrpc::AgentService for Unserved {}
impl health_ttrpc::Health for Unserved {}

/// Asserts that `message` has exactly these bytes on the wire, and that they are read back as the same.
fn known_answer<M: Message + PartialEq + std::fmt::Debug>(message: &M, wire: &[u8]) {
    assert_eq!(message.write_to_bytes().unwrap(), wire);
    assert_eq!(&M::parse_from_bytes(wire).unwrap(), message);
}

#[test]
fn the_method_table_is_what_the_services_register() {
    let mut registered = BTreeSet::new();
    let services = [
        agent_ttrpc::create_agent_service(Arc::new(Unserved)),
        health_ttrpc::create_health(Arc::new(Unserved)),
    ];
    for (service, dispatch) in services.into_iter().flatten() {
        assert!(dispatch.streams.is_empty(), "every call is unary");
        registered.extend(dispatch.methods.into_keys().map(|name| (service.clone(), name)));
    }
    let listed: BTreeSet<_> =
        METHODS.iter().map(|method| (method.service.to_owned(), method.name.to_owned())).collect();
    assert_eq!(registered, listed);
    assert_eq!(listed.len(), METHODS.len(), "no method is listed twice");
    assert_eq!(METHODS.iter().filter(|method| method.service == "grpc.AgentService").count(), 42);
    assert_eq!(METHODS.iter().filter(|method| method.service == "grpc.Health").count(), 2);
}

#[test]
fn the_method_table_names_requests_and_responses() {
    let types = |name: &str| {
        let method = METHODS.iter().find(|method| method.name == name).unwrap();
        (method.request_type, method.response_type)
    };
    assert_eq!(types("CreateContainer"), ("grpc.CreateContainerRequest", "google.protobuf.Empty"));
    assert_eq!(types("ReadStderr"), ("grpc.ReadStreamRequest", "grpc.ReadStreamResponse"));
    assert_eq!(types("UpdateInterface"), ("grpc.UpdateInterfaceRequest", "types.Interface"));
    assert_eq!(types("GetVolumeStats"), ("grpc.VolumeStatsRequest", "grpc.VolumeStatsResponse"));
    assert_eq!(types("MemAgentMemcgSet"), ("grpc.MemAgentMemcgConfig", "google.protobuf.Empty"));
    assert_eq!(types("Version"), ("grpc.CheckRequest", "grpc.VersionCheckResponse"));
}

#[test]
fn wire_bytes_of_simple_messages() {
    known_answer(
        &agent::SignalProcessRequest {
            container_id: "ab".to_owned(),
            exec_id: "c".to_owned(),
            signal: 300,
            ..Default::default()
        },
        b"\x0a\x02ab\x12\x01c\x18\xac\x02",
    );
    // A negative int32 is sign-extended to ten bytes.
    known_answer(
        &agent::WaitProcessResponse { status: -1, ..Default::default() },
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    );
    known_answer(
        &health::HealthCheckResponse {
            status: EnumOrUnknown::new(health::health_check_response::ServingStatus::SERVING),
            ..Default::default()
        },
        b"\x08\x01",
    );
    // Repeated numbers are packed.
    known_answer(
        &agent::AddSwapRequest { PCIPath: vec![1, 128], ..Default::default() },
        b"\x0a\x03\x01\x80\x01",
    );
    known_answer(&agent::DestroySandboxRequest::default(), b"");
    known_answer(&Empty::default(), b"");
}

#[test]
fn wire_bytes_of_messages_with_odd_numbers() {
    known_answer(&agent::ReseedRandomDevRequest { data: vec![7], ..Default::default() }, b"\x12\x01\x07");
    known_answer(
        &agent::FSGroup {
            group_id: 5,
            group_change_policy: EnumOrUnknown::new(types::FSGroupChangePolicy::OnRootMismatch),
            ..Default::default()
        },
        b"\x10\x05\x18\x01",
    );
    // A member of a oneof is on the wire even when it is zero; absent and zero differ.
    let syscall = |errno: Option<u32>| oci::LinuxSyscall {
        Names: vec!["x".to_owned()],
        ErrnoRet: errno.map(oci::linux_syscall::ErrnoRet::Errnoret),
        ..Default::default()
    };
    known_answer(&syscall(Some(0)), b"\x0a\x01x\x18\x00");
    known_answer(&syscall(Some(38)), b"\x0a\x01x\x18\x26");
    known_answer(&syscall(None), b"\x0a\x01x");
    // So with an optional field.
    known_answer(
        &agent::MemAgentCompactConfig {
            disabled: Some(false),
            compact_sec_max: Some(1),
            ..Default::default()
        },
        b"\x08\x00\x28\x01",
    );
}

#[test]
fn wire_bytes_of_a_container_request() {
    known_answer(
        &agent::CreateContainerRequest {
            container_id: "c".to_owned(),
            storages: vec![agent::Storage {
                driver: "blk".to_owned(),
                options: vec!["ro".to_owned()],
                mount_point: "/m".to_owned(),
                shared: true,
                ..Default::default()
            }],
            OCI: MessageField::some(oci::Spec {
                Annotations: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
                ..Default::default()
            }),
            stderr_port: 9,
            ..Default::default()
        },
        b"\x0a\x01c\x2a\x0f\x0a\x03blk\x2a\x02ro\x32\x02/m\x40\x01\x32\x08\x3a\x06\x0a\x01k\x12\x01v\x58\x09",
    );
}

#[test]
fn a_full_specification_survives_the_wire() {
    let spec = oci::Spec {
        Version: "1.1.0".to_owned(),
        Process: MessageField::some(oci::Process {
            Terminal: true,
            User: MessageField::some(oci::User {
                UID: 1,
                GID: 2,
                AdditionalGids: vec![3, 4],
                ..Default::default()
            }),
            Args: vec!["/bin/sh".to_owned(), String::new()],
            Rlimits: vec![oci::POSIXRlimit {
                Type: "RLIMIT_NOFILE".to_owned(),
                Hard: u64::MAX,
                Soft: 1024,
                ..Default::default()
            }],
            OOMScoreAdj: -1000,
            ..Default::default()
        }),
        Mounts: vec![oci::Mount {
            destination: "/proc".to_owned(),
            type_: "proc".to_owned(),
            ..Default::default()
        }],
        Linux: MessageField::some(oci::Linux {
            Sysctl: BTreeMap::from([("kernel.domainname".to_owned(), "d".to_owned())]),
            Resources: MessageField::some(oci::LinuxResources {
                Memory: MessageField::some(oci::LinuxMemory {
                    Limit: -1,
                    Swappiness: 60,
                    ..Default::default()
                }),
                ..Default::default()
            }),
            Devices: vec![oci::LinuxDevice { Major: 1, Minor: 3, FileMode: 0o666, ..Default::default() }],
            ..Default::default()
        }),
        ..Default::default()
    };
    let wire = spec.write_to_bytes().unwrap();
    assert_eq!(oci::Spec::parse_from_bytes(&wire).unwrap(), spec);
}

#[test]
fn malformed_messages_are_refused() {
    let parse = agent::CreateContainerRequest::parse_from_bytes;
    assert!(parse(b"\x0a\x05ab").is_err(), "a string longer than the message");
    assert!(parse(b"\x0a\xff\xff\xff\xff\x0f").is_err(), "a length of four gigabytes");
    assert!(parse(b"\x0a\x02\xff\xfe").is_err(), "a string that is not UTF-8");
    assert!(parse(b"\x32\x80").is_err(), "a number without an end");
}

#[test]
fn unknown_fields_are_kept_apart_so_that_they_can_be_refused() {
    let request = agent::StartContainerRequest::parse_from_bytes(b"\x0a\x01c\x98\x06\x01").unwrap();
    assert_eq!(request.container_id, "c");
    assert!(request.unknown_fields().get(99).is_some());
}
