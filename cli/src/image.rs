//! Container images on disk: OCI image layouts, `docker save` archives, single layer archives.

mod docker_archive;
mod layer_source;
mod layout;

use std::fs;
use std::path::Path;

use anyhow::Context as _;

pub(crate) use layer_source::LayerSource;
pub(crate) use layout::Image;

/// The layers in `path`, base first: an OCI image layout directory, a `docker save` archive, or one layer as a tar
/// archive, compressed or not.
///
/// # Errors
/// When the path cannot be read, or is an image that is broken.
pub(crate) fn layers_of(path: &Path) -> anyhow::Result<Vec<LayerSource>> {
    let kind = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if kind.is_dir() {
        return Ok(Image::open(path)?.into_layers());
    }
    let whole = LayerSource::file(path);
    // What cannot be read twice cannot be looked into first.
    if kind.is_file()
        && let Some(layers) = docker_archive::layers_of(&whole)?
    {
        return Ok(layers);
    }
    Ok(vec![whole])
}
