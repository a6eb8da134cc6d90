//! Disks to which the kernel refuses writes as long as layers are read from them.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{BlockDevice, DeviceNumber};
use crate::sys::block_device;

/// The devices that are guarded at the moment. Their numbers are theirs: each is held open by who guards it.
static GUARDED: Mutex<BTreeMap<DeviceNumber, Guarded>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
struct Guarded {
    holders: usize,
    was_writable: bool,
}

/// Makes the kernel refuse writes to `device` until everybody who asked for that has let go of it.
pub(super) fn hold(device: &BlockDevice) -> io::Result<()> {
    let mut guarded = guarded();
    if let Some(known) = guarded.get_mut(&device.number()) {
        known.holders = known.holders.saturating_add(1);
        return Ok(());
    }
    let was_writable = !block_device::is_read_only(device.as_fd())?;
    block_device::set_read_only(device.as_fd(), true)?;
    guarded.insert(device.number(), Guarded { holders: 1, was_writable });
    Ok(())
}

/// Lets go of `device`. The last one leaves it as the first found it.
pub(super) fn release(device: &BlockDevice) {
    let mut guarded = guarded();
    let Some(known) = guarded.get_mut(&device.number()) else { return };
    known.holders = known.holders.saturating_sub(1);
    if known.holders > 0 {
        return;
    }
    let was_writable = known.was_writable;
    guarded.remove(&device.number());
    if was_writable {
        // Where this fails, the disk is gone or stays read-only: neither harms anybody but a host that writes to it next.
        let _stays = block_device::set_read_only(device.as_fd(), false);
    }
}

fn guarded() -> MutexGuard<'static, BTreeMap<DeviceNumber, Guarded>> {
    GUARDED.lock().unwrap_or_else(PoisonError::into_inner)
}
