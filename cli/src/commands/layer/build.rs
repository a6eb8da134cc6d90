//! `cce layer build`.

use std::fmt;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use layer_format::layer::Footer;
use serde::Serialize;

use super::format::FormatArgs;
use crate::image::{LayerSource, RegistryArgs, layers_of};
use crate::output::Answer;

/// Bytes written to the image at a time.
const BUFFER_SIZE: usize = 256 * 1024;

/// Arguments of `cce layer build`.
#[derive(Debug, Args)]
pub(crate) struct BuildArgs {
    /// A layer archive, a `docker save` archive or an OCI image layout, plain, .gz or .zst; an image in a registry as
    /// `docker://HOST/REPOSITORY[:TAG][@DIGEST]`.
    source: PathBuf,
    /// The image to write, of a source with one layer.
    #[arg(long, required_unless_present = "output_dir", conflicts_with = "output_dir")]
    output: Option<PathBuf>,
    /// A directory for one image a layer: `layer-00.img` is the base.
    #[arg(long)]
    output_dir: Option<PathBuf>,
    /// End each image with the footer of a fixed VHD.
    #[arg(long)]
    vhd_footer: bool,
    #[command(flatten)]
    registries: RegistryArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// An image that was written.
#[derive(Debug, Serialize)]
struct Built {
    file: String,
    /// Which layer of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<String>,
    root_hash: String,
    size_bytes: u64,
    hash_offset_bytes: u64,
    data_blocks: u64,
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.root_hash, self.file)
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct AllBuilt(Vec<Built>);

impl fmt::Display for AllBuilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Writes one image, or one for each layer.
///
/// # Errors
/// When the source is broken or an image cannot be written. Of that image nothing is left.
pub(super) fn run(args: &BuildArgs) -> anyhow::Result<Answer> {
    let layers = layers_of(&args.source, &args.registries)?;
    args.format.check(layers.len())?;
    let footer = if args.vhd_footer { Footer::Vhd } else { Footer::None };
    match (&args.output, &args.output_dir) {
        (Some(output), _) => {
            let [layer] = &layers[..] else {
                bail!("{} has {} layers; use --output-dir", args.source.display(), layers.len());
            };
            Answer::yes(&build(layer, output, &args.format, footer)?)
        }
        (None, Some(folder)) => {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
            let built = layers.iter().enumerate().map(|(index, layer)| {
                build(layer, &folder.join(format!("layer-{index:02}.img")), &args.format, footer)
            });
            Answer::yes(&AllBuilt(built.collect::<Result<_, _>>()?))
        }
        (None, None) => bail!("--output or --output-dir is needed"),
    }
}

fn build(layer: &LayerSource, output: &Path, format: &FormatArgs, footer: Footer) -> anyhow::Result<Built> {
    let name = output.file_name().with_context(|| format!("{} is not a file name", output.display()))?;
    let mut partial_name = name.to_owned();
    partial_name.push(".partial");
    let partial = output.with_file_name(partial_name);
    let create = || {
        let file = File::create(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
        Ok(BufWriter::with_capacity(BUFFER_SIZE, file))
    };
    let written = format.write(layer, create, footer);
    // A layer whose digest turns out wrong at its end leaves nothing behind that looks like an image.
    let moved = written.and_then(|image| {
        fs::rename(&partial, output).with_context(|| format!("cannot write {}", output.display()))?;
        Ok(image)
    });
    let image = moved.inspect_err(|_| {
        // It may not exist; the first error is the one to report.
        let _ = fs::remove_file(&partial);
    })?;
    Ok(Built {
        file: output.display().to_string(),
        layer: layer.name().map(str::to_owned),
        root_hash: image.digest.root_hash.to_string(),
        size_bytes: image.image_size_bytes,
        hash_offset_bytes: image.digest.data_size_bytes,
        data_blocks: image.data_blocks,
    })
}
