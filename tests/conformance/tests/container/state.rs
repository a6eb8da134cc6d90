//! Requests that come twice, too early, or for something that is not there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use conformance::connection::{Connection, FIRST_STREAM_ID, Frame, request};
use proto::kata::agent::{StatsContainerRequest, WaitProcessRequest};
use protobuf::Message as _;
use ttrpc::Code;

use crate::disks::{LoopDevice, Policy};
use crate::guest::{Guest, SANDBOX, id};

/// A container that answers what is written to it.
fn cat() -> Policy {
    Policy::of(&["/bin/cat"]).exec(&["/bin/ls", "/etc"])
}

/// Its first process still answers, and its root file system is there.
fn assert_lives(guest: &Guest, id: &str) {
    guest.write(id, "", b"alive\n").unwrap();
    assert_eq!(guest.read("ReadStdout", id, "").unwrap(), b"alive\n");
    assert_eq!(guest.output_of(id, "lives", &["/bin/ls", "/etc"]), "group\npasswd\n");
}

/// kata-agent 4.1.0 takes the running container down.
#[test]
fn the_id_of_a_running_container_is_refused_and_the_container_lives() {
    let Some(guest) = Guest::new(&cat()) else { return };
    guest.launch(&id(1));
    let before = guest.mount_points();
    assert_eq!(guest.create(&guest.container(&id(1))).unwrap_err().code, Code::ALREADY_EXISTS);
    assert_eq!(guest.mount_points(), before);
    assert_lives(&guest, &id(1));
}

/// kata-agent 4.1.0 deletes the root file systems of living containers.
#[test]
fn a_second_sandbox_is_refused_and_containers_live() {
    let Some(guest) = Guest::new(&cat()) else { return };
    guest.launch(&id(1));
    for sandbox in [SANDBOX, "another"] {
        assert_eq!(guest.create_sandbox(sandbox).unwrap_err().code, Code::ALREADY_EXISTS);
    }
    assert_lives(&guest, &id(1));
}

#[test]
fn a_container_needs_a_sandbox() {
    let Some(guest) = Guest::without_sandbox(&cat()) else { return };
    let before = guest.mount_points();
    assert_eq!(guest.create(&guest.container(&id(1))).unwrap_err().code, Code::FAILED_PRECONDITION);
    assert_eq!(guest.mount_points(), before);
    guest.create_sandbox(SANDBOX).unwrap();
    guest.launch(&id(1));
    assert_lives(&guest, &id(1));
}

/// kata-agent 4.1.0 lets names of policy state be removed; an unknown id changes its state (PR 13891).
#[test]
fn removing_what_never_was_changes_nothing() {
    let Some(guest) = Guest::new(&cat()) else { return };
    guest.launch(&id(1));
    for unknown in [id(9).as_str(), "sandbox_name", "containers", "metadata", "started"] {
        for _ in 0..2 {
            assert_eq!(guest.remove(unknown).unwrap_err().code, Code::INVALID_ARGUMENT, "{unknown}");
        }
    }
    assert_lives(&guest, &id(1));
    guest.remove(&id(1)).unwrap();
    assert_eq!(guest.remove(&id(1)).unwrap_err().code, Code::INVALID_ARGUMENT, "removed twice");
    guest.launch(&id(2));
    assert_lives(&guest, &id(2));
}

#[test]
fn a_container_starts_once() {
    let Some(guest) = Guest::new(&cat()) else { return };
    guest.launch(&id(1));
    assert_eq!(guest.start_container(&id(1)).unwrap_err().code, Code::FAILED_PRECONDITION);
    assert_lives(&guest, &id(1));
}

#[test]
fn a_process_needs_a_running_container() {
    let Some(guest) = Guest::new(&Policy::of(&["/bin/true"]).exec(&["/bin/ls", "/etc"])) else { return };
    guest.create(&guest.container(&id(1))).unwrap();
    let exec = |exec_id| guest.exec(&id(1), exec_id, &["/bin/ls", "/etc"]).unwrap_err().code;
    assert_eq!(exec("e1"), Code::FAILED_PRECONDITION, "not started");
    guest.start_container(&id(1)).unwrap();
    assert_eq!(guest.wait(&id(1), "").unwrap(), 0);
    assert_eq!(exec("e2"), Code::FAILED_PRECONDITION, "ended");
    guest.remove(&id(1)).unwrap();
}

#[test]
fn nothing_is_done_to_a_container_that_never_was() {
    let Some(guest) = Guest::new(&cat()) else { return };
    let unknown = id(9);
    let stats = StatsContainerRequest { container_id: unknown.clone(), ..Default::default() };
    let codes = [
        guest.start_container(&unknown).unwrap_err().code,
        guest.exec(&unknown, "e1", &["/bin/ls", "/etc"]).unwrap_err().code,
        guest.signal(&unknown, "", 9).unwrap_err().code,
        guest.wait(&unknown, "").unwrap_err().code,
        guest.read("ReadStdout", &unknown, "").unwrap_err().code,
        guest.write(&unknown, "", b"x").unwrap_err().code,
        guest.order("StatsContainer", &stats).unwrap_err().code,
    ];
    // Kata's shims tell a container that never was from a process that is gone by this code.
    assert_eq!(codes, [Code::INVALID_ARGUMENT; 7]);
}

#[test]
fn an_unknown_process_of_a_container_is_not_found() {
    let Some(guest) = Guest::new(&cat()) else { return };
    guest.launch(&id(1));
    assert_eq!(guest.wait(&id(1), "e9").unwrap_err().code, Code::NOT_FOUND);
    assert_eq!(guest.read("ReadStdout", &id(1), "e9").unwrap_err().code, Code::NOT_FOUND);
    assert_eq!(guest.signal(&id(1), "e9", 9).unwrap_err().code, Code::NOT_FOUND);
    assert_lives(&guest, &id(1));
}

