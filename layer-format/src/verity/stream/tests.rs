//! Both ways to a root hash against the definition, written out plainly.

#![expect(clippy::arithmetic_side_effects, reason = "sizes in tests are small")]

use sha2::{Digest as _, Sha256};

use super::super::TreeBuilder;
use super::*;

/// The definition: hash the blocks, pad the digests to whole blocks, repeat until one digest is left.
fn naive_root(data: &[u8], salt: &[u8]) -> [u8; 32] {
    let digests: Vec<[u8; 32]> =
        data.chunks(BLOCK_SIZE).map(|block| Sha256::digest([salt, block].concat()).into()).collect();
    if let [root] = digests[..] {
        return root;
    }
    let mut level = digests.concat();
    level.resize(level.len().next_multiple_of(BLOCK_SIZE), 0);
    naive_root(&level, salt)
}

fn sample(blocks: usize) -> Vec<u8> {
    (0..blocks * BLOCK_SIZE).map(|i| (i / 512 * 31 + i) as u8).collect()
}

#[test]
fn tree_and_stream_agree_with_the_definition() {
    let salts = [Salt::of_layers(), Salt::new(b"").unwrap(), Salt::new(&[9; 256]).unwrap()];
    for (blocks, salt) in [1, 2, 127, 128, 129, 16_384, 16_385].into_iter().zip(salts.iter().cycle()) {
        let data = sample(blocks);
        let expected = naive_root(&data, salt.as_bytes());
        let mut builder = TreeBuilder::new(salt);
        data.as_chunks().0.iter().for_each(|block| builder.push(block));
        assert_eq!(builder.finish().unwrap().root_hash().as_bytes(), &expected, "{blocks} blocks");
        let streamed = root_of(&mut &data[..], blocks as u64, salt).unwrap();
        assert_eq!(streamed.as_bytes(), &expected, "{blocks} blocks");
    }
}

#[test]
fn a_replaced_block_counts() {
    let mut data = sample(300);
    let mut builder = TreeBuilder::new(&Salt::of_layers());
    data.as_chunks().0.iter().for_each(|block| builder.push(block));
    data[200 * BLOCK_SIZE..201 * BLOCK_SIZE].fill(0xaa);
    assert!(builder.replace(200, &[0xaa; BLOCK_SIZE]));
    assert!(!builder.replace(300, &[0xaa; BLOCK_SIZE]));
    assert_eq!(builder.finish().unwrap().root_hash().as_bytes(), &naive_root(&data, &[0; 32]));
}

#[test]
fn a_copy_is_accepted_only_with_its_root_hash() {
    let data = sample(131);
    let salt = Salt::of_layers();
    let expected = root_of(&mut &data[..], 131, &salt).unwrap();
    let mut copy = Vec::new();
    copy_verified(&mut &data[..], &mut copy, 131, &salt, expected).unwrap();
    assert_eq!(copy, data);

    for bit in [0, 4_000_000, 131 * BLOCK_SIZE * 8 - 1] {
        let mut flipped = data.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let result = copy_verified(&mut &flipped[..], &mut io::sink(), 131, &salt, expected);
        assert!(matches!(result, Err(HashDeviceError::Mismatch { .. })), "bit {bit}");
    }
    let short = copy_verified(&mut &data[..data.len() - 1], &mut io::sink(), 131, &salt, expected);
    assert!(matches!(short, Err(HashDeviceError::Read { .. })));
    let fewer = copy_verified(&mut &data[..], &mut io::sink(), 130, &salt, expected);
    assert!(matches!(fewer, Err(HashDeviceError::Mismatch { .. })));
    let none = copy_verified(&mut &data[..], &mut io::sink(), 0, &salt, expected);
    assert!(matches!(none, Err(HashDeviceError::Empty)));
}

/// Salt and block are hashed as one text. That a block always has 4096 bytes is what tells where the salt ends.
#[test]
fn bytes_do_not_move_between_salt_and_block() {
    let text = sample(2);
    let root_of_split = |salt_size: usize| {
        let (salt, rest) = text.split_at(salt_size);
        root_of(&mut &rest[..BLOCK_SIZE], 1, &Salt::new(salt).unwrap()).unwrap()
    };
    let expected = root_of_split(32);
    for salt_size in (0..=256).filter(|size| *size != 32) {
        assert_ne!(root_of_split(salt_size), expected, "{salt_size} bytes of salt");
    }
}

/// The blocks of a tree's level are data of a tree with fewer levels and the same root hash: whoever takes a number of
/// blocks from a stranger has to look at what the data is.
#[test]
fn a_root_hash_does_not_tell_the_number_of_levels() {
    let data = sample(300);
    let salt = Salt::of_layers();
    let mut builder = TreeBuilder::new(&salt);
    data.as_chunks().0.iter().for_each(|block| builder.push(block));
    let tree = builder.finish().unwrap();
    let mut blocks = Vec::new();
    tree.write_to(&mut blocks).unwrap();
    let (top, leaves) = blocks.split_at(BLOCK_SIZE);
    assert_eq!(root_of(&mut &top[..], 1, &salt).unwrap(), tree.root_hash());
    assert_eq!(root_of(&mut &leaves[..], 3, &salt).unwrap(), tree.root_hash());
}
