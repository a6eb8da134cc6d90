//! The same over whole engines: typed requests, versions with their defaults, amended requests, denials.

use std::fmt::Write as _;

use policy_engine::request::linux::{IdMappings, LinuxSettings, ProcessSettings};
use policy_engine::request::{
    BlockSource, CapabilitySets, ContainerKind, ContainerMount, CreateContainer, DeviceTarget,
    ExecInContainer, GetProperties, HashTree, LayerFilesystem, MountDevice, MountOverlay, ProcessSpec,
    Request, Resources, SANDBOX_MOUNTS_DIRECTORY, ScratchBacking, ScratchMount, ScratchUnmount,
    ShutdownContainer, Signal, SignalContainerProcess, UnmountDevice, UnmountOverlay, User,
};
use policy_engine::{Engine, EvaluatorKind, GuestPath, Refusal};
use serde_json::Value;

use crate::fitting::SANDBOX_DIRECTORY;
use crate::objects::HASHES;
use crate::policy::Policy;
use crate::random::Random;
use crate::story::{self, Step};

/// A rule that makes a policy the interpreter's, without changing an answer.
const OWN_RULE: &str = "\nown_rule := 1 + 1\n";

fn string(input: &Value, field: &str) -> Option<String> {
    input.get(field)?.as_str().map(str::to_owned)
}

fn strings(input: &Value, field: &str) -> Option<Vec<String>> {
    input.get(field)?.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
}

fn parsed<T: std::str::FromStr>(input: &Value, field: &str) -> Option<T> {
    string(input, field)?.parse().ok()
}

/// A policy lists digests; in stories they are shorter.
fn digest(hash: &str) -> Option<String> {
    let number = HASHES.iter().position(|known| *known == hash)?;
    Some(format!("{:064x}", number + 1))
}

fn process(input: &Value) -> Option<ProcessSpec> {
    let capabilities = input.get("capabilities")?;
    let user = input.get("user")?;
    let groups = input.get("groups")?.as_array()?;
    let numbers: Vec<u32> = groups.iter().map(|group| parsed(group, "id")).collect::<Option<_>>()?;
    // Each process has a primary group.
    let (gid, additional_gids) = numbers.split_first()?;
    let names = groups.iter().map(|group| string(group, "name")).collect::<Option<Vec<_>>>()?;
    Some(ProcessSpec {
        args: strings(input, "argList")?,
        env: strings(input, "envList")?,
        cwd: parsed(input, "workingDir")?,
        user: User {
            uid: parsed(user, "id")?,
            gid: *gid,
            additional_gids: additional_gids.to_vec(),
            user_name: string(user, "name")?,
            group_names: names,
        },
        umask: u16::from_str_radix(&string(input, "umask")?, 8).ok()?,
        capabilities: CapabilitySets {
            bounding: strings(capabilities, "bounding")?,
            effective: strings(capabilities, "effective")?,
            inheritable: strings(capabilities, "inheritable")?,
            permitted: strings(capabilities, "permitted")?,
            ambient: strings(capabilities, "ambient")?,
        },
        no_new_privileges: input.get("noNewPrivileges")?.as_bool()?,
        rlimits: Vec::new(),
        terminal: None,
        oom_score_adj: None,
        settings: ProcessSettings::default(),
    })
}

fn mount(mount: &Value) -> Option<ContainerMount> {
    Some(ContainerMount {
        destination: parsed(mount, "destination")?,
        source: string(mount, "source")?.replace(SANDBOX_DIRECTORY, SANDBOX_MOUNTS_DIRECTORY),
        fstype: string(mount, "type")?,
        options: strings(mount, "options")?,
        id_mappings: IdMappings::default(),
    })
}

fn create_container(input: &Value) -> Option<CreateContainer> {
    // The engine's defaults have other options.
    let own = |mount: &&Value| mount["type"] != "proc" && mount["type"] != "sysfs";
    let mounts = input.get("mounts")?.as_array()?.iter().filter(own).map(mount).collect::<Option<_>>()?;
    let sandbox = input.get("isSandboxContainer")?.as_bool()?;
    Some(CreateContainer {
        container_id: parsed(input, "containerID")?,
        kind: if sandbox { ContainerKind::Sandbox } else { ContainerKind::Workload },
        process: process(input)?,
        rootfs: "/rootfs".parse().ok()?,
        readonly_rootfs: false,
        mounts,
        privileged: input.get("privileged")?.as_bool()?,
        hostname: None,
        masked_paths: Vec::new(),
        readonly_paths: Vec::new(),
        resources: Resources::default(),
        seccomp: None,
        linux: LinuxSettings::default(),
        allow_stdio_access: false,
    })
}

fn mount_device(input: &Value) -> Option<MountDevice> {
    Some(MountDevice {
        target: parsed(input, "target")?,
        root_hash: digest(input.get("deviceHash")?.as_str()?)?.parse().ok()?,
        source: BlockSource::Node("vda".into()),
        partition: None,
        hash_tree: HashTree::BEHIND_FILESYSTEM,
        filesystem: LayerFilesystem::Ext4,
    })
}

