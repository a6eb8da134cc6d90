//! `update`: other limits.

use std::io::Read as _;
use std::process::ExitCode;
use std::{fs, io};

use anyhow::Context as _;
use oci_spec::runtime::LinuxResources;
use policy_engine::request::UpdateContainer;
use serde_json::{Map, Value as Json, json};

use crate::convert;
use crate::guest::Guest;
use crate::options::Update;
use crate::state::Directory;

pub(crate) fn run(directory: &Directory, args: &Update) -> anyhow::Result<ExitCode> {
    let entry = directory.open(&args.id)?;
    let _lock = entry.lock()?;
    let asked: LinuxResources = serde_json::from_value(resources(args)?).context("the limits")?;
    let guest = Guest::new()?;
    let container = guest.take_over_living(&entry)?;
    let resources = convert::resources(&asked)?;
    let request = UpdateContainer { container_id: container.id().clone(), resources };
    container.update(guest.engine.decide(request)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The limits as a configuration has them: of the file, or of the options.
fn resources(args: &Update) -> anyhow::Result<Json> {
    if let Some(file) = &args.resources {
        let mut text = Vec::new();
        if file.as_os_str() == "-" {
            io::stdin().read_to_end(&mut text).context("the limits cannot be read")?;
        } else {
            text = fs::read(file).context("the limits cannot be read")?;
        }
        return serde_json::from_slice(&text).context("the limits are no JSON");
    }
    let section = |entries: &[(&str, Json)]| {
        let given = entries.iter().filter(|(_, value)| !value.is_null());
        Json::Object(given.map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<Map<_, _>>())
    };
    let mut resources = section(&[]);
    let sections = [
        (
            "memory",
            section(&[
                ("limit", json!(args.memory)),
                ("reservation", json!(args.memory_reservation)),
                ("swap", json!(args.memory_swap)),
            ]),
        ),
        (
            "cpu",
            section(&[
                ("period", json!(args.cpu_period)),
                ("quota", json!(args.cpu_quota)),
                ("shares", json!(args.cpu_share)),
                ("cpus", json!(args.cpuset_cpus)),
                ("mems", json!(args.cpuset_mems)),
            ]),
        ),
        ("pids", section(&[("limit", json!(args.pids_limit))])),
        ("blockIO", section(&[("weight", json!(args.blkio_weight))])),
    ];
    for (name, section) in sections {
        let given = section.as_object().is_some_and(|section| !section.is_empty());
        if let Some(resources) = resources.as_object_mut().filter(|_| given) {
            resources.insert(name.to_owned(), section);
        }
    }
    Ok(resources)
}
