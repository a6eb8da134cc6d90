//! The life of a container, as an honest host leads it.

use proto::kata::agent::{
    CloseStdinRequest, GetOOMEventRequest, OOMEvent, PauseContainerRequest, ResumeContainerRequest,
    StatsContainerRequest, StatsContainerResponse, UpdateContainerRequest,
};
use proto::kata::oci::{LinuxMemory, LinuxResources};

use ttrpc::Code;

use crate::disks::Policy;
use crate::guest::{Guest, id};

const SIGKILL: u32 = 9;
const SIGTERM: u32 = 15;
/// The exit code of a process that SIGKILL ended.
const KILLED: i32 = 128 + 9;

#[test]
fn output_and_exit_code_reach_the_host_and_another_container_follows() {
    let script = "echo out; echo err >&2; exit 7";
    let Some(guest) = Guest::new(&Policy::of(&["/bin/sh", "-c", script])) else { return };
    for number in 1..=2 {
        let id = id(number);
        guest.launch(&id);
        assert_eq!(guest.read_to_end("ReadStdout", &id, ""), "out\n");
        assert_eq!(
            guest.read_to_end("ReadStderr", &id, &id),
            "err\n",
            "an init may be named by its container"
        );
        assert_eq!(guest.wait(&id, "").unwrap(), 7);
        assert_eq!(guest.wait(&id, "").unwrap(), 7, "the end of an init is told until it is removed");
        guest.remove(&id).unwrap();
    }
}

#[test]
fn input_reaches_the_process_and_ends_when_it_is_closed() {
    let Some(guest) = Guest::new(&Policy::of(&["/bin/cat"])) else { return };
    let id = id(1);
    guest.launch(&id);
    assert_eq!(guest.write(&id, "", b"first\n").unwrap(), 6);
    assert_eq!(guest.read("ReadStdout", &id, "").unwrap(), b"first\n");
    assert_eq!(guest.write(&id, "", b"second\n").unwrap(), 7);
    guest.order("CloseStdin", &CloseStdinRequest { container_id: id.clone(), ..Default::default() }).unwrap();
    assert_eq!(guest.read_to_end("ReadStdout", &id, ""), "second\n");
    assert_eq!(guest.wait(&id, "").unwrap(), 0);
    guest.remove(&id).unwrap();
}

#[test]
fn a_process_of_the_policy_runs_beside_the_first_one() {
    let policy = Policy::of(&["/bin/cat"]).exec(&["/bin/echo", "two  words"]).exec(&["/bin/sleep", "1000"]);
    let Some(guest) = Guest::new(&policy) else { return };
    let id = id(1);
    guest.launch(&id);
    assert_eq!(guest.output_of(&id, "e1", &["/bin/echo", "two  words"]), "two  words\n");
    assert_eq!(
        guest.output_of(&id, "e1", &["/bin/echo", "two  words"]),
        "two  words\n",
        "the id is free again"
    );
    guest.exec(&id, "e2", &["/bin/sleep", "1000"]).unwrap();
    guest.signal(&id, "e2", SIGKILL).unwrap();
    assert_eq!(guest.wait(&id, "e2").unwrap(), KILLED);
    guest.write(&id, "", b"alive\n").unwrap();
    assert_eq!(guest.read("ReadStdout", &id, "").unwrap(), b"alive\n", "the signal was for the exec alone");
    guest.remove(&id).unwrap();
}

#[test]
fn a_signal_of_the_policy_ends_the_container() {
    let Some(guest) = Guest::new(&Policy::of(&["/bin/sleep", "1000"])) else { return };
    for (number, signal) in [(1, SIGKILL), (2, SIGTERM)] {
        let id = id(number);
        guest.launch(&id);
        guest.signal(&id, "", signal).unwrap();
        assert_eq!(guest.wait(&id, "").unwrap(), KILLED, "an init that ignores SIGTERM is killed");
        guest.remove(&id).unwrap();
    }
}

#[test]
fn a_running_container_can_be_removed() {
    let Some(guest) = Guest::new(&Policy::of(&["/bin/sleep", "1000"])) else { return };
    guest.launch(&id(1));
    guest.remove(&id(1)).unwrap();
    guest.launch(&id(2));
    guest.remove(&id(2)).unwrap();
}

#[test]
fn statistics_are_those_of_the_container() {
    const COUNT: [&str; 3] = ["/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"];
    let Some(guest) = Guest::new(&Policy::of(&["/bin/cat"]).exec(&COUNT)) else { return };
    guest.launch(&id(1));
    guest.launch(&id(2));
    let cpu_usage_ns = |number| {
        let request = StatsContainerRequest { container_id: id(number), ..Default::default() };
        let response: StatsContainerResponse = guest.call("StatsContainer", &request).unwrap();
        response.cgroup_stats.cpu_stats.cpu_usage.total_usage
    };
    let before = [cpu_usage_ns(1), cpu_usage_ns(2)];
    guest.output_of(&id(1), "e1", &COUNT);
    let after = [cpu_usage_ns(1), cpu_usage_ns(2)];
    let used = [after[0] - before[0], after[1] - before[1]];
    assert!(before[0] > 0 && used[0] > 0, "{before:?} {after:?}");
    // Not exactly nothing: its program may still have been starting when it was first measured.
    assert!(used[1] < used[0] / 4, "the other container waits for input: {before:?} {after:?}");
}

