//! What the agent does for a process in a user namespace from outside of it, where the process itself has no right to.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;

use policy_engine::request::linux::{IdMappings, Namespace, Namespaces};
use rustix::fs::{FileType, Gid, Uid, fchown, fstat};
use rustix::process::{Pid, Rlimit, prlimit};

use super::mappings;
use super::plan::{ProcessPlan, RlimitPlan};
use super::process::Exit;
use super::setup::resource;

/// Works on one process.
#[derive(Debug)]
pub(super) struct FromOutside {
    /// What to map the ids of its new user namespace to.
    mappings: Option<IdMappings>,
    rlimits: Vec<RlimitPlan>,
    oom_score_adj: Option<i16>,
    /// Whose its pipes are, in the guest's ids.
    owner: Option<(Uid, Gid)>,
}

impl FromOutside {
    /// Takes over what `process` cannot do in `namespaces`; `None` where it can do everything. The init of a container
    /// comes first into a new namespace, which has no ids yet.
    pub(super) fn take(process: &mut ProcessPlan, namespaces: &Namespaces, is_init: bool) -> Option<Self> {
        if namespaces.user == Namespace::Guest {
            return None;
        }
        process.in_user_namespace = true;
        let ids = &namespaces.id_mappings;
        let owner =
            mappings::to_guest(&ids.uids, process.uid).zip(mappings::to_guest(&ids.gids, process.gid));
        Some(Self {
            mappings: (is_init && namespaces.user == Namespace::New).then(|| ids.clone()),
            rlimits: std::mem::take(&mut process.rlimits),
            oom_score_adj: process.oom_score_adj.take(),
            owner: owner.map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid))),
        })
    }

    /// Gives the pipes among the streams to the user of the process, so that it can open them again by name.
    pub(super) fn own_streams(&self, streams: &[BorrowedFd<'_>]) -> io::Result<()> {
        let Some((uid, gid)) = self.owner else { return Ok(()) };
        for stream in streams {
            if FileType::from_raw_mode(fstat(stream)?.st_mode) == FileType::Fifo {
                fchown(stream, Some(uid), Some(gid))?;
            }
        }
        Ok(())
    }

    /// Maps the ids of a new user namespace. The result is whether the process waits for that.
    pub(super) fn map_ids(&self, pid: Pid, exit: &Exit) -> io::Result<bool> {
        let Some(mappings) = &self.mappings else { return Ok(false) };
        exit.unless_collected(|| map(pid, mappings))?;
        Ok(true)
    }

    /// Sets limits, which only the guest's root raises, when the process is set up and needs no more itself.
    pub(super) fn limit(&self, pid: Pid, exit: &Exit) -> io::Result<()> {
        exit.unless_collected(|| {
            if let Some(score) = self.oom_score_adj {
                write(pid, "oom_score_adj", &score.to_string())?;
            }
            for limit in &self.rlimits {
                let value = Rlimit { current: limit.soft, maximum: limit.hard };
                prlimit(Some(pid), resource(limit.kind), value)?;
            }
            Ok(())
        })
    }
}

/// Maps the ids of the new user namespace of a process that was not collected.
pub(super) fn map(pid: Pid, mappings: &IdMappings) -> io::Result<()> {
    write(pid, "uid_map", &mappings::text(&mappings.uids))?;
    write(pid, "gid_map", &mappings::text(&mappings.gids))
}

/// Writes to a file of a process, at once.
fn write(pid: Pid, name: &str, value: &str) -> io::Result<()> {
    let path = format!("/proc/{}/{name}", pid.as_raw_nonzero());
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    io::Write::write_all(&mut file, value.as_bytes())
}
