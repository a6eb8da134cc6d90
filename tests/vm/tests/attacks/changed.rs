//! A layer of which the host changes bits and blocks, before it is mounted and while it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use vm::{BLOCK_BYTES, GuestDisk, Host, Layer, LayerFiles};

use crate::guest::{Guest, Mounted, Ran};
use crate::random::Random;

/// Positions that are changed before the layer is mounted, and while it is.
const BEFORE: usize = 100;
const AFTER: usize = 100;
/// Changes at once while the layer is mounted.
const AT_ONCE: usize = 2;
/// The file that is read block by block.
const LARGE: &str = "tree/large";
const LARGE_BLOCKS: usize = 64;
/// SHA-256 digests in a block of the tree.
const HASHES_OF_BLOCK: usize = BLOCK_BYTES / 32;
/// Passes over the large file while the host goes back and forth between two contents.
const PASSES: usize = 12;

/// Prints every block of the large file, read past the guest's memory; a block that does not read becomes zeros, with an
/// error on the error stream.
const READ_LARGE: &str =
    "busybox dd if=/tree/large bs=4096 iflag=direct conv=noerror,sync | busybox xxd -p -c 256; echo";
/// Reads every name, and every small file.
const READ_TREE: &str = "cd / && busybox find tree; busybox sha256sum tree/*/small tree/rest";

/// The victim: what it holds, and what an honest read of it shows.
struct Victim {
    layer: Layer,
    bytes: Vec<u8>,
    /// The block of the image in which the large file begins.
    large_at: usize,
    /// The content of the large file.
    large: Vec<u8>,
    /// Lines that `READ_TREE` prints.
    tree: BTreeSet<String>,
}

/// What a container saw of the victim.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// Everything, as it is.
    Whole,
    /// Some or none of it, and errors for the rest.
    Errors,
}

impl Victim {
    fn build(host: &Host, folder: &Path, name: &str, random: &mut Random) -> Self {
        let large = random.bytes(LARGE_BLOCKS * BLOCK_BYTES);
        let mut files = BTreeMap::from([(LARGE.to_owned(), large.clone())]);
        // With it there are more blocks than one block of the tree has digests.
        files.insert("tree/rest".to_owned(), random.bytes(96 * BLOCK_BYTES));
        for number in 0..24 {
            files.insert(format!("tree/{number:02}/small"), random.bytes(700));
        }
        let all = files
            .iter()
            .fold(LayerFiles::default(), |all, (path, content)| all.with(path.as_str(), content.as_slice()));
        let layer = Layer::build(host, folder.join(name), &all).unwrap();
        let bytes = layer.bytes().unwrap();
        let large_at = bytes.chunks(BLOCK_BYTES).position(|block| block == &large[..BLOCK_BYTES]).unwrap();
        let stored = &bytes[large_at * BLOCK_BYTES..][..large.len()];
        assert!(stored == large, "the large file is not in one piece");
        let mut tree = BTreeSet::from(["tree".to_owned(), LARGE.to_owned()]);
        for (path, content) in files.iter().filter(|(path, _)| path.as_str() != LARGE) {
            tree.extend([path.trim_end_matches("/small").to_owned(), path.clone()]);
            tree.insert(format!("{}  {path}", hex::encode(Sha256::digest(content))));
        }
        Self { layer, bytes, large_at, large, tree }
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }

    fn write(&self, bytes: &[u8], offset: usize) {
        let file = fs::OpenOptions::new().write(true).open(&self.layer.image).unwrap();
        file.write_all_at(bytes, offset as u64).unwrap();
    }

    fn restore(&self) {
        self.write(&self.bytes, 0);
    }

    /// The blocks of the large file that are not what they were, by what the host's file holds now.
    fn changed_blocks(&self) -> BTreeSet<usize> {
        let now = self.layer.bytes().unwrap();
        let block = |bytes: &[u8], number: usize| {
            bytes[(self.large_at + number) * BLOCK_BYTES..][..BLOCK_BYTES].to_vec()
        };
        (0..LARGE_BLOCKS).filter(|&number| block(&now, number) != block(&self.bytes, number)).collect()
    }

    /// Numbers of the blocks of the large file that did not read. Every other one is what it was.
    fn judge_large(&self, ran: &Ran) -> BTreeSet<usize> {
        let seen = hex::decode(large_lines(ran).collect::<String>()).unwrap();
        assert!(seen.len().is_multiple_of(BLOCK_BYTES) && seen.len() <= self.large.len(), "{}", seen.len());
        let mut failed: BTreeSet<usize> = (seen.len() / BLOCK_BYTES..LARGE_BLOCKS).collect();
        for (number, (seen, honest)) in
            seen.chunks(BLOCK_BYTES).zip(self.large.chunks(BLOCK_BYTES)).enumerate()
        {
            if seen == [0; BLOCK_BYTES] {
                failed.insert(number);
            } else {
                assert!(seen == honest, "wrong bytes reached a container: block {number}");
            }
        }
        assert!(failed.is_empty() || !ran.stderr.is_empty(), "nothing was said of blocks {failed:?}");
        failed
    }

