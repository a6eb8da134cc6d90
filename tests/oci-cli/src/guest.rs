//! What a command has of the agent: a launcher, a runtime, and an engine whose policy allows everything.

use anyhow::{Context as _, bail};
use executor::container::Container;
use executor::container::handover::TakenOver;
use executor::launcher::Launcher;
use policy_engine::Engine;
use policy_engine::authority::BootAuthority;
use tokio::runtime::Runtime;

use crate::convert;
use crate::state::{Entry, parse_id};

/// Allows whatever is asked, by rules of its own. Pausing, resuming and limiting are no policy's affair.
const POLICY: &str = r#"package policy
api_version := "0.10.0"
framework_version := "0.2.3"
create_container := {"allowed": true, "env_list": input.envList, "allow_stdio_access": true}
exec_in_container := {"allowed": true, "env_list": input.envList}
signal_container_process := {"allowed": true}
shutdown_container := {"allowed": true}
get_properties := {"allowed": true}
linux_settings := {"allowed": true}
"#;

/// Judges and carries out.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) engine: Engine,
    pub(crate) runtime: Runtime,
}

/// Starts the launcher. This comes before [`Guest::new`], which makes threads possible.
pub(crate) fn launcher() -> anyhow::Result<Launcher> {
    let authority = BootAuthority::take().context("the launcher was started already")?;
    Launcher::start(&authority).context("the launcher was not started")
}

impl Guest {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let engine = Engine::load(POLICY.as_bytes()).context("the policy was not loaded")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self { engine, runtime: runtime.context("there is no runtime")? })
    }

    /// Takes over what there is of a container.
    pub(crate) fn take_over(
        &self,
        entry: &Entry,
        gate: Option<std::os::fd::OwnedFd>,
    ) -> anyhow::Result<TakenOver> {
        let record = entry.record()?;
        let handover = record.handover.as_ref().context("the container is still being created")?;
        let request = convert::create_container(&parse_id(&record.id)?, &entry.spec()?, &record.rootfs()?)?;
        let permit = self.engine.decide(request)?;
        let _context = self.runtime.enter();
        Ok(Container::take_over(permit, handover, gate)?)
    }

    /// Takes over a container whose init lives.
    pub(crate) fn take_over_living(&self, entry: &Entry) -> anyhow::Result<Box<Container>> {
        match self.take_over(entry, None)? {
            TakenOver::Container(container) if container.init().try_status().is_none() => Ok(container),
            TakenOver::Container(_) | TakenOver::Remains(_) => bail!("container not running"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_one() {
        Guest::new().unwrap();
    }
}
