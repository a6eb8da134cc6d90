//! Files of small stand-in parts: their measurement, recomputed from their bytes alone, and what the kernel finds.

#![expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]

use std::ops::Range;

use sha2::{Digest as _, Sha384};

use super::*;

const KERNEL_ADDRESS: u64 = 0x100_0000;

/// A bzImage of protocol 2.15 with this much code.
pub(crate) fn kernel(code: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 1024];
    for (offset, bytes) in [
        (0x1f1, &[1_u8][..]),
        (0x201, &[0x6a]),
        (0x202, b"HdrS"),
        (0x206, &0x20f_u16.to_le_bytes()),
        (0x22c, &0x7fff_ffff_u32.to_le_bytes()),
        (0x236, &[1]),
        (0x238, &2047_u32.to_le_bytes()),
        (0x258, &KERNEL_ADDRESS.to_le_bytes()),
        (0x260, &0x1_0000_u32.to_le_bytes()),
    ] {
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
    file.extend_from_slice(code);
    file
}

fn code() -> Vec<u8> {
    // A page of zeros between two others: it is measured, and takes no place in the file.
    [vec![0x90; 4096], vec![0; 4096], vec![0xcc; 100]].concat()
}

fn with<T>(change: impl FnOnce(&mut DirectLaunch<'_>) -> T, then: impl FnOnce(&DirectLaunch<'_>)) {
    let kernel = kernel(&code());
    let mut launch = DirectLaunch {
        kernel: &kernel,
        initrd: b"initrd",
        command_line: "console=ttyS0",
        vcpus: 2,
        memory_mib: 64,
    };
    change(&mut launch);
    then(&launch);
}

