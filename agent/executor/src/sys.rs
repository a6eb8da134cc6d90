//! System calls without a safe wrapper: all unsafe code of the crate, one purpose a file.

pub(crate) mod block_device;
pub(crate) mod bpf;
pub(crate) mod children;
pub(crate) mod descriptors;
pub(crate) mod device_mapper;
pub(crate) mod keyring;
pub(crate) mod loop_device;
pub(crate) mod mount_attributes;
pub(crate) mod namespace_kind;
pub(crate) mod process;
pub(crate) mod reactor;
pub(crate) mod scheduling;
pub(crate) mod seccomp;
pub(crate) mod signals;
