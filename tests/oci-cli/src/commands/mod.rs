//! The commands.

pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod events;
pub(crate) mod exec;
pub(crate) mod features;
mod foreground;
pub(crate) mod kill;
pub(crate) mod list;
pub(crate) mod pause;
pub(crate) mod ps;
pub(crate) mod run;
pub(crate) mod spec;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod update;

use std::path::Path;

use anyhow::Context as _;

/// Writes the number of a process to a file, whole or not at all.
fn write_pid(file: Option<&Path>, pid: i32) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    std::fs::write(&new, pid.to_string())
        .and_then(|()| std::fs::rename(&new, file))
        .context("the pid file cannot be written")
}
