//! Kernel modules of the image: the list of the recipe, completed with what each module depends on, and unpacked.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashSet},
    io::Read as _,
    path::{Path, PathBuf},
};

use lzma_rust2::XzReader;

/// The list of the recipe, with the reasons.
pub const RECIPE: &str = include_str!("../modules.txt");

/// Largest module that is unpacked, in bytes. Debian's largest one is 5 MiB.
const MODULE_LIMIT: u64 = 32 << 20;
/// The end of a signed module (`MODULE_SIG_STRING` of Linux `include/linux/module_signature.h`).
const SIGNATURE_MARK: &[u8] = b"~Module signature appended~\n";
/// Length of what stands before the mark, in bytes: `struct module_signature`.
const SIGNATURE_INFO_LENGTH: usize = 12;

/// Why the modules of the image could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The kernel package was not unpacked here, or is damaged.
    #[error("could not read `{}`", .path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The kernel has no such module, built in or not.
    #[error("the kernel has no module `{name}`, which {wanted_by} needs")]
    Missing {
        /// The module.
        name: String,
        /// Who asked for it: a module, or the recipe.
        wanted_by: String,
    },
    /// No module of the image is for that hardware: a driver would never be loaded.
    #[error("no module of the image drives `{pattern}`, for which {module} is to be loaded")]
    Hardware {
        /// What the recipe says.
        pattern: String,
        /// The module.
        module: String,
    },
    /// Two modules need each other.
    #[error("module `{0}` depends on itself")]
    Cycle(String),
    /// The file says that a signature is at its end, and is too short for it.
    #[error("the signature of module `{0}` is damaged")]
    Signature(String),
}

/// A kernel module, unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The name of its file without `.ko`.
    pub name: String,
    /// The file, without Debian's signature at its end: the launch measurement covers these bytes, and no others load.
    pub bytes: Vec<u8>,
    /// When it is loaded.
    pub wanted: Wanted,
    /// Number of modules that have to be there one after the other before this one can be loaded.
    pub depth: usize,
}

/// When a module is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// In every boot.
    Always,
    /// Where there is hardware of one of these kinds: patterns of the kernel's (`modalias`), in which only `*` is special.
    With(BTreeSet<String>),
}

impl Wanted {
    /// The hardware, where it depends on any.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        let patterns = match self {
            Self::Always => None,
            Self::With(patterns) => Some(patterns),
        };
        patterns.into_iter().flatten().map(String::as_str)
    }

    /// What holds for a module that is needed for two reasons.
    fn or(self, other: &Self) -> Self {
        match (self, other) {
            (Self::With(mut patterns), Self::With(more)) => {
                patterns.extend(more.iter().cloned());
                Self::With(patterns)
            }
            _ => Self::Always,
        }
    }
}

/// The modules of `recipe` and everything they depend on, each behind what it depends on, else by size.
/// `tree` is `lib/modules/<release>` of the kernel package.
///
/// # Errors
/// A file does not read or unpack, a module is missing, or depends on itself; or the recipe names hardware that no
/// module is for.
pub fn collect(tree: &Path, recipe: &str) -> Result<Vec<Module>, ModuleError> {
    let mut search = Search {
        files: module_files(tree)?,
        built_in: built_in(tree)?,
        visiting: Vec::new(),
        found: Vec::new(),
    };
    for line in lines(recipe) {
        search.visit(line.name, "the recipe", &line.wanted)?;
    }
    let Search { mut found, .. } = search;
    check_hardware(&found)?;
    // Those that take long first, so that loading ends at about the same time on each processor.
    found.sort_by_key(|module| (module.depth, Reverse(module.bytes.len())));
    Ok(found)
}

/// The list in the image. Modules that do not need each other are a group; an empty line is behind each.
#[must_use]
pub fn load_order(modules: &[Module]) -> String {
    let group =
        |group: &[Module]| -> String { group.iter().map(load_line).chain(["\n".to_owned()]).collect() };
    let text: String = modules.chunk_by(|one, next| one.depth == next.depth).map(group).collect();
    text.trim_end().to_owned() + "\n"
}

/// `virtio_scsi.ko virtio:d00000008v*`
fn load_line(module: &Module) -> String {
    let patterns: String = module.wanted.patterns().map(|pattern| format!(" {pattern}")).collect();
    format!("{}.ko{patterns}\n", module.name)
}

/// A line of a recipe: `sd_mod if virtio:d00000008v* # why`.
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) wanted: Wanted,
}

/// The lines of a recipe, without its comments.
pub(crate) fn lines(recipe: &str) -> impl Iterator<Item = Line<'_>> {
    recipe.lines().filter_map(|line| {
        let line = line.split_once('#').map_or(line, |(line, _)| line).trim();
        let (name, patterns) = line.split_once(" if ").unwrap_or((line, ""));
        let patterns: BTreeSet<_> = patterns.split_ascii_whitespace().map(str::to_owned).collect();
        let wanted = if patterns.is_empty() { Wanted::Always } else { Wanted::With(patterns) };
        (!name.is_empty()).then(|| Line { name: name.trim(), wanted })
    })
}

