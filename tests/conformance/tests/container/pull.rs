//! Roots that the guest pulls: the policy that serves layers on disks serves them too, and nothing of the network is
//! believed.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use conformance::connection::{Connection, FIRST_STREAM_ID, Frame, request};
use proto::kata::agent::{CreateContainerRequest, Storage};
use protobuf::Message as _;
use ttrpc::Code;

use crate::disks::Policy;
use crate::guest::{Guest, SANDBOX, id};
use crate::image;
use crate::registry::{Behaviour, Registry};

const IMAGE: &str = "localhost:5000/image:1";
/// Pulls at once, and pulls that wait for them (docs/specification.md, "Bounds").
const ACTIVE: usize = 2;
const WAITING: usize = 16;

fn guest(command: &[&str]) -> Option<(Guest, Registry)> {
    let mut registry = None;
    let guest = Guest::configured(&Policy::of(command).exec(&["/bin/cat", "/etc/passwd"]), |folder| {
        let (served, configuration) = Registry::serve(folder);
        registry = Some(served);
        configuration
    })?;
    guest.create_sandbox(SANDBOX).unwrap();
    Some((guest, registry.unwrap()))
}

/// The policy's container on an image in the place of disks.
fn pulled(guest: &Guest, id: &str, image: &str) -> CreateContainerRequest {
    let root = Storage {
        driver: "image_guest_pull".to_owned(),
        source: image.to_owned(),
        fstype: "overlay".to_owned(),
        mount_point: format!("/run/kata-containers/{id}/rootfs"),
        driver_options: vec![format!(
            r#"image_guest_pull={{"metadata":{{"io.kubernetes.cri.image-name":"{image}"}}}}"#
        )],
        ..Default::default()
    };
    CreateContainerRequest { storages: vec![root], ..guest.container(id) }
}

fn mounts(guest: &Guest) -> BTreeSet<String> {
    guest.mount_points().into_iter().collect()
}

fn blobs(paths: &[String]) -> usize {
    paths.iter().filter(|path| path.contains("/blobs/")).count()
}

#[test]
fn a_pulled_image_runs_under_the_policy_of_its_layers() {
    let Some((guest, registry)) = guest(&["/bin/cat"]) else { return };
    let before = mounts(&guest);
    guest.launch_as(&pulled(&guest, &id(1), IMAGE));
    assert!(guest.output_of(&id(1), "e1", &["/bin/cat", "/etc/passwd"]).contains("app:x:1000"));
    // The configuration and two layers.
    assert_eq!(blobs(&registry.take_paths()), 3);

    // Layers that are there are not fetched again, nor mounted twice.
    guest.launch_as(&pulled(&guest, &id(2), IMAGE));
    assert_eq!(blobs(&registry.take_paths()), 1);
    let shared = mounts(&guest).iter().filter(|point| point.starts_with("/run/mounts/scsi/")).count();
    assert_eq!(shared, 2, "{:?}", mounts(&guest));

    for number in [1, 2] {
        guest.signal(&id(number), "", 9).unwrap();
        guest.wait(&id(number), "").unwrap();
        guest.remove(&id(number)).unwrap();
    }
    assert_eq!(mounts(&guest), before);
    // What is gone is fetched again.
    guest.launch_as(&pulled(&guest, &id(3), IMAGE));
    assert_eq!(blobs(&registry.take_paths()), 3);
}

#[test]
fn an_image_that_the_policy_does_not_name_is_never_mounted() {
    let Some((guest, registry)) = guest(&["/bin/cat"]) else { return };
    image::write_foreign(guest.folder.path());
    let before = mounts(&guest);
    let descriptors = guest.descriptors();
    for _ in 0..2 {
        let refused = guest.create(&pulled(&guest, &id(1), "localhost:5000/foreign:1")).unwrap_err();
        assert_eq!(refused.code, Code::PERMISSION_DENIED, "{refused:?}");
        // Nothing is fetched beyond the first layer that is denied.
        assert_eq!(blobs(&registry.take_paths()), 2);
    }
    assert_eq!(mounts(&guest), before);
    assert!(Guest::settles(|| guest.descriptors() <= descriptors), "memory of a denied layer is held");
    // The name does not matter: the same name with the right layers runs.
    guest.launch_as(&pulled(&guest, &id(1), IMAGE));
}

/// A failed pull and its retry are answered alike, and the retry never falls back to what stands in the root's place:
/// kata-agent 4.1.0 leaves the first caller without an answer and uses the host's `Root.Path` for the second.
#[test]
fn a_pull_that_fails_can_be_tried_again_and_is_never_skipped() {
    let Some((guest, registry)) = guest(&["/bin/cat"]) else { return };
    let before = mounts(&guest);
    for behaviour in [Behaviour::Tampers, Behaviour::BreaksOff, Behaviour::Loses] {
        registry.behave(behaviour);
        for attempt in 0..2 {
            let refused = guest.create(&pulled(&guest, &id(1), IMAGE)).unwrap_err();
            assert_eq!(refused.code, Code::UNAVAILABLE, "{behaviour:?} {attempt}: {refused:?}");
        }
        assert_eq!(mounts(&guest), before, "{behaviour:?}");
    }
    registry.behave(Behaviour::Honest);
    guest.launch_as(&pulled(&guest, &id(1), IMAGE));
    assert!(guest.output_of(&id(1), "e1", &["/bin/cat", "/etc/passwd"]).contains("app:x:1000"));
    // The id of a container that runs: refused before anything is fetched.
    registry.take_paths();
    let refused = guest.create(&pulled(&guest, &id(1), IMAGE)).unwrap_err();
    assert_eq!(refused.code, Code::ALREADY_EXISTS, "{refused:?}");
    assert!(registry.take_paths().is_empty());
}