#[test]
fn a_paused_container_is_told_apart_and_goes_on_when_it_is_resumed() {
    let Some(guest) = Guest::new(&Policy::of(&["/bin/cat"]).exec(&["/bin/ls", "/etc"])) else { return };
    guest.launch(&id(1));
    let pause = PauseContainerRequest { container_id: id(1), ..Default::default() };
    let resume = ResumeContainerRequest { container_id: id(1), ..Default::default() };
    guest.order("PauseContainer", &pause).unwrap();
    for refused in [
        guest.order("PauseContainer", &pause).unwrap_err(),
        guest.exec(&id(1), "e1", &["/bin/ls", "/etc"]).unwrap_err(),
    ] {
        assert_eq!(refused.code, Code::FAILED_PRECONDITION);
    }
    guest.write(&id(1), "", b"waits\n").unwrap();
    guest.order("ResumeContainer", &resume).unwrap();
    assert_eq!(guest.read("ReadStdout", &id(1), "").unwrap(), b"waits\n");
    assert_eq!(guest.order("ResumeContainer", &resume).unwrap_err().code, Code::FAILED_PRECONDITION);
    guest.order("PauseContainer", &pause).unwrap();
    guest.signal(&id(1), "", SIGKILL).unwrap();
    assert_eq!(guest.wait(&id(1), "").unwrap(), KILLED, "a paused container can be killed");
    guest.remove(&id(1)).unwrap();
}

#[test]
fn a_container_that_runs_out_of_memory_is_told_of() {
    const FILL: [&str; 3] = ["/bin/sh", "-c", "x=x; while true; do x=$x$x; done"];
    let Some(guest) = Guest::new(&Policy::of(&["/bin/cat"]).exec(&FILL)) else { return };
    guest.launch(&id(1));
    let memory = LinuxMemory { Limit: 32 << 20, ..Default::default() };
    let resources = LinuxResources { Memory: Some(memory).into(), ..Default::default() };
    let update = UpdateContainerRequest {
        container_id: id(1),
        resources: Some(resources).into(),
        ..Default::default()
    };
    guest.order("UpdateContainer", &update).unwrap();
    let stats = StatsContainerRequest { container_id: id(1), ..Default::default() };
    let stats: StatsContainerResponse = guest.call("StatsContainer", &stats).unwrap();
    if stats.cgroup_stats.memory_stats.usage.limit != 32 << 20 {
        println!("skipped: this kernel limits no memory");
        return guest.remove(&id(1)).unwrap();
    }
    guest.exec(&id(1), "e1", &FILL).unwrap();
    let event: OOMEvent = guest.call("GetOOMEvent", &GetOOMEventRequest::default()).unwrap();
    assert_eq!(event.container_id, id(1));
    assert_eq!(guest.wait(&id(1), "e1").unwrap(), KILLED);
    guest.remove(&id(1)).unwrap();
}

#[test]
fn two_containers_stand_on_the_same_layers_at_once() {
    let policy = Policy::of(&["/bin/cat"]).exec(&["/bin/ls", "/etc"]);
    let Some(guest) = Guest::new(&policy) else { return };
    guest.launch(&id(1));
    guest.launch(&id(2));
    guest.remove(&id(1)).unwrap();
    assert_eq!(guest.output_of(&id(2), "e1", &["/bin/ls", "/etc"]), "group\npasswd\n");
    guest.launch(&id(3));
    guest.remove(&id(2)).unwrap();
    assert_eq!(guest.output_of(&id(3), "e1", &["/bin/ls", "/etc"]), "group\npasswd\n");
    guest.remove(&id(3)).unwrap();
}

/// What one container writes into its root is gone for the next one: scratch is its own.
#[test]
fn containers_do_not_see_what_others_wrote() {
    let script = "ls /tmp; echo x >/tmp/file";
    let Some(guest) = Guest::new(&Policy::of(&["/bin/sh", "-c", script])) else { return };
    assert_eq!(guest.run(&id(1)), "");
    assert_eq!(guest.run(&id(2)), "");
}

/// Pipes of removed containers stay open in kata-agent 4.1.0.
#[test]
fn a_removed_container_leaves_no_mount_and_no_descriptor() {
    let Some(guest) = Guest::new(&Policy::of(&["/bin/true"])) else { return };
    let mounts = guest.mount_points();
    guest.create(&guest.container(&id(1))).unwrap();
    assert_ne!(guest.mount_points(), mounts, "mounts of a container are not seen");
    guest.remove(&id(1)).unwrap();
    assert_eq!(guest.mount_points(), mounts);
    guest.run(&id(2));
    let descriptors = guest.descriptors();
    for number in 3..=6 {
        guest.run(&id(number));
    }
    assert_eq!(guest.mount_points(), mounts);
    assert!(
        Guest::settles(|| guest.descriptors() <= descriptors),
        "descriptors of removed containers stay open"
    );
}
