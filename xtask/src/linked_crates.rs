//! The crates that the guest's binary links, for the bill of materials of an image.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use guest_image::LinkedCrate;
use serde::Deserialize;

use crate::command::{Run, repository_root};

/// The part of `Cargo.lock` that is of use here.
#[derive(Debug, Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The crates that the agent links when it is built with `features` for `target`, by name and version.
pub(crate) fn of_agent(target: &str, features: &[&str]) -> anyhow::Result<Vec<LinkedCrate>> {
    let tree = ["tree", "--locked", "--package", "agent", "--edges", "normal,no-proc-macro"];
    let tree = Run::cargo().args(tree).args(["--target", target, "--prefix", "none", "--format", "{p}\t{l}"]);
    let tree = tree.args(features).stdout()?;
    let lock =
        std::fs::read_to_string(repository_root().join("Cargo.lock")).context("cannot read Cargo.lock")?;
    linked(&tree, toml::from_str(&lock).context("Cargo.lock is malformed")?)
}

fn linked(tree: &str, lock: Lock) -> anyhow::Result<Vec<LinkedCrate>> {
    let packages = lock.package.into_iter();
    let checksums: BTreeMap<_, _> =
        packages.map(|package| ((package.name, package.version), package.checksum)).collect();
    // A crate is listed as often as it is used.
    let lines: BTreeSet<&str> = tree.lines().collect();
    let mut crates = BTreeMap::new();
    for line in lines {
        let (package, license) = line.split_once('\t').with_context(|| format!("`{line}` is no crate"))?;
        let mut words = package.split(' ');
        let version = |word: &str| word.strip_prefix('v').map(str::to_owned);
        let named = words.next().zip(words.next().and_then(version));
        let (name, version) = named.with_context(|| format!("`{package}` is no crate and version"))?;
        let key = (name.to_owned(), version);
        let sha256 = checksums.get(&key).with_context(|| format!("Cargo.lock lacks {package}"))?.clone();
        let license = license.trim_end_matches("(*)").trim();
        let license = (!license.is_empty()).then(|| license.replace('/', " OR "));
        let (name, version) = key.clone();
        crates.insert(key, LinkedCrate { name, version, sha256, license });
    }
    Ok(crates.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crate_is_listed_once_with_its_checksum() {
        let package = |name: &str, checksum: Option<&str>| Package {
            name: name.to_owned(),
            version: "1.2.0".to_owned(),
            checksum: checksum.map(str::to_owned),
        };
        let lock = || Lock { package: vec![package("own", None), package("far", Some("ab"))] };
        let tree =
            "own v1.2.0 (/a b)\tApache-2.0\nfar v1.2.0\tMIT/Apache-2.0\nfar v1.2.0\tMIT/Apache-2.0 (*)\n";
        let crates = linked(tree, lock()).unwrap();
        assert_eq!(crates.iter().map(|linked| linked.name.as_str()).collect::<Vec<_>>(), ["far", "own"]);
        assert_eq!(crates[0].sha256.as_deref(), Some("ab"));
        assert_eq!(crates[0].license.as_deref(), Some("MIT OR Apache-2.0"));
        assert_eq!(crates[1].sha256, None);
        assert!(linked("other v1.2.0\tMIT\n", lock()).is_err());
        assert!(linked("nonsense\n", lock()).is_err());
    }
}
