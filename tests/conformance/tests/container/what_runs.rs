//! What runs is what was judged.

use std::fs;

use proto::kata::agent::CreateContainerRequest;
use proto::kata::oci;
use protobuf::MessageField;
use ttrpc::Code;

use crate::disks::{Policy, strings};
use crate::guest::{Guest, id};
use crate::image::{ENVIRONMENT, USER};

/// kata-agent 4.1.0 trims values. What the guest adds is its own: where the directory of every container is, and a home
/// as runc gives it, from the container's own user database.
#[test]
fn the_environment_is_that_of_the_request_in_order_and_two_variables_of_the_guest() {
    let Some(guest) = Guest::new(&Policy::of(&["/bin/cat", "/proc/self/environ"])) else { return };
    let output = guest.run(&id(1));
    let variables: Vec<&str> = output.split_terminator('\0').collect();
    assert_eq!(variables[..ENVIRONMENT.len()], ENVIRONMENT);
    let [context, home] = variables[ENVIRONMENT.len()..] else { panic!("{variables:?}") };
    assert!(context.starts_with("UVM_SECURITY_CONTEXT_DIR=/security-context-"), "{context}");
    assert_eq!(home, "HOME=/tmp");
}

#[test]
fn the_policy_in_a_container_is_the_policy_of_the_guest() {
    let script = "base64 -d \"$UVM_SECURITY_CONTEXT_DIR/security-policy-base64\"";
    let Some(guest) = Guest::new(&Policy::of(&["/bin/sh", "-c", script])) else { return };
    assert_eq!(guest.run(&id(1)), guest.policy);
}

/// kata-agent 4.1.0 binds /dev/null over masked directories, which fails and is ignored.
#[test]
fn masked_directories_are_empty_and_masked_files_too() {
    // Both have content without a mask.
    let (directory, file) = (["/bin/ls", "-A", "/sys/bus"], ["/bin/cat", "/proc/version"]);
    let policy =
        Policy::of(&["/bin/cat"]).exec(&directory).exec(&file).exec(&["/bin/ls", "-A", "/sys/firmware"]);
    let Some(guest) = Guest::new(&policy) else { return };
    guest.launch(&id(1));
    for seen in [&directory[..], &file] {
        assert_ne!(guest.output_of(&id(1), "e1", seen), "");
    }
    let mut request = guest.container(&id(2));
    let linux = request.OCI.as_mut().unwrap().Linux.as_mut().unwrap();
    linux.MaskedPaths.extend(strings(&["/sys/bus", "/proc/version"]));
    guest.launch_as(&request);
    for masked in [&directory[..], &file, &["/bin/ls", "-A", "/sys/firmware"]] {
        assert_eq!(guest.output_of(&id(2), "e1", masked), "", "{masked:?}");
    }
}

/// CVE-2024-21626: a descriptor that a process inherits leads out of its root. kata-agent 4.1.0 leaks its own.
#[test]
fn processes_inherit_their_standard_streams_only() {
    const LIST: [&str; 2] = ["/bin/ls", "/proc/self/fd"];
    // The fourth is the listed directory itself.
    let expected = "0\n1\n2\n3\n";
    let Some(guest) = Guest::new(&Policy::of(&LIST)) else { return };
    assert_eq!(guest.run(&id(1)), expected);
    drop(guest);
    let Some(guest) = Guest::new(&Policy::of(&["/bin/cat"]).exec(&LIST)) else { return };
    guest.launch(&id(1));
    assert_eq!(guest.output_of(&id(1), "e1", &LIST), expected);
}

const STATUS: [&str; 2] = ["/bin/cat", "/proc/self/status"];
/// The 14 capabilities of the request.
const REQUESTED: &str = "00000000a80425fb";
const NONE: &str = "0000000000000000";

/// Runs [`STATUS`] and compares fields of it.
fn assert_status(guest: &Guest, request: &CreateContainerRequest, expected: &[(&str, &str)]) {
    guest.launch_as(request);
    let status = guest.read_to_end("ReadStdout", &request.container_id, "");
    for (name, value) in expected {
        assert_eq!(status_field(&status, name), *value, "{name}");
    }
}

/// Capabilities: CVE-2022-24769 (inheritable ones). Supplementary groups: CVE-2022-36109.
#[test]
fn a_process_has_the_rights_that_were_judged() {
    let Some(guest) = Guest::new(&Policy::of(&STATUS)) else { return };
    let ids = [USER; 4].map(|id| id.to_string()).join(" ");
    for (number, no_new_privileges) in [(1, "0"), (2, "1")] {
        let mut request = guest.container(&id(number));
        process(&mut request).NoNewPrivileges = no_new_privileges == "1";
        let expected = [
            ("Umask", "0022"),
            ("Uid", &ids),
            ("Gid", &ids),
            ("Groups", ""),
            ("CapInh", NONE),
            // A user without privileges loses these by executing a program.
            ("CapPrm", NONE),
            ("CapEff", NONE),
            ("CapBnd", REQUESTED),
            ("CapAmb", NONE),
            ("NoNewPrivs", no_new_privileges),
        ];
        assert_status(&guest, &request, &expected);
    }
}

