//! Kernel modules of the image: the list of the recipe, completed with what each module depends on, and unpacked.

use std::{
    collections::{BTreeMap, HashSet},
    io::Read as _,
    path::{Path, PathBuf},
};

use lzma_rust2::XzReader;

/// The list of the recipe, with the reasons.
pub const RECIPE: &str = include_str!("../modules.txt");

/// Largest module that is unpacked, in bytes. Debian's largest one is 5 MiB.
const MODULE_LIMIT: u64 = 32 << 20;

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
    /// Two modules need each other.
    #[error("module `{0}` depends on itself")]
    Cycle(String),
}

/// A kernel module, unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// The name of its file without `.ko`.
    pub name: String,
    /// The file, with Debian's signature at its end.
    pub bytes: Vec<u8>,
}

/// The modules of `recipe` and everything they depend on, in the order in which they are to be loaded.
/// `tree` is `lib/modules/<release>` of the kernel package.
///
/// # Errors
/// A file does not read or unpack, a module is missing, or depends on itself.
pub fn collect(tree: &Path, recipe: &str) -> Result<Vec<Module>, ModuleError> {
    let mut search = Search {
        files: module_files(tree)?,
        built_in: built_in(tree)?,
        visiting: Vec::new(),
        done: HashSet::new(),
        found: Vec::new(),
    };
    for name in names(recipe) {
        search.visit(name, "the recipe")?;
    }
    Ok(search.found)
}

/// The module names of a recipe, without its comments.
fn names(recipe: &str) -> impl Iterator<Item = &str> {
    recipe
        .lines()
        .map(|line| line.split_once('#').map_or(line, |(name, _)| name).trim())
        .filter(|n| !n.is_empty())
}

struct Search {
    files: BTreeMap<String, PathBuf>,
    built_in: HashSet<String>,
    visiting: Vec<String>,
    done: HashSet<String>,
    found: Vec<Module>,
}

impl Search {
    fn visit(&mut self, name: &str, wanted_by: &str) -> Result<(), ModuleError> {
        let key = normalised(name);
        if self.done.contains(&key) || self.built_in.contains(&key) {
            return Ok(());
        }
        if self.visiting.contains(&key) {
            return Err(ModuleError::Cycle(name.to_owned()));
        }
        let path = self
            .files
            .get(&key)
            .cloned()
            .ok_or_else(|| ModuleError::Missing { name: name.to_owned(), wanted_by: wanted_by.to_owned() })?;
        let module = Module { name: module_name(&path).unwrap_or(name).to_owned(), bytes: unpack(&path)? };
        self.visiting.push(key.clone());
        for dependency in dependencies(&module.bytes) {
            self.visit(&dependency, name)?;
        }
        self.visiting.pop();
        self.done.insert(key);
        self.found.push(module);
        Ok(())
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

/// The `depends=` entry of the module's `.modinfo` section: strings that end in a zero byte.
fn dependencies(module: &[u8]) -> Vec<String> {
    let entry = module.split(|&byte| byte == 0).find_map(|entry| entry.strip_prefix(b"depends="));
    let names = entry.and_then(|entry| std::str::from_utf8(entry).ok()).unwrap_or_default();
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
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
        let recipe = "# why\nloop # first\n\ndm_verity\ndm-mod\next4 # built in\n";
        assert_eq!(order(&tree, recipe).unwrap(), ["loop", "dm-mod", "dm-bufio", "dm-verity"]);
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
    fn every_module_of_the_recipe_has_a_reason() {
        for line in RECIPE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, reason) = line.split_once(" # ").expect(line);
            assert!(!name.trim().is_empty() && !reason.trim().is_empty(), "{line}");
        }
    }
}
