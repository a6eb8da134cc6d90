//! Why a machine did not start, or did not change.

use std::{path::PathBuf, process::ExitStatus};

use crate::{igvm::LaunchError, initdata::InitdataError, qmp::QmpError};

/// Why a machine did not come up. Where a program had started, the message names its log.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file of the image does not read.
    #[error("could not read `{}`", .path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The launch measurement of the image.
    #[error("could not measure the launch")]
    Measure(#[from] guest_image::measurement::MeasurementError),
    /// The launch from an IGVM file.
    #[error("could not launch from the IGVM file")]
    Igvm(#[from] LaunchError),
    /// The policy's disk.
    #[error("could not make the initdata disk")]
    Initdata(#[from] InitdataError),
    /// More disks than the machine has places.
    #[error("a machine has {limit} places for disks")]
    TooManyDisks {
        /// The number of places.
        limit: u8,
    },
    /// The folder for sockets or logs.
    #[error("could not prepare `{}`", .path.display())]
    Folder {
        /// The folder or a file in it.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A log file.
    #[error("could not write the log `{}`", .path.display())]
    Log {
        /// The log.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A program could not be started or watched.
    #[error("could not run {name}")]
    Spawn {
        /// The program.
        name: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A program ended, which none of a running machine does.
    #[error("{name} ended ({status}); its log is `{}`", .log.display())]
    Ended {
        /// The program.
        name: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
    },
    /// Something was not ready before the deadline.
    #[error("{what} was not ready in time; its log is `{}`", .log.display())]
    NotReady {
        /// What was waited for.
        what: &'static str,
        /// The log that may say why.
        log: PathBuf,
    },
    /// QEMU's control socket.
    #[error("could not control QEMU")]
    Qmp(#[from] QmpError),
    /// The machine was running, and its agent did not come up.
    #[error("the guest did not come up; its console ends with:\n{console}")]
    Guest {
        /// The last lines that it wrote, which the logs of a machine elsewhere would not show.
        console: String,
        /// What was noticed.
        #[source]
        source: Box<StartError>,
    },
}

impl StartError {
    /// What was noticed first, without the console around it.
    #[must_use]
    pub fn cause(&self) -> &Self {
        match self {
            Self::Guest { source, .. } => source,
            other => other,
        }
    }
}

/// Why a disk could not be added or taken away.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The machine has no free place.
    #[error("the machine has no free place for a disk")]
    NoPlace,
    /// QEMU's control socket.
    #[error("could not control QEMU")]
    Qmp(#[from] QmpError),
}