/// A slip in a pattern would leave a driver out in every boot.
fn check_hardware(modules: &[Module]) -> Result<(), ModuleError> {
    let known: HashSet<_> = modules.iter().flat_map(|module| entries(&module.bytes, "alias=")).collect();
    for module in modules {
        if let Some(pattern) = module.wanted.patterns().find(|pattern| !known.contains(pattern)) {
            return Err(ModuleError::Hardware { pattern: pattern.to_owned(), module: module.name.clone() });
        }
    }
    Ok(())
}

struct Search {
    files: BTreeMap<String, PathBuf>,
    built_in: HashSet<String>,
    visiting: Vec<String>,
    found: Vec<Module>,
}

impl Search {
    /// Finds a module and what it depends on, which is wanted whenever it is; how deep it lies. Nothing is below what is
    /// built in.
    fn visit(&mut self, name: &str, wanted_by: &str, wanted: &Wanted) -> Result<Option<usize>, ModuleError> {
        let key = normalised(name);
        if self.built_in.contains(&key) {
            return Ok(None);
        }
        if self.visiting.contains(&key) {
            return Err(ModuleError::Cycle(name.to_owned()));
        }
        let known = self.found.iter().position(|module| normalised(&module.name) == key);
        let mut module = match known.map(|known| self.found.remove(known)) {
            Some(known) => Module { wanted: known.wanted.clone().or(wanted), ..known },
            None => self.read(name, wanted_by, wanted)?,
        };
        self.visiting.push(key);
        module.depth = 0;
        for dependency in dependencies(&module.bytes) {
            let below = self.visit(&dependency, name, &module.wanted)?;
            module.depth = module.depth.max(below.map_or(0, |depth| depth.saturating_add(1)));
        }
        self.visiting.pop();
        let depth = module.depth;
        self.found.push(module);
        Ok(Some(depth))
    }

    fn read(&self, name: &str, wanted_by: &str, wanted: &Wanted) -> Result<Module, ModuleError> {
        let path = self
            .files
            .get(&normalised(name))
            .ok_or_else(|| ModuleError::Missing { name: name.to_owned(), wanted_by: wanted_by.to_owned() })?;
        let name = module_name(path).unwrap_or(name).to_owned();
        let mut bytes = unpack(path)?;
        let length = unsigned_length(&bytes).ok_or_else(|| ModuleError::Signature(name.clone()))?;
        bytes.truncate(length);
        Ok(Module { name, bytes, wanted: wanted.clone(), depth: 0 })
    }
}

/// The kernel takes `-` and `_` in a module's name for the same.
fn normalised(name: &str) -> String {
    name.replace('-', "_")
}

/// `dm-verity` of `.../dm-verity.ko.xz`, or nothing where the file is no module.
fn module_name(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".ko.xz").or_else(|| name.strip_suffix(".ko"))
}

