//! Requests that differ from an allowed one in one thing, and must be denied.

use serde_json::{Value as Json, json};

use crate::request::{Attempt, SANDBOX, device};

/// A changed attempt whose last question must be denied.
#[derive(Debug)]
pub(crate) struct NearMiss {
    pub(crate) change: &'static str,
    pub(crate) attempt: Attempt,
}

/// Collects changes of one attempt.
struct Misses<'a> {
    allowed: &'a Attempt,
    misses: Vec<NearMiss>,
}

impl Misses<'_> {
    fn add(&mut self, change: &'static str, attempt: Attempt) {
        self.misses.push(NearMiss { change, attempt });
    }

    /// Changes the request to create the container.
    fn creation(&mut self, change: &'static str, edit: impl FnOnce(&mut Json)) {
        let mut attempt = self.allowed.clone();
        edit(attempt.creation_mut());
        assert_ne!(attempt.creation(), self.allowed.creation(), "{change} changes nothing");
        self.add(change, attempt);
    }

    /// Changes one mount of the request, the first with such a source.
    fn mount(&mut self, change: &'static str, edit: impl FnOnce(&mut Json)) {
        self.creation(change, |request| edit(&mut request["mounts"][0]));
    }
}

fn push(list: &mut Json, value: Json) {
    list.as_array_mut().expect("a list").push(value);
}

/// All near misses of `allowed`, the creation of `container`, under a policy that drops what it does not name of
/// the environment and of the capabilities, or does not.
pub(crate) fn near_misses(
    allowed: &Attempt,
    container: &Json,
    (drops_environment, drops_capabilities): (bool, bool),
) -> Vec<NearMiss> {
    assert!(allowed.last_is("create_container"));
    let mut misses = Misses { allowed, misses: Vec::new() };
    roots(&mut misses, container);
    process(&mut misses, container);
    rights(&mut misses, container);
    mounts(&mut misses, container);
    environment(&mut misses, container, drops_environment);
    capabilities(&mut misses, drops_capabilities);
    misses.misses
}

/// Other layers, another order of them, an id without a root, and an id used twice.
fn roots(misses: &mut Misses<'_>, container: &Json) {
    let layers = container["layers"].as_array().expect("layers").len();
    let mut foreign = misses.allowed.first(1);
    foreign.questions[0].1 = device(0, &json!("f".repeat(64)));
    misses.add("a layer that no container has", foreign);
    let mut elsewhere = misses.allowed.first(1);
    elsewhere.questions[0].1["target"] = json!("/run/mounts/scsi/m0/../../../etc");
    misses.add("a layer mounted elsewhere", elsewhere);
    let mut twice = misses.allowed.first(1);
    twice.questions.push(twice.questions[0].clone());
    misses.add("a second layer at the same place", twice);
    let mut more = misses.allowed.first(layers + 1);
    push(&mut more.questions[layers].1["layerPaths"], json!("/run/mounts/scsi/m0"));
    misses.add("one layer more", more);
    if layers > 1 {
        let mut reversed = misses.allowed.first(layers + 1);
        reversed.questions[layers].1["layerPaths"].as_array_mut().expect("a list").reverse();
        misses.add("layers in another order", reversed);
    }
    misses.creation("an id without a root", |request| request["containerID"] = json!("decaf"));
    let mut again = misses.allowed.clone();
    again.questions.push(again.questions[layers + 1].clone());
    misses.add("an id used twice", again);
}

