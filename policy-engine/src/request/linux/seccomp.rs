//! Seccomp profiles.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};

/// A seccomp profile, as the OCI runtime specification has it. The order and presence of its parts count for its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeccompProfile {
    /// What happens on a system call that no entry speaks of.
    pub default_action: SeccompAction,
    /// The error number of the default action, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u32>,
    /// Names of the architectures, `SCMP_ARCH_...`, whose system calls are known to it beside the native ones.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<String>,
    /// Flags of the filter, `SECCOMP_FILTER_FLAG_...`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// The socket that gets the listener of `Notify`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub listener_path: String,
    /// What that socket is told with it.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub listener_metadata: String,
    /// What happens on these system calls.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub syscalls: Vec<SeccompSyscall>,
}

/// What happens on a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the actions of the OCI specification, seccomp(2)")]
pub enum SeccompAction {
    #[serde(rename = "SCMP_ACT_KILL")]
    Kill,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_TRACE")]
    Trace,
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_NOTIFY")]
    Notify,
}

/// An entry of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeccompSyscall {
    /// Names of the system calls. One that the architecture does not have is left out.
    pub names: Vec<String>,
    /// What happens.
    pub action: SeccompAction,
    /// The error number of the action, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    /// What their arguments have to be for that: all of these.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<SeccompArgument>,
}

/// A condition on an argument of a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SeccompArgument {
    /// Which argument, 0 to 5.
    pub index: u32,
    /// What it is compared with.
    pub value: u64,
    /// The value that `MaskedEqual` compares with; `value` is its mask.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub value_two: u64,
    /// How.
    pub op: SeccompComparison,
}

/// A field that is `null` is one that is not there, as in Go.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// How an argument is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the comparisons of the OCI specification")]
pub enum SeccompComparison {
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    #[serde(rename = "SCMP_CMP_LT")]
    Less,
    #[serde(rename = "SCMP_CMP_LE")]
    LessOrEqual,
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterOrEqual,
    #[serde(rename = "SCMP_CMP_GT")]
    Greater,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

impl SeccompProfile {
    /// SHA-256 of the profile in hexadecimal digits, by which a CCE policy names it.
    ///
    /// Over the JSON that Go writes of it, since the peer does: the order of the fields is that of the specification,
    /// empty ones are left out, and `<`, `>` and `&` are escaped.
    #[must_use]
    pub fn digest(&self) -> String {
        // Texts, numbers and lists of them: nothing of it can fail.
        let json = serde_json::to_string(self).unwrap_or_default();
        let mut escaped = String::with_capacity(json.len());
        for character in json.chars() {
            match character {
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                    // Writing to a text never fails.
                    let _ = write!(escaped, "\\u{:04x}", u32::from(character));
                }
                other => escaped.push(other),
            }
        }
        let mut digest = String::new();
        for byte in Sha256::digest(escaped) {
            let _ = write!(digest, "{byte:02x}");
        }
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_the_json_that_go_writes() {
        let profile = SeccompProfile {
            default_action: SeccompAction::Errno,
            default_errno_ret: Some(1),
            architectures: vec!["SCMP_ARCH_X86_64".to_owned()],
            flags: Vec::new(),
            listener_path: String::new(),
            listener_metadata: "a<b&c".to_owned(),
            syscalls: vec![SeccompSyscall {
                names: vec!["read".to_owned()],
                action: SeccompAction::Allow,
                errno_ret: None,
                args: vec![SeccompArgument {
                    index: 0,
                    value: 3,
                    value_two: 0,
                    op: SeccompComparison::MaskedEqual,
                }],
            }],
        };
        let json = concat!(
            r#"{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,"architectures":["SCMP_ARCH_X86_64"],"#,
            r#""listenerMetadata":"a\u003cb\u0026c","#,
            r#""syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","#,
            r#""args":[{"index":0,"value":3,"op":"SCMP_CMP_MASKED_EQ"}]}]}"#
        );
        let digest: String = Sha256::digest(json).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(profile.digest(), digest);
        assert_eq!(serde_json::from_str::<SeccompProfile>(json).unwrap(), profile);
        let nulls = json.replace(r#""defaultErrnoRet""#, r#""flags":null,"defaultErrnoRet""#);
        assert_eq!(serde_json::from_str::<SeccompProfile>(&nulls).unwrap(), profile);
        // Of another format than the specification's.
        let other = json.replace(r#""defaultErrnoRet""#, r#""archMap":[],"defaultErrnoRet""#);
        assert!(serde_json::from_str::<SeccompProfile>(&other).is_err());
    }
}
