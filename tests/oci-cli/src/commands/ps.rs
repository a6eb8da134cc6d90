//! `ps`.

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;

use crate::guest::Guest;
use crate::options::{ListFormat, Ps};
use crate::state::Directory;

pub(crate) fn run(directory: &Directory, args: &Ps) -> anyhow::Result<ExitCode> {
    let entry = directory.open(&args.id)?;
    let container = Guest::new()?.take_over_living(&entry)?;
    let pids = container.pids().context("the processes cannot be listed")?;
    match args.format {
        ListFormat::Json => println!("{}", json!(pids)),
        ListFormat::Table => {
            println!("{:>8} COMMAND", "PID");
            for pid in pids {
                let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let command = String::from_utf8_lossy(&command).replace('\0', " ");
                println!("{pid:>8} {}", command.trim_end().escape_debug());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
