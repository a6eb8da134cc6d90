//! Of which kind a namespace is.
//!
//! UNSAFETY: `ioctl` takes a pointer or a number depending on the request; no crate wraps `NS_GET_NSTYPE`.

#![expect(unsafe_code, reason = "ioctl on namespaces has no safe wrapper")]

use std::ffi::c_void;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};
use rustix::thread::ThreadNameSpaceType as NamespaceKinds;

/// `NS_GET_NSTYPE` of `linux/nsfs.h`.
const GET_KIND: Opcode = opcode::none(0xb7, 3);

/// Takes no argument and returns the kind.
struct GetKind;

// SAFETY: the kernel neither reads nor writes through the argument of this request.
unsafe impl Ioctl for GetKind {
    type Output = NamespaceKinds;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        GET_KIND
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<Self::Output> {
        u32::try_from(output).map(NamespaceKinds::from_bits_retain).map_err(|_| Errno::INVAL)
    }
}

/// The kind of the namespace that `descriptor` stands for; `ENOTTY` when it stands for none.
pub(crate) fn namespace_kind(descriptor: BorrowedFd<'_>) -> io::Result<NamespaceKinds> {
    // SAFETY: the request is well-formed (above); a file of another file system may take its number for another
    // request, but without an argument; the caller has made sure that it is one of nsfs.
    unsafe { ioctl(descriptor, GetKind) }.map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        let kind = |path: &str| namespace_kind(File::open(path).unwrap().as_fd());
        assert_eq!(kind("/proc/self/ns/net").unwrap(), NamespaceKinds::NETWORK);
        assert_eq!(kind("/proc/self/ns/user").unwrap(), NamespaceKinds::USER);
        assert_eq!(kind("/proc/self/status").unwrap_err().raw_os_error(), Some(Errno::NOTTY.raw_os_error()));
    }
}
