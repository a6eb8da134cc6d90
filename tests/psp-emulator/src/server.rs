//! Serves report requests of one guest.
//!
//! Wire: a little-endian `u32` length, which must be 96, and the firmware's request structure (64 bytes of user data,
//! the privilege level as little-endian `u32`, 28 zero bytes); the answer is a little-endian `u32` status and 1184
//! bytes, all zero when the status is not.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use attestation::report::ReportData;
use attestation::report::layout::REPORT_LEN;

use crate::firmware::LaunchedGuest;

const REQUEST_LEN: u32 = 96;
const STATUS_SUCCESS: u32 = 0;
/// `INVALID_PARAMETER` of `MSG_REPORT_RSP`.
const STATUS_INVALID_PARAMETER: u32 = 0x16;
/// A peer that is silent for longer is dropped.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Connections served at a time; more are dropped at once.
const MAX_CONNECTIONS: usize = 64;

/// Serves connections to `listener` until accepting fails.
///
/// # Errors
/// When no connection can be accepted any more.
pub fn serve(listener: &UnixListener, guest: &LaunchedGuest) -> io::Result<()> {
    let open = AtomicUsize::new(0);
    thread::scope(|scope| {
        loop {
            let (connection, _) = listener.accept()?;
            if open.fetch_add(1, Ordering::Relaxed) >= MAX_CONNECTIONS {
                open.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let open = &open;
            scope.spawn(move || {
                // A peer that breaks off or talks nonsense is its own problem.
                drop(serve_connection(connection, guest));
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    })
}

/// Answers requests until the peer closes or breaks the framing.
fn serve_connection(mut connection: UnixStream, guest: &LaunchedGuest) -> io::Result<()> {
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    loop {
        let mut length = [0; 4];
        connection.read_exact(&mut length)?;
        if u32::from_le_bytes(length) != REQUEST_LEN {
            return connection.write_all(&answer(STATUS_INVALID_PARAMETER, &[0; REPORT_LEN]));
        }
        let mut user_data = [0; ReportData::LEN];
        let mut vmpl = [0; 4];
        let mut reserved = [0; 28];
        connection.read_exact(&mut user_data)?;
        connection.read_exact(&mut vmpl)?;
        connection.read_exact(&mut reserved)?;
        let report = guest.sign(&ReportData::new(user_data), u32::from_le_bytes(vmpl));
        let answer = match report {
            Ok(report) if reserved == [0; 28] => answer(STATUS_SUCCESS, &report),
            _ => answer(STATUS_INVALID_PARAMETER, &[0; REPORT_LEN]),
        };
        connection.write_all(&answer)?;
    }
}

fn answer(status: u32, report: &[u8; REPORT_LEN]) -> Vec<u8> {
    [&status.to_le_bytes()[..], report].concat()
}
