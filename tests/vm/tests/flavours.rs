//! What tells a production image from a development image, in the files that are built; and that production opens its
//! door for no report but that of a secure processor, of which there is none here.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests stop at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use guest_image::cpio;
use serde_json::Value;
use vm::{BootFiles, Host, Initdata, PERMISSIVE_POLICY, PSP_PORT, StartError, VirtualMachine, VmConfig};

/// What only the code says that takes reports from the emulated secure processor: its name, and how it fails.
const EMULATION: [&str; 4] = [
    "emulated-psp",
    "expected vsock://CID:PORT or unix://PATH",
    "cannot connect to the emulated secure processor",
    "cannot exchange messages with the emulated secure processor",
];

/// The host, and the folders of the production and the development image.
fn images() -> Option<(Host, [PathBuf; 2])> {
    let host = Host::for_test().unwrap()?;
    let folders = [host.production_image().unwrap()?, host.image.clone()];
    Some((host, folders))
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
}

/// Takes what stands at these places out of a document: it has to be there.
fn without(mut document: Value, places: &[&str]) -> Value {
    for place in places {
        let value = document.pointer_mut(place).unwrap_or_else(|| panic!("nothing at {place}"));
        assert_ne!(value.take(), Value::Null, "{place}");
    }
    document
}

#[test]
fn the_command_lines_differ_in_one_word_and_the_address_of_the_emulation() {
    let Some((_, folders)) = images() else { return };
    let [production, development] = folders.map(|folder| BootFiles::in_folder(&folder).unwrap().command_line);
    let expected = development
        .replace("cce.image=development", "cce.image=production")
        .replace(&format!(" cce.psp=vsock://2:{PSP_PORT}"), "");
    assert_eq!(production, expected);
    assert_ne!(production, development);
}

#[test]
fn the_initrds_differ_in_the_agent_alone() {
    let Some((_, folders)) = images() else { return };
    let initrds = folders.map(|folder| fs::read(folder.join("initrd.img")).unwrap());
    let [production, development] = initrds.each_ref().map(|initrd| cpio::read(initrd).unwrap());
    let kind = |entries: &[cpio::ReadEntry<'_>]| {
        entries.iter().map(|entry| (entry.path.to_owned(), entry.mode)).collect::<Vec<_>>()
    };
    assert_eq!(kind(&production), kind(&development));
    let differing: Vec<_> =
        production.iter().zip(&development).filter(|(ours, theirs)| ours.content != theirs.content).collect();
    let [(production, development)] = differing[..] else { panic!("{} files differ", differing.len()) };
    assert_eq!(production.path, "init");
    let holds =
        |program: &[u8], words: &str| program.windows(words.len()).any(|bytes| bytes == words.as_bytes());
    for words in EMULATION {
        assert!(holds(development.content, words), "`{words}` is no sign of the emulation any more");
        assert!(!holds(production.content, words), "the agent for production says `{words}`");
    }
}

/// The kernel, where it comes from, modules, and processors.
#[test]
fn everything_else_is_the_same() {
    let Some((_, folders)) = images() else { return };
    let [production, development] = &folders;
    assert_eq!(fs::read(production.join("vmlinuz")).unwrap(), fs::read(development.join("vmlinuz")).unwrap());
    let [mut ours, mut theirs] = folders.each_ref().map(|folder| {
        without(
            json(folder, "reference-values.json"),
            &[
                "/flavour",
                "/measurement",
                "/igvm/measurement",
                "/igvm/sha256",
                "/igvm/size_bytes",
                "/initrd",
                "/command_line",
            ],
        )
    });
    assert_eq!(ours, theirs);
    // The agent is the second component; that it links the same crates is part of what is compared.
    [ours, theirs] = folders.each_ref().map(|folder| {
        let bill = json(folder, "sbom.cdx.json");
        assert_eq!(bill["components"][1]["name"], "cce-agent", "{bill}");
        without(bill, &["/components/1/hashes"])
    });
    assert_eq!(ours, theirs);
}

#[test]
fn production_opens_its_door_for_no_report_but_that_of_a_secure_processor() {
    let Some((host, [production, development])) = images() else { return };
    let honest = BootFiles::in_folder(&production).unwrap();
    // A host can boot other command lines, which measure to something else; they are no way in either.
    let address = format!(" cce.psp=vsock://2:{PSP_PORT}");
    let with_address = honest.command_line.clone() + &address;
    let as_development = BootFiles::in_folder(&development).unwrap().command_line;
    for (name, command_line, why) in [
        ("flavours-production", honest.command_line.clone(), "there is no source of SNP reports"),
        ("flavours-address", with_address, "built without the emulated secure processor"),
        ("flavours-word", as_development, "built without the emulated secure processor"),
    ] {
        let boot = BootFiles { command_line, ..honest.clone() };
        let config = VmConfig::new(name, boot, [0; 32])
            .with_initdata(Initdata::with_policy(PERMISSIVE_POLICY).unwrap());
        let failure = VirtualMachine::start(&host, &config).unwrap_err();
        assert!(matches!(failure.cause(), StartError::Ended { name: "QEMU", .. }), "{name}: {failure}");
        let console = fs::read(host.logs(name).join("console.log")).unwrap();
        let console = String::from_utf8_lossy(&console);
        assert!(console.contains(why), "the console of {name} does not say `{why}`:\n{console}");
    }
}
