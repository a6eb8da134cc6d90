//! Boots the guest image in QEMU.
