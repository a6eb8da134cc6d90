//! System calls without a safe wrapper: all unsafe code of the crate, one purpose a file.

pub(crate) mod block_device;
pub(crate) mod device_mapper;
pub(crate) mod loop_device;
