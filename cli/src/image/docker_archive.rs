//! Archives of `docker save`: a tar archive of layer archives, listed in `manifest.json`.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::LayerSource;

/// The file that lists images.
const MANIFEST: &str = "manifest.json";
/// The most bytes of that file.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;

#[derive(Debug, Deserialize)]
struct ArchivedImage {
    #[serde(rename = "Config")]
    _config: String,
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

/// Something in the archive.
enum Member {
    File { offset: u64, size_bytes: u64 },
    Link(PathBuf),
}

/// The layers of the image in an archive, base first; nothing when it is no such archive.
///
/// # Errors
/// When it is one, but holds more than one image or lacks a layer.
pub(super) fn layers_of(archive: &LayerSource) -> anyhow::Result<Option<Vec<LayerSource>>> {
    // A broken archive is reported by who reads it as a layer.
    let Ok(Some(images)) = find_manifest(archive) else { return Ok(None) };
    let [image] = &images[..] else {
        anyhow::bail!("{archive} holds {} images; save them one by one", images.len());
    };
    ensure!(!image.layers.is_empty(), "the image in {archive} has no layers");
    let members = find_members(archive)?;
    let layers = image.layers.iter().map(|name| {
        let missing = || format!("{archive} lacks its layer {name}");
        match members.get(&clean(Path::new(name))).with_context(missing)? {
            Member::File { offset, size_bytes } => Ok(archive.part(name, *offset, *size_bytes)),
            Member::Link(target) => match members.get(target).with_context(missing)? {
                Member::File { offset, size_bytes } => Ok(archive.part(name, *offset, *size_bytes)),
                Member::Link(_) => anyhow::bail!(missing()),
            },
        }
    });
    layers.collect::<anyhow::Result<_>>().map(Some)
}

fn find_manifest(archive: &LayerSource) -> anyhow::Result<Option<Vec<ArchivedImage>>> {
    let mut file = archive.open_file()?;
    for entry in tar::Archive::new(&mut file).entries_with_seek()? {
        let mut entry = entry?;
        if clean(&entry.path()?) != Path::new(MANIFEST) || !entry.header().entry_type().is_file() {
            continue;
        }
        let mut text = Vec::new();
        entry.by_ref().take(MAX_MANIFEST_BYTES).read_to_end(&mut text)?;
        // Any layer may hold a file of this name; that of an image has this form.
        return Ok(serde_json::from_slice(&text).ok());
    }
    Ok(None)
}

fn find_members(archive: &LayerSource) -> anyhow::Result<BTreeMap<PathBuf, Member>> {
    let mut file = archive.open_file()?;
    file.seek(SeekFrom::Start(0))?;
    let mut members = BTreeMap::new();
    for entry in tar::Archive::new(&mut file).entries_with_seek()? {
        let entry = entry?;
        let path = clean(&entry.path()?);
        let member = match entry.link_name()? {
            Some(target) => Member::Link(clean(&path.parent().unwrap_or(Path::new("")).join(target))),
            None => Member::File { offset: entry.raw_file_position(), size_bytes: entry.size() },
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
