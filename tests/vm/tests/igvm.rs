//! The image starts from its IGVM file alone, without firmware, with everything in it that the kernel needs.

use vm::{BootFiles, Disk, Host, Initdata, VirtualMachine, VmConfig};

/// A policy that allows nothing.
const POLICY: &str = "package policy\n\napi_version := \"0.10.0\"\nframework_version := \"0.2.3\"\n";

#[test]
fn the_agent_opens_its_door_in_a_guest_that_was_launched_without_firmware() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let reference = std::fs::read(host.image.join("reference-values.json")).unwrap();
    let reference: serde_json::Value = serde_json::from_slice(&reference).unwrap();
    let memory_mib = reference["igvm"]["memory_mib"].as_u64().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let config = VmConfig {
        igvm: Some(host.image.join("guest.igvm")),
        memory_mib: u32::try_from(memory_mib).unwrap(),
        disks: vec![Disk::read_only(file.path())],
        ..VmConfig::new("igvm", BootFiles::in_folder(&host.image).unwrap(), [0; 32])
            .with_initdata(Initdata::with_policy(POLICY).unwrap())
    };
    let mut machine = VirtualMachine::start(&host, &config).unwrap();
    println!("{} after {:?}: {}", machine.agent_address(), machine.boot_time(), machine.logs().display());
    assert_eq!(machine.measurement().measurement, reference["igvm"]["measurement"].as_str().unwrap());
    assert_eq!(machine.started_vcpus().unwrap(), 2);
    machine.stop().unwrap();
}
