//! The policy decides: requests that differ from the policy in one thing. Each is denied, leaves the guest as it was,
//! and the honest request still succeeds. Where kata-agent's `genpolicy` once missed a row, the test says so.

use proto::kata::agent::{CreateContainerRequest, ExecProcessRequest};
use proto::kata::oci;
use ttrpc::Code;

use crate::disks::{Policy, strings};
use crate::guest::{Guest, id};
use crate::image::ENVIRONMENT;
use crate::requests::{layers_of, set_layers};

const SIGKILL: u32 = 9;
const SIGUSR2: u32 = 12;

/// A container that differs is denied, and nothing of it stays.
fn denied(change: fn(&mut CreateContainerRequest)) {
    let Some(guest) = Guest::new(&Policy::of(&["/bin/echo", "two  words"])) else { return };
    let before = guest.mount_points();
    let mut request = guest.container(&id(1));
    change(&mut request);
    assert_ne!(request, guest.container(&id(1)), "the request does not differ");
    let refused = guest.create(&request).unwrap_err();
    assert_eq!(refused.code, Code::PERMISSION_DENIED, "{refused:?}");
    assert_eq!(guest.mount_points(), before, "a denied container left a mount");
    assert_eq!(
        guest.start_container(&id(1)).unwrap_err().code,
        Code::INVALID_ARGUMENT,
        "there is a container"
    );
    assert_eq!(guest.run(&id(2)), "two  words\n");
}

fn process(request: &mut CreateContainerRequest) -> &mut oci::Process {
    request.OCI.as_mut().unwrap().Process.as_mut().unwrap()
}

