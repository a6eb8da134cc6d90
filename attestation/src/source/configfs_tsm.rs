//! configfs-tsm: the kernel's report interface for all confidential guests (Linux 6.7,
//! `Documentation/ABI/testing/configfs-tsm`).

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{ReportError, ReportSource, report_on};
use crate::report::layout::REPORT_LEN;
use crate::report::{Report, ReportData};

/// Where report entries are made.
pub(super) const FOLDER: &str = "/sys/kernel/config/tsm/report";

/// The provider that gives SNP reports.
const PROVIDER: &str = "sev_guest";

/// Makes entry names unique in this process.
static NEXT_ENTRY: AtomicU64 = AtomicU64::new(0);

/// Reports by an entry in configfs-tsm, at VMPL 0.
#[derive(Debug)]
pub struct ConfigfsTsm {
    folder: PathBuf,
}

impl Default for ConfigfsTsm {
    fn default() -> Self {
        Self::at(Path::new(FOLDER))
    }
}

impl ConfigfsTsm {
    /// Makes entries below `folder`.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }
}

impl ReportSource for ConfigfsTsm {
    fn report(&self, data: &ReportData) -> Result<Report, ReportError> {
        let serial = NEXT_ENTRY.fetch_add(1, Ordering::Relaxed);
        let entry = Entry::make(self.folder.join(format!("cce-{}-{serial}", std::process::id())))?;
        report_from(&entry, data)
    }

    fn name(&self) -> &'static str {
        "configfs-tsm"
    }
}

/// Asks for a report through a fresh entry.
fn report_from(entry: &impl Attributes, data: &ReportData) -> Result<Report, ReportError> {
    let provider = text(entry, "provider", "read the provider")?;
    if provider != PROVIDER {
        return Err(ReportError::Provider(provider));
    }
    let before = generation(entry)?;
    write(entry, "privlevel", "write the privilege level", b"0")?;
    write(entry, "inblob", "write the report data", data.as_bytes())?;
    let bytes = read(entry, "outblob", "read the report", REPORT_LEN)?;
    // Each write counts up. Another count means that another process wrote to this entry, and that the report may
    // be about its data.
    if generation(entry)? != before.wrapping_add(2) {
        return Err(ReportError::Race);
    }
    report_on(data, &bytes)
}

fn write(entry: &impl Attributes, file: &str, step: &'static str, bytes: &[u8]) -> Result<(), ReportError> {
    entry.write(file, bytes).map_err(|source| ReportError::Configfs { step, source })
}

fn read(
    entry: &impl Attributes,
    file: &str,
    step: &'static str,
    limit: usize,
) -> Result<Vec<u8>, ReportError> {
    entry.read(file, limit).map_err(|source| ReportError::Configfs { step, source })
}

fn text(entry: &impl Attributes, file: &str, step: &'static str) -> Result<String, ReportError> {
    Ok(String::from_utf8_lossy(&read(entry, file, step, 64)?).trim_end().to_owned())
}

fn generation(entry: &impl Attributes) -> Result<u64, ReportError> {
    const STEP: &str = "read the generation";
    text(entry, "generation", STEP)?
        .parse()
        .map_err(|_| ReportError::Configfs { step: STEP, source: io::ErrorKind::InvalidData.into() })
}

/// The attribute files of a report entry.
trait Attributes {
    /// Writes an attribute at once, as the kernel takes it.
    fn write(&self, file: &str, bytes: &[u8]) -> io::Result<()>;

    /// Reads an attribute; one byte beyond `limit`, so that a longer one is noticed.
    fn read(&self, file: &str, limit: usize) -> io::Result<Vec<u8>>;
}

/// A report entry; it is removed when dropped.
struct Entry(PathBuf);

impl Entry {
    fn make(path: PathBuf) -> Result<Self, ReportError> {
        fs::create_dir(&path).map_err(|source| ReportError::Configfs { step: "make the entry", source })?;
        Ok(Self(path))
    }
}

impl Attributes for Entry {
    fn write(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        let written = File::options().write(true).open(self.0.join(file))?.write(bytes)?;
        if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    fn read(&self, file: &str, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let limit = (limit as u64).saturating_add(1);
        File::open(self.0.join(file))?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // An entry that stays costs the kernel a little memory; there is nothing better to do about it.
        drop(fs::remove_dir(&self.0));
    }
}

#[cfg(test)]
mod tests;
