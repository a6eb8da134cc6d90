//! Questions about containers and processes.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::record::record;

record! {
    /// A numeric id in decimal and the name that the container's own files give it.
    pub(crate) IdName<'a> {
        /// The id.
        id: Cow<'a, str> = "id",
        /// The name, empty where there is none.
        name: &'a str = "name",
    }
}

record! {
    /// The five capability sets that are asked for.
    pub(crate) Capabilities<'a> {
        /// The bounding set.
        bounding: Vec<&'a str> = "bounding",
        /// The effective set.
        effective: Vec<&'a str> = "effective",
        /// The inheritable set.
        inheritable: Vec<&'a str> = "inheritable",
        /// The permitted set.
        permitted: Vec<&'a str> = "permitted",
        /// The ambient set.
        ambient: Vec<&'a str> = "ambient",
    }
}

record! {
    /// A mount inside a container.
    pub(crate) Mount<'a> {
        /// Where.
        destination: &'a str = "destination",
        /// What.
        source: &'a str = "source",
        /// The file-system type, `bind` for bind mounts.
        fstype: &'a str = "type",
        /// Options, in order.
        options: Vec<&'a str> = "options",
    }
}

record! {
    /// `create_container`
    pub CreateContainer<'a> {
        /// The container.
        container_id: &'a str = "containerID",
        /// Program and arguments.
        command: Vec<&'a str> = "argList",
        /// Entries `NAME=value`, in order.
        environment: Vec<&'a str> = "envList",
        /// The working directory.
        working_dir: &'a str = "workingDir",
        /// The directory that `sandbox://` stands for.
        sandbox_dir: &'a str = "sandboxDir",
        /// The directory that `hugepages://` stands for.
        huge_pages_dir: &'a str = "hugePagesDir",
        /// Its mounts.
        mounts: Vec<Mount<'a>> = "mounts",
        /// Its device nodes: none are ever allowed.
        devices: Vec<Json> = "devices",
        /// Whether it asks for all privileges.
        privileged: bool = "privileged",
        /// Whether `execve` may not raise privileges.
        no_new_privileges: bool = "noNewPrivileges",
        /// The user.
        user: IdName<'a> = "user",
        /// The primary group and the supplementary ones.
        groups: Vec<IdName<'a>> = "groups",
        /// The file mode creation mask: four octal digits.
        umask: Cow<'a, str> = "umask",
        /// The capabilities.
        capabilities: Capabilities<'a> = "capabilities",
        /// Digest of the seccomp profile, empty for none.
        seccomp_profile_sha256: Cow<'a, str> = "seccompProfileSHA256",
        /// Whether it is the pause container.
        is_sandbox_container: bool = "isSandboxContainer",
    }
}

record! {
    /// `linux_settings`
    pub LinuxSettings<'a> {
        /// The container.
        container_id: &'a str = "containerID",
        /// Settings of the container.
        linux: Json = "linux",
        /// Settings of the process.
        process: Json = "process",
        /// Who is who in its mounts, of those that say so.
        mount_id_mappings: Json = "mountIDMappings",
    }
}

record! {
    /// `exec_in_container`
    pub ExecInContainer<'a> {
        /// The container.
        container_id: &'a str = "containerID",
        /// Program and arguments.
        command: Vec<&'a str> = "argList",
        /// Entries `NAME=value`, in order.
        environment: Vec<&'a str> = "envList",
        /// The working directory.
        working_dir: &'a str = "workingDir",
        /// Whether `execve` may not raise privileges.
        no_new_privileges: bool = "noNewPrivileges",
        /// The user.
        user: IdName<'a> = "user",
        /// The primary group and the supplementary ones.
        groups: Vec<IdName<'a>> = "groups",
        /// The file mode creation mask: four octal digits.
        umask: Cow<'a, str> = "umask",
        /// The capabilities.
        capabilities: Capabilities<'a> = "capabilities",
    }
}

record! {
    /// `exec_external`
    pub ExecExternal<'a> {
        /// Program and arguments.
        command: Vec<&'a str> = "argList",
        /// Entries `NAME=value`, in order.
        environment: Vec<&'a str> = "envList",
        /// The working directory.
        working_dir: &'a str = "workingDir",
    }
}

record! {
    /// `signal_container_process`
    pub SignalContainerProcess<'a> {
        /// The container.
        container_id: &'a str = "containerID",
        /// The signal's number.
        signal: i64 = "signal",
        /// Whether the process is the container's init.
        is_init_process: bool = "isInitProcess",
        /// The argument list that the process was started with.
        command: Vec<&'a str> = "argList",
    }
}

record! {
    /// `shutdown_container`
    pub ShutdownContainer<'a> {
        /// The container.
        container_id: &'a str = "containerID",
    }
}