#[test]
fn root_in_a_container_has_the_capabilities_that_were_judged_and_no_more() {
    let Some(guest) = Guest::new(&Policy::of(&STATUS).running_as_root()) else { return };
    let mut request = guest.container(&id(1));
    as_root(&mut request);
    let expected = [
        ("Uid", "0 0 0 0"),
        ("Gid", "0 0 0 0"),
        ("CapInh", NONE),
        ("CapPrm", REQUESTED),
        ("CapEff", REQUESTED),
        ("CapBnd", REQUESTED),
        ("CapAmb", NONE),
    ];
    assert_status(&guest, &request, &expected);
}

/// CVE-2020-2023 and CVE-2026-24834: CAP_MKNOD makes a node of a guest's disk, and through it the guest is changed.
#[test]
fn root_with_cap_mknod_opens_no_device_of_the_guest() {
    const SCRIPT: &str = "mknod /dev/copy c 1 3 && cat /dev/copy && echo null; \
        for device in 'b 7 0' 'b 252 0' 'b 253 0' 'c 1 1' 'c 10 237'; do \
            mknod /dev/node $device 2>/dev/null; cat /dev/node 2>/dev/null && echo $device; \
            mknod /tmp/node $device 2>/dev/null; cat /tmp/node 2>/dev/null && echo $device; \
        done; true";
    let Some(guest) = Guest::new(&Policy::of(&["/bin/sh", "-c", SCRIPT]).running_as_root()) else { return };
    let mut request = guest.container(&id(1));
    as_root(&mut request);
    guest.launch_as(&request);
    assert_eq!(guest.read_to_end("ReadStdout", &id(1), ""), "null\n");
}

/// A container could else give another user the name that policy knows.
#[test]
fn names_of_users_are_those_of_the_layers_and_not_of_the_container() {
    const SCRIPT: &str = "echo root:x:1000:1000::/: > /etc/passwd; echo; exec cat";
    const EXEC: [&str; 2] = ["/bin/cat", "/etc/passwd"];
    let policy = Policy::of(&["/bin/sh", "-c", SCRIPT])
        .exec(&EXEC)
        .replace(r#"{"pattern":"1000","strategy":"id"}"#, r#"{"pattern":"root","strategy":"name"}"#);
    let Some(guest) = Guest::new(&policy) else { return };
    let mut request = guest.container(&id(1));
    as_root(&mut request);
    guest.launch_as(&request);
    assert_eq!(guest.read("ReadStdout", &id(1), "").unwrap(), b"\n");
    let mut exec = guest.exec_request(&id(1), "e1", &EXEC);
    let refused = guest.order("ExecProcess", &exec).unwrap_err();
    assert_eq!(refused.code, Code::PERMISSION_DENIED, "{refused:?}");
    exec.process.as_mut().unwrap().User = MessageField::some(oci::User::default());
    guest.order("ExecProcess", &exec).unwrap();
    assert_eq!(guest.read_to_end("ReadStdout", &id(1), "e1"), "root:x:1000:1000::/:\n");
}

fn process(request: &mut CreateContainerRequest) -> &mut oci::Process {
    request.OCI.as_mut().unwrap().Process.as_mut().unwrap()
}

fn as_root(request: &mut CreateContainerRequest) {
    let user = process(request).User.as_mut().unwrap();
    (user.UID, user.GID) = (0, 0);
}

/// A field of `/proc/<pid>/status`, its blanks made single spaces.
fn status_field(status: &str, name: &str) -> String {
    let line = status.lines().find(|line| line.split(':').next() == Some(name)).unwrap();
    line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_container_has_namespaces_of_its_own() {
    let kinds = ["cgroup", "ipc", "mnt", "pid", "uts"];
    let script = kinds.map(|kind| format!("ls -l /proc/self/ns/{kind}")).join("; ");
    let Some(guest) = Guest::new(&Policy::of(&["/bin/sh", "-c", &script])) else { return };
    let output = guest.run(&id(1));
    for kind in kinds {
        let mark = format!("{kind}:[");
        assert!(output.contains(&mark), "{output}");
        let agent = format!("/proc/{}/ns/{kind}", guest.agent.process_id().unwrap());
        let outside = fs::read_link(agent).unwrap().display().to_string();
        assert!(!output.contains(&outside), "the container is in the agent's {outside}");
    }
}
