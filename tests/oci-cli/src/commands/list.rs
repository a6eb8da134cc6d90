//! `list`.

use std::process::ExitCode;

use serde_json::json;

use crate::options::{List, ListFormat};
use crate::state::Directory;

pub(crate) fn run(directory: &Directory, args: &List) -> anyhow::Result<ExitCode> {
    let mut list = Vec::new();
    for entry in directory.list()? {
        // One that is removed meanwhile is none.
        let (Ok(record), Ok(spec)) = (entry.record(), entry.spec()) else { continue };
        let status = record.status()?;
        let annotations = spec.annotations().clone().unwrap_or_default();
        list.push((record.pid(status), status.name(), record, annotations));
    }
    if args.quiet {
        list.iter().for_each(|(_, _, record, _)| println!("{}", record.id));
    } else if args.format == ListFormat::Json {
        let json: Vec<_> = list
            .iter()
            .map(|(pid, status, record, annotations)| {
                json!({
                    "ociVersion": crate::state::SPECIFICATION_VERSION, "id": record.id, "pid": pid,
                    "status": status, "bundle": record.bundle, "rootfs": record.rootfs,
                    "created": record.created, "annotations": annotations, "owner": "",
                })
            })
            .collect();
        println!("{}", json!(json));
    } else {
        println!("{:<32} {:>8} {:<9} {:<31} BUNDLE", "ID", "PID", "STATUS", "CREATED");
        for (pid, status, record, _) in list {
            let bundle = record.bundle.display();
            println!("{:<32} {pid:>8} {status:<9} {:<31} {bundle}", record.id, record.created);
        }
    }
    Ok(ExitCode::SUCCESS)
}
