//! `state`.

use std::process::ExitCode;

use crate::options::Id;
use crate::state::Directory;

pub(crate) fn run(directory: &Directory, args: &Id) -> anyhow::Result<ExitCode> {
    let entry = directory.open(&args.id)?;
    let record = entry.record()?;
    let status = record.status()?;
    let mut state = record.state(&entry.spec()?, status, record.pid(status));
    if let Some(state) = state.as_object_mut() {
        state.insert("rootfs".to_owned(), record.rootfs.clone().into());
        state.insert("created".to_owned(), record.created.clone().into());
        state.insert("owner".to_owned(), String::new().into());
    }
    println!("{state:#}");
    Ok(ExitCode::SUCCESS)
}
