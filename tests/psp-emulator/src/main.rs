//! `psp-emulator`: the emulated secure processor as a process beside the guest, where a chip would be.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a program that tells its parent when it is ready")]

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use anyhow::Context as _;
use attestation::report::{GuestPolicy, HostData, Measurement};
use clap::Parser;
use psp_emulator::{LaunchState, Psp};

/// Signs SNP reports for one launched guest with keys of its own.
#[derive(Debug, Parser)]
struct Options {
    /// Folder of the private keys; generated when it is not there.
    #[arg(long)]
    keys: PathBuf,
    /// Write VCEK, ASK and ARK as PEM to this file.
    #[arg(long)]
    cert_chain_out: Option<PathBuf>,
    /// Write the root certificate as PEM to this file.
    #[arg(long)]
    ark_out: Option<PathBuf>,
    /// Where to listen, `unix://PATH`. Without it, only keys and certificates are made.
    #[arg(long, value_parser = parse_listen, requires_all = ["host_data", "measurement"])]
    listen: Option<PathBuf>,
    /// HOST_DATA, 64 hexadecimal digits.
    #[arg(long)]
    host_data: Option<HostData>,
    /// MEASUREMENT, 96 hexadecimal digits.
    #[arg(long)]
    measurement: Option<Measurement>,
    /// Guest policy in hexadecimal.
    #[arg(long, value_parser = parse_policy, default_value = "30000")]
    policy: u64,
    /// Security version of the guest's image.
    #[arg(long, default_value_t = 0)]
    guest_svn: u32,
}

fn parse_listen(text: &str) -> Result<PathBuf, String> {
    text.strip_prefix("unix://").map(PathBuf::from).ok_or_else(|| "expected unix://PATH".to_owned())
}

fn parse_policy(text: &str) -> Result<u64, std::num::ParseIntError> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16)
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let psp = Psp::load_or_generate(&options.keys)?;
    if let Some(path) = &options.cert_chain_out {
        fs::write(path, psp.chain_pem()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &options.ark_out {
        fs::write(path, psp.ark_pem()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let (Some(path), Some(host_data), Some(measurement)) =
        (&options.listen, options.host_data, options.measurement)
    else {
        return Ok(());
    };
    let state = LaunchState {
        measurement,
        host_data,
        policy: GuestPolicy(options.policy),
        guest_svn: options.guest_svn,
    };
    let guest = psp.launch(state)?;
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    println!("ready");
    psp_emulator::serve(&listener, &guest).context("cannot accept connections")
}
