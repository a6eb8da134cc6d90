//! The state directory: what one command leaves to the next. A directory for each container, for root alone.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use executor::container::handover::{Handover, Stage};
use oci_spec::runtime::Spec;
use policy_engine::{ContainerId, GuestPath};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

const RECORD: &str = "record.json";
const SPEC: &str = "config.json";
/// The version of the runtime specification that is carried out.
pub(crate) const SPECIFICATION_VERSION: &str = "1.2.0";

/// All containers.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

/// One container's directory.
#[derive(Debug)]
pub(crate) struct Entry {
    path: PathBuf,
}

/// Holds other commands off that change the same container.
#[derive(Debug)]
pub(crate) struct Lock {
    _directory: File,
}

/// What is known of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: String,
    /// When it was made (RFC 3339).
    pub(crate) created: String,
    /// Missing while it is being created.
    pub(crate) handover: Option<Handover>,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    /// The word for it in the runtime specification; `paused` is every runtime's.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl Directory {
    pub(crate) fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// Makes the directory of a new container.
    pub(crate) fn create(&self, id: &ContainerId) -> anyhow::Result<Entry> {
        private_directories()
            .recursive(true)
            .create(&self.0)
            .context("the state directory cannot be made")?;
        let path = self.0.join(id.as_str());
        match private_directories().create(&path) {
            Ok(()) => Ok(Entry { path }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                bail!("container with id {id} already exists")
            }
            Err(error) => Err(error).context("the container's state directory cannot be made"),
        }
    }

    /// The directory of a container that there is.
    pub(crate) fn open(&self, id: &str) -> anyhow::Result<Entry> {
        let id = parse_id(id)?;
        let path = self.0.join(id.as_str());
        if !path.is_dir() {
            bail!("container {id} does not exist");
        }
        Ok(Entry { path })
    }

    /// All containers, in the order of their ids.
    pub(crate) fn list(&self) -> anyhow::Result<Vec<Entry>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context("the state directory cannot be read"),
        };
        let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        paths.retain(|path| path.join(RECORD).exists());
        paths.sort();
        Ok(paths.into_iter().map(|path| Entry { path }).collect())
    }
}

fn private_directories() -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// Reads the id of a container.
pub(crate) fn parse_id(text: &str) -> anyhow::Result<ContainerId> {
    text.parse().with_context(|| format!("invalid container id format: {text:?}"))
}

impl Entry {
    /// Its path, for the socket that the way to start it is got from.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until no other command changes the container.
    pub(crate) fn lock(&self) -> anyhow::Result<Lock> {
        let directory = File::open(&self.path).context("the container's state directory cannot be opened")?;
        flock(&directory, FlockOperation::LockExclusive).context("the container cannot be locked")?;
        if !self.path.join(RECORD).exists() {
            bail!("container {} does not exist", self.path.file_name().unwrap_or_default().display());
        }
        Ok(Lock { _directory: directory })
    }

    /// Keeps the configuration: later changes of the bundle's are without effect.
    pub(crate) fn keep_spec(&self, spec: &Spec) -> anyhow::Result<()> {
        fs::write(self.path.join(SPEC), serde_json::to_vec(spec)?).context("the configuration cannot be kept")
    }

    /// The configuration as it was when the container was created.
    pub(crate) fn spec(&self) -> anyhow::Result<Spec> {
        let text = fs::read(self.path.join(SPEC)).context("the kept configuration cannot be read")?;
        serde_json::from_slice(&text).context("the kept configuration cannot be read")
    }

    pub(crate) fn record(&self) -> anyhow::Result<Record> {
        let text = fs::read(self.path.join(RECORD)).context("the container's state cannot be read")?;
        serde_json::from_slice(&text).context("the container's state cannot be read")
    }

    /// Replaces the record at once: a reader sees the old one or the new one.
    pub(crate) fn save(&self, record: &Record) -> anyhow::Result<()> {
        let new = self.path.join("record.new");
        fs::write(&new, serde_json::to_vec(record)?)
            .and_then(|()| fs::rename(&new, self.path.join(RECORD)))
            .context("the container's state cannot be written")
    }

    /// Forgets the container.
    pub(crate) fn remove(&self) -> anyhow::Result<()> {
        fs::remove_dir_all(&self.path).context("the container's state directory cannot be removed")
    }
}

impl Record {
    /// Where the container is in its life.
    pub(crate) fn status(&self) -> anyhow::Result<Status> {
        let Some(handover) = &self.handover else { return Ok(Status::Creating) };
        Ok(match (handover.is_alive()?, handover.stage()) {
            (false, _) => Status::Stopped,
            (true, Stage::Created) => Status::Created,
            (true, Stage::Running) => Status::Running,
            (true, Stage::Paused) => Status::Paused,
        })
    }

    /// The number of its init, 0 when that has ended.
    pub(crate) fn pid(&self, status: Status) -> i32 {
        let handover = self.handover.as_ref().filter(|_| status != Status::Stopped);
        handover.map(Handover::pid).unwrap_or_default()
    }

    /// The rootfs as the vocabulary has it.
    pub(crate) fn rootfs(&self) -> anyhow::Result<GuestPath> {
        self.rootfs.parse().context("the path of the root file system")
    }

    /// The state as the runtime specification has it, which hooks get as well.
    pub(crate) fn state(&self, spec: &Spec, status: Status, pid: i32) -> Json {
        json!({
            "ociVersion": SPECIFICATION_VERSION,
            "id": self.id,
            "status": status.name(),
            "pid": pid,
            "bundle": self.bundle,
            "annotations": spec.annotations().clone().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_once_and_stay_in_the_directory() {
        let root = tempfile::TempDir::new().unwrap();
        let directory = Directory::new(&root.path().join("deep/state"));
        let id = parse_id("c1").unwrap();
        let entry = directory.create(&id).unwrap();
        assert!(directory.create(&id).unwrap_err().to_string().contains("already exists"));
        assert!(directory.open("../deep").is_err());
        assert!(directory.open("c2").unwrap_err().to_string().contains("does not exist"));
        // One that is not there yet is not listed and cannot be changed.
        assert!(directory.list().unwrap().is_empty() && entry.lock().is_err());
        let record = Record {
            id: "c1".to_owned(),
            bundle: "/b".into(),
            rootfs: "/b/rootfs".to_owned(),
            created: String::new(),
            handover: None,
        };
        entry.save(&record).unwrap();
        assert_eq!(directory.list().unwrap().len(), 1);
        assert_eq!(entry.record().unwrap().status().unwrap(), Status::Creating);
        drop(entry.lock().unwrap());
        entry.remove().unwrap();
        assert!(directory.open("c1").is_err());
    }
}
