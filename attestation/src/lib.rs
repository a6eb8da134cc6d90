#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]

#[cfg(test)]
mod evidence;
pub mod report;
pub mod source;

pub use report::{HostData, Measurement, Report, ReportData};
