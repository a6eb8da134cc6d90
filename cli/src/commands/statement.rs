//! `cce statement`: signed statements, for those who make policies or images that others are to believe.

mod sign;

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use attestation::report::Measurement;
use attestation::verify::endorsement::Endorsement;
use clap::Subcommand;
use serde::Deserialize;
use signed_statement::media_type;

use crate::output::Answer;
use sign::SignArgs;

/// The media type of an endorsement.
const ENDORSEMENT: &str = "application/json";

/// Commands about signed statements.
#[derive(Debug, Subcommand)]
pub(crate) enum StatementCommand {
    /// Sign a fragment of a policy.
    Fragment {
        /// The fragment, Rego.
        fragment: PathBuf,
        /// Its security version; greater is newer. A fragment may name it in its text as well.
        #[arg(long, value_name = "NUMBER")]
        svn: Option<u32>,
        #[command(flatten)]
        sign: SignArgs,
    },
    /// Sign that the launch measurement of a guest image is that of an image of yours.
    Endorsement {
        /// `reference-values.json` of the image.
        reference_values: PathBuf,
        /// Which launch of the image: each has a measurement, and an endorsement, of its own.
        #[arg(long, value_enum, default_value = "firmware")]
        launch: Launch,
        /// Its security version; greater is newer.
        #[arg(long, value_name = "NUMBER")]
        svn: u32,
        #[command(flatten)]
        sign: SignArgs,
    },
}

/// Ways to launch an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Launch {
    /// Kernel, initrd and command line behind a firmware, as QEMU does it.
    Firmware,
    /// The IGVM file.
    Igvm,
}

/// The part of `reference-values.json` that is endorsed.
#[derive(Debug, Deserialize)]
struct ReferenceValues {
    measurement: String,
    igvm: Option<IgvmReference>,
}

#[derive(Debug, Deserialize)]
struct IgvmReference {
    measurement: String,
}

impl ReferenceValues {
    fn measurement(&self, launch: Launch) -> Option<&str> {
        match launch {
            Launch::Firmware => Some(&self.measurement),
            Launch::Igvm => self.igvm.as_ref().map(|igvm| igvm.measurement.as_str()),
        }
    }
}

/// Signs a statement.
///
/// # Errors
/// When a file is missing or malformed, or nobody would believe the statement.
pub(crate) fn run(command: StatementCommand) -> anyhow::Result<Answer> {
    match command {
        StatementCommand::Fragment { fragment, svn, sign } => {
            let text = fs::read(&fragment).with_context(|| format!("cannot read {}", fragment.display()))?;
            sign.run(media_type::FRAGMENT, svn, &text)
        }
        StatementCommand::Endorsement { reference_values: path, launch, svn, sign } => {
            let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let malformed = || format!("{} is not a file of reference values", path.display());
            let values: ReferenceValues = serde_json::from_slice(&text).with_context(malformed)?;
            let text = values.measurement(launch).with_context(malformed)?;
            let measurement: Measurement = text.parse().with_context(malformed)?;
            sign.run(ENDORSEMENT, None, &Endorsement::payload(measurement, svn.into()))
        }
    }
}
