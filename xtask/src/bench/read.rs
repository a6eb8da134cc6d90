//! How fast a container reads a layer: through overlay, ext4 and dm-verity of the agent's making, beside the device that
//! `veritysetup` makes of the same disk, in turn, in one guest.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use guest_image::cpio::Archive;
use guest_image::modules;
use sha2::{Digest as _, Sha256};
use vm::{BootFiles, Disk, Host, VmConfig};

use super::{Figure, Figures, median};
use crate::command::{Run, repository_root};
use crate::stage::{self, start_machine, string};
use crate::{artifacts, packages};

/// Size of the file that is read.
const MEBIBYTES: usize = 256;
/// Readings of each kind.
const ROUNDS: usize = 5;
/// What is meant to be reached of the speed of `veritysetup`'s device.
const RATIO_MIN: f64 = 0.9;
/// Readings of a machine without hardware acceleration take minutes.
const LIMIT: Duration = Duration::from_secs(900);
/// Memory of the guest in MiB: the file fits, and its root file system.
const MEMORY_MIB: u32 = 1024;
const INIT: &str = include_str!("read/init.sh");
/// The host may do everything here.
const POLICY: &str = r#"package policy

api_version := "0.10.0"
framework_version := "0.2.3"

mount_device := {"allowed": true}
mount_overlay := {"allowed": true}
create_container := {"allowed": true, "env_list": input.envList, "caps_list": input.capabilities, "allow_stdio_access": true}
"#;
/// What the container does: it reads whenever it is told to.
const READER: &str = "while : the-reading-container; do if [ -e /run/go ]; then busybox rm /run/go; \
    begin=$(busybox cut -d ' ' -f 1 /proc/uptime); \
    busybox dd if=/large of=/dev/null bs=1M 2>/dev/null || begin=failed; \
    echo $begin $(busybox cut -d ' ' -f 1 /proc/uptime) >/run/unfinished; \
    busybox mv /run/unfinished /run/reading; fi; busybox sleep 0.2; done";

/// A layer as a disk.
struct Layer {
    image: PathBuf,
    root_hash: String,
    hash_offset: String,
}