fn module_files(tree: &Path) -> Result<BTreeMap<String, PathBuf>, ModuleError> {
    let mut files = BTreeMap::new();
    let mut folders = vec![tree.join("kernel")];
    while let Some(folder) = folders.pop() {
        let read_error = |source| ModuleError::Read { path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(read_error)? {
            let entry = entry.map_err(read_error)?;
            if entry.file_type().map_err(read_error)?.is_dir() {
                folders.push(entry.path());
            } else if let Some(name) = module_name(&entry.path()) {
                files.insert(normalised(name), entry.path());
            }
        }
    }
    Ok(files)
}

fn built_in(tree: &Path) -> Result<HashSet<String>, ModuleError> {
    let path = tree.join("modules.builtin");
    let list = std::fs::read_to_string(&path).map_err(|source| ModuleError::Read { path, source })?;
    Ok(list.lines().filter_map(|line| module_name(Path::new(line)).map(normalised)).collect())
}

/// The image carries modules unpacked: the guest has no decompressor, and needs none.
fn unpack(path: &Path) -> Result<Vec<u8>, ModuleError> {
    let read_error = |source| ModuleError::Read { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(read_error)?;
    let mut bytes = Vec::new();
    if path.extension().is_some_and(|extension| extension == "xz") {
        XzReader::new(file, false).take(MODULE_LIMIT).read_to_end(&mut bytes)
    } else {
        file.take(MODULE_LIMIT).read_to_end(&mut bytes)
    }
    .map_err(read_error)?;
    Ok(bytes)
}

/// How long a module is without the signature at its end. Its length is in the last four bytes before the mark.
fn unsigned_length(module: &[u8]) -> Option<usize> {
    let Some(signed) = module.strip_suffix(SIGNATURE_MARK) else { return Some(module.len()) };
    let signature_length = usize::try_from(u32::from_be_bytes(*signed.last_chunk()?)).ok()?;
    signed.len().checked_sub(SIGNATURE_INFO_LENGTH)?.checked_sub(signature_length)
}

/// What the module depends on.
fn dependencies(module: &[u8]) -> Vec<String> {
    let names = entries(module, "depends=").next().unwrap_or_default();
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Entries of the module's `.modinfo` section: strings that end in a zero byte.
fn entries<'a>(module: &'a [u8], key: &'a str) -> impl Iterator<Item = &'a str> {
    let values = module.split(|&byte| byte == 0).filter_map(|entry| entry.strip_prefix(key.as_bytes()));
    values.filter_map(|value| std::str::from_utf8(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of modules that say what they depend on.
    fn tree(modules: &[(&str, &str)]) -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let drivers = tree.path().join("kernel/drivers");
        std::fs::create_dir_all(&drivers).unwrap();
        std::fs::write(tree.path().join("modules.builtin"), "kernel/fs/ext4/ext4.ko\n").unwrap();
        for (name, depends) in modules {
            let bytes = format!("\x7fELF\0license=GPL\0depends={depends}\0name=x\0");
            std::fs::write(drivers.join(format!("{name}.ko")), bytes).unwrap();
        }
        tree
    }

    fn order(tree: &tempfile::TempDir, recipe: &str) -> Result<Vec<String>, ModuleError> {
        Ok(collect(tree.path(), recipe)?.into_iter().map(|module| module.name).collect())
    }

    #[test]
    fn dependencies_come_first_and_once() {
        let tree =
            tree(&[("dm-mod", ""), ("dm-bufio", "dm-mod"), ("dm-verity", "dm_mod,dm_bufio"), ("loop", "")]);
        let recipe = "# why\ndm_verity # first\n\nloop\ndm-mod\next4 # built in\n";
        assert_eq!(order(&tree, recipe).unwrap(), ["loop", "dm-mod", "dm-bufio", "dm-verity"]);
        let list = load_order(&collect(tree.path(), recipe).unwrap());
        assert_eq!(list, "loop.ko\ndm-mod.ko\n\ndm-bufio.ko\n\ndm-verity.ko\n");
    }

    #[test]
    fn what_a_driver_depends_on_is_loaded_with_it_alone() {
        let tree = tree(&[
            ("bus", "lib"),
            ("first", "bus\0alias=virtio:d1v*"),
            ("second", "bus\0alias=virtio:d2v*"),
            ("lib", ""),
            ("user", "lib"),
        ]);
        let of = |recipe| load_order(&collect(tree.path(), recipe).unwrap());
        let drivers = "first if virtio:d1v* # why\nsecond if virtio:d2v* virtio:d1v*\n";
        assert_eq!(
            of(drivers),
            "lib.ko virtio:d1v* virtio:d2v*\n\nbus.ko virtio:d1v* virtio:d2v*\n\n\
             first.ko virtio:d1v*\nsecond.ko virtio:d1v* virtio:d2v*\n"
        );
        // One reason without hardware is enough, whichever comes first.
        for recipe in ["user\nfirst if virtio:d1v*", "first if virtio:d1v*\nuser"] {
            let list = of(recipe);
            assert!(list.starts_with("lib.ko\n\n") && list.contains("bus.ko virtio:d1v*\n"), "{list}");
        }
    }

    #[test]
    fn hardware_that_no_module_is_for_is_a_slip() {
        let tree = tree(&[("first", "\0alias=virtio:d1v*")]);
        let error = order(&tree, "first if virtio:d1*").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no module of the image drives `virtio:d1*`, for which first is to be loaded"
        );
    }

    #[test]
    fn a_missing_dependency_names_both() {
        let tree = tree(&[("a", "b")]);
        let error = order(&tree, "a").unwrap_err();
        assert_eq!(error.to_string(), "the kernel has no module `b`, which a needs");
    }

    #[test]
    fn a_cycle_ends() {
        let tree = tree(&[("a", "b"), ("b", "a")]);
        assert!(matches!(order(&tree, "a").unwrap_err(), ModuleError::Cycle(_)));
    }

    #[test]
    fn the_signature_is_left_out() {
        let signed = |length: u32| {
            let info = [&[0, 0, 2, 0, 0, 0, 0, 0][..], &length.to_be_bytes()].concat();
            [b"\x7fELF module", &b"a signature"[..], &info, SIGNATURE_MARK].concat()
        };
        assert_eq!(unsigned_length(&signed(11)), Some(b"\x7fELF module".len()));
        assert_eq!(unsigned_length(b"\x7fELF module"), Some(b"\x7fELF module".len()));
        for damaged in [signed(11 + 12), signed(u32::MAX), SIGNATURE_MARK.to_vec()] {
            let damaged_length = unsigned_length(&damaged);
            assert!(damaged_length.is_none(), "{damaged_length:?}");
        }
    }

    #[test]
    fn every_module_of_the_recipe_has_a_reason() {
        for line in RECIPE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, reason) = line.split_once(" # ").expect(line);
            assert!(!name.trim().is_empty() && !reason.trim().is_empty(), "{line}");
        }
    }
}
