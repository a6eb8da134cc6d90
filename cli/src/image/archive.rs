//! Images in one tar archive: `docker save` lists the layer archives of an image in `manifest.json`, an OCI archive is an
//! OCI image layout.

use std::collections::BTreeMap;
use std::io::{Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, ensure};
use oci_spec::image::ImageConfiguration;
use serde::Deserialize;

use super::LayerSource;

/// The file that lists images.
const MANIFEST: &str = "manifest.json";
/// The most bytes of a file that describes images.
const MAX_JSON_BYTES: u64 = 4 << 20;

#[derive(Debug, Deserialize)]
struct ArchivedImage {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

/// Something in the archive.
#[derive(Debug)]
enum Member {
    File { offset: u64, size_bytes: u64 },
    Link(PathBuf),
}

/// An archive whose members have been looked up.
#[derive(Debug)]
pub(super) struct Archive {
    whole: LayerSource,
    members: BTreeMap<PathBuf, Member>,
}

impl Archive {
    /// Looks up the members of an archive that is not compressed; nothing when it is no tar archive.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn open(whole: LayerSource) -> anyhow::Result<Option<Self>> {
        let mut file = whole.open_file()?;
        file.seek(SeekFrom::Start(0))?;
        // A broken archive is reported by who reads it as a layer.
        Ok(members(&mut tar::Archive::new(&mut file)).ok().map(|members| Self { whole, members }))
    }

    /// A file of the archive, through at most one link.
    pub(super) fn member(&self, name: &str) -> Option<LayerSource> {
        let path = match self.members.get(&clean(Path::new(name)))? {
            Member::Link(target) => self.members.get(target)?,
            file @ Member::File { .. } => file,
        };
        match path {
            Member::File { offset, size_bytes } => Some(self.whole.part(name, *offset, *size_bytes)),
            Member::Link(_) => None,
        }
    }

    /// The layers of the image that `docker save` wrote, base first; nothing when it is no such archive.
    ///
    /// # Errors
    /// When it is one, but holds more than one image or lacks a part of it.
    pub(super) fn docker_layers(&self) -> anyhow::Result<Option<Vec<LayerSource>>> {
        // Any layer may hold a file of this name; that of an image has this form.
        let Some(manifest) = self.member(MANIFEST) else { return Ok(None) };
        if manifest.size_bytes().is_none_or(|size_bytes| size_bytes > MAX_JSON_BYTES) {
            return Ok(None);
        }
        let text = manifest.read_small(MAX_JSON_BYTES)?;
        let Ok(images) = serde_json::from_slice::<Vec<ArchivedImage>>(&text) else { return Ok(None) };
        let archive = &self.whole;
        let [image] = &images[..] else {
            anyhow::bail!("{archive} holds {} images; save them one by one", images.len());
        };
        ensure!(!image.layers.is_empty(), "the image in {archive} has no layers");
        let layers = image
            .layers
            .iter()
            .map(|name| self.member(name).with_context(|| format!("{archive} lacks its layer {name}")));
        let layers: Vec<_> = layers.collect::<Result<_, _>>()?;
        // The archive of a build that was cut short may have none; then nothing tells what the layers must be.
        let Some(config) = self.member(&image.config) else { return Ok(Some(layers)) };
        let config = ImageConfiguration::from_reader(config.read_small(MAX_JSON_BYTES)?.as_slice())
            .with_context(|| format!("{} in {archive} is malformed", image.config))?;
        let diff_ids = config.rootfs().diff_ids();
        ensure!(
            diff_ids.len() == image.layers.len(),
            "the configuration names {} layers, the manifest {}",
            diff_ids.len(),
            image.layers.len()
        );
        let layers = layers.into_iter().zip(diff_ids);
        let layers = layers.map(|(layer, diff_id)| Ok(layer.with_diff_id(super::sha256(diff_id)?)));
        layers.collect::<anyhow::Result<_>>().map(Some)
    }
}

/// Whether a compressed archive has a file that tells an image: what cannot be searched is copied only then.
pub(super) fn may_hold_image(whole: &LayerSource) -> bool {
    let found = whole.read(|archive| {
        for entry in tar::Archive::new(archive).entries()? {
            let path = clean(&entry?.path()?);
            if path == Path::new(MANIFEST) || path == Path::new(super::layout::MARK) {
                return Ok(true);
            }
        }
        Ok(false)
    });
    // A broken archive is reported by who reads it as a layer.
    found.unwrap_or(false)
}

fn members(archive: &mut tar::Archive<&mut std::fs::File>) -> std::io::Result<BTreeMap<PathBuf, Member>> {
    let mut members = BTreeMap::new();
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        let path = clean(&entry.path()?);
        let kind = entry.header().entry_type();
        let member = match entry.link_name()? {
            Some(target) if kind.is_hard_link() => Member::Link(clean(&target)),
            Some(target) => Member::Link(clean(&path.parent().unwrap_or(Path::new("")).join(target))),
            None if kind.is_file() => {
                Member::File { offset: entry.raw_file_position(), size_bytes: entry.size() }
            }
            None => continue,
        };
        members.insert(path, member);
    }
    Ok(members)
}

/// The path from the top of the archive, without `.` and with `..` taken back by one.
fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::ParentDir => drop(cleaned.pop()),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    cleaned
}
