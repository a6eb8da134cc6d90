//! Container images: OCI image layouts, `docker save` and OCI archives, single layer archives, and images in registries.

mod archive;
mod layer_source;
mod layout;
mod registry;
mod registry_credentials;

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use archive::Archive;
pub(crate) use layer_source::LayerSource;
pub(crate) use layout::Image;
use layout::Layout;
pub(crate) use registry::RegistryArgs;

/// The layers of what an argument names, base first: an image in a registry as `docker://REFERENCE`, or else a path to
/// an OCI image layout (a directory or an archive), a `docker save` archive, or one layer as a tar archive. Archives and
/// layers may be compressed.
///
/// # Errors
/// When the path cannot be read, the registry does not serve the image, or the image is broken.
pub(crate) fn layers_of(source: &Path, registries: &RegistryArgs) -> anyhow::Result<Vec<LayerSource>> {
    match source.to_str().and_then(|source| source.strip_prefix(registry::SCHEME)) {
        Some(reference) => registry::layers_of(reference, registries),
        None => layers_of_path(source),
    }
}

fn layers_of_path(path: &Path) -> anyhow::Result<Vec<LayerSource>> {
    let kind = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if kind.is_dir() {
        return Ok(Image::open(path)?.into_layers());
    }
    let whole = LayerSource::file(path);
    // What cannot be read twice cannot be looked into first.
    if kind.is_file()
        && let Some(layers) = layers_in(&whole)?
    {
        return Ok(layers);
    }
    Ok(vec![whole])
}

/// The layers of the image in an archive; nothing for the archive of a layer.
fn layers_in(whole: &LayerSource) -> anyhow::Result<Option<Vec<LayerSource>>> {
    let whole = match whole.is_compressed()? {
        false => whole.clone(),
        true if archive::may_hold_image(whole) => whole.clone().uncompressed()?,
        true => return Ok(None),
    };
    let Some(archive) = Archive::open(whole.clone())? else { return Ok(None) };
    if let Some(layers) = archive.docker_layers()? {
        return Ok(Some(layers));
    }
    let Some(layout) = Layout::in_archive(archive) else { return Ok(None) };
    let image = Image::read(&layout).with_context(|| format!("cannot read {whole} as an OCI archive"))?;
    Ok(Some(image.into_layers()))
}

/// The digits of a digest `sha256:...`, which become a part of file names.
///
/// # Errors
/// When it is another digest.
pub(crate) fn sha256(digest: &str) -> anyhow::Result<&str> {
    let is_digits = |digits: &&str| {
        digits.len() == 64 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let digits = digest.strip_prefix("sha256:").filter(is_digits);
    digits.with_context(|| format!("{digest} is not a SHA-256 digest"))
}
