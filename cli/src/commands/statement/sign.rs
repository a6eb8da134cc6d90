//! What every statement needs: a key, a chain, a name, a subject, a place to be written to.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use signed_statement::did::issuer_of;
use signed_statement::sign::{SigningKey, Statement, chain_from_pem, sign};

use crate::output::Answer;

/// Who signs, and what the statement is about.
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// The private key: P-256, P-384 or P-521, PEM, not encrypted.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Its certificate and those above it up to the root, PEM.
    #[arg(long, value_name = "FILE")]
    chain: PathBuf,
    /// What the statement is about; policies and verifiers ask for it by this name.
    #[arg(long, value_name = "NAME")]
    feed: String,
    /// The signer's did:x509; by default the root and the certificate's common name.
    #[arg(long, value_name = "DID")]
    issuer: Option<String>,
    /// The `COSE_Sign1` envelope to write.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

/// A statement that was written.
#[derive(Debug, Serialize)]
struct Signed {
    file: String,
    issuer: String,
    feed: String,
    sha256: String,
    size_bytes: usize,
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.file)?;
        writeln!(f, "issuer  {}", self.issuer)?;
        write!(f, "feed    {}", self.feed)
    }
}

impl SignArgs {
    /// Signs `payload` and writes the envelope. It was verified as anybody would who gets it.
    ///
    /// # Errors
    /// When a file cannot be read or written, or nobody would believe the statement; then nothing is written.
    pub(super) fn run(&self, content_type: &str, svn: Option<u32>, payload: &[u8]) -> anyhow::Result<Answer> {
        let read = |path: &PathBuf| {
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
        };
        let cannot_use = |path: &PathBuf| format!("cannot use {}", path.display());
        let key = SigningKey::from_pem(&read(&self.key)?).with_context(|| cannot_use(&self.key))?;
        let chain = chain_from_pem(&read(&self.chain)?).with_context(|| cannot_use(&self.chain))?;
        let issuer = match &self.issuer {
            Some(issuer) => issuer.clone(),
            None => issuer_of(&chain).context("the certificate has no common name; give --issuer")?,
        };
        let statement = Statement { issuer: &issuer, feed: &self.feed, svn, content_type, payload };
        let envelope = sign(&statement, &chain, &key)?;
        let file = self.output.display().to_string();
        fs::write(&self.output, &envelope).with_context(|| format!("cannot write {file}"))?;
        let sha256 = hex::encode(Sha256::digest(&envelope));
        Answer::yes(&Signed { file, issuer, feed: self.feed.clone(), sha256, size_bytes: envelope.len() })
    }
}
