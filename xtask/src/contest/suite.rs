//! The public suite as it was built: two programs and the bundle that its containers are made of.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::outcome::{self, Outcome};
use crate::command::{CommandError, Run};

/// The longest that a group may take. The slowest one takes about a minute on two cores.
const GROUP_SECONDS_MAX: u32 = 180;

/// A folder with the suite.
pub(super) struct Suite {
    folder: PathBuf,
}

impl Suite {
    /// Looks whether everything is there.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        let folder =
            folder.canonicalize().with_context(|| format!("there is no folder {}", folder.display()))?;
        for part in ["contest", "runtimetest", "bundle.tar.gz"] {
            anyhow::ensure!(folder.join(part).is_file(), "{} has no file {part}", folder.display());
        }
        Ok(Self { folder })
    }

    /// The names of its groups of tests.
    pub(super) fn groups(&self) -> anyhow::Result<Vec<String>> {
        let listed = Run::new(self.folder.join("contest")).arg("list").in_dir(&self.folder).stdout()?;
        Ok(listed.lines().map(ToOwned::to_owned).collect())
    }

    /// Runs one group, or `group::test`, in a process of its own.
    ///
    /// # Errors
    ///
    /// When the suite ended before it answered.
    pub(super) fn run(&self, tests: &str, runtime: &Path) -> Result<Vec<(String, Outcome)>, CommandError> {
        let kind = runtime.file_name().unwrap_or(runtime.as_os_str());
        let output = Run::new("timeout")
            .args(["--kill-after=5", &GROUP_SECONDS_MAX.to_string()])
            .arg(self.folder.join("contest"))
            .args(["run", "--runtime"])
            .arg(runtime)
            .arg("--runtimetest")
            .arg(self.folder.join("runtimetest"))
            .args(["--tests", tests])
            // The suite leaves out what it knows a runtime not to do.
            .env("RUNTIME_KIND", kind)
            .in_dir(&self.folder)
            .stdout()?;
        Ok(outcome::parse(&output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_the_suite_is_refused() {
        let failure = Suite::open(Path::new(env!("CARGO_MANIFEST_DIR"))).err().unwrap();
        assert!(failure.to_string().ends_with("has no file contest"), "{failure}");
    }
}
