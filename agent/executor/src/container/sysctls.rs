//! Kernel parameters of a container: those that belong to a namespace of its own, and no others.

use policy_engine::request::linux::{Namespace, Namespaces, Sysctl};
use serde::{Deserialize, Serialize};

/// The most parameters of a container.
const SYSCTLS_MAX: usize = 256;
/// The longest name, in bytes.
const NAME_LENGTH_MAX: usize = 256;
/// The longest value, in bytes: below a page, which the kernel takes at once.
const VALUE_LENGTH_MAX: usize = 1024;

/// Parameters of an IPC namespace, `ipc_namespaces(7)`; also all below `fs/mqueue`.
const IPC_PARAMETERS: [&str; 8] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];
/// Parameters of a UTS namespace, `uts_namespaces(7)`.
const UTS_PARAMETERS: [&str; 2] = ["kernel/domainname", "kernel/hostname"];

/// Why a kernel parameter is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SysctlError {
    /// More than 256.
    #[error("a container has at most {SYSCTLS_MAX} kernel parameters")]
    TooMany,
    /// The name is none, or leads elsewhere.
    #[error("this is not the name of a kernel parameter")]
    Name,
    /// The value would be cut, or taken for two.
    #[error("the value is longer than {VALUE_LENGTH_MAX} bytes, or not printable")]
    Value,
    /// It is the guest's, or the kernel's as a whole.
    #[error("this kernel parameter belongs to no namespace that the container has of its own")]
    NotOwn,
}

/// A parameter and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SysctlPlan {
    /// Relative to the root of a procfs.
    pub(crate) path: String,
    pub(crate) value: String,
}

/// Plans the parameters of a container with these namespaces. An error comes with the name of what it is about.
pub(crate) fn compile(
    sysctls: &[Sysctl],
    namespaces: &Namespaces,
) -> Result<Vec<SysctlPlan>, (String, SysctlError)> {
    if sysctls.len() > SYSCTLS_MAX {
        return Err((String::new(), SysctlError::TooMany));
    }
    let plan = |sysctl: &Sysctl| {
        let plan = || {
            let path = path(&sysctl.name).ok_or(SysctlError::Name)?;
            if !is_own(&path, namespaces) {
                return Err(SysctlError::NotOwn);
            }
            let printable = sysctl.value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
            if sysctl.value.is_empty() || sysctl.value.len() > VALUE_LENGTH_MAX || !printable {
                return Err(SysctlError::Value);
            }
            Ok(SysctlPlan { path: format!("sys/{path}"), value: sysctl.value.clone() })
        };
        plan().map_err(|error| (sysctl.name.chars().take(NAME_LENGTH_MAX).collect(), error))
    };
    sysctls.iter().map(plan).collect()
}

/// The path of a parameter below `/proc/sys`. The separator that comes first is the separator; the other one stands for
/// itself in names, as `sysctl(8)` has it: `net.ipv4.conf.eth0/100.forwarding`, `net/ipv4/conf/eth0.100/forwarding`.
fn path(name: &str) -> Option<String> {
    let dotted = name.chars().find(|character| matches!(character, '.' | '/'))? == '.';
    let swapped = |character| match character {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let path: String = if dotted { name.chars().map(swapped).collect() } else { name.to_owned() };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':' | b'@');
    let component = |component: &str| {
        !component.is_empty() && !matches!(component, "." | "..") && component.bytes().all(plain)
    };
    (name.len() <= NAME_LENGTH_MAX && path.split('/').all(component)).then_some(path)
}

/// Whether the namespace that a parameter belongs to is the container's own: not the guest's, and not another's.
fn is_own(path: &str, namespaces: &Namespaces) -> bool {
    let namespace = if path.starts_with("net/") {
        &namespaces.network
    } else if IPC_PARAMETERS.contains(&path) || path.starts_with("fs/mqueue/") {
        &namespaces.ipc
    } else if UTS_PARAMETERS.contains(&path) {
        &namespaces.uts
    } else {
        return false;
    };
    *namespace == Namespace::New
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str, namespaces: &Namespaces) -> Result<String, SysctlError> {
        let sysctl = Sysctl { name: name.to_owned(), value: value.to_owned() };
        let mut plans = compile(&[sysctl], namespaces).map_err(|(_, error)| error)?;
        Ok(plans.remove(0).path)
    }

    fn own() -> Namespaces {
        Namespaces { network: Namespace::New, ..Namespaces::default() }
    }

    #[test]
    fn both_notations_name_one_file() {
        for (name, path) in [
            ("net.ipv4.ip_forward", "sys/net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "sys/net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/100.forwarding", "sys/net/ipv4/conf/eth0.100/forwarding"),
            ("net/ipv4/conf/eth0.100/forwarding", "sys/net/ipv4/conf/eth0.100/forwarding"),
        ] {
            assert_eq!(check(name, "1", &own()).as_deref(), Ok(path), "{name}");
        }
    }

    #[test]
    fn a_parameter_needs_a_namespace_of_the_containers_own() {
        let joined = || Namespace::Join("/run/other".parse().unwrap());
        for (name, without) in [
            ("net.core.somaxconn", Namespaces { network: Namespace::Guest, ..own() }),
            ("net.core.somaxconn", Namespaces { network: joined(), ..own() }),
            ("kernel.shmmax", Namespaces { ipc: Namespace::Guest, ..own() }),
            ("kernel.shm_rmid_forced", Namespaces { ipc: joined(), ..own() }),
            ("fs.mqueue.msg_max", Namespaces { ipc: joined(), ..own() }),
            ("kernel.domainname", Namespaces { uts: Namespace::Guest, ..own() }),
            ("kernel.hostname", Namespaces { uts: joined(), ..own() }),
        ] {
            assert!(check(name, "1", &own()).is_ok(), "{name}");
            assert_eq!(check(name, "1", &without), Err(SysctlError::NotOwn), "{name}");
        }
    }

    #[test]
    fn parameters_of_the_kernel_are_refused() {
        for name in [
            "kernel.core_pattern",
            "kernel/core_pattern",
            "kernel.modprobe",
            "kernel.msgmaxx",
            "kernel.shmmax.more",
            "vm.overcommit_memory",
            "fs.file-max",
            "fs.mqueuex.msg_max",
            "user.max_user_namespaces",
            "netx.core.somaxconn",
        ] {
            assert_eq!(check(name, "1", &own()), Err(SysctlError::NotOwn), "{name}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_none() {
        for name in [
            "",
            "net",
            "net.",
            ".net.core",
            "/net/core/somaxconn",
            "net..core",
            "net/../kernel/core_pattern",
            "net/./core",
            "net.//.kernel.core_pattern",
            "net/core/somaxconn\n",
            "net/core/so maxconn",
            "net/core/\0",
        ] {
            assert_eq!(check(name, "1", &own()), Err(SysctlError::Name), "{name:?}");
        }
        assert_eq!(check(&format!("net.{}", "a".repeat(300)), "1", &own()), Err(SysctlError::Name));
    }

    #[test]
    fn values_are_one_line() {
        for value in ["", "1\n2", "1\0", &"1".repeat(1025)] {
            assert_eq!(check("kernel.sem", value, &own()), Err(SysctlError::Value), "{value:?}");
        }
        assert!(check("kernel.sem", "250 32000\t100 128", &own()).is_ok());
        let many = vec![Sysctl { name: "kernel.sem".to_owned(), value: "1".to_owned() }; 257];
        assert_eq!(compile(&many, &own()), Err((String::new(), SysctlError::TooMany)));
    }
}
