//! The emulator's keys, kept in a folder because RSA keys take long to generate.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;

use nix::fcntl::{Flock, FlockArg};
use p384::SecretKey;
use p384::pkcs8::{self, DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use rsa::RsaPrivateKey;
use rsa::rand_core::OsRng;

const RSA_BITS: usize = 4096;
const ARK: &str = "ark.key";
const ASK: &str = "ask.key";
const VCEK: &str = "vcek.key";

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum LoadKeysError {
    /// A file cannot be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// A key file is damaged.
    #[error("{} is not a private key", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: pkcs8::Error,
    },
    /// A key cannot be generated.
    #[error("cannot generate an RSA key")]
    Generate(#[source] rsa::Error),
    /// A key cannot be encoded.
    #[error("cannot encode a private key")]
    Encode(#[source] pkcs8::Error),
    /// A generating thread ended early.
    #[error("key generation ended early")]
    Thread,
}

/// Private keys of the three certificates.
pub(crate) struct Keys {
    pub(crate) ark: RsaPrivateKey,
    pub(crate) ask: RsaPrivateKey,
    pub(crate) vcek: SecretKey,
}

impl Keys {
    /// Reads the keys in `folder`; generates them where there is no such folder. Processes that start together wait for
    /// the one that generates.
    pub(crate) fn load_or_generate(folder: &Path) -> Result<Self, LoadKeysError> {
        if !folder.exists() {
            let parent =
                folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            fs::create_dir_all(parent).map_err(at(parent))?;
            let _lock = lock(&folder.with_extension("lock"))?;
            if !folder.exists() {
                Self::generate()?.store(folder, parent)?;
            }
        }
        Self::load(folder)
    }

    fn generate() -> Result<Self, LoadKeysError> {
        let rsa = || RsaPrivateKey::new(&mut OsRng, RSA_BITS).map_err(LoadKeysError::Generate);
        let (ark, ask) = thread::scope(|scope| {
            let ark = scope.spawn(rsa);
            (rsa(), ark.join())
        });
        Ok(Self {
            ark: ask.map_err(|_| LoadKeysError::Thread)??,
            ask: ark?,
            vcek: SecretKey::random(&mut OsRng),
        })
    }

    /// Writes the keys to a folder beside `folder` and renames it, so that `folder` is always whole.
    fn store(&self, folder: &Path, parent: &Path) -> Result<(), LoadKeysError> {
        let staging = tempfile::Builder::new().prefix(".psp-keys-").tempdir_in(parent).map_err(at(parent))?;
        let pem = LineEnding::LF;
        for (name, key) in [
            (ARK, self.ark.to_pkcs8_pem(pem)),
            (ASK, self.ask.to_pkcs8_pem(pem)),
            (VCEK, self.vcek.to_pkcs8_pem(pem)),
        ] {
            let path = staging.path().join(name);
            let key = key.map_err(LoadKeysError::Encode)?;
            create_private(&path).and_then(|mut file| file.write_all(key.as_bytes())).map_err(at(&path))?;
        }
        fs::rename(staging.path(), folder).map_err(at(folder))
    }

    fn load(folder: &Path) -> Result<Self, LoadKeysError> {
        let [(ark_path, ark), (ask_path, ask), (vcek_path, vcek)] =
            [ARK, ASK, VCEK].map(|name| (folder.join(name), fs::read_to_string(folder.join(name))));
        Ok(Self {
            ark: decode(ark_path, ark, RsaPrivateKey::from_pkcs8_pem)?,
            ask: decode(ask_path, ask, RsaPrivateKey::from_pkcs8_pem)?,
            vcek: decode(vcek_path, vcek, SecretKey::from_pkcs8_pem)?,
        })
    }
}

fn decode<K>(
    path: PathBuf,
    pem: io::Result<String>,
    from_pem: impl Fn(&str) -> pkcs8::Result<K>,
) -> Result<K, LoadKeysError> {
    match pem {
        Ok(pem) => from_pem(&pem).map_err(|source| LoadKeysError::Damaged { path, source }),
        Err(source) => Err(LoadKeysError::File { path, source }),
    }
}

/// Makes errors say which file.
fn at(path: &Path) -> impl FnOnce(io::Error) -> LoadKeysError {
    let path = path.to_owned();
    move |source| LoadKeysError::File { path, source }
}

/// Waits until no other process has the lock file at `path`.
fn lock(path: &Path) -> Result<Flock<File>, LoadKeysError> {
    let file = File::create(path).map_err(at(path))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| at(path)(errno.into()))
}

fn create_private(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}
