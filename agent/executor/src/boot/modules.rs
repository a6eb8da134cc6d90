//! Kernel modules of the measured image.

use std::fs;
use std::io::{self, Read as _};
use std::iter;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::io::Errno;

use super::hardware::Hardware;

/// Where the image keeps its modules.
const DIRECTORY: &str = "/lib/modules";
/// The file in it that names them, one a line, in the order in which they are loaded.
const LOAD_ORDER: &str = "load-order";
/// The longest list, in bytes.
const LOAD_ORDER_MAX: u64 = 64 << 10;
/// No group of the list is so long that more would help.
const THREADS_MAX: usize = 4;

/// Why a module is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadModuleError {
    /// The list does not read.
    #[error("cannot read the list of modules")]
    List(#[source] io::Error),
    /// A line is no file name.
    #[error("the list of modules holds `{0}`, which is no file name")]
    Name(String),
    /// The file does not open.
    #[error("cannot open module `{module}`")]
    Open {
        /// Its file name.
        module: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The buses do not read.
    #[error("cannot see what hardware there is")]
    Hardware(#[source] io::Error),
    /// A thread panicked, which is a defect.
    #[error("a thread that loads modules ended early")]
    Thread(#[source] io::Error),
    /// The kernel refuses it.
    #[error("the kernel refuses module `{module}`")]
    Load {
        /// Its file name.
        module: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// A module of the list.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    /// The name of its file.
    file: String,
    /// What its hardware is called. Without any it is loaded always.
    hardware: Vec<String>,
}

impl Entry {
    /// `virtio_scsi.ko virtio:d00000008v*`.
    fn parse(line: &str) -> Result<Self, LoadModuleError> {
        let mut words = line.split_ascii_whitespace().map(str::to_owned);
        let file = words.next().unwrap_or_default();
        if file.is_empty() || file.contains('/') || file.starts_with('.') {
            return Err(LoadModuleError::Name(file));
        }
        Ok(Self { file, hardware: words.collect() })
    }
}

/// Loads the modules of the image, but for those of hardware that is not there, and returns the names of these. An
/// image without a list has none.
///
/// The kernel checks and relocates a module before it takes the lock of them all: several at a time come up faster. The
/// caller has a single thread again at the end.
pub(super) fn load_all() -> Result<Vec<String>, LoadModuleError> {
    let directory = Path::new(DIRECTORY);
    let mut groups = read_list(&directory.join(LOAD_ORDER))?.into_iter();
    let (first, drivers): (Vec<_>, Vec<_>) =
        groups.next().unwrap_or_default().into_iter().partition(|entry| entry.hardware.is_empty());
    let rest: Vec<_> = iter::once(drivers).chain(groups).collect();
    let patterns = rest.iter().flatten().flat_map(|entry| &entry.hardware).map(String::as_str);
    // Looking takes as long as loading two or three modules.
    let (hardware, mut without_hardware) = thread::scope(|scope| {
        let hardware = thread::Builder::new().spawn_scoped(scope, || Hardware::find(patterns));
        let without_hardware = load_group(directory, &files(first));
        let hardware = hardware.and_then(|thread| thread.join().unwrap_or_else(|_panic| Err(panicked())));
        Ok((hardware.map_err(LoadModuleError::Hardware)?, without_hardware?))
    })?;
    for group in rest {
        let (wanted, others) = group.into_iter().partition(|entry| is_wanted(entry, &hardware));
        without_hardware.extend(files(others));
        without_hardware.extend(load_group(directory, &files(wanted))?);
    }
    Ok(without_hardware)
}

fn is_wanted(entry: &Entry, hardware: &Hardware) -> bool {
    entry.hardware.is_empty() || entry.hardware.iter().any(|pattern| hardware.has(pattern))
}

fn files(entries: Vec<Entry>) -> Vec<String> {
    entries.into_iter().map(|entry| entry.file).collect()
}

/// A thread that panics is a defect, and ends the boot as any other failure does.
fn panicked() -> io::Error {
    io::Error::other("a thread panicked")
}

/// Loads modules that do not need each other, and returns those that found no hardware.
fn load_group(directory: &Path, files: &[String]) -> Result<Vec<String>, LoadModuleError> {
    let next = AtomicUsize::new(0);
    let take_turns = || -> Result<Vec<String>, LoadModuleError> {
        let mut without_hardware = Vec::new();
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            if load(directory, file)? == Loaded::NoHardware {
                without_hardware.push(file.clone());
            }
        }
        Ok(without_hardware)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(files.len());
    thread::scope(|scope| {
        // A thread that does not start leaves its turns to the rest.
        let others: Vec<_> = (1..threads)
            .filter_map(|_| thread::Builder::new().spawn_scoped(scope, take_turns).ok())
            .collect();
        let mut without_hardware = take_turns()?;
        for other in others {
            // Joined one by one: the end of the scope does not wait for the threads themselves.
            without_hardware.extend(other.join().map_err(|_panic| LoadModuleError::Thread(panicked()))??);
        }
        Ok(without_hardware)
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Loaded {
    Yes,
    NoHardware,
}

fn load(directory: &Path, file: &str) -> Result<Loaded, LoadModuleError> {
    let module = || file.to_owned();
    let open = fs::File::open(directory.join(file));
    let open = open.map_err(|source| LoadModuleError::Open { module: module(), source })?;
    match rustix::system::finit_module(&open, c"", 0) {
        Ok(()) | Err(Errno::EXIST) => Ok(Loaded::Yes),
        // The host decides over hardware. What is missing then is missing: no check is left out for it.
        Err(Errno::NODEV) => Ok(Loaded::NoHardware),
        Err(error) => Err(LoadModuleError::Load { module: module(), source: error.into() }),
    }
}

/// The modules in groups, one behind the other, which empty lines divide.
fn read_list(path: &Path) -> Result<Vec<Vec<Entry>>, LoadModuleError> {
    let mut text = String::new();
    match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => {
            let file = file.map_err(LoadModuleError::List)?;
            file.take(LOAD_ORDER_MAX).read_to_string(&mut text).map_err(LoadModuleError::List)?;
        }
    }
    let groups = text.split("\n\n").map(|group| group.lines().map(Entry::parse).collect());
    groups.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_groups_of_file_names_with_their_hardware() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("load-order");
        assert!(read_list(&path).unwrap().is_empty());
        fs::write(&path, "dm-mod.ko\nsd_mod.ko virtio:d8v* acpi*:A:*\n\ndm-verity.ko\n").unwrap();
        let entry = |file: &str, hardware: &[&str]| Entry {
            file: file.to_owned(),
            hardware: hardware.iter().copied().map(str::to_owned).collect(),
        };
        let groups = read_list(&path).unwrap();
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0], [entry("dm-mod.ko", &[]), entry("sd_mod.ko", &["virtio:d8v*", "acpi*:A:*"])]);
        assert_eq!(groups[1], [entry("dm-verity.ko", &[])]);
        for bad in ["../evil.ko", "a/b.ko", ".."] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(read_list(&path), Err(LoadModuleError::Name(_))), "{bad:?}");
        }
    }

    #[test]
    fn every_module_of_a_group_has_its_turn_and_a_failure_ends_the_boot() {
        let directory = tempfile::tempdir().unwrap();
        let files: Vec<_> = (0..9).map(|number| format!("{number}.ko")).collect();
        let missing = load_group(directory.path(), &files).unwrap_err();
        assert!(matches!(missing, LoadModuleError::Open { .. }), "{missing}");
        for file in &files {
            fs::write(directory.path().join(file), b"no module").unwrap();
        }
        let refused = load_group(directory.path(), &files).unwrap_err();
        assert!(matches!(refused, LoadModuleError::Load { .. }), "{refused}");
    }
}
