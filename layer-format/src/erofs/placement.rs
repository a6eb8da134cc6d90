//! Which place each inode, directory and target of a symbolic link gets.

use super::inode::{self, directory_size, tail_size};
use super::space::{RegionId, Space};
use super::tree::{Content, Directory, InodeId, Placement, ROOT, Tree};
use super::{BLOCK_BYTES, SLOT_SIZE, xattr};

/// The farthest from the first numbered slot that the root can be: its number has 16 bits.
const MAX_ROOT_OFFSET: u64 = 0xffff * SLOT_SIZE;

/// Everything has its place.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) space: Space,
    /// Inodes in the order of their serial numbers.
    pub(super) order: Vec<InodeId>,
    /// Block from which inodes are numbered.
    pub(super) first_inode_block: u32,
}

impl Placed {
    /// Walks the tree: a directory is placed with its siblings; when all in it are placed, what it holds is; then come
    /// its subdirectories, one after the other.
    pub(super) fn walk(tree: &mut Tree, space: Space) -> Self {
        let mut placed = Self { space, order: Vec::new(), first_inode_block: 0 };
        placed.place(tree, ROOT);
        placed.number_from_root(tree);
        let mut directories = vec![ROOT];
        while let Some(id) = directories.pop() {
            let children: Vec<_> = match tree.get(id).directory() {
                Some(directory) => directory.children.values().copied().collect(),
                None => Vec::new(),
            };
            let mut subdirectories = Vec::new();
            for child in &children {
                // A file with several names is placed where the first of them is met.
                if tree.get(*child).placement.is_none() {
                    placed.place(tree, *child);
                    if tree.get(*child).directory().is_some() {
                        subdirectories.push(*child);
                    }
                }
            }
            directories.extend(subdirectories.into_iter().rev());
            placed.place_entries(tree, id, &children);
        }
        placed.space.map_all();
        placed
    }

    /// Places an inode; of what is no directory also what it holds.
    fn place(&mut self, tree: &mut Tree, id: InodeId) {
        tree.mark_whiteouts(id);
        let inode = tree.get(id);
        let extended = inode::needs_extended(inode, tree.version());
        let size = inode::size(extended).saturating_add(xattr::size(&inode.attributes) as u64);
        let tail = tail_size(inode);
        let mut region = None;
        if let Content::Data { region: data, .. } = &inode.content {
            region = Some(*data);
        }
        if let Content::Target(target) = &inode.content {
            region = whole_blocks(target.len() as u64).map(|blocks| self.space.add_data(blocks));
        }
        let inline_place = self.space.add_inode(size, tail);
        let inline = tail > 0 && inline_place.is_some();
        if !inline
            && tail > 0
            && let Some(region) = region
        {
            self.space.extend(region);
        }
        // Without data behind it, an inode fits everywhere.
        let Some(place) = inline_place.or_else(|| self.space.add_inode(size, 0)) else { return };
        if !inline && tail > 0 && region.is_none() && inode.directory().is_none() {
            region = Some(self.space.add_data(1));
        }
        if let Some(region) = region {
            self.space.close(region);
        }
        self.order.push(id);
        let number = u32::try_from(self.order.len()).unwrap_or(u32::MAX);
        tree.get_mut(id).placement = Some(Placement { number, place, region, inline, extended });
    }

    /// Places what a directory holds. Entries name places, so all that it names gets an address.
    fn place_entries(&mut self, tree: &mut Tree, id: InodeId, children: &[InodeId]) {
        let inode = tree.get(id);
        let (Some(directory), Some(mut placement)) = (inode.directory(), inode.placement) else { return };
        let size = directory_size(directory);
        let (tail, blocks) = (size % BLOCK_BYTES, whole_blocks(size));
        let mut region = blocks.map(|blocks| self.space.add_directory(blocks));
        for named in children.iter().copied().chain([id, directory.parent]) {
            if let Some(placement) = tree.get(named).placement {
                self.space.map_place(placement.place);
            }
        }
        if tail > 0 && !placement.inline {
            match region {
                Some(region) => self.space.extend(region),
                None => region = Some(self.space.add_directory(1)),
            }
        }
        if let Some(region) = region {
            self.space.close(region);
        }
        placement.region = region;
        tree.get_mut(id).placement = Some(placement);
    }

    /// The number of the root has 16 bits: where it stands far behind, inodes are counted from another block.
    fn number_from_root(&mut self, tree: &Tree) {
        let Some(placement) = tree.get(ROOT).placement else { return };
        self.space.map_place(placement.place);
        let position = self.space.position(placement.place).unwrap_or_default();
        let beyond = position.saturating_sub(MAX_ROOT_OFFSET).div_ceil(BLOCK_BYTES);
        self.first_inode_block = u32::try_from(beyond).unwrap_or(u32::MAX);
    }

    /// Byte of the image at which an inode stands.
    pub(super) fn position(&self, tree: &Tree, id: InodeId) -> u64 {
        let position = tree.get(id).placement.and_then(|placement| self.space.position(placement.place));
        position.unwrap_or_default()
    }

    /// The number of an inode; before the first numbered block it wraps around.
    pub(super) fn number(&self, tree: &Tree, id: InodeId) -> u64 {
        let start = u64::from(self.first_inode_block).saturating_mul(BLOCK_BYTES);
        self.position(tree, id).wrapping_sub(start) / SLOT_SIZE
    }

    /// How many directories are in a directory.
    pub(super) fn subdirectories(tree: &Tree, directory: &Directory) -> u32 {
        let children = directory.children.values();
        let count = children.filter(|child| tree.get(**child).directory().is_some()).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// First block of a region.
    pub(super) fn block(&self, region: RegionId) -> Option<u32> {
        self.space.address(region)
    }
}

/// How many blocks something fills; nothing when not even one.
fn whole_blocks(size: u64) -> Option<u32> {
    u32::try_from(size / BLOCK_BYTES).ok().filter(|blocks| *blocks > 0)
}
