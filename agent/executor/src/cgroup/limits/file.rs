//! Writing one file of a cgroup, and undoing that.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::settings::{Value, Write};

impl Write {
    /// Writes the value to `file`; how to undo it goes into `done`.
    pub(super) fn carry_out(&self, file: &Path, done: &mut Vec<Undo>) -> io::Result<()> {
        match &self.value {
            Value::Whole(value) => {
                let former = Undo::whole(file)?;
                write(file, value)?;
                done.push(former);
            }
            Value::Line(line) => {
                let former = Undo::line(file, line);
                write(file, line)?;
                done.push(former);
            }
            Value::Lines(lines) => {
                for line in lines.lines() {
                    let former = Undo::line(file, line);
                    write(file, line)?;
                    done.push(former);
                }
            }
            Value::Period(period_us) => {
                let former = Undo::whole(file)?;
                let quota = former.value.as_deref().and_then(|old| old.split(' ').next()).unwrap_or("max");
                write(file, &format!("{quota} {period_us}"))?;
                done.push(former);
            }
            Value::SwapBeyond(total_bytes) => {
                let former = Undo::whole(file)?;
                let memory = fs::read_to_string(file.with_file_name("memory.max"))?;
                let memory = memory.trim_end().parse::<u64>().ok();
                let swap = memory.and_then(|memory| total_bytes.checked_sub(memory));
                // Without a limit of memory there is none of both together.
                write(file, &swap.ok_or(io::ErrorKind::InvalidInput)?.to_string())?;
                done.push(former);
            }
        }
        Ok(())
    }
}

/// How to make a file what it was before.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Undo {
    file: PathBuf,
    /// `None` when that cannot be told.
    value: Option<String>,
}

impl Undo {
    fn whole(file: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(file)?;
        let value = match file.file_name().and_then(|name| name.to_str()) {
            // Reads as several numbers, of which the first is written.
            Some("memory.oom_control") => {
                text.lines().find_map(|line| line.strip_prefix("oom_kill_disable ")).map(str::to_owned)
            }
            _ => Some(text.trim_end().to_owned()),
        };
        Ok(Self { file: file.to_owned(), value })
    }

    /// For a file of lines that begin with what they are about.
    fn line(file: &Path, line: &str) -> Self {
        let key = line.split(' ').next().unwrap_or_default();
        let value = fs::read_to_string(file).ok().and_then(|text| {
            let old = text.lines().find(|old| old.split(' ').next() == Some(key));
            match (old, text.lines().count()) {
                (Some(old), _) => Some(old.to_owned()),
                // Not of lines, but one value.
                (None, 1) if !line.contains(' ') => Some(text.trim_end().to_owned()),
                (None, _) => without_limit(file, key),
            }
        });
        Self { file: file.to_owned(), value }
    }

    pub(super) fn carry_out(&self) -> io::Result<()> {
        write(&self.file, self.value.as_deref().ok_or(io::ErrorKind::NotFound)?)
    }
}

/// What stands for no line about `key`.
fn without_limit(file: &Path, key: &str) -> Option<String> {
    let none = match file.file_name()?.to_str()? {
        "io.max" => "rbps=max wbps=max riops=max wiops=max",
        "io.latency" => "target=0",
        "rdma.max" => "hca_handle=max hca_object=max",
        "misc.max" => "max",
        "io.weight" | "io.bfq.weight" | "blkio.bfq.weight_device" => "default",
        name if name.starts_with("blkio.") => "0",
        _ => return None,
    };
    Some(format!("{key} {none}"))
}

fn write(file: &Path, value: &str) -> io::Result<()> {
    // Nothing at all would not be written: an empty set is an empty line.
    let value = if value.is_empty() { "\n" } else { value };
    fs::OpenOptions::new().write(true).truncate(true).open(file)?.write_all(value.as_bytes())
}
