//! Layers as disks, and policies for them, both made by `cce`; disks become loop devices.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A layer as the host hands it over.
pub(crate) struct Layer {
    pub(crate) device: LoopDevice,
    pub(crate) root_hash: String,
    pub(crate) hash_offset_bytes: u64,
}

/// A read-only loop device, detached when it is dropped.
pub(crate) struct LoopDevice(pub(crate) String);

impl LoopDevice {
    pub(crate) fn attach(disk: &Path) -> Self {
        let disk = disk.to_str().unwrap();
        let name = output(program("losetup").args(["--read-only", "--find", "--show", disk]));
        Self(name.trim().to_owned())
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // A device still in use goes away with its last user.
        let _ = program("losetup").args(["--detach", &self.0]).output();
    }
}

/// The tenant's command line tool.
pub(crate) struct Cce(pub(crate) PathBuf);

impl Cce {
    /// Turns the layers of an image into disks, base first.
    pub(crate) fn build_layers(&self, image: &Path, folder: &Path) -> Vec<Layer> {
        let built = self.run([
            OsStr::new("layer"),
            "build".as_ref(),
            image.as_ref(),
            "--output-dir".as_ref(),
            folder.as_ref(),
        ]);
        let layer = |built: &Value| Layer {
            device: LoopDevice::attach(Path::new(built["file"].as_str().unwrap())),
            root_hash: built["root_hash"].as_str().unwrap().to_owned(),
            hash_offset_bytes: built["hash_offset_bytes"].as_u64().unwrap(),
        };
        built.as_array().unwrap().iter().map(layer).collect()
    }

    /// The policy for one container of an image.
    pub(crate) fn create_policy(&self, image: &Path, folder: &Path, policy: &Policy) -> String {
        let file = folder.join("policy.rego");
        let mut args: Vec<String> =
            ["policy", "create", "--image", image.to_str().unwrap()].map(str::to_owned).into();
        args.extend(["--output".to_owned(), file.to_str().unwrap().to_owned()]);
        args.extend(["--command".to_owned(), Value::from(policy.command.clone()).to_string()]);
        for exec in &policy.execs {
            args.extend(["--allow-exec".to_owned(), Value::from(exec.clone()).to_string()]);
        }
        self.run(&args);
        policy.changes.iter().fold(fs::read_to_string(file).unwrap(), |text, (from, to)| {
            assert!(text.contains(from), "the policy has no {from:?}");
            text.replace(from, to)
        })
    }

    fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Value {
        serde_json::from_str(&output(program(&self.0).arg("--json").args(args))).unwrap()
    }
}

/// What a policy is to allow.
#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) command: Vec<String>,
    execs: Vec<Vec<String>>,
    changes: Vec<(&'static str, &'static str)>,
}

impl Policy {
    /// One container with this command line. Nothing that a request has too much is dropped silently.
    pub(crate) fn of(command: &[&str]) -> Self {
        Self {
            command: strings(command),
            execs: Vec::new(),
            changes: vec![
                (
                    "allow_environment_variable_dropping := true",
                    "allow_environment_variable_dropping := false",
                ),
                ("allow_capability_dropping := true", "allow_capability_dropping := false"),
            ],
        }
    }

    /// Allows a process to be added.
    pub(crate) fn exec(mut self, command: &[&str]) -> Self {
        self.execs.push(strings(command));
        self
    }

    /// Makes the container's user root.
    pub(crate) fn running_as_root(self) -> Self {
        self.replace(r#"{"pattern":"1000","strategy":"id"}"#, r#"{"pattern":"0","strategy":"id"}"#)
    }

    /// Changes the text of the policy.
    pub(crate) fn replace(mut self, from: &'static str, to: &'static str) -> Self {
        self.changes.push((from, to));
        self
    }
}

pub(crate) fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[expect(clippy::disallowed_methods, reason = "tests start programs; only the guest must not")]
fn program(name: impl AsRef<OsStr>) -> Command {
    Command::new(name)
}

/// What a program printed that had to succeed.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}
