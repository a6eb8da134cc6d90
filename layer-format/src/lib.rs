//! Container layers on disk: deterministic ext4 and erofs, and dm-verity trees.
//!
//! A layer is a disk image: a file system, then a dm-verity superblock, then the hash tree. What a policy
//! names is the root hash of that tree. [`verity`] and [`filesystem`] are what a guest needs to check an image; the
//! feature `build` adds what makes one from an archive.
#![forbid(unsafe_code)]

#[cfg(feature = "build")]
mod archive;
#[cfg(feature = "build")]
mod block_writer;
#[cfg(feature = "build")]
pub mod compression;
#[cfg(feature = "build")]
mod erofs;
#[cfg(feature = "build")]
mod ext4;
pub mod filesystem;
#[cfg(feature = "build")]
pub mod layer;
mod record;
pub mod verity;
#[cfg(feature = "build")]
mod vhd;
