#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

#[cfg(test)]
mod evidence;
#[cfg(feature = "verify")]
pub mod measurement;
pub mod report;
pub mod source;
#[cfg(feature = "verify")]
pub mod verify;

pub use report::{HostData, Measurement, Report, ReportData};
