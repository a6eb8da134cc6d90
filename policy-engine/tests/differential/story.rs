//! Stories: what a host asks, in an order that mostly makes sense.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::fitting::{self, Surroundings};
use crate::fragment;
use crate::near;
use crate::objects::{self, HASHES};
use crate::policy::Policy;
use crate::random::Random;

/// One step of a story.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Asks a rule; when it is denied and `explain`, also why.
    Query {
        rule: String,
        input: Value,
        explain: bool,
    },
    AddFragment {
        namespace: &'static str,
        text: String,
        parameters: Value,
    },
    RemoveFragment,
    SetData {
        key: &'static str,
        value: Value,
    },
    Save,
    Restore,
}

/// A question of the API: its name and input.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) point: &'static str,
    pub(crate) input: Value,
}

/// Shorthand.
pub(crate) fn question(point: &'static str, input: Value) -> Question {
    Question { point, input }
}

/// How often a denial is explained. The interpreter takes long for it.
const REASONS_PERCENT: usize = 15;

const CONTAINERS: [&str; 5] = ["c1", "c2", "c10", "", "é"];
const LAYER_PATTERN: &str = "/run/mounts/scsi/m[0-9]+";
const DISK_PATTERN: &str = "/run/gcs/c/[a-f0-9]+";
const SHARE_PATTERN: &str = "/mounts/m[0-9]+";

/// What a host asks of a guest with `policy`, from its start.
pub(crate) fn story(random: &mut Random, policy: &Policy) -> Vec<Step> {
    let mut containers = policy.list("containers");
    let mut steps = Vec::new();
    if random.percent(4) {
        containers.extend(fragment::load(random, policy, &mut steps));
    }
    if random.percent(2) {
        let mounts =
            json!([{ "destination": "/etc/hosts", "type": "bind", "source": "/x", "options": ["ro"] }]);
        let value =
            random.pick(&[(("defaultMounts"), mounts), ("sandboxPrefix", json!("hugepages://"))]).clone();
        steps.push(Step::SetData { key: value.0, value: value.1 });
    }
    let mut next_device = 0;
    let mut lives: Vec<Vec<Question>> = Vec::new();
    let mut ids = CONTAINERS.to_vec();
    if random.percent(80) {
        ids.truncate(3);
    }
    for _ in 0..=random.below(3) {
        let index = random.below(ids.len());
        // Seldom two lives of one id.
        let id = if random.percent(10) { ids[index] } else { ids.remove(index) };
        if containers.is_empty() {
            break;
        }
        let object = random.pick(&containers).clone();
        lives.push(life(random, id, &object, &mut next_device));
    }
    lives.push(guest_questions(random, policy));
    let questions = interleaved(random, lives);
    perturbed(random, &questions, &mut steps);
    steps
}

/// All that happens to one container.
fn life(random: &mut Random, id: &'static str, object: &Value, next_device: &mut usize) -> Vec<Question> {
    let mut life = Vec::new();
    let mut targets = Vec::new();
    for hash in object["layers"].as_array().into_iter().flatten() {
        let target = format!("/run/mounts/scsi/m{next_device}");
        *next_device += 1;
        let input = json!({ "target": target, "deviceHash": hash, "mountPathRegex": LAYER_PATTERN });
        life.push(question("mount_device", input));
        targets.push(target);
    }
    let paths: Vec<&String> = targets.iter().rev().collect();
    let root = format!("/run/gcs/c/{id}/rootfs");
    life.push(question("mount_overlay", json!({ "containerID": id, "layerPaths": paths, "target": root })));
    let share = |id: &str, number: usize| format!("/run/gcs/c/{id}/mounts/m{number}");
    let mut shared = Vec::new();
    let wants_share = object["mounts"].to_string().contains("plan9://");
    if wants_share || random.percent(5) {
        let target = share(id, random.below(2));
        let input = json!({ "rootPrefix": "/run/gcs/c", "mountPathPrefix": SHARE_PATTERN, "target": target });
        life.push(question("plan9_mount", input));
        shared.push(target);
    }
    // Sometimes it asks for the directory of another.
    let &owner = random.pick(&CONTAINERS[..3]);
    let other = share(owner, random.below(2));
    let asked = if random.percent(40) { vec![other] } else { shared.clone() };
    let around = Surroundings { container: id, shared: &asked };
    let create = fitting::create(random, object, around);
    let privileged = create["privileged"] == true;
    if random.percent(50) {
        life.push(question("create_container", fitting::create(random, object, around)));
    }
    life.push(question("create_container", create));
    for _ in 0..random.below(4) {
        life.push(question("exec_in_container", fitting::exec(random, object, id, privileged)));
    }
    for _ in 0..random.below(3) {
        life.push(question("signal_container_process", fitting::signal(random, object, id)));
    }
    if random.percent(60) {
        life.push(question("shutdown_container", json!({ "containerID": id })));
        if random.percent(40) {
            life.push(question("exec_in_container", fitting::exec(random, object, id, privileged)));
        }
        for target in shared {
            life.push(question("plan9_unmount", json!({ "unmountTarget": target })));
        }
        life.push(question("unmount_overlay", json!({ "unmountTarget": root })));
        for target in targets {
            life.push(question("unmount_device", json!({ "unmountTarget": target })));
        }
    }
    life
}