    /// Everything that a container printed is true, and nothing is missing without an error.
    fn judge(&self, ran: &Ran) -> Seen {
        let failed = self.judge_large(ran);
        let tree = ran.stdout.lines().skip(large_lines(ran).count()).filter(|line| !line.is_empty());
        let lines: BTreeSet<String> = tree.map(str::to_owned).collect();
        let wrong: Vec<_> = lines.difference(&self.tree).collect();
        assert!(wrong.is_empty(), "wrong bytes reached a container: {wrong:?}");
        if failed.is_empty() && lines == self.tree {
            return Seen::Whole;
        }
        assert!(!ran.stderr.is_empty(), "something is missing, and nothing was said: {ran:?}");
        Seen::Errors
    }
}

/// What was printed of the large file: lines up to an empty one.
fn large_lines(ran: &Ran) -> impl Iterator<Item = &str> {
    ran.stdout.lines().take_while(|line| !line.is_empty())
}

/// Parts of an image, of which the small ones are hit as often as the large one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    FileSystemSuperblock,
    Data,
    VeritySuperblock,
    Tree,
}

impl Part {
    const ALL: [Self; 4] = [Self::FileSystemSuperblock, Self::Data, Self::VeritySuperblock, Self::Tree];

    /// A random place that this part has something at.
    fn position(self, victim: &Victim, random: &mut Random) -> usize {
        let hashes = victim.layer.hash_offset_bytes;
        match self {
            Self::FileSystemSuperblock => 1024 + random.below(1024),
            Self::Data => random.below(hashes),
            Self::VeritySuperblock => loop {
                // Up to the end of a salt of 32 bytes, but for the identifier and the gap behind the salt's size.
                let offset = random.below(120);
                if !(16..32).contains(&offset) && !(82..88).contains(&offset) {
                    break hashes + offset;
                }
            },
            Self::Tree => {
                let leaves = (hashes / BLOCK_BYTES).div_ceil(HASHES_OF_BLOCK);
                hashes + BLOCK_BYTES + random.below((leaves + 1) * BLOCK_BYTES)
            }
        }
    }
}

#[test]
fn no_changed_bit_of_a_layer_reaches_a_container() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let folder = TempDir::new().unwrap();
    let mut random = Random::seeded();
    let busybox = Layer::of_busybox(&host, folder.path()).unwrap();
    let fresh = Victim::build(&host, folder.path(), "fresh.img", &mut random);
    let mounted = Victim::build(&host, folder.path(), "mounted.img", &mut random);
    let other = Victim::build(&host, folder.path(), "other.img", &mut random);
    let disks = vec![busybox.disk(), fresh.layer.disk(), mounted.layer.disk()];
    let mut guest = Guest::start(&host, "attacks-changed", |config| vm::VmConfig { disks, ..config });
    let [base, fresh_disk, mounted_disk] = guest.machine.disks().try_into().unwrap();
    // What holds the base stays mounted, as number 1.
    let keeper = guest.keep(0, &[(mounted_disk, &mounted.layer), (base, &busybox)]).unwrap();

    let start = Instant::now();
    before_the_mount(&mut guest, (base, &busybox), (fresh_disk, &fresh), &mut random);
    println!("{BEFORE} positions before the mount: {:?}", start.elapsed());
    let start = Instant::now();
    after_the_mount(&guest, &keeper, &mounted, &other, &mut random);
    println!("{AFTER} positions after the mount: {:?}", start.elapsed());
    let start = Instant::now();
    back_and_forth(&guest, &keeper, &mounted, &other);
    println!("back and forth: {:?}", start.elapsed());

    // Whatever happened, the guest goes on, and an honest layer is read.
    guest.assert_healthy();
    fresh.restore();
    let script = format!("{READ_LARGE}; {READ_TREE}");
    let ran = guest.run(1, &[(base, &busybox), (fresh_disk, &fresh.layer)], &script).unwrap();
    assert_eq!(fresh.judge(&ran), Seen::Whole);
}

