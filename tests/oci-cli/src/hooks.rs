//! Hooks that run outside of the container: the affair of who asks for it, not of the guest.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use oci_spec::runtime::{Hook, Spec};
use serde_json::Value as Json;

use crate::state::{Entry, Record, Status};

/// Runs the hooks after the start of a container. One that fails changes nothing, and is told of.
pub(crate) fn after_start(entry: &Entry) -> anyhow::Result<()> {
    let (record, spec) = (entry.record()?, entry.spec()?);
    let status = record.status()?;
    let hooks = spec.hooks().as_ref().and_then(|hooks| hooks.poststart().as_ref());
    warn(run("poststart", hooks, &record.bundle, &record.state(&spec, status, record.pid(status))));
    Ok(())
}

/// Runs the hooks after the end of a container, which is forgotten already.
pub(crate) fn after_stop(record: &Record, spec: &Spec) {
    let hooks = spec.hooks().as_ref().and_then(|hooks| hooks.poststop().as_ref());
    warn(run("poststop", hooks, &record.bundle, &record.state(spec, Status::Stopped, 0)));
}

fn warn(outcome: anyhow::Result<()>) {
    if let Err(error) = outcome {
        eprintln!("cce-oci: warning: {error:#}");
    }
}

/// How often a hook with a time limit is looked after.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Runs hooks one after the other; each is told the state on standard input.
pub(crate) fn run(kind: &str, hooks: Option<&Vec<Hook>>, bundle: &Path, state: &Json) -> anyhow::Result<()> {
    for hook in hooks.into_iter().flatten() {
        run_one(hook, bundle, state)
            .with_context(|| format!("error running {kind} hook {}", hook.path().display()))?;
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "hooks of the runtime's namespace are no processes of a container"
)]
fn run_one(hook: &Hook, bundle: &Path, state: &Json) -> anyhow::Result<()> {
    let mut command = Command::new(hook.path());
    if let Some((name, rest)) = hook.args().as_ref().and_then(|args| args.split_first()) {
        command.arg0(name).args(rest);
    }
    command.env_clear();
    let env = hook.env().iter().flatten().filter_map(|entry| entry.split_once('='));
    let mut child = command
        .envs(env)
        .current_dir(bundle)
        .stdin(Stdio::piped())
        .spawn()
        .context("it cannot be executed")?;
    if let Some(mut input) = child.stdin.take() {
        // One that does not read its state may end before it is written.
        let _ = input.write_all(state.to_string().as_bytes());
    }
    let limit = hook.timeout().and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    let status = match limit {
        None => child.wait()?,
        Some(seconds) => {
            let began = Instant::now();
            loop {
                if let Some(status) = child.try_wait()? {
                    break status;
                }
                if began.elapsed() > Duration::from_secs(seconds) {
                    child.kill()?;
                    child.wait()?;
                    bail!("it took longer than {seconds} s");
                }
                std::thread::sleep(POLL_INTERVAL);
            }
        }
    };
    if status.success() { Ok(()) } else { bail!("it failed: {status}") }
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::HookBuilder;
    use serde_json::json;

    use super::*;

    fn shell(script: &str, timeout: i64) -> Vec<Hook> {
        let args = ["named", "-c", script].map(str::to_owned);
        let hook = HookBuilder::default().path("/bin/sh").args(args).env(["A=1".to_owned()]).timeout(timeout);
        vec![hook.build().unwrap()]
    }

    #[test]
    fn hooks_get_the_state_their_environment_and_their_time() {
        let directory = tempfile::TempDir::new().unwrap();
        let state = json!({"id": "c1"});
        let run =
            |script: &str, timeout| run("test", Some(&shell(script, timeout)), directory.path(), &state);
        run("read -r state; [ \"$state\" = '{\"id\":\"c1\"}' ] && [ \"$A$HOME\" = 1 ] && touch here", 9)
            .unwrap();
        assert!(directory.path().join("here").exists());
        assert!(run("exit 3", 9).is_err());
        assert!(format!("{:#}", run("exec sleep 60", 1).unwrap_err()).contains("longer than 1 s"));
    }
}
