//! The image starts from its IGVM file alone, without firmware, with everything in it that the kernel needs.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests stop at the first surprise")]

use serde_json::Value;
use vm::{
    BootFiles, Disk, Host, IgvmLaunch, Initdata, LaunchError, Refusal, StartError, VirtualMachine, VmConfig,
};

/// A policy that allows nothing.
const POLICY: &str = "package policy\n\napi_version := \"0.10.0\"\nframework_version := \"0.2.3\"\n";

fn reference(host: &Host) -> Value {
    let reference = std::fs::read(host.image.join("reference-values.json")).unwrap();
    serde_json::from_slice(&reference).unwrap()
}

fn machine(host: &Host, name: &str, refusal: Option<Refusal>) -> VmConfig {
    let memory_mib = reference(host)["igvm"]["memory_mib"].as_u64().unwrap();
    VmConfig {
        igvm: Some(IgvmLaunch { file: host.image.join("guest.igvm"), refusal }),
        memory_mib: u32::try_from(memory_mib).unwrap(),
        ..VmConfig::new(name, BootFiles::in_folder(&host.image).unwrap(), [0; 32])
            .with_initdata(Initdata::with_policy(POLICY).unwrap())
    }
}

#[test]
fn the_agent_opens_its_door_in_a_guest_that_was_launched_without_firmware() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let config = VmConfig { disks: vec![Disk::read_only(file.path())], ..machine(&host, "igvm", None) };
    let mut machine = VirtualMachine::start(&host, &config).unwrap();
    println!("{} after {:?}: {}", machine.agent_address(), machine.boot_time(), machine.logs().display());
    let measurement = &reference(&host)["igvm"]["measurement"];
    assert_eq!(machine.measurement().measurement, measurement.as_str().unwrap());
    assert_eq!(machine.started_vcpus().unwrap(), 2);
    machine.stop().unwrap();
}

#[test]
fn a_guest_whose_memory_is_not_as_the_launch_left_it_ends_itself() {
    let Some(host) = Host::for_test().unwrap() else { return };
    for (large, was_valid) in [(false, false), (false, true), (true, false), (true, true)] {
        let refusal = Refusal { large, was_valid };
        let config = machine(&host, "igvm-foul-memory", Some(refusal));
        let failure = VirtualMachine::start(&host, &config).unwrap_err();
        assert!(
            matches!(failure.cause(), StartError::Igvm(LaunchError::GuestEnded)),
            "{refusal:?}: {failure}"
        );
    }
}
