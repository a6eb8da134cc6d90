//! The questions that a policy is asked: the `input` document of each enforcement point, typed.
//!
//! The names of the fields stand here and nowhere else: requests of the host become these types, recorded
//! sessions are read into them, and what the interpreter reads is written from them.

mod filesystem;
mod process;
mod record;

use serde::Serialize;
use serde_json::Value as Json;

pub(crate) use filesystem::{
    MountBlockdev, MountDevice, MountOverlay, Plan9Mount, RwMountDevice, ScratchMount, Unmount,
};
pub(crate) use process::{
    Capabilities, CreateContainer, ExecExternal, ExecInContainer, IdName, LinuxSettings, Mount,
    ShutdownContainer, SignalContainerProcess,
};
use record::{Read, record};

record! {
    /// A question without details.
    pub Nothing {}
}

record! {
    /// `create_sandbox`
    pub CreateSandbox<'a> {
        /// The sandbox.
        sandbox_id: &'a str = "sandboxID",
    }
}

macro_rules! questions {
    ($($variant:ident($type:ty) = $name:literal,)*) => {
        /// A question to a policy.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum Question<'a> {
            $(
                #[doc = concat!("`", $name, "`")]
                $variant($type),
            )*
        }

        impl<'a> Question<'a> {
            /// The name of the rule that answers it.
            pub(crate) fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// The question to the rule `name` in `input`; `None` for a rule that is not in this list, and
            /// for an input that is not exactly of its shape.
            pub(crate) fn read(name: &str, input: &'a Json) -> Option<Self> {
                match name {
                    $($name => Read::read(input).map(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

questions! {
    MountDevice(MountDevice<'a>) = "mount_device",
    UnmountDevice(Unmount<'a>) = "unmount_device",
    MountOverlay(MountOverlay<'a>) = "mount_overlay",
    UnmountOverlay(Unmount<'a>) = "unmount_overlay",
    CreateContainer(CreateContainer<'a>) = "create_container",
    ExecInContainer(ExecInContainer<'a>) = "exec_in_container",
    ExecExternal(ExecExternal<'a>) = "exec_external",
    SignalContainerProcess(SignalContainerProcess<'a>) = "signal_container_process",
    ShutdownContainer(ShutdownContainer<'a>) = "shutdown_container",
    ScratchMount(ScratchMount<'a>) = "scratch_mount",
    ScratchUnmount(Unmount<'a>) = "scratch_unmount",
    RwMountDevice(RwMountDevice<'a>) = "rw_mount_device",
    RwUnmountDevice(Unmount<'a>) = "rw_unmount_device",
    MountBlockdev(MountBlockdev<'a>) = "mount_blockdev",
    UnmountBlockdev(Unmount<'a>) = "unmount_blockdev",
    Plan9Mount(Plan9Mount<'a>) = "plan9_mount",
    Plan9Unmount(Unmount<'a>) = "plan9_unmount",
    GetProperties(Nothing) = "get_properties",
    DumpStacks(Nothing) = "dump_stacks",
    RuntimeLogging(Nothing) = "runtime_logging",
    HostNetwork(Nothing) = "host_network",
    // Of these the framework has no rule.
    LinuxSettings(LinuxSettings<'a>) = "linux_settings",
    // No rule of a CCE policy speaks of these.
    CreateSandbox(CreateSandbox<'a>) = "create_sandbox",
    ControlContainer(Nothing) = "control_container",
    DestroySandbox(Nothing) = "destroy_sandbox",
}

impl Question<'_> {
    /// Whether a policy that is older than the question may leave the answer to the API's default.
    ///
    /// Attack: of a plaintext disk as scratch the default says yes.
    pub(crate) fn has_default(&self) -> bool {
        !matches!(self, Self::ScratchMount(ScratchMount { encrypted: false, .. }))
    }

    /// The input document, without the state.
    pub(crate) fn input(&self) -> Json {
        // Texts, numbers, booleans, lists and records of them: nothing of it can fail.
        serde_json::to_value(self).unwrap_or(Json::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_question_is_written_as_it_is_read() {
        let input = json!({
            "containerID": "c1", "argList": ["/bin/run"], "envList": [], "workingDir": "/", "sandboxDir": "/s",
            "hugePagesDir": "/h", "mounts": [{"destination": "/d", "source": "s", "type": "bind", "options": ["ro"]}],
            "devices": [{"path": "/dev/x"}], "privileged": false, "noNewPrivileges": true,
            "user": {"id": "0", "name": "root"}, "groups": [{"id": "0", "name": ""}], "umask": "0022",
            "capabilities": {"bounding": ["CAP_KILL"], "effective": [], "inheritable": [], "permitted": [], "ambient": []},
            "seccompProfileSHA256": "", "isSandboxContainer": false,
        });
        let question = Question::read("create_container", &input).unwrap();
        assert_eq!(question.name(), "create_container");
        assert_eq!(question.input(), input);
    }

    #[test]
    fn inputs_of_another_shape_are_not_read() {
        let read = |input: Json| Question::read("mount_device", &input).is_some();
        assert!(read(
            json!({"target": "t", "deviceHash": "h", "mountPathRegex": "r", "rule": "mount_device"})
        ));
        assert!(!read(json!(["t", "h", "r"])));
        assert!(!read(json!({"target": "t", "deviceHash": "h"})));
        assert!(!read(json!({"target": "t", "deviceHash": "h", "mountPathRegex": null})));
        assert!(!read(json!({"target": "t", "deviceHash": 1, "mountPathRegex": "r"})));
        let signal = |number: Json| {
            let input = json!({"containerID": "c", "signal": number, "isInitProcess": true, "argList": []});
            Question::read("signal_container_process", &input).is_some()
        };
        assert!(signal(json!(9)) && !signal(json!(9.0)) && !signal(json!("9")));
        assert!(Question::read("get_properties", &json!({})).is_some());
        assert!(Question::read("get_properties", &json!([])).is_none());
        assert!(Question::read("load_fragment", &json!({})).is_none());
    }
}