fn image(change: impl FnOnce(&mut DirectLaunch<'_>)) -> IgvmImage {
    let mut image = None;
    with(change, |launch| image = Some(launch.build().unwrap()));
    image.unwrap()
}

fn refusal(change: impl FnOnce(&mut DirectLaunch<'_>)) -> IgvmError {
    let mut error = None;
    with(change, |launch| error = Some(launch.build().unwrap_err()));
    error.unwrap()
}

/// A page of a file: address, kind for the secure processor, bytes.
struct Found {
    address: u64,
    kind: u8,
    bytes: Vec<u8>,
}

fn number(bytes: &[u8], range: Range<usize>) -> u64 {
    bytes[range].iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// The pages of a file in their order, read from its bytes. Format: the IGVM specification in the crate `igvm_defs`.
fn pages(file: &[u8]) -> Vec<Found> {
    assert_eq!(&file[..4], b"IGVM");
    let page_at = |offset: u64| {
        let start = usize::try_from(offset).unwrap();
        if start == 0 { vec![0; 4096] } else { file[start..start + 4096].to_vec() }
    };
    let mut next = usize::try_from(number(file, 8..12)).unwrap();
    let end = next + usize::try_from(number(file, 12..16)).unwrap();
    let mut pages = Vec::new();
    while next < end {
        let (kind, len) =
            (number(file, next..next + 4), usize::try_from(number(file, next + 4..next + 8)).unwrap());
        let header = &file[next + 8..next + 8 + len];
        let address = || number(header, 0..8);
        match kind {
            // Page data: flags, then the type of the data.
            0x302 => {
                assert_eq!(number(header, 16..20), 0, "no page is unmeasured, shared or large");
                let kind = match number(header, 20..22) {
                    0 => 1,
                    1 => 5,
                    2 => 6,
                    other => panic!("page data of type {other}"),
                };
                pages.push(Found { address: address(), kind, bytes: page_at(number(header, 12..16)) });
            }
            0x304 => {
                assert_eq!(number(header, 16..18), 0, "the boot processor");
                pages.push(Found { address: address(), kind: 2, bytes: page_at(number(header, 12..16)) });
            }
            // Platform, policy, required memory.
            0x1 | 0x101 | 0x305 => {}
            other => panic!("header of type {other:#x}"),
        }
        next += 8 + len.next_multiple_of(8);
    }
    pages
}

/// SNP ABI specification 1.55, section 8.17.2, table 67: PAGE_INFO.
fn measure(pages: &[Found]) -> String {
    let mut digest = [0_u8; 48];
    for page in pages {
        let content: [u8; 48] = match page.kind {
            1 | 2 => Sha384::digest(&page.bytes).into(),
            _ => [0; 48],
        };
        let mut info = digest.to_vec();
        info.extend_from_slice(&content);
        info.extend_from_slice(&0x70_u16.to_le_bytes());
        info.extend_from_slice(&[page.kind, 0, 0, 0, 0, 0]);
        info.extend_from_slice(&page.address.to_le_bytes());
        digest = Sha384::digest(&info).into();
    }
    hex::encode(digest)
}

#[test]
fn the_measurement_follows_from_the_bytes_of_the_file() {
    let image = image(|_| {});
    assert_eq!(measure(&pages(&image.bytes)), image.reference.measurement);
}

#[test]
fn the_formats_own_library_measures_the_same() {
    let image = image(|_| {});
    let file = IgvmFile::new_from_binary(&image.bytes, None).unwrap();
    let digest =
        ::igvm::measurement::generate_snp_measurement(file.initializations(), file.directives(), SNP)
            .unwrap();
    assert_eq!(hex::encode(digest), image.reference.measurement);
}

#[test]
fn the_same_parts_give_the_same_bytes() {
    assert_eq!(image(|_| {}), image(|_| {}));
}

#[test]
fn every_part_changes_the_measurement() {
    let original = image(|_| {}).reference.measurement;
    let other_kernel = kernel(&[code(), vec![0xcc]].concat());
    let others = [
        image(|launch| launch.initrd = b"initrE"),
        image(|launch| launch.command_line = "console=ttyS1"),
        image(|launch| launch.vcpus = 1),
        image(|launch| launch.memory_mib = 65),
    ];
    let mut measurements: Vec<String> = others.into_iter().map(|image| image.reference.measurement).collect();
    let launch = DirectLaunch {
        kernel: &other_kernel,
        initrd: b"initrd",
        command_line: "console=ttyS0",
        vcpus: 2,
        memory_mib: 64,
    };
    measurements.push(launch.build().unwrap().reference.measurement);
    measurements.push(original);
    let number = measurements.len();
    measurements.sort();
    measurements.dedup();
    assert_eq!(measurements.len(), number);
}

/// Loaders measure pages in the order of the file or of the addresses. Here both are one.
#[test]
fn pages_come_in_the_order_of_their_addresses() {
    let pages = pages(&image(|_| {}).bytes);
    assert!(pages.is_sorted_by(|a, b| a.address < b.address));
}

/// Ranges of addresses that the first code validates.
fn validated(pages: &[Found]) -> Vec<Range<u64>> {
    let state = pages.iter().find(|page| page.kind == 2).unwrap();
    let start = number(&state.bytes, 0x178..0x180);
    let code = pages.iter().find(|page| page.address == start).unwrap();
    let ranges = code.bytes[512..].chunks_exact(16).map(|range| number(range, 0..8)..number(range, 8..16));
    ranges.take_while(|range| range.end != 0).collect()
}

/// The memory map in the boot parameters: ranges with their type.
fn memory_map(pages: &[Found]) -> Vec<(Range<u64>, u64)> {
    let state = pages.iter().find(|page| page.kind == 2).unwrap();
    let params = number(&state.bytes, 0x330..0x338);
    let params = pages.iter().find(|page| page.address == params).unwrap();
    assert!(params.bytes[0x1e8] > 0, "no memory");
    let entries = params.bytes[0x2d0..].chunks_exact(20).take(params.bytes[0x1e8].into());
    entries
        .map(|entry| (number(entry, 0..8)..number(entry, 0..8) + number(entry, 8..16), number(entry, 16..20)))
        .collect()
}

#[test]
fn every_page_of_memory_is_launched_or_validated_and_none_is_both() {
    for memory_mib in [64, 5 * 1024] {
        let pages = pages(&image(|launch| launch.memory_mib = memory_mib).bytes);
        let validated = validated(&pages);
        for (range, _) in memory_map(&pages) {
            for address in range.step_by(4096) {
                let launched = pages.binary_search_by_key(&address, |page| page.address).is_ok();
                let listed = validated.iter().any(|range| range.contains(&address));
                assert!(launched != listed, "{address:#x} is launched: {launched}, validated: {listed}");
            }
        }
    }
}

#[test]
fn memory_that_does_not_fit_below_devices_goes_on_at_4_gib() {
    const GIB: u64 = 1 << 30;
    let pages = pages(&image(|launch| launch.memory_mib = 5 * 1024).bytes);
    let map = memory_map(&pages);
    assert_eq!(map.last(), Some(&(4 * GIB..6 * GIB, 1)));
    assert_eq!(map.iter().rev().nth(1).map(|(range, _)| range.end), Some(3 * GIB));
    assert!(map.is_sorted_by(|(a, _), (b, _)| a.end <= b.start));
}

#[test]
fn the_guest_cannot_take_its_own_state_for_memory() {
    let pages = pages(&image(|_| {}).bytes);
    let map = memory_map(&pages);
    let use_of = |kind: u8| {
        let page = pages.iter().find(|page| page.kind == kind).unwrap();
        map.iter().find(|(range, _)| range.contains(&page.address)).map(|&(_, kind)| kind)
    };
    // The processor's state, the secrets, CPUID: reserved.
    assert_eq!([2, 5, 6].map(use_of), [Some(2); 3]);
}

#[test]
fn a_kernel_that_does_not_start_in_long_mode_is_refused() {
    let good = kernel(&code());
    let changed = |offset: usize, byte: u8| {
        let mut file = good.clone();
        file[offset] = byte;
        file
    };
    for (file, reason) in [
        (b"kernel".to_vec(), "no setup header"),
        (changed(0x206, 0x0e), "a boot protocol older than 2.15"),
        (changed(0x236, 0), "no 64-bit entry"),
        (changed(0x258, 1), "a load address within a page"),
        (changed(0x262, 0), "another size than it says"),
        (good[..0x240].to_vec(), "cut off"),
        (good[..1024].to_vec(), "another size than it says"),
    ] {
        let launch = DirectLaunch { kernel: &file, initrd: b"", command_line: "", vcpus: 1, memory_mib: 64 };
        let error = launch.build().unwrap_err();
        assert!(matches!(error, IgvmError::Kernel { reason: found } if found == reason), "{error}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    assert!(matches!(refusal(|launch| launch.memory_mib = 16), IgvmError::DoesNotFit { what: "the initrd" }));
    assert!(matches!(refusal(|launch| launch.memory_mib = u32::MAX), IgvmError::DoesNotFit { .. }));
    assert!(matches!(refusal(|launch| launch.command_line = "a\0b"), IgvmError::CommandLine));
    let long = "a".repeat(2048);
    let error = {
        let kernel = kernel(&code());
        DirectLaunch { kernel: &kernel, initrd: b"", command_line: &long, vcpus: 1, memory_mib: 64 }.build()
    };
    assert!(matches!(error, Err(IgvmError::CommandLine)));
    for vcpus in [0, 255] {
        assert!(matches!(refusal(|launch| launch.vcpus = vcpus), IgvmError::Processors { .. }));
    }
}

#[test]
fn every_address_of_memory_is_mapped_to_itself_and_private() {
    let pages = pages(&image(|launch| launch.memory_mib = 5 * 1024).bytes);
    let state = pages.iter().find(|page| page.kind == 2).unwrap();
    let root = number(&state.bytes, 0x150..0x158);
    let entry = |table: u64, index: u64| {
        assert_ne!(table & 1 << 51, 0, "a table that is not private");
        let page = pages.iter().find(|page| page.address == table & 0x7_ffff_ffff_f000).unwrap();
        let start = usize::try_from(index).unwrap() * 8;
        number(&page.bytes, start..start + 8)
    };
    for (range, _) in memory_map(&pages) {
        for address in [range.start, range.end - 4096] {
            let leaf = entry(entry(entry(root, address >> 39), address >> 30 & 511), address >> 21 & 511);
            assert_eq!(leaf, address & !0x1f_ffff | 1 << 51 | 0xe3, "{address:#x}");
        }
    }
}
