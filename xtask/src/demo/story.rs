//! The story: an honest run, then the attacks.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::cce::{Answer, Cce};
use super::stage::{Guest, Launch, Stage};

/// The pod's id.
const SANDBOX: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
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

/// A layer as a disk image.
struct Layer {
    disk: PathBuf,
    root_hash: String,
    hash_offset: String,
}

impl Story<'_> {
    /// Tells it.
    pub(super) fn tell(&self) -> anyhow::Result<()> {
        act("The tenant writes a policy");
        let image = super::container_image::build(&self.dir)?;
        say("image", "one layer with Debian's busybox");
        let layer = self.build_layer(&image)?;
        say("layer", &format!("dm-verity root hash {}", layer.root_hash));
        let policy = self.write_policy(&image, "policy.rego", SCRIPT)?;
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
        ensure!(ran.json["exit_code"] == 0, "the container failed: {}", ran.json);
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
        let health = self.host(&guest, &["health"])?;
        ensure!(health.yes, "the guest is not healthy: {}", health.json);
        let again = self.run(&guest, &layer, &"c9".repeat(32), 0, &["--no-sandbox"])?;
        ensure!(again.yes && again.json["exit_code"] == 0, "the guest no longer serves: {}", again.json);
        say("guest", "healthy, and runs the tenant's container again");
        Ok(())
    }

    /// Turns the image's layer into a disk.
    fn build_layer(&self, image: &Path) -> anyhow::Result<Layer> {
        let out = self.dir.join("layers");
        let built = self.cce.expect_yes([
            Path::new("layer"),
            Path::new("build"),
            image,
            Path::new("--output-dir"),
            &out,
        ])?;
        let first = built.get(0).context("no layer was built")?;
        Ok(Layer {
            disk: PathBuf::from(string(first, "file")?),
            root_hash: string(first, "root_hash")?.to_owned(),
            hash_offset: first["hash_offset_bytes"].to_string(),
        })
    }

    /// Writes the policy that allows `script`, and nothing beside it: no environment is dropped silently.
    fn write_policy(&self, image: &Path, name: &str, script: &str) -> anyhow::Result<PathBuf> {
        let policy = self.dir.join(name);
        let command = serde_json::json!(["/bin/sh", "-c", script]).to_string();
        self.cce.expect_yes([
            Path::new("policy"),
            Path::new("create"),
            Path::new("--image"),
            image,
            Path::new("--command"),
            Path::new(&command),
            Path::new("--output"),
            &policy,
        ])?;
        let text = fs::read_to_string(&policy).context("cannot read the policy")?;
        let dropping = "allow_environment_variable_dropping := true";
        ensure!(text.contains(dropping), "the policy has another form");
        fs::write(&policy, text.replace(dropping, "allow_environment_variable_dropping := false"))
            .context("cannot write the policy")?;
        Ok(policy)
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

    /// Plays the host: `cce host ...` towards `guest`.
    fn host(&self, guest: &Guest, args: &[&str]) -> anyhow::Result<Answer> {
        let all = ["host", "--address", &guest.address].into_iter().chain(args.iter().copied());
        self.cce.ask(all)
    }

    /// Runs the container of the policy from disk number `disk`, with `more` arguments.
    fn run(
        &self,
        guest: &Guest,
        layer: &Layer,
        id: &str,
        disk: usize,
        more: &[&str],
    ) -> anyhow::Result<Answer> {
        let device = guest.devices.get(disk).context("the guest has no such disk")?;
        let number = disk.to_string();
        let image = self.dir.join("image");
        let mut args = vec!["run", "--image", image.to_str().context("the path is not text")?, "--id", id];
        args.extend([
            "--sandbox-id",
            SANDBOX,
            "--layer-device",
            device,
            "--layer-root-hash",
            &layer.root_hash,
        ]);
        args.extend(["--layer-hash-offset", &layer.hash_offset, "--layer-first-number", &number]);
        args.extend(["--scratch", "tmpfs"]);
        args.extend(more);
        if !more.contains(&"--arg") {
            args.extend(["--arg", "/bin/sh", "--arg", "-c", "--arg", SCRIPT]);
        }
        self.host(guest, &args)
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
        for check in verified.json["checks"].as_array().into_iter().flatten() {
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
        let other = [no_sandbox, "--arg", "/bin/sh", "--arg", "-c", "--arg", "cat /proc/self/environ"];
        attack("another command line", self.run(guest, layer, &fresh(2), 0, &other))?;
        let environment = [no_sandbox, "--env", "LD_PRELOAD=/tmp/evil.so"];
        attack("one more environment variable", self.run(guest, layer, &fresh(3), 0, &environment))?;
        let exec = ["exec", "--id", used, "--", "/bin/sh"];
        attack("an exec that is not in the policy", self.host(guest, &exec))?;
        attack("a second policy", self.host(guest, &["call", "--method", "SetPolicy"]))?;
        attack("a container id used again", self.run(guest, layer, used, 0, &[no_sandbox]))?;
        attack("an unknown RPC", self.host(guest, &["call", "--method", "OpenTheDoor"]))?;
        self.attack_at_launch(guest, image)
    }

    /// A guest that is launched with the tenant's HOST_DATA and another policy never opens its door.
    fn attack_at_launch(&self, guest: &Guest, image: &Path) -> anyhow::Result<()> {
        let lax = self.write_policy(image, "lax.rego", "cat /proc/self/environ")?;
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
        ensure!(
            reason.contains("HOST_DATA") || reason.contains(&guest.measurement),
            "the guest did not start for another reason: {reason}"
        );
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

fn string<'v>(value: &'v Value, key: &str) -> anyhow::Result<&'v str> {
    value.get(key).and_then(Value::as_str).with_context(|| format!("there is no {key} in {value}"))
}

fn act(title: &str) {
    println!("\n== {title}");
}

fn say(what: &str, text: &str) {
    println!("  {what:<9} {text}");
}
