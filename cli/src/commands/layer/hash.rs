//! `cce layer hash`.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::format::FormatArgs;
use crate::image::{RegistryArgs, layers_of};
use crate::output::Answer;

/// Arguments of `cce layer hash`.
#[derive(Debug, Args)]
pub(crate) struct HashArgs {
    /// Layer archives, `docker save` archives, OCI image layouts (a directory or an archive), plain, .gz or .zst; images
    /// in registries as `docker://HOST/REPOSITORY[:TAG][@DIGEST]`.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    registries: RegistryArgs,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Layers(Vec<Layer>);

#[derive(Debug, Serialize)]
struct Layer {
    file: String,
    /// Which layer of the image in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<String>,
    root_hash: String,
    /// Bytes of the file system; the image has the hash tree on top.
    size_bytes: u64,
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, layer) in self.0.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{}  {}", layer.root_hash, layer.file)?;
            if let Some(name) = &layer.layer {
                write!(f, " {name}")?;
            }
        }
        Ok(())
    }
}

/// Hashes every layer of every file, in order.
///
/// # Errors
/// On the first file that cannot be read.
pub(super) fn run(args: &HashArgs) -> anyhow::Result<Answer> {
    let mut layers = Vec::new();
    for file in &args.files {
        let sources = layers_of(file, &args.registries)?;
        args.format.check(sources.len().max(args.files.len()))?;
        for source in sources {
            let digest = args.format.hash(&source)?;
            layers.push(Layer {
                file: file.display().to_string(),
                layer: source.name().map(str::to_owned),
                root_hash: digest.root_hash.to_string(),
                size_bytes: digest.data_size_bytes,
            });
        }
    }
    Answer::yes(&Layers(layers))
}
