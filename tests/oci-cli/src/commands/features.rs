//! `features`: what this runtime can do, as the runtime specification wants it said.

use std::process::ExitCode;

use serde_json::json;

use crate::state::SPECIFICATION_VERSION;

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let features = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPECIFICATION_VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "cgroup": {"v1": true, "v2": true, "systemd": false, "systemdUser": false, "rdma": false},
        },
    });
    println!("{features:#}");
    Ok(ExitCode::SUCCESS)
}
