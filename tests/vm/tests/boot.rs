//! The image boots, and opens its door for the policy that the launch is bound to, and for no other.

#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use vm::{BootFiles, Disk, Host, Initdata, StartError, VirtualMachine, VmConfig};

/// A policy that allows nothing.
const POLICY: &str = "package policy\n\napi_version := \"0.10.0\"\nframework_version := \"0.2.3\"\n";

fn machine(host: &Host, name: &str, policy: &str) -> VmConfig {
    let boot = BootFiles::in_folder(&host.image).unwrap();
    VmConfig::new(name, boot, [0; 32]).with_initdata(Initdata::with_policy(policy).unwrap())
}

/// The guest switches itself off before it serves anything, and says why on its console.
fn assert_shut(host: &Host, config: &VmConfig, why: &str) {
    let failure = VirtualMachine::start(host, config).unwrap_err();
    assert!(matches!(failure.cause(), StartError::Ended { name: "QEMU", .. }), "{failure}");
    let console = std::fs::read(host.logs(&config.name).join("console.log")).unwrap();
    let console = String::from_utf8_lossy(&console);
    assert!(console.contains(why), "the console does not say `{why}`:\n{console}");
}

#[test]
fn the_door_opens_for_the_policy_of_the_launch() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let machine = VirtualMachine::start(&host, &machine(&host, "boot-bound", POLICY)).unwrap();
    println!("{} after {:?}: {}", machine.agent_address(), machine.boot_time(), machine.logs().display());
    machine.stop().unwrap();
}

#[test]
fn the_door_stays_shut_for_another_policy() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let bound = machine(&host, "boot-other-policy", POLICY);
    let other = Initdata::with_policy(&POLICY.replace("0.10.0", "0.10.1")).unwrap();
    let config = VmConfig { initdata: Some(other), ..bound };
    assert_shut(&host, &config, "no policy is bound to this guest");
}

/// How images are pulled is bound to the launch as the policy is.
#[test]
fn the_door_stays_shut_for_other_settings_beside_the_policy() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let with = |hub: &str| Initdata::of_files(&[("policy.rego", POLICY), ("cdh.toml", hub)]).unwrap();
    let config = machine(&host, "boot-other-settings", POLICY).with_initdata(with("[image]"));
    let other = with("[image]\nimage_pull_proxy = { https_proxy = \"vsock://2:1\" }");
    assert_shut(
        &host,
        &VmConfig { initdata: Some(other), ..config.clone() },
        "no policy is bound to this guest",
    );
    let asking = with("[image]\nimage_security_policy_uri = \"kbs:///default/security-policy/test\"");
    assert_shut(&host, &config.with_initdata(asking), "cdh.toml has `image.image_security_policy_uri`, but");
}

#[test]
fn the_door_stays_shut_without_a_policy() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let config = VmConfig { initdata: None, ..machine(&host, "boot-no-policy", POLICY) };
    assert_shut(&host, &config, "no policy was delivered");
}

#[test]
fn the_door_stays_shut_for_a_policy_that_does_not_parse() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let config = machine(&host, "boot-broken-policy", &format!("{POLICY}\nmount_device := {{"));
    assert_shut(&host, &config, "the policy cannot be loaded");
}

#[test]
fn a_disk_goes_and_comes_back_to_its_place_while_the_guest_runs() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(1 << 20).unwrap();
    let disk = Disk::read_only(file.path());
    let config = VmConfig { disks: vec![disk.clone()], ..machine(&host, "boot-disks", POLICY) };
    let mut machine = VirtualMachine::start(&host, &config).unwrap();
    let address = machine.disks()[0];
    assert_eq!(address.pci_path(), "08/00");
    assert!(machine.attach_disk(&disk).is_err(), "the machine has no free place");
    // The guest has a part in this: it lets go of the device.
    machine.detach_disk(address).unwrap();
    assert_eq!(machine.attach_disk(&disk).unwrap(), address);
    machine.stop().unwrap();
}