/// Boots the guest and reads its console.
pub(super) fn measure() -> anyhow::Result<Figures> {
    packages::ensure(packages::FOR_TESTS)?;
    packages::ensure(packages::FOR_VM_TESTS)?;
    let image = artifacts::for_vm()?;
    let folder = repository_root().join("target/bench/read");
    fs::create_dir_all(&folder).context("cannot create the folder of the benchmark")?;
    let cce = stage::cce()?;
    let layer = layer(&cce, &folder)?;
    let initrd = folder.join("initrd.img");
    fs::write(&initrd, self::initrd(&layer)?).context("cannot write the initrd")?;
    let boot = BootFiles { vmlinuz: image.vmlinuz, initrd, command_line: image.command_line.to_string() };
    let config = VmConfig {
        disks: vec![Disk::read_only(&layer.image)],
        memory_mib: MEMORY_MIB,
        ..VmConfig::new("bench-read", boot, Sha256::digest(POLICY).into())
    };
    let machine = start_machine(&Host::find()?, &config)?;
    let address = machine.agent_address();
    let disk = machine.disks().first().context("the guest has no disk")?.pci_path();
    let mut run = vec!["host", "--address", &address, "run", "--detach"];
    run.extend(["--layer-device", &disk, "--layer-root-hash", &layer.root_hash]);
    run.extend(["--layer-hash-offset", &layer.hash_offset]);
    run.extend(["--arg=/bin/busybox", "--arg=sh", "--arg=-c"]);
    let reader = format!("--arg={READER}");
    run.push(&reader);
    let answer = cce.ask(run)?;
    ensure!(answer.yes, "the container does not run: {}", answer.json);

    let start = Instant::now();
    loop {
        let console = fs::read(machine.console_log()).context("cannot read the console")?;
        let console = String::from_utf8_lossy(&console);
        if let Some(failure) = console.lines().find(|line| line.contains("bench failed")) {
            bail!("{failure}");
        }
        if console.contains("bench done") {
            return figures(&console, machine.accelerator().name());
        }
        ensure!(start.elapsed() < LIMIT, "no end in sight; see {}", machine.console_log().display());
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// The layer: busybox, the places that containers mount on, and a large file.
fn layer(cce: &stage::Cce, folder: &Path) -> anyhow::Result<Layer> {
    let archive = folder.join("layer.tar");
    let mut tar = tar::Builder::new(fs::File::create(&archive).context("cannot create the layer's archive")?);
    for place in ["dev/", "proc/", "run/", "sys/", "tmp/"] {
        let mut header = header(tar::EntryType::Directory, 0);
        tar.append_data(&mut header, place, std::io::empty())?;
    }
    let busybox = fs::read("/bin/busybox").context("cannot read busybox")?;
    tar.append_data(&mut header(tar::EntryType::Regular, busybox.len()), "bin/busybox", busybox.as_slice())?;
    // Each block of 4 KiB is another one, made of one digest.
    let blocks = 0..MEBIBYTES.saturating_mul(256);
    let content: Vec<u8> =
        blocks.flat_map(|number| Sha256::digest(number.to_le_bytes()).repeat(4096 / 32)).collect();
    tar.append_data(&mut header(tar::EntryType::Regular, content.len()), "large", content.as_slice())?;
    tar.finish().context("cannot write the layer's archive")?;
    let image = folder.join("layer.img");
    let built =
        cce.expect_yes([Path::new("layer"), Path::new("build"), &archive, Path::new("--output"), &image])?;
    Ok(Layer {
        image,
        root_hash: string(&built, "root_hash")?.to_owned(),
        hash_offset: built.get("hash_offset_bytes").context("there is no hash offset")?.to_string(),
    })
}

fn header(kind: tar::EntryType, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o755);
    header.set_size(size as u64);
    header
}

/// The initrd of this benchmark, which is no part of the image: its modules and its agent, with a shell in charge.
fn initrd(layer: &Layer) -> anyhow::Result<Vec<u8>> {
    let mut archive = Archive::default();
    archive.file("init", 0o755, INIT.as_bytes().to_vec())?;
    let modules = modules::collect(&artifacts::kernel()?.modules, modules::RECIPE)?;
    archive.file("lib/modules/load-order", 0o444, modules::load_order(&modules).into_bytes())?;
    for module in modules {
        archive.file(&format!("lib/modules/{}.ko", module.name), 0o444, module.bytes)?;
    }
    let agent = artifacts::agent(guest_image::Flavour::Development { psp_port: vm::PSP_PORT })?;
    archive.file("bin/cce-agent", 0o755, read(&agent)?)?;
    archive.file("bin/busybox", 0o755, read(Path::new("/bin/busybox"))?)?;
    let veritysetup = Path::new("/usr/sbin/veritysetup");
    archive.file("sbin/veritysetup", 0o755, read(veritysetup)?)?;
    for library in libraries(veritysetup)? {
        archive.file(library.trim_start_matches('/'), 0o755, read(Path::new(&library))?)?;
    }
    archive.file("etc/policy.rego", 0o444, POLICY.as_bytes().to_vec())?;
    let config = format!(
        "server_addr = \"vsock://-1:{}\"\npolicy_file = \"/etc/policy.rego\"\npsp = \"vsock://2:{}\"\n",
        vm::AGENT_PORT,
        vm::PSP_PORT
    );
    archive.file("etc/agent.toml", 0o444, config.into_bytes())?;
    let Layer { root_hash, hash_offset, .. } = layer;
    let bench =
        format!("ROOT_HASH={root_hash}\nHASH_OFFSET={hash_offset}\nMEBIBYTES={MEBIBYTES}\nROUNDS={ROUNDS}\n");
    archive.file("etc/bench", 0o444, bench.into_bytes())?;
    Ok(archive.into_bytes()?)
}

/// What the loader of this machine maps with a program, the loader among it.
fn libraries(program: &Path) -> anyhow::Result<Vec<String>> {
    let listed = Run::new("ldd").arg(program).stdout()?;
    let words = listed.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(str::to_owned).collect())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Speeds by the times on the console, and the container's beside `veritysetup`'s.
fn figures(console: &str, accelerator: &str) -> anyhow::Result<Figures> {
    let speed = |kind: &str| {
        let lines = console.lines().filter_map(|line| line.split_once(&format!("bench {kind} ")));
        let seconds: Vec<f64> = lines.filter_map(|(_, line)| seconds(line)).collect();
        ensure!(seconds.len() == ROUNDS, "{} readings of {kind}, not {ROUNDS}", seconds.len());
        Ok(MEBIBYTES as f64 / median(seconds))
    };
    let (device, file, container) =
        (speed("reference_device")?, speed("reference_file")?, speed("container_file")?);
    let speed = |name: &str, value| Figure::new(name, value, "MiB/s");
    let queues = console.lines().filter_map(|line| line.split_once("bench queue "));
    let mut remarks: Vec<String> =
        queues.map(|(_, queue)| format!("dm device: read-ahead, largest request, block: {queue}")).collect();
    remarks.push(format!(
        "medians of {ROUNDS} readings of {MEBIBYTES} MiB each, caches dropped before each; accelerator: {accelerator}"
    ));
    Ok(Figures {
        bench: "read",
        figures: vec![
            speed("container_overlay_ext4_verity", container),
            speed("veritysetup_device", device),
            speed("veritysetup_ext4", file),
            Figure::new("container_to_veritysetup_device", container / device, "x").at_least(RATIO_MIN),
            Figure::new("container_to_veritysetup_ext4", container / file, "x").at_least(RATIO_MIN),
        ],
        remarks,
    })
}

/// The time between the two that a line has.
fn seconds(line: &str) -> Option<f64> {
    let (begin, end) = line.trim().split_once(' ')?;
    let (begin, end): (f64, f64) = (begin.parse().ok()?, end.parse().ok()?);
    Some(end - begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_read_off_the_console() {
        let reading = |kind, seconds| format!("bench {kind} 10.00 {:.2}\n", 10.0 + seconds);
        let readings = [
            reading("reference_device", 2.0),
            reading("container_file", 2.5),
            reading("reference_file", 2.0),
        ];
        let found = figures(&readings.concat().repeat(ROUNDS), "tcg").unwrap();
        assert!((found.figures[0].value - 102.4).abs() < 1e-9);
        assert!(!found.figures[3].target.as_ref().unwrap().met, "0.8 is not enough");
        assert!(figures(&readings.concat(), "tcg").is_err(), "readings are missing");
    }
}