macro_rules! denied {
    ($($(#[$attribute:meta])* $name:ident: $change:expr;)*) => {
        $($(#[$attribute])* #[test] fn $name() { denied($change); })*
    };
}

denied! {
    another_command: |request| process(request).Args[0] = "/bin/cat".to_owned();
    another_argument: |request| process(request).Args[1] = "two words".to_owned();
    one_argument_more: |request| process(request).Args.push(String::new());
    one_argument_less: |request| drop(process(request).Args.pop());
    /// `genpolicy` compared joined strings (2024-07): these join to the same line.
    arguments_split_elsewhere: |request| process(request).Args = strings(&["/bin/echo", "two", "", "words"]);
    /// `genpolicy` verified no environment before 2024-03.
    one_variable_more: |request| process(request).Env.push("LD_PRELOAD=/tmp/evil.so".to_owned());
    /// kata-agent trims values, so that what is authorised is not what runs.
    a_variable_without_its_blanks: |request| process(request).Env[1] = "PADDED=two  words".to_owned();
    another_working_directory: |request| process(request).Cwd = "/".to_owned();
    /// `genpolicy` judged no user before 2024-09.
    another_user: |request| process(request).User.as_mut().unwrap().UID = 0;
    /// `genpolicy` judged no group before 2025-03.
    another_group: |request| process(request).User.as_mut().unwrap().GID = 0;
    one_supplementary_group_more: |request| process(request).User.as_mut().unwrap().AdditionalGids.push(0);
    one_capability_more: |request| {
        process(request).Capabilities.as_mut().unwrap().Effective.push("CAP_SYS_ADMIN".to_owned());
    };
    an_ambient_capability: |request| {
        process(request).Capabilities.as_mut().unwrap().Ambient.push("CAP_CHOWN".to_owned());
    };
    /// CVE-2022-24769: inheritable capabilities that nobody asked for.
    an_inheritable_capability: |request| {
        process(request).Capabilities.as_mut().unwrap().Inheritable.push("CAP_CHOWN".to_owned());
    };
    a_mount_more: |request| request.OCI.as_mut().unwrap().Mounts.push(oci::Mount {
        destination: "/data".to_owned(),
        source: "tmpfs".to_owned(),
        type_: "tmpfs".to_owned(),
        options: strings(&["rw"]),
        ..Default::default()
    });
    a_bind_mount_of_the_guest: |request| request.OCI.as_mut().unwrap().Mounts.push(oci::Mount {
        destination: "/data".to_owned(),
        source: "/etc".to_owned(),
        type_: "bind".to_owned(),
        options: strings(&["rbind", "ro"]),
        ..Default::default()
    });
    another_root_hash: |request| {
        request.storages[0].options[2] = format!("X-kata.dmverity.roothash={}", "ab".repeat(32));
    };
    a_layer_less: |request| set_layers(request, layers_of(request)[..1].to_vec());
    layers_in_another_order: |request| {
        let mut layers = layers_of(request);
        layers.reverse();
        set_layers(request, layers);
    };
    a_layer_twice: |request| {
        let mut layers = layers_of(request);
        let mut again = layers[0].clone();
        again.mount_point = "/run/mounts/scsi/m7".to_owned();
        layers.insert(1, again);
        set_layers(request, layers);
    };
}

/// Denials of kata-agent 4.1.0 are up to 358 KB long and hold values of the policy and of the environment.
#[test]
fn a_denial_is_short_and_tells_no_value() {
    let Some(guest) = Guest::new(&Policy::of(&["/bin/echo", "command-of-the-policy"])) else { return };
    let mut variable = guest.container(&id(1));
    process(&mut variable).Env.push("TOKEN=value-of-the-request".to_owned());
    let mut command = guest.container(&id(2));
    process(&mut command).Args = vec!["/bin/sh".to_owned(), "x".repeat(100_000)];
    for request in [variable, command] {
        let refused = guest.create(&request).unwrap_err();
        assert!(!refused.message.is_empty() && refused.message.len() <= 2048, "{refused:?}");
        for secret in ["value-of-the-request", "command-of-the-policy", ENVIRONMENT[1]] {
            assert!(!refused.message.contains(secret), "{refused:?}");
        }
    }
}

/// A process that differs is denied in a running container; `genpolicy` judged only its arguments before 2025-03.
fn denied_exec(change: fn(&mut ExecProcessRequest)) {
    const ALLOWED: [&str; 2] = ["/bin/echo", "allowed"];
    let Some(guest) = Guest::new(&Policy::of(&["/bin/cat"]).exec(&ALLOWED)) else { return };
    guest.launch(&id(1));
    let mut request = guest.exec_request(&id(1), "e1", &ALLOWED);
    change(&mut request);
    let refused = guest.order("ExecProcess", &request).unwrap_err();
    assert_eq!(refused.code, Code::PERMISSION_DENIED, "{refused:?}");
    assert_eq!(guest.wait(&id(1), "e1").unwrap_err().code, Code::NOT_FOUND);
    assert_eq!(guest.output_of(&id(1), "e1", &ALLOWED), "allowed\n");
}

macro_rules! denied_exec {
    ($($name:ident: $change:expr;)*) => {
        $(#[test] fn $name() { denied_exec($change); })*
    };
}

denied_exec! {
    an_exec_of_another_command: |request| request.process.as_mut().unwrap().Args = strings(&["/bin/sh"]);
    an_exec_of_the_first_process: |request| request.process.as_mut().unwrap().Args = strings(&["/bin/cat"]);
    an_exec_with_one_argument_more: |request| request.process.as_mut().unwrap().Args.push("x".to_owned());
    an_exec_with_one_variable_more: |request| request.process.as_mut().unwrap().Env.push("A=b".to_owned());
    an_exec_elsewhere: |request| request.process.as_mut().unwrap().Cwd = "/".to_owned();
    an_exec_as_root: |request| request.process.as_mut().unwrap().User.as_mut().unwrap().UID = 0;
    an_exec_with_one_capability_more: |request| {
        let process = request.process.as_mut().unwrap();
        process.Capabilities.as_mut().unwrap().Bounding.push("CAP_SYS_ADMIN".to_owned());
    };
}

#[test]
fn a_signal_that_is_not_in_the_policy() {
    let policy = Policy::of(&["/bin/cat"]).exec(&["/bin/sleep", "1000"]);
    let Some(guest) = Guest::new(&policy) else { return };
    guest.launch(&id(1));
    guest.exec(&id(1), "e1", &["/bin/sleep", "1000"]).unwrap();
    for exec_id in ["", "e1"] {
        assert_eq!(guest.signal(&id(1), exec_id, SIGUSR2).unwrap_err().code, Code::PERMISSION_DENIED);
    }
    // Both processes live: SIGUSR2 would have ended the second.
    guest.write(&id(1), "", b"alive\n").unwrap();
    assert_eq!(guest.read("ReadStdout", &id(1), "").unwrap(), b"alive\n");
    guest.signal(&id(1), "e1", SIGKILL).unwrap();
    assert_eq!(guest.wait(&id(1), "e1").unwrap(), 128 + 9);
}