/// Questions that no container is part of.
fn guest_questions(random: &mut Random, policy: &Policy) -> Vec<Question> {
    let mut questions = Vec::new();
    let number = random.below(3);
    let scratch = format!("/run/gcs/c/scratch{number}");
    let disk = format!("/run/gcs/c/{number}{}", "a".repeat(random.below(3)));
    let processes = policy.list("external_processes");
    let encrypted = random.percent(60);
    for _ in 0..2 + random.below(5) {
        match random.below(14) {
            0 => {
                questions
                    .push(question("scratch_mount", json!({ "target": scratch, "encrypted": encrypted })));
                if random.percent(70) {
                    questions.push(question("scratch_unmount", json!({ "unmountTarget": scratch })));
                }
            }
            1 => {
                let input = json!({
                    "target": disk, "encrypted": encrypted, "ensureFilesystem": random.percent(80),
                    "filesystem": *random.pick(&["ext4", "xfs", "btrfs"]), "mountPathRegex": DISK_PATTERN,
                });
                questions.push(question("rw_mount_device", input));
                if random.percent(70) {
                    questions.push(question("rw_unmount_device", json!({ "unmountTarget": disk })));
                }
            }
            2..7 => {
                let input = if processes.is_empty() || random.percent(5) {
                    json!({ "argList": objects::command(random), "envList": [], "workingDir": "/" })
                } else {
                    let process = random.pick(&processes).clone();
                    fitting::external(random, &process)
                };
                questions.push(question("exec_external", input));
            }
            7..11 => {
                let rights = ["get_properties", "dump_stacks", "runtime_logging", "host_network"];
                let &right = random.pick(&rights);
                questions.push(question(right, json!({})));
            }
            11 => questions.push(fragment::trust_list(random, policy)),
            12 => questions.push(fragment::first_question(random, policy).0),
            _ => questions.push(rare(random)),
        }
    }
    questions
}

/// Questions that the framework always denies.
fn rare(random: &mut Random) -> Question {
    match random.below(5) {
        0 => question("mount_blockdev", json!({ "target": "/dev/x" })),
        1 => question("unmount_blockdev", json!({ "unmountTarget": "/dev/x" })),
        2 => question(
            "mount_cims",
            json!({ "containerID": "c1", "layerHashes": ["aa"], "mountedCim": ["aa"] }),
        ),
        3 => question("registry_changes", json!({ "containerID": "c1", "registryChanges": {} })),
        _ => question("log_provider", json!({ "providers": ["p", "P"] })),
    }
}

/// Merges lists, keeping the order of each.
fn interleaved(random: &mut Random, mut lists: Vec<Vec<Question>>) -> Vec<Question> {
    lists.iter_mut().for_each(|list| list.reverse());
    let mut merged = Vec::new();
    while !lists.is_empty() {
        let index = random.below(lists.len());
        for _ in 0..=random.below(4) {
            merged.extend(lists[index].pop());
        }
        lists.retain(|list| !list.is_empty());
    }
    merged
}

/// Puts near misses before questions, repeats, drops and swaps some.
fn perturbed(random: &mut Random, questions: &[Question], steps: &mut Vec<Step>) {
    let mut others: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for Question { point, input } in questions {
        others.entry(point).or_default().push(input);
    }
    let mut reasons = random.clone();
    let mut ask = |steps: &mut Vec<Step>, point: &str, input: Value| {
        let explain = reasons.percent(REASONS_PERCENT);
        steps.push(Step::Query { rule: format!("data.policy.{point}"), input, explain });
    };
    let mut saved = false;
    for (index, Question { point, input }) in questions.iter().enumerate() {
        // What is nearly a mount may be one, and then the mount itself is in its way.
        let misses = random.below(if point.contains("mount") { 5 } else { 8 });
        for _ in 0..misses.saturating_sub(3) {
            let near = if random.percent(25) {
                let other = *random.pick(&others[point]);
                near::crossed(random, input, other)
            } else {
                near::miss(random, input)
            };
            ask(steps, point, near);
        }
        match random.below(200) {
            // Unaccountable input is asked of the interpreter, which is slow.
            0 => ask(steps, point, near::odd(random, input)),
            1..4 => ask(steps, random.pick(questions).point, input.clone()),
            4..8 => {
                let early = random.pick(questions);
                ask(steps, early.point, early.input.clone());
            }
            8..12 => continue,
            12 => steps.push(Step::Query {
                rule: "data.framework.enforcement_point_info".to_owned(),
                input: json!({ "name": point, "rule": point }),
                explain: false,
            }),
            13..15 if !saved => {
                steps.push(Step::Save);
                saved = true;
            }
            15..30 if saved => {
                steps.push(Step::Restore);
                saved = false;
            }
            30..32 => {
                let hash = *random.pick(&HASHES);
                let target = format!("/run/mounts/scsi/m{}", random.below(index + 1));
                ask(
                    steps,
                    "mount_device",
                    json!({ "target": target, "deviceHash": hash, "mountPathRegex": LAYER_PATTERN }),
                );
            }
            _ => {}
        }
        ask(steps, point, input.clone());
        if random.percent(3) {
            ask(steps, point, input.clone());
        }
    }
}