#[test]
fn the_id_of_a_running_process_is_refused() {
    let Some(guest) = Guest::new(&cat().exec(&["/bin/sleep", "1000"])) else { return };
    guest.launch(&id(1));
    guest.exec(&id(1), "e1", &["/bin/sleep", "1000"]).unwrap();
    assert_eq!(guest.exec(&id(1), "e1", &["/bin/ls", "/etc"]).unwrap_err().code, Code::ALREADY_EXISTS);
    guest.signal(&id(1), "e1", 9).unwrap();
    assert_eq!(guest.wait(&id(1), "e1").unwrap(), 128 + 9, "the first process of this id was untouched");
}

#[test]
fn the_id_of_a_removed_container_is_denied() {
    let Some(guest) = Guest::new(&cat()) else { return };
    guest.launch(&id(1));
    guest.remove(&id(1)).unwrap();
    let before = guest.mount_points();
    assert_eq!(guest.create(&guest.container(&id(1))).unwrap_err().code, Code::PERMISSION_DENIED);
    assert_eq!(guest.mount_points(), before);
    guest.launch(&id(2));
    assert_lives(&guest, &id(2));
}

/// A disk that is not what the policy names is the host's doing: the layer is refused and nothing stays mounted.
#[test]
fn a_layer_with_a_flipped_bit_is_refused_and_leaves_nothing() {
    let Some(guest) = Guest::new(&cat()) else { return };
    let before = guest.mount_points();
    let mut disk = fs::read(guest.folder.path().join("layers/layer-00.img")).unwrap();
    // In the superblock of the file system, which every mount reads.
    disk[1024 + 56] ^= 0x10;
    let file = guest.folder.path().join("flipped.img");
    fs::write(&file, disk).unwrap();
    let flipped = LoopDevice::attach(Path::new(&file));
    let mut request = guest.container(&id(1));
    request.storages[0].source.clone_from(&flipped.0);
    let refused = guest.create(&request).unwrap_err();
    assert!(matches!(refused.code, Code::DATA_LOSS | Code::FAILED_PRECONDITION), "{refused:?}");
    assert_eq!(guest.mount_points(), before);
    guest.launch(&id(1));
    assert_lives(&guest, &id(1));
}

/// A host that makes up a name in each request would fill the guest's memory with what is left of each.
#[test]
fn what_is_denied_or_removed_leaves_no_directory() {
    let Some(guest) = Guest::new(&cat()) else { return };
    guest.launch(&id(1));
    let before = guest.made_directories();
    let mut denied = guest.container(&id(2));
    denied.OCI.as_mut().unwrap().Process.as_mut().unwrap().Args = vec!["/bin/sh".to_owned()];
    let scratch = format!("/run/gcs/c/made-up/scratch/{}", id(2));
    denied.storages[2].mount_point.clone_from(&scratch);
    denied.storages[3].options[1] = format!("X-kata.overlay-upper={scratch}");
    assert_eq!(guest.create(&denied).unwrap_err().code, Code::PERMISSION_DENIED);
    assert_eq!(guest.made_directories(), before, "denied");
    guest.launch(&id(3));
    guest.remove(&id(3)).unwrap();
    assert_eq!(guest.made_directories(), before, "removed");
    assert_lives(&guest, &id(1));
}

/// Of two waits for one process, the later one is not taken for the end of another process of that id.
#[test]
fn a_late_wait_does_not_forget_the_next_process_of_the_id() {
    let (slow, sleeping) = (["/bin/ls", "/etc"], ["/bin/sleep", "1000"]);
    let Some(guest) = Guest::new(&cat().exec(&slow).exec(&sleeping)) else { return };
    guest.launch(&id(1));
    // The agent may be told of the process's end later than of its id's next use, which is then refused.
    let reused = (0..32).filter(|round| {
        let exec_id = format!("e{round}");
        guest.exec(&id(1), &exec_id, &sleeping).unwrap();
        guest.signal(&id(1), &exec_id, 9).unwrap();
        assert_eq!(guest.read_to_end("ReadStdout", &id(1), &exec_id), "");
        // All at once: the first keeps the changes behind it waiting, so that both waits find the process that ended.
        let wait = WaitProcessRequest { container_id: id(1), exec_id: exec_id.clone(), ..Default::default() };
        let wait = ("WaitProcess", wait.write_to_bytes().unwrap());
        let exec = |exec_id: &str, command: &[&str]| {
            ("ExecProcess", guest.exec_request(&id(1), exec_id, command).write_to_bytes().unwrap())
        };
        let calls = [exec(&format!("s{round}"), &slow), wait.clone(), exec(&exec_id, &sleeping), wait];
        let streams = (FIRST_STREAM_ID..).step_by(2).zip(&calls);
        let frames = streams.flat_map(|(stream, (method, payload))| {
            Frame::request(stream, &request("grpc.AgentService", method, payload)).to_bytes()
        });
        let mut connection = Connection::open(guest.agent.address()).unwrap();
        connection.send(&frames.collect::<Vec<_>>()).unwrap();
        let answers: BTreeMap<_, _> = calls.iter().map(|_| connection.receive_any().unwrap()).collect();
        let is_reused = answers[&(FIRST_STREAM_ID + 4)].code == Code::OK;
        if is_reused {
            guest.signal(&id(1), &exec_id, 9).expect("the second process of the id is within reach");
            assert_eq!(guest.wait(&id(1), &exec_id).unwrap(), 128 + 9);
        }
        is_reused
    });
    assert_ne!(reused.count(), 0);
    assert_lives(&guest, &id(1));
}