fn process(misses: &mut Misses<'_>, container: &Json) {
    let command = container["command"].as_array().cloned().unwrap_or_default();
    misses.creation("one argument more", |request| {
        request["argList"] = command.iter().cloned().chain([json!("--debug")]).collect();
    });
    misses.creation("another program", |request| {
        request["argList"] =
            [json!("/bin/other")].into_iter().chain(command.iter().skip(1).cloned()).collect();
    });
    if command.len() > 1 {
        misses.creation("one argument less", |request| {
            request["argList"] = command[..command.len() - 1].to_vec().into();
        });
    }
    misses.creation("another directory", |request| request["workingDir"] = json!("/elsewhere"));
    misses.creation("another umask", |request| request["umask"] = json!("0777"));
    let user = &container["user"]["user_idname"];
    match user["strategy"].as_str() {
        Some("id") => misses.creation("another user", |request| request["user"]["id"] = json!("4711")),
        Some("name" | "re2") => {
            misses.creation("another user", |request| request["user"]["name"] = json!("nobody-else"));
        }
        _ => {}
    }
    let groups = container["user"]["group_idnames"].as_array().expect("groups");
    if groups.iter().all(|group| group["strategy"] == "id") {
        misses.creation("one group more", |request| {
            push(&mut request["groups"], json!({"id": "4711", "name": ""}))
        });
    }
}

fn rights(misses: &mut Misses<'_>, container: &Json) {
    if container["allow_elevated"] == false {
        misses.creation("privileged", |request| request["privileged"] = json!(true));
    }
    if container["no_new_privileges"] == true {
        misses.creation("new privileges", |request| request["noNewPrivileges"] = json!(false));
    }
    misses.creation("another seccomp profile", |request| {
        request["seccompProfileSHA256"] = json!("a".repeat(64));
    });
    misses.creation("a device", |request| {
        let node = json!({"path": "/dev/mem", "type": "c", "major": 1, "minor": 1, "fileMode": null, "uid": 0, "gid": 0});
        push(&mut request["devices"], node);
    });
}

fn mounts(misses: &mut Misses<'_>, container: &Json) {
    misses.creation("one mount more", |request| {
        let host = json!({"destination": "/host", "source": format!("{SANDBOX}/host"), "options": ["rbind", "rw"], "type": "bind"});
        push(&mut request["mounts"], host);
    });
    misses.mount("a mount elsewhere", |mount| mount["destination"] = json!("/elsewhere"));
    misses.mount("a mount with one option more", |mount| push(&mut mount["options"], json!("suid")));
    misses.mount("a mount of another type", |mount| mount["type"] = json!("overlay"));
    let policy = container["mounts"].as_array().expect("mounts");
    if policy
        .first()
        .is_some_and(|mount| mount["source"].as_str().is_some_and(|source| source.starts_with("sandbox://")))
    {
        misses.mount("a mount from outside of the sandbox", |mount| {
            let inside = mount["source"].as_str().expect("a source").strip_prefix(SANDBOX);
            mount["source"] = json!(format!("/host{}", inside.expect("inside")));
        });
        misses.mount("a mount of another directory of the sandbox", |mount| {
            mount["source"] = json!(format!("{SANDBOX}/other"));
        });
    }
}

fn environment(misses: &mut Misses<'_>, container: &Json, dropped: bool) {
    let rules = container["env_rules"].as_array().expect("rules");
    if let Some(required) = rules.iter().position(|rule| rule["required"] == true) {
        misses.creation("a required variable less", |request| {
            request["envList"].as_array_mut().expect("a list").remove(required);
        });
        misses.creation("another value of a required variable", |request| {
            let entry = request["envList"][required].as_str().expect("an entry");
            let name = entry.split('=').next().unwrap_or_default();
            request["envList"][required] = json!(format!("{name}=;"));
        });
    }
    if !dropped {
        misses.creation("one variable more", |request| {
            push(&mut request["envList"], json!("LD_PRELOAD=/host.so"));
        });
        misses
            .creation("a variable without a value", |request| push(&mut request["envList"], json!("DEBUG")));
    }
}

fn capabilities(misses: &mut Misses<'_>, dropped: bool) {
    let bounding =
        misses.allowed.creation()["capabilities"]["bounding"].as_array().cloned().unwrap_or_default();
    if !bounding.is_empty() {
        misses.creation("one capability less", |request| {
            request["capabilities"]["bounding"] = bounding[1..].to_vec().into();
        });
    }
    if !dropped {
        for set in ["ambient", "effective"] {
            misses.creation("one capability more", |request| {
                push(&mut request["capabilities"][set], json!("CAP_MAC_OVERRIDE"));
            });
        }
    }
}
