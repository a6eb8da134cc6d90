//! The CPUID page: what the guest asks about its processor before it can ask the host safely. The host fills in the
//! answers, and the secure processor refuses a launch with answers that the hardware does not give. Format: SEV Secure
//! Nested Paging Firmware ABI Specification, "CPUID page".

const ENTRY_SIZE: usize = 48;
const HEADER_SIZE: usize = 16;
const MAX_ENTRIES: usize = 64;

/// Leaf of the extended state, whose answers depend on the enabled state.
const EXTENDED_STATE: u32 = 0xd;
/// The state that is always enabled, with which those answers are asked for.
const X87_STATE: u64 = 1;

/// Leaves, each with its subleaves, as Linux reads them on AMD's processors.
const LEAVES: &[(u32, &[u32])] = &[
    // Vendor, features, monitor, power, structured features, topology.
    (0x0, &[0]),
    (0x1, &[0]),
    (0x5, &[0]),
    (0x6, &[0]),
    (0x7, &[0, 1]),
    (0xb, &[0, 1]),
    // Saved state: sizes, then x87's successors, protection keys and shadow stacks.
    (EXTENDED_STATE, &[0, 1, 2, 5, 6, 7, 9, 11, 12]),
    // Extended features, name, caches, address sizes.
    (0x8000_0000, &[0]),
    (0x8000_0001, &[0]),
    (0x8000_0002, &[0]),
    (0x8000_0003, &[0]),
    (0x8000_0004, &[0]),
    (0x8000_0005, &[0]),
    (0x8000_0006, &[0]),
    (0x8000_0007, &[0]),
    (0x8000_0008, &[0]),
    // SVM, large pages of the TLB, optimisations, cache topology, processor topology, encryption, further features.
    (0x8000_000a, &[0]),
    (0x8000_0019, &[0]),
    (0x8000_001a, &[0]),
    (0x8000_001d, &[0, 1, 2, 3]),
    (0x8000_001e, &[0]),
    (0x8000_001f, &[0]),
    (0x8000_0021, &[0]),
];

/// The page with questions and without answers.
pub(super) fn page() -> Vec<u8> {
    let questions =
        LEAVES.iter().flat_map(|&(leaf, subleaves)| subleaves.iter().map(move |&sub| (leaf, sub)));
    let mut entries = Vec::new();
    let mut count = 0_u32;
    for (leaf, subleaf) in questions.take(MAX_ENTRIES) {
        let state = if leaf == EXTENDED_STATE { X87_STATE } else { 0 };
        let start = entries.len();
        entries.extend(leaf.to_le_bytes());
        entries.extend(subleaf.to_le_bytes());
        entries.extend(state.to_le_bytes());
        entries.resize(start.saturating_add(ENTRY_SIZE), 0);
        count = count.saturating_add(1);
    }
    let mut page = count.to_le_bytes().to_vec();
    page.resize(HEADER_SIZE, 0);
    page.append(&mut entries);
    page
}
