//! Hooks.

use serde::Serialize;

use crate::path::GuestPath;

/// A program that runs at a point of a container's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook {
    /// The program.
    pub path: GuestPath,
    /// Its argument list, program name first.
    pub args: Vec<String>,
    /// Its environment, `NAME=value`.
    pub env: Vec<String>,
    /// How long it may take; `None` for as long as the guest waits for anything.
    pub timeout_s: Option<u32>,
}

/// The hooks of a container that run in it. Those that run outside are the affair of who asks for the container: the
/// guest runs none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hooks {
    /// After its namespaces were made and its mounts, before its root is changed: the program is one of the guest's.
    pub create_container: Vec<Hook>,
    /// Before its program is executed: the hook is a program of the container's.
    pub start_container: Vec<Hook>,
}
