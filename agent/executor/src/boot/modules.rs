//! Kernel modules of the measured image.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::io::Errno;

/// Where the image keeps its modules.
const DIRECTORY: &str = "/lib/modules";
/// The file in it that names them, one a line, in the order in which they are loaded.
const LOAD_ORDER: &str = "load-order";
/// The longest list, in bytes.
const LOAD_ORDER_MAX: u64 = 64 << 10;

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

/// Loads the modules of the image and returns those that found no hardware. An image without a list has none.
pub(super) fn load_all() -> Result<Vec<String>, LoadModuleError> {
    let directory = Path::new(DIRECTORY);
    let mut without_hardware = Vec::new();
    for module in read_list(&directory.join(LOAD_ORDER))? {
        let error = |source| LoadModuleError::Open { module: module.clone(), source };
        let file = fs::File::open(directory.join(&module)).map_err(error)?;
        match rustix::system::finit_module(&file, c"", 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            // The host decides over hardware. What is missing then is missing: no check is left out for it.
            Err(Errno::NODEV) => without_hardware.push(module),
            Err(error) => return Err(LoadModuleError::Load { module, source: error.into() }),
        }
    }
    Ok(without_hardware)
}

fn read_list(path: &Path) -> Result<Vec<String>, LoadModuleError> {
    let mut text = String::new();
    match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => {
            let file = file.map_err(LoadModuleError::List)?;
            file.take(LOAD_ORDER_MAX).read_to_string(&mut text).map_err(LoadModuleError::List)?;
        }
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(file_name).collect()
}

fn file_name(line: &str) -> Result<String, LoadModuleError> {
    if line.contains('/') || line.starts_with('.') {
        return Err(LoadModuleError::Name(line.to_owned()));
    }
    Ok(line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_file_names() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("load-order");
        assert!(read_list(&path).unwrap().is_empty());
        fs::write(&path, "dm-mod.ko\n\n dm-verity.ko \n").unwrap();
        assert_eq!(read_list(&path).unwrap(), ["dm-mod.ko", "dm-verity.ko"]);
        for bad in ["../evil.ko", "a/b.ko", ".."] {
            fs::write(&path, bad).unwrap();
            assert!(matches!(read_list(&path), Err(LoadModuleError::Name(_))), "{bad:?}");
        }
    }
}
