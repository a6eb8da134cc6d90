//! UNSAFETY: the `SNP_GET_REPORT` system call (Linux `include/uapi/linux/sev-guest.h`) passes addresses in a structure,
//! and no library wraps it.
#![expect(unsafe_code, reason = "the report request is a raw system call")]

use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;

use crate::report::layout::REPORT_LEN;

/// What `struct snp_report_resp` has after header and report.
const SPARE_LEN: usize = 4000 - 32 - REPORT_LEN;

/// `struct snp_report_req`.
#[repr(C)]
pub(super) struct ReportRequest {
    pub(super) user_data: [u8; 64],
    pub(super) vmpl: u32,
    pub(super) reserved: [u8; 28],
}

/// `struct snp_report_resp`: the firmware's `MSG_REPORT_RSP` and room to spare.
#[repr(C)]
pub(super) struct ReportResponse {
    pub(super) status: u32,
    pub(super) size: u32,
    reserved: [u8; 24],
    pub(super) report: [u8; REPORT_LEN],
    spare: [u8; SPARE_LEN],
}

impl ReportResponse {
    pub(super) const fn zeroed() -> Self {
        Self { status: 0, size: 0, reserved: [0; 24], report: [0; REPORT_LEN], spare: [0; SPARE_LEN] }
    }
}

/// `struct snp_guest_request_ioctl`.
#[repr(C)]
struct GuestRequest {
    msg_version: u8,
    request_address: u64,
    response_address: u64,
    exit_info: u64,
}

const _: () = {
    assert!(size_of::<ReportRequest>() == 96);
    assert!(size_of::<ReportResponse>() == 4000);
    assert!(size_of::<GuestRequest>() == 32);
    assert!(nix::request_code_readwrite!(b'S', 0, size_of::<GuestRequest>()) as u32 == 0xC020_5300);
};

nix::ioctl_readwrite!(snp_get_report, b'S', 0, GuestRequest);

/// Why the system call failed.
pub(super) struct Refusal {
    pub(super) errno: Errno,
    /// All ones when the request did not get that far.
    pub(super) firmware: u32,
    /// All ones when the request did not get that far.
    pub(super) hypervisor: u32,
}

/// Sends `request` to the firmware and fills `response`.
pub(super) fn get_report(
    device: BorrowedFd<'_>,
    request: &mut ReportRequest,
    response: &mut ReportResponse,
) -> Result<(), Refusal> {
    let mut guest_request = GuestRequest {
        msg_version: 1,
        request_address: address_of(request),
        response_address: address_of(response),
        exit_info: u64::MAX,
    };
    // SAFETY: the descriptor is open for as long as it is borrowed; the structure has the layout that the kernel
    // expects, and both addresses in it point to live, exclusively borrowed structures of the sizes that the kernel
    // reads and writes (checked above at compile time).
    let result = unsafe { snp_get_report(device.as_raw_fd(), &raw mut guest_request) };
    let [firmware, hypervisor] = halves(guest_request.exit_info);
    result.map(drop).map_err(|errno| Refusal { errno, firmware, hypervisor })
}

fn address_of<T>(value: &mut T) -> u64 {
    std::ptr::from_mut(value).expose_provenance() as u64
}

/// The lower and the upper half.
fn halves(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}
