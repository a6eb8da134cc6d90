//! What the root hash proves: how many blocks, under which salt, and where their tree is.
//!
//! All of it is the host's word, in a request or on a disk. A wrong word leads to another root hash, since each hash is
//! over exactly the salt and one block of 4096 bytes (docs/decisions/0019-layer-devices.md).

use layer_format::filesystem::Filesystem;
use layer_format::verity::{BLOCK_SIZE, Salt, VeritySuperblock};
use policy_engine::request::{HashSalt, HashTree, MountDevice};

use super::{MountDeviceError, on_disk};
use crate::devices::BlockDevice;

/// The size of a block, in bytes.
const BLOCK_BYTES: u64 = BLOCK_SIZE as u64;

/// The data at the start of an area, and the tree behind it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct VerifiedData {
    /// How many blocks of data.
    pub(super) blocks: u64,
    /// The number of the tree's first block, counted from the start of the area.
    pub(super) tree_block: u64,
    /// What is hashed before each block.
    pub(super) salt: Salt,
}

impl VerifiedData {
    /// Finds data and tree in `area`.
    pub(super) fn locate(request: &MountDevice, area: &BlockDevice) -> Result<Self, MountDeviceError> {
        match &request.hash_tree {
            HashTree::Bare { offset, salt } => {
                let blocks = blocks_before(offset.bytes(), area)?;
                let salt = from_request(salt)?;
                Ok(Self { blocks, tree_block: blocks, salt })
            }
            HashTree::WithSuperblock { offset, salt } => {
                let data_bytes = match offset {
                    Some(offset) => offset.bytes(),
                    None => filesystem_bytes(on_disk(request.filesystem), area)?,
                };
                let found = read_superblock(data_bytes, area)?;
                match salt {
                    Some(salt) if from_request(salt)? != *found.salt() => Err(MountDeviceError::OtherSalt),
                    _ => Ok(Self {
                        blocks: found.data_blocks(),
                        // The superblock has the first block behind the data, the tree those after it.
                        tree_block: found.data_blocks().saturating_add(1),
                        salt: found.salt().clone(),
                    }),
                }
            }
        }
    }

    /// The size of the data, in bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        self.blocks.saturating_mul(BLOCK_BYTES)
    }
}

fn from_request(salt: &HashSalt) -> Result<Salt, MountDeviceError> {
    Salt::new(salt.as_bytes()).map_err(MountDeviceError::SaltTooLong)
}

/// The length of the file system in an area, by its own superblock, which nobody has proven yet.
fn filesystem_bytes(kind: Filesystem, area: &BlockDevice) -> Result<u64, MountDeviceError> {
    let mut head = [0; Filesystem::HEAD_SIZE];
    area.read_exact_at(&mut head, 0).map_err(MountDeviceError::ReadFilesystem)?;
    kind.size_bytes(&head).map_err(MountDeviceError::Filesystem)
}

/// The number of blocks in front of `data_bytes`, behind which the area has at least one more.
fn blocks_before(data_bytes: u64, area: &BlockDevice) -> Result<u64, MountDeviceError> {
    let size_bytes = area.size_bytes();
    let has_room = data_bytes.checked_add(BLOCK_BYTES).is_some_and(|end| end <= size_bytes);
    if data_bytes == 0 || !data_bytes.is_multiple_of(BLOCK_BYTES) || !has_room {
        return Err(MountDeviceError::HashOffset { data_bytes, size_bytes });
    }
    Ok(data_bytes / BLOCK_BYTES)
}

/// Reads the superblock behind the data, and holds it against what is in front of it.
fn read_superblock(data_bytes: u64, area: &BlockDevice) -> Result<VeritySuperblock, MountDeviceError> {
    blocks_before(data_bytes, area)?;
    let mut bytes = [0; VeritySuperblock::SIZE];
    area.read_exact_at(&mut bytes, data_bytes).map_err(MountDeviceError::ReadSuperblock)?;
    let superblock = VeritySuperblock::parse(&bytes).map_err(MountDeviceError::Superblock)?;
    let superblock_bytes = superblock.data_size_bytes();
    if superblock_bytes == data_bytes {
        Ok(superblock)
    } else {
        Err(MountDeviceError::DataSize { superblock_bytes, data_bytes })
    }
}