#[test]
fn other_requests_go_on_while_a_registry_hangs() {
    let Some((guest, registry)) = guest(&["/bin/cat"]) else { return };
    registry.behave(Behaviour::Hangs);
    thread::scope(|scope| {
        let hanging = [1, 2].map(|number| {
            let request = pulled(&guest, &id(number), IMAGE);
            let guest = &guest;
            scope.spawn(move || guest.create(&request))
        });
        assert!(Guest::settles(|| registry.hanging() == 2));
        // A whole life beside two pulls that hang.
        guest.launch(&id(3));
        guest.write(&id(3), "", b"alive\n").unwrap();
        assert_eq!(guest.read("ReadStdout", &id(3), "").unwrap(), b"alive\n");
        guest.signal(&id(3), "", 9).unwrap();
        guest.wait(&id(3), "").unwrap();
        guest.remove(&id(3)).unwrap();
        registry.hang_up();
        for hanging in hanging {
            let refused = hanging.join().unwrap().unwrap_err();
            assert_eq!(refused.code, Code::UNAVAILABLE, "{refused:?}");
        }
    });
    registry.behave(Behaviour::Honest);
    guest.launch_as(&pulled(&guest, &id(1), IMAGE));
}

/// A creation as a frame, which the host waits for that long.
fn creation(request_: &CreateContainerRequest, patience: Duration) -> Frame {
    let mut call = request("grpc.AgentService", "CreateContainer", &request_.write_to_bytes().unwrap());
    call.timeout_nano = patience.as_nanos().try_into().unwrap();
    Frame::request(FIRST_STREAM_ID, &call)
}

/// A host's patience ends each pull, of a registry that says nothing and of one that stops half-way: the next one finds a
/// place, and nothing of the last one is held.
#[test]
fn a_pull_ends_when_its_host_has_waited_enough() {
    let Some((guest, registry)) = guest(&["/bin/cat"]) else { return };
    let (before, descriptors) = (mounts(&guest), guest.descriptors());
    for behaviour in [Behaviour::Mute, Behaviour::Hangs] {
        registry.behave(behaviour);
        for attempt in 0..=ACTIVE {
            let frame = creation(&pulled(&guest, &id(1), IMAGE), Duration::from_millis(700));
            let answer = Connection::open(guest.agent.address()).unwrap().exchange(&frame).unwrap();
            assert_eq!(answer.code, Code::DEADLINE_EXCEEDED, "{behaviour:?} {attempt}: {answer:?}");
        }
        assert!(Guest::settles(|| registry.is_left_alone()), "{behaviour:?}: the pull goes on");
        assert!(Guest::settles(|| guest.descriptors() <= descriptors), "{behaviour:?}: memory is held");
        assert_eq!(mounts(&guest), before, "{behaviour:?}");
    }
    registry.behave(Behaviour::Honest);
    guest.launch_as(&pulled(&guest, &id(1), IMAGE));
}

#[test]
fn a_pull_ends_when_its_host_hangs_up() {
    let Some((guest, registry)) = guest(&["/bin/cat"]) else { return };
    let descriptors = guest.descriptors();
    for behaviour in [Behaviour::Mute, Behaviour::Hangs] {
        registry.behave(behaviour);
        // More than there are places, one after the other.
        for attempt in 0..=ACTIVE {
            let mut host = Connection::open(guest.agent.address()).unwrap();
            host.send(&creation(&pulled(&guest, &id(1), IMAGE), Duration::ZERO).to_bytes()).unwrap();
            assert!(Guest::settles(|| registry.hanging() == 1), "{behaviour:?} {attempt}: no pull begins");
            drop(host);
            assert!(Guest::settles(|| registry.is_left_alone()), "{behaviour:?} {attempt}: it goes on");
        }
        assert!(Guest::settles(|| guest.descriptors() <= descriptors), "{behaviour:?}: memory is held");
    }
    registry.behave(Behaviour::Honest);
    guest.launch_as(&pulled(&guest, &id(1), IMAGE));
}

#[test]
fn pulls_beyond_those_that_may_wait_are_refused() {
    let Some((guest, registry)) = guest(&["/bin/cat"]) else { return };
    registry.behave(Behaviour::Hangs);
    thread::scope(|scope| {
        let (sender, outcomes) = mpsc::channel();
        let begin = |number: usize| {
            let (guest, sender) = (&guest, sender.clone());
            scope.spawn(move || {
                let request = pulled(guest, &id(number.try_into().unwrap()), IMAGE);
                sender.send(guest.create(&request).unwrap_err().code).unwrap();
            });
        };
        (0..ACTIVE).for_each(begin);
        assert!(Guest::settles(|| registry.hanging() == ACTIVE));
        (ACTIVE..=ACTIVE + WAITING).for_each(begin);
        assert_eq!(outcomes.recv().unwrap(), Code::RESOURCE_EXHAUSTED);
        assert_eq!(registry.hanging(), ACTIVE, "more pulls are under way than may be");
        // Those that wait get their turn, and an answer.
        registry.behave(Behaviour::Loses);
        registry.hang_up();
        for outcome in outcomes.iter().take(ACTIVE + WAITING) {
            assert_eq!(outcome, Code::UNAVAILABLE);
        }
    });
    registry.behave(Behaviour::Honest);
    guest.launch_as(&pulled(&guest, &id(1), IMAGE));
}

#[test]
fn a_guest_without_a_proxy_pulls_nothing() {
    let Some(guest) = Guest::new(&Policy::of(&["/bin/cat"])) else { return };
    let refused = guest.create(&pulled(&guest, &id(1), IMAGE)).unwrap_err();
    assert_eq!(refused.code, Code::UNIMPLEMENTED, "{refused:?}");
}
