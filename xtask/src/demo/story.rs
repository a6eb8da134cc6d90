//! The story: an honest run, then the attacks.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::stage::{
    Answer, Cce, Container, Guest, Launch, Layer, Stage, build_layer, container_image, string, write_policy,
};

/// What the container runs: a greeting, who it is, and a report bound to the tenant's nonce.
const SCRIPT: &str = "echo \"$GREETING\"; id -un; wget -q -O - --post-data \
     '{\"runtime_data\":\"dGhlIHRlbmFudCdzIG5vbmNl\"}' http://127.0.0.1:8080/attest/raw";
/// The nonce in [`SCRIPT`], decoded.
const NONCE: &str = "the tenant's nonce";

/// What the acts of the story share.
pub(super) struct Story<'a> {
    pub(super) cce: Cce,
    pub(super) stage: &'a dyn Stage,
    /// A directory of the demo's own.
    pub(super) dir: PathBuf,
}

impl Story<'_> {
    /// Tells it.
    pub(super) fn tell(&self) -> anyhow::Result<()> {
        act("The tenant writes a policy");
        let image = container_image::build(&self.dir)?;
        say("image", "one layer with Debian's busybox");
        let layer = build_layer(&self.cce, &image, &self.dir.join("layers"))?;
        say("layer", &format!("dm-verity root hash {}", layer.root_hash));
        let policy = self.dir.join("policy.rego");
        write_policy(&self.cce, &image, &["/bin/sh", "-c", SCRIPT], &policy)?;
        let hash = self.cce.expect_yes([Path::new("policy"), Path::new("hash"), &policy])?;
        say("policy", &format!("SHA-256 {}", string(&hash, "sha256")?));

        act("The host launches a guest with the policy's digest as HOST_DATA");
        let flipped = self.flip_bit(&layer)?;
        let guest = self.stage.launch(&Launch {
            name: "demo",
            policy: &policy,
            host_data_of: &policy,
            disks: &[layer.disk.clone(), flipped],
        })?;
        say("guest", &guest.started);
        say("agent", &format!("answers at {}", guest.address));

        act("The host runs the container");
        let id = "c0".repeat(32);
        let ran = self.run(&guest, &layer, &id, 0, &["--keep"])?;
        ensure!(ran.yes, "the guest refused what its policy allows: {}", ran.json);
        ensure!(ran.ran_well(), "the container failed: {}", ran.json);
        let output = ran.text("stdout");
        let (report, lines): (Vec<_>, Vec<_>) = output.lines().partition(|line| line.starts_with('{'));
        for line in &lines {
            say("output", line);
        }
        ensure!(lines.len() == 2, "the container's output is not what was run: {output}");

        act("The tenant verifies the report that the container fetched");
        self.verify(&guest, report.first().context("the container printed no report")?)?;

        act("The host turns on its guest");
        self.attack(&guest, &layer, &image, &id)?;

        act("The guest is unharmed");
        let health = guest.host(&self.cce, &["health"])?;
        ensure!(health.yes, "the guest is not healthy: {}", health.json);
        let again = self.run(&guest, &layer, &"c9".repeat(32), 0, &["--no-sandbox"])?;
        ensure!(again.ran_well(), "the guest no longer serves: {}", again.json);
        say("guest", "healthy, and runs the tenant's container again");
        Ok(())
    }

    /// Copies the layer's disk with one bit changed, in the middle of the data.
    fn flip_bit(&self, layer: &Layer) -> anyhow::Result<PathBuf> {
        let mut bytes = fs::read(&layer.disk).context("cannot read the layer's disk")?;
        // The first block holds the file system's superblock, which every mount reads.
        *bytes.get_mut(1024 + 56).context("the layer's disk is too short")? ^= 0x10;
        let path = self.dir.join("flipped.img");
        fs::write(&path, bytes).context("cannot write the changed disk")?;
        Ok(path)
    }

    /// Runs the container of the policy from disk number `disk`, with `options` of `cce host run`.
    fn run(
        &self,
        guest: &Guest,
        layer: &Layer,
        id: &str,
        disk: usize,
        options: &[&str],
    ) -> anyhow::Result<Answer> {
        self.run_command(guest, layer, id, &["/bin/sh", "-c", SCRIPT], (disk, options))
    }

    fn run_command(
        &self,
        guest: &Guest,
        layer: &Layer,
        id: &str,
        command: &[&str],
        (disk, options): (usize, &[&str]),
    ) -> anyhow::Result<Answer> {
        let image = self.dir.join("image");
        Container { image: &image, layer, disk, id, command, options }.run(&self.cce, guest)
    }

    /// Verifies the report in `answer`, the API's JSON.
    fn verify(&self, guest: &Guest, answer: &str) -> anyhow::Result<()> {
        let answer: Value = serde_json::from_str(answer).context("the container printed no report")?;
        let report = self.dir.join("report.bin");
        fs::write(&report, hex::decode(string(&answer, "report")?)?).context("cannot write the report")?;
        let nonce = self.dir.join("nonce");
        fs::write(&nonce, NONCE).context("cannot write the nonce")?;
        let verified = self.cce.ask([
            Path::new("report"),
            Path::new("verify"),
            Path::new("--report"),
            &report,
            Path::new("--certs"),
            &guest.certificates,
            Path::new("--roots"),
            &guest.root,
            Path::new("--policy"),
            &guest.host_data_document,
            Path::new("--runtime-data"),
            &nonce,
            Path::new("--measurement"),
            Path::new(&guest.measurement),
        ])?;
        ensure!(verified.yes, "the report does not verify: {}", verified.json);
        for check in verified.json.get("checks").and_then(Value::as_array).into_iter().flatten() {
            say("holds", string(check, "name")?);
        }
        say("measured", guest.measured);
        Ok(())
    }

    /// Everything that a host might try. Each must end in a no.
    fn attack(&self, guest: &Guest, layer: &Layer, image: &Path, used: &str) -> anyhow::Result<()> {
        let fresh = |number: u8| format!("{number:02x}").repeat(32);
        let no_sandbox = "--no-sandbox";
        let attack = |what: &str, answer: anyhow::Result<Answer>| refused(what, &answer?);
        attack("a flipped bit in the layer", self.run(guest, layer, &fresh(1), 1, &[no_sandbox]))?;
        let other = ["/bin/sh", "-c", "cat /proc/self/environ"];
        let other = self.run_command(guest, layer, &fresh(2), &other, (0, &[no_sandbox]));
        attack("another command line", other)?;
        let environment = [no_sandbox, "--env", "LD_PRELOAD=/tmp/evil.so"];
        attack("one more environment variable", self.run(guest, layer, &fresh(3), 0, &environment))?;
        let exec = ["exec", "--id", used, "--", "/bin/sh"];
        attack("an exec that is not in the policy", guest.host(&self.cce, &exec))?;
        attack("a second policy", guest.host(&self.cce, &["call", "--method", "SetPolicy"]))?;
        attack("a container id used again", self.run(guest, layer, used, 0, &[no_sandbox]))?;
        attack("an unknown RPC", guest.host(&self.cce, &["call", "--method", "OpenTheDoor"]))?;
        self.attack_at_launch(image)
    }

    /// A guest that is launched with the tenant's HOST_DATA and another policy never opens its door.
    fn attack_at_launch(&self, image: &Path) -> anyhow::Result<()> {
        let lax = self.dir.join("lax.rego");
        write_policy(&self.cce, image, &["/bin/sh"], &lax)?;
        let launched = self.stage.launch(&Launch {
            name: "demo-other-policy",
            policy: &lax,
            host_data_of: &self.dir.join("policy.rego"),
            disks: &[],
        });
        let reason = match launched {
            Ok(other) => {
                anyhow::bail!("a guest at {} serves a policy that is not in HOST_DATA", other.address)
            }
            Err(error) => format!("{error:#}"),
        };
        ensure!(reason.contains("HOST_DATA is"), "the guest did not start for another reason: {reason}");
        say("refused", &format!("a guest with another policy than HOST_DATA says\n{:12}{reason}", ""));
        Ok(())
    }
}

/// Checks that an attack was refused, and says why.
fn refused(what: &str, answer: &Answer) -> anyhow::Result<()> {
    ensure!(!answer.yes, "the guest let {what} through: {}", answer.json);
    let (code, message) = (answer.text("status"), answer.text("message"));
    say("refused", &format!("{what}\n{:12}{code}: {message}", ""));
    Ok(())
}

fn act(title: &str) {
    println!("\n== {title}");
}

fn say(what: &str, text: &str) {
    println!("  {what:<9} {text}");
}
