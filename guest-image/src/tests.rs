//! Images of small stand-in parts: what is in them, and that the same parts give the same bytes.

use std::process::{Command, Stdio};

use super::*;
use crate::agent::tests::{LOAD, elf, with_emulated_psp};

/// Small stand-ins for the parts of an image.
pub(crate) struct Parts {
    folder: tempfile::TempDir,
}

impl Parts {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let modules = folder.path().join("modules");
        fs::create_dir_all(modules.join("kernel")).unwrap();
        for modules::Line { name, wanted } in modules::lines(modules::RECIPE) {
            let aliases: String = wanted.patterns().map(|pattern| format!("alias={pattern}\0")).collect();
            let bytes = format!("\x7fELF\0depends=\0{aliases}name={name}\0");
            fs::write(modules.join(format!("kernel/{name}.ko")), bytes).unwrap();
        }
        fs::write(modules.join("modules.builtin"), "").unwrap();
        fs::write(folder.path().join("vmlinuz-6.12"), igvm::tests::kernel(&[0x90; 4096])).unwrap();
        fs::write(folder.path().join("agent"), with_emulated_psp()).unwrap();
        fs::write(folder.path().join("production-agent"), elf(LOAD, &[])).unwrap();
        Self { folder }
    }

    pub(crate) fn recipe(&self, output: &str) -> Recipe {
        let path = |name: &str| self.folder.path().join(name);
        Recipe {
            flavour: Flavour::Development { psp_port: 4050 },
            agent: path("agent"),
            crates: vec![LinkedCrate {
                name: "serde".to_owned(),
                version: "1.0.0".to_owned(),
                sha256: Some("11".to_owned()),
                license: Some("MIT OR Apache-2.0".to_owned()),
            }],
            kernel: Kernel {
                release: "6.12".to_owned(),
                package: "linux-image-6.12".to_owned(),
                package_sha256: "00".to_owned(),
                pinned: true,
                vmlinuz: path("vmlinuz-6.12"),
                modules: path("modules"),
            },
            vcpus: 2,
            memory_mib: 64,
            firmware: None,
            output: path(output),
        }
    }
}

#[test]
fn the_same_parts_give_the_same_bytes() {
    let parts = Parts::new();
    let (first, second) = (build(&parts.recipe("a")).unwrap(), build(&parts.recipe("b")).unwrap());
    assert_eq!(first.reference, second.reference);
    for name in ["vmlinuz", "initrd.img", "cmdline", "guest.igvm", "reference-values.json", "sbom.cdx.json"] {
        let [a, b] = ["a", "b"].map(|output| fs::read(parts.folder.path().join(output).join(name)).unwrap());
        assert!(a == b, "{name} differs");
    }
}

#[test]
fn the_bill_of_materials_lists_each_part() {
    let parts = Parts::new();
    let image = build(&parts.recipe("a")).unwrap();
    let bill = fs::read(parts.folder.path().join("a/sbom.cdx.json")).unwrap();
    let bill: serde_json::Value = serde_json::from_slice(&bill).unwrap();
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    let [kernel, agent] = [&bill["components"][0], &bill["components"][1]];
    let parts_of_kernel = kernel["components"].as_array().unwrap();
    assert_eq!(parts_of_kernel.len(), image.reference.image.modules.len() + 1);
    assert_eq!(parts_of_kernel[0]["hashes"][0]["content"], image.reference.kernel.sha256.as_str());
    assert_eq!(agent["hashes"][0]["content"], digest::sha256_hex(&with_emulated_psp()));
    assert_eq!(agent["components"][0]["purl"], "pkg:cargo/serde@1.0.0");
}

#[test]
fn flavours_have_different_measurements() {
    let parts = Parts::new();
    let development = build(&parts.recipe("a")).unwrap();
    let agent = parts.folder.path().join("production-agent");
    let recipe = Recipe { flavour: Flavour::Production, agent, ..parts.recipe("b") };
    let production = build(&recipe).unwrap();
    assert_ne!(development.reference.measurement, production.reference.measurement);
    assert_ne!(development.reference.igvm.measurement, production.reference.igvm.measurement);
    let [ours, theirs] =
        ["b", "a"].map(|output| verification::list(&parts.folder.path().join(output)).unwrap());
    assert_eq!(ours.len(), theirs.len());
    let differing = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs);
    let differing: Vec<_> = differing.map(|(ours, theirs)| (&*ours.path, &*theirs.path)).collect();
    assert_eq!(differing, [("init", "init")]);
    // Neither agent goes into the other's image.
    let swapped = Recipe { agent: parts.recipe("a").agent, ..recipe.clone() };
    let refused = build(&swapped).unwrap_err();
    assert!(matches!(refused, BuildError::Agent { source: AgentError::EmulatedPsp, .. }), "{refused}");
    let swapped = Recipe { flavour: parts.recipe("a").flavour, ..recipe };
    let refused = build(&swapped).unwrap_err();
    assert!(matches!(refused, BuildError::Agent { source: AgentError::NoEmulatedPsp, .. }), "{refused}");
}

#[test]
fn reference_values_read_back() {
    let parts = Parts::new();
    let image = build(&parts.recipe("a")).unwrap();
    let bytes = fs::read(parts.folder.path().join("a/reference-values.json")).unwrap();
    assert_eq!(serde_json::from_slice::<ReferenceValues>(&bytes).unwrap(), image.reference);
    let initrd = fs::read(&image.initrd).unwrap();
    assert_eq!(image.reference.initrd.sha256, digest::sha256_hex(&initrd));
    let igvm = fs::read(&image.igvm).unwrap();
    assert_eq!(image.reference.igvm.sha256, digest::sha256_hex(&igvm));
}

#[test]
fn an_initrd_over_the_limit_is_refused() {
    let parts = Parts::new();
    let mut agent = with_emulated_psp();
    agent.resize(INITRD_LIMIT_BYTES, 0);
    fs::write(parts.folder.path().join("agent"), agent).unwrap();
    assert!(matches!(build(&parts.recipe("a")), Err(BuildError::InitrdSize { .. })));
}

/// Where the real `cpio` is installed, it reads the same list from the archive.
#[test]
fn cpio_lists_the_initrd() {
    let parts = Parts::new();
    let image = build(&parts.recipe("a")).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test compares with the real program")]
    let mut cpio = Command::new("cpio");
    let listing = cpio.args(["--list", "--quiet"]).stdin(fs::File::open(&image.initrd).unwrap());
    let Ok(output) = listing.stderr(Stdio::inherit()).output() else {
        println!("skipped: `cpio` is not installed");
        return;
    };
    let listed = String::from_utf8(output.stdout).unwrap();
    let order = "lib/modules/load-order";
    for path in
        ["init", "etc/image.json", order, "lib/modules/dm-verity.ko", "proc", "sys", "dev", "run", "tmp"]
    {
        assert!(listed.lines().any(|line| line == path), "{path} is missing in {listed}");
    }
    let others = listed.lines().filter(|line| line.starts_with("lib/modules/") && !line.ends_with(".ko"));
    assert_eq!(others.collect::<Vec<_>>(), [order]);
}
