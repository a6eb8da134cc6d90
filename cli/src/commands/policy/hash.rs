//! `cce policy hash`: the digest that a guest's HOST_DATA must carry.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::output::Answer;

/// Arguments of `cce policy hash`.
#[derive(Debug, Args)]
pub(crate) struct HashArgs {
    /// Policy text; `-` reads standard input.
    file: String,
}

#[derive(Debug, Serialize)]
struct PolicyDigest {
    file: String,
    sha256: String,
    size_bytes: u64,
}

impl fmt::Display for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sha256)
    }
}

/// Hashes the exact bytes of a file, as the guest does.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn run(args: &HashArgs) -> anyhow::Result<Answer> {
    let (digest, size_bytes) =
        if args.file == "-" { hash(io::stdin().lock()) } else { File::open(&args.file).and_then(hash) }
            .with_context(|| format!("cannot read {}", args.file))?;
    Answer::yes(&PolicyDigest { file: args.file.clone(), sha256: hex::encode(digest), size_bytes })
}

fn hash(mut source: impl Read) -> io::Result<([u8; 32], u64)> {
    let mut hasher = Sha256::new();
    let size_bytes = io::copy(&mut source, &mut hasher)?;
    Ok((hasher.finalize().into(), size_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_the_exact_bytes() {
        let (digest, size_bytes) = hash(&b"abc"[..]).unwrap();
        assert_eq!(hex::encode(digest), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(size_bytes, 3);
        assert_ne!(hash(&b"abc\n"[..]).unwrap().0, digest);
    }
}