fn before_the_mount(
    guest: &mut Guest,
    base: Mounted<'_>,
    (disk, victim): (GuestDisk, &Victim),
    random: &mut Random,
) {
    let script = format!("{READ_LARGE}; {READ_TREE}");
    let ran = guest.run(1, &[base, (disk, &victim.layer)], &script).unwrap();
    assert_eq!(victim.judge(&ran), Seen::Whole, "the honest layer does not read: {ran:?}");
    // How often each part was changed, refused at the mount, and noticed at a read.
    let mut tally = BTreeMap::new();
    for number in 0..BEFORE {
        let part = Part::ALL[number % Part::ALL.len()];
        let position = part.position(victim, random);
        let bit = 1 << random.below(8);
        victim.write(&[victim.bytes[position] ^ bit], position);
        let (tried, refused, noticed) = tally.entry(part).or_insert((0, 0, 0));
        *tried += 1;
        match guest.run(1, &[base, (disk, &victim.layer)], &script) {
            Ok(ran) => {
                let seen = victim.judge(&ran);
                *noticed += usize::from(seen == Seen::Errors);
                let changed = victim.changed_blocks();
                assert!(
                    changed.is_subset(&victim.judge_large(&ran)),
                    "position {position}: a changed block was read"
                );
            }
            Err(refusal) => {
                *refused += 1;
                // What the first block holds is read before anything is mounted; of the rest the kernel may be the first.
                let at_once = part == Part::FileSystemSuperblock;
                assert!(!at_once || refusal.status == "DATA_LOSS", "position {position}: {refusal:?}");
            }
        }
        victim.write(&[victim.bytes[position]], position);
    }
    println!("changed, refused at the mount, noticed at a read: {tally:?}");
    let noticed = |part| tally.get(&part).map_or(0, |(_, refused, noticed)| refused + noticed);
    // Of the data, bitmaps and free blocks are not read.
    let of_each = BEFORE / Part::ALL.len();
    for part in Part::ALL {
        let least = if part == Part::Data { of_each - 10 } else { of_each };
        assert!(noticed(part) >= least, "{part:?} was changed unnoticed: {tally:?}");
    }
}

/// Changes a random block of the large file while the layer is mounted, and perhaps others.
fn change(mounted: &Victim, other: &Victim, random: &mut Random) -> &'static str {
    let write = |from: &Victim, number: usize, to: usize| {
        mounted.write(&from.bytes[number * BLOCK_BYTES..][..BLOCK_BYTES], to * BLOCK_BYTES);
    };
    let blocks = mounted.size().min(other.size()) / BLOCK_BYTES;
    let victim = mounted.large_at + random.below(LARGE_BLOCKS);
    match random.below(4) {
        0 => {
            let position = victim * BLOCK_BYTES + random.below(BLOCK_BYTES);
            mounted.write(&[mounted.bytes[position] ^ (1 << random.below(8))], position);
            "a flipped bit"
        }
        1 => {
            write(other, victim, victim);
            "a block of another layer"
        }
        2 => {
            let second = (victim + 1 + random.below(blocks - 1)) % blocks;
            write(mounted, victim, second);
            write(mounted, second, victim);
            "two blocks exchanged"
        }
        _ => {
            (victim..blocks).for_each(|number| write(other, number, number));
            "another layer from a block on"
        }
    }
}

fn after_the_mount(guest: &Guest, keeper: &str, mounted: &Victim, other: &Victim, random: &mut Random) {
    let honest = guest.exec(keeper, READ_LARGE).unwrap();
    assert!(mounted.judge_large(&honest).is_empty(), "{honest:?}");
    let mut tally = BTreeMap::new();
    for _ in 0..AFTER / AT_ONCE {
        let kinds: Vec<_> = (0..AT_ONCE).map(|_| change(mounted, other, random)).collect();
        let changed = mounted.changed_blocks();
        assert!(!changed.is_empty());
        let failed = mounted.judge_large(&guest.exec(keeper, READ_LARGE).unwrap());
        // The tree is in the guest's memory since it was checked: exactly what was changed does not read.
        assert_eq!(failed, changed, "{kinds:?}");
        mounted.restore();
        kinds.into_iter().for_each(|kind| *tally.entry(kind).or_insert(0) += 1);
    }
    println!("changed, and noticed at a read: {tally:?}");
    let healed = guest.exec(keeper, READ_LARGE).unwrap();
    assert!(mounted.judge_large(&healed).is_empty(), "what is there again is read again: {healed:?}");
}

/// The host goes back and forth between two layers as fast as it can while a container reads.
fn back_and_forth(guest: &Guest, keeper: &str, mounted: &Victim, other: &Victim) {
    let over = AtomicBool::new(false);
    let (mut whole, mut errors) = (0, 0);
    thread::scope(|scope| {
        let swaps = scope.spawn(|| {
            let length = mounted.size().min(other.size());
            let mut swaps = 0_usize;
            while !over.load(Ordering::Relaxed) {
                mounted.write(&other.bytes[..length], 0);
                mounted.restore();
                swaps += 1;
            }
            swaps
        });
        for _ in 0..PASSES {
            let failed = mounted.judge_large(&guest.exec(keeper, READ_LARGE).unwrap()).len();
            errors += failed;
            whole += LARGE_BLOCKS - failed;
        }
        over.store(true, Ordering::Relaxed);
        println!("{} swaps: {whole} blocks were read, {errors} were refused", swaps.join().unwrap());
    });
    assert!(errors > 0, "no swap was met by a read");
}
