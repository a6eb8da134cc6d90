//! How long decisions take: prints one JSON object of medians.
//!
//! Each decision is for the last container of a policy, and is settled as untouched, so that all are alike.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a benchmark stops where it cannot measure, and prints what it measured"
)]

use std::fmt::Write as _;
use std::time::Instant;

use policy_engine::request::{
    BlockSource, ContainerKind, CreateContainer, ExecInContainer, LayerFilesystem, MountDevice, MountOverlay,
    ProcessSpec, Resources, User,
};
use policy_engine::{Engine, RootHash};
use serde_json::{Map, Value, json};

/// Sizes of the policies, in containers.
const CONTAINERS: [usize; 3] = [1, 10, 100];
/// Decisions of each kind.
const DECISIONS: usize = 51;

fn main() {
    let mut medians = Map::new();
    for containers in CONTAINERS {
        let policy = policy(containers);
        let loads = (0..5).map(|_| time(|| Engine::load(policy.as_bytes()).expect("the policy loads")).1);
        medians.insert(format!("load_{containers}_ms"), rounded(median(loads.collect()) * 1e3));
        let engine = Engine::load(policy.as_bytes()).expect("the policy loads");
        let last = containers - 1;
        let mut decide = |name: &str, decision: &dyn Fn()| {
            decision();
            let times = (0..DECISIONS).map(|_| time(decision).1).collect();
            medians.insert(format!("{name}_{containers}_us"), rounded(median(times) * 1e6));
        };
        decide("mount_device", &|| engine.decide(mount_device(last)).unwrap().untouched());
        engine.decide(mount_device(last)).unwrap().done();
        decide("mount_overlay", &|| engine.decide(mount_overlay()).unwrap().untouched());
        engine.decide(mount_overlay()).unwrap().done();
        decide("create_container", &|| engine.decide(create_container(last)).unwrap().untouched());
        engine.decide(create_container(last)).unwrap().done();
        decide("exec_in_container", &|| engine.decide(exec()).unwrap().untouched());
    }
    println!("{}", Value::Object(medians));
}

fn time<T>(call: impl FnOnce() -> T) -> (T, f64) {
    let began = Instant::now();
    let value = call();
    (value, began.elapsed().as_secs_f64())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn rounded(value: f64) -> Value {
    json!((value * 10.0).round() / 10.0)
}

fn root_hash(container: usize) -> RootHash {
    format!("{container:064x}").parse().unwrap()
}

/// A policy in the form of `az confcom`: ten environment rules and one layer a container.
fn policy(containers: usize) -> String {
    let containers: Vec<Value> = (0..containers)
        .map(|number| {
            let rules: Vec<Value> = (0..10)
                .map(|rule| json!({ "pattern": format!("VARIABLE_{rule}=value"), "required": false, "strategy": "string" }))
                .collect();
            json!({
                "allow_elevated": false,
                "allow_stdio_access": true,
                "capabilities": { "ambient": [], "bounding": [], "effective": [], "inheritable": [], "permitted": [] },
                "command": ["/bin/run", number.to_string()],
                "env_rules": rules,
                "exec_processes": [{ "command": ["/bin/probe"], "signals": [] }],
                "id": number.to_string(),
                "layers": [root_hash(number).to_string()],
                "mounts": [],
                "name": number.to_string(),
                "no_new_privileges": false,
                "seccomp_profile_sha256": "",
                "signals": [9, 15],
                "user": {
                    "group_idnames": [{ "pattern": "", "strategy": "any" }],
                    "umask": "0022",
                    "user_idname": { "pattern": "", "strategy": "any" },
                },
                "working_dir": "/",
            })
        })
        .collect();
    let mut text = format!(
        "package policy\n\napi_version := \"0.10.0\"\nframework_version := \"0.2.3\"\n\nfragments := []\n\
         containers := {}\n\nallow_environment_variable_dropping := true\nallow_capability_dropping := true\n",
        Value::Array(containers)
    );
    for rule in ["mount_device", "mount_overlay", "create_container", "exec_in_container"] {
        writeln!(text, "{rule} := data.framework.{rule}").unwrap();
    }
    text
}

fn mount_device(container: usize) -> MountDevice {
    MountDevice {
        target: "/run/mounts/scsi/m0".parse().unwrap(),
        root_hash: root_hash(container),
        source: BlockSource::Node("vda".into()),
        hash_offset_bytes: 4096,
        filesystem: LayerFilesystem::Ext4,
    }
}

fn mount_overlay() -> MountOverlay {
    MountOverlay {
        container_id: "c1".parse().unwrap(),
        layers: vec!["/run/mounts/scsi/m0".parse().unwrap()],
        scratch: None,
        target: "/run/kata-containers/c1/rootfs".parse().unwrap(),
    }
}

fn process(args: &[&str]) -> ProcessSpec {
    ProcessSpec {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: (0..10).map(|rule| format!("VARIABLE_{rule}=value")).collect(),
        cwd: "/".parse().unwrap(),
        user: User { group_names: vec![String::new()], ..User::default() },
        umask: 0o022,
        capabilities: Default::default(),
        no_new_privileges: false,
        rlimits: Vec::new(),
        terminal: None,
        oom_score_adj: None,
    }
}

fn create_container(container: usize) -> CreateContainer {
    CreateContainer {
        container_id: "c1".parse().unwrap(),
        kind: ContainerKind::Workload,
        process: process(&["/bin/run", &container.to_string()]),
        rootfs: "/run/kata-containers/c1/rootfs".parse().unwrap(),
        readonly_rootfs: false,
        mounts: Vec::new(),
        privileged: false,
        hostname: None,
        masked_paths: Vec::new(),
        readonly_paths: Vec::new(),
        resources: Resources::default(),
        allow_stdio_access: false,
    }
}

fn exec() -> ExecInContainer {
    ExecInContainer {
        container_id: "c1".parse().unwrap(),
        exec_id: "e1".parse().unwrap(),
        process: process(&["/bin/probe"]),
    }
}