fn mount_overlay(input: &Value) -> Option<MountOverlay> {
    let layers = strings(input, "layerPaths")?;
    Some(MountOverlay {
        container_id: parsed(input, "containerID")?,
        layers: layers.iter().map(|layer| layer.parse::<DeviceTarget>().ok()).collect::<Option<_>>()?,
        scratch: None,
        target: parsed(input, "target")?,
    })
}

fn signal(input: &Value) -> Option<SignalContainerProcess> {
    let init = input.get("isInitProcess")?.as_bool()?;
    Some(SignalContainerProcess {
        container_id: parsed(input, "containerID")?,
        exec_id: if init { None } else { Some("e1".parse().ok()?) },
        signal: Signal::new(input.get("signal")?.as_u64()?.try_into().ok()?)?,
        all: false,
        args: strings(input, "argList")?,
    })
}

/// What an engine says, with the request as it is carried out; an allow is carried out.
fn said<R: Request>(engine: &Engine, request: Option<R>) -> Option<String> {
    Some(match engine.decide(request?) {
        Ok(permit) => format!("allowed: {:?}", permit.done().request()),
        // Which object came closest is not always known of the interpreter's.
        Err(Refusal::Denied(denial)) => format!("denied: {} {:?}", denial.rule, denial.reasons),
        Err(refusal) => format!("denied: {refusal}"),
    })
}

/// The answer to a question as a typed request; `None` if there is no such request.
fn answer(engine: &Engine, point: &str, input: &Value) -> Option<String> {
    let target = || parsed::<GuestPath>(input, "unmountTarget");
    match point {
        "mount_device" => said(engine, mount_device(input)),
        "unmount_device" => {
            said(engine, parsed(input, "unmountTarget").map(|target| UnmountDevice { target }))
        }
        "mount_overlay" => said(engine, mount_overlay(input)),
        "unmount_overlay" => said(engine, target().map(|target| UnmountOverlay { target })),
        "scratch_mount" => {
            let target = parsed(input, "target");
            let backing = ScratchBacking::Memory { size_bytes: 1 << 20 };
            said(engine, target.map(|target| ScratchMount { target, backing }))
        }
        "scratch_unmount" => said(engine, target().map(|target| ScratchUnmount { target })),
        "create_container" => said(engine, create_container(input)),
        "exec_in_container" => {
            let exec = || {
                let (container_id, exec_id) = (parsed(input, "containerID")?, "e1".parse().ok()?);
                Some(ExecInContainer { container_id, exec_id, process: process(input)? })
            };
            said(engine, exec())
        }
        "signal_container_process" => said(engine, signal(input)),
        "shutdown_container" => {
            said(engine, parsed(input, "containerID").map(|container_id| ShutdownContainer { container_id }))
        }
        "get_properties" => said(engine, Some(GetProperties { container_id: "c1".parse().ok()? })),
        _ => None,
    }
}

/// Allowed and denied requests.
#[derive(Debug, Default)]
struct Count {
    allowed: u32,
    denied: u32,
    native: u32,
}

fn compare(seed: u64, count: &mut Count) {
    let mut random = Random::new(seed, 0);
    let mut policy = Policy::random(&mut random);
    policy.layout.escapes = false;
    let mut text = policy.text();
    for hash in HASHES {
        text = text.replace(&format!("\"{hash}\""), &format!("\"{}\"", digest(hash).unwrap()));
    }
    let load = |text: &str| Engine::load(text.as_bytes());
    let (native, interpreted) = match (load(&text), load(&format!("{text}{OWN_RULE}"))) {
        (Ok(native), Ok(interpreted)) => (native, interpreted),
        (Err(native), Err(interpreted)) => {
            assert_eq!(native.to_string(), interpreted.to_string(), "seed {seed}");
            return;
        }
        (native, interpreted) => panic!("seed {seed}: {native:?} {interpreted:?}\n{text}"),
    };
    let summary = native.summary();
    assert_eq!(interpreted.summary().evaluator, EvaluatorKind::Interpreter);
    assert_eq!(summary.containers, interpreted.summary().containers);
    count.native += u32::from(summary.evaluator == EvaluatorKind::Native);
    let mut asked = String::new();
    for step in story::story(&mut random, &policy) {
        let Step::Query { rule, input, .. } = step else { continue };
        let point = rule.rsplit('.').next().unwrap();
        let (given, specified) = (answer(&native, point, &input), answer(&interpreted, point, &input));
        writeln!(asked, "{point} {input}").unwrap();
        assert_eq!(given, specified, "seed {seed}: {point} {input}\n{text}\n{asked}");
        match given {
            Some(given) if given.starts_with("allowed") => count.allowed += 1,
            Some(_) => count.denied += 1,
            None => {}
        }
    }
}

#[test]
fn engines_decide_alike() {
    let mut count = Count::default();
    (0..40).for_each(|seed| compare(seed, &mut count));
    assert!(count.native > 20, "{count:?}");
    assert!(count.allowed > 80 && count.denied > 80, "{count:?}");
}
