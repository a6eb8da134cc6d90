//! An emulated AMD secure processor: for machines without SEV-SNP.
//!
//! It has the parts that matter of the real one. Keys and launch state stay with it, outside of the guest: the
//! "hypervisor" gives measurement, `HOST_DATA` and guest policy when it launches a guest, and nothing changes them
//! afterwards. The guest only asks for reports on its own 64 bytes. Reports have the real layout and a real signature
//! by a VCEK under an ASK and an ARK of the emulator's own, so everything but the root key is verified as for a chip.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use attestation::report::{GuestPolicy, HostData, Measurement};
//! use psp_emulator::{LaunchState, Psp};
//!
//! let psp = Psp::load_or_generate("keys".as_ref())?;
//! let guest = psp.launch(LaunchState {
//!     measurement: Measurement::new([0x11; 48]),
//!     host_data: HostData::of_policy(b"package policy"),
//!     policy: GuestPolicy(0x3_0000),
//!     guest_svn: 0,
//! })?;
//! psp_emulator::serve(&std::os::unix::net::UnixListener::bind("psp.sock")?, &guest)?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod certificates;
mod firmware;
mod keys;
mod server;

pub use certificates::IssueCertificatesError;
pub use firmware::{LaunchError, LaunchState, LaunchedGuest, Psp, SignError, StartError};
pub use keys::LoadKeysError;
pub use server::serve;
