//! The end of the guest.

use std::convert::Infallible;
use std::io;

use policy_engine::Grant;
use policy_engine::authority::BootAuthority;
use policy_engine::request::DestroySandbox;
use rustix::system::RebootCommand;

mod private {
    pub trait Sealed {}
}

/// What gives the right to power the guest off.
pub trait MayPowerOff: private::Sealed {}

impl private::Sealed for BootAuthority {}
impl MayPowerOff for BootAuthority {}
impl private::Sealed for Grant<DestroySandbox> {}
impl MayPowerOff for Grant<DestroySandbox> {}

/// Powers the guest off; does not return when it succeeds.
///
/// # Errors
/// When the kernel refuses: the caller is not the guest's superuser.
pub fn power_off(_: &impl MayPowerOff) -> io::Result<Infallible> {
    rustix::fs::sync();
    rustix::system::reboot(RebootCommand::PowerOff)?;
    Err(io::ErrorKind::Other.into())
}
