//! Addresses an agent listens on.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Vsock context id that stands for every address of the machine (`VMADDR_CID_ANY`).
pub const VSOCK_CID_ANY: u32 = u32::MAX;
/// Longest path or name of a Unix socket, in bytes: `sun_path` less its final or leading NUL.
const UNIX_NAME_MAX_BYTES: usize = 107;

/// Where an agent listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAddress {
    /// `vsock://CID:PORT`; the CID may be -1 for any.
    Vsock {
        /// Context id; [`VSOCK_CID_ANY`] for any.
        cid: u32,
        /// Port.
        port: u32,
    },
    /// `unix://PATH`: a socket in the file system.
    UnixPath(PathBuf),
    /// `unix://@NAME`: a socket of the abstract namespace, without the `@`.
    UnixAbstract(String),
}

/// Why a text is no [`ServerAddress`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseAddressError {
    /// The scheme is missing or unknown.
    #[error("address {address:?} starts with neither vsock:// nor unix://")]
    Scheme {
        /// The text.
        address: String,
    },
    /// What follows `vsock://` is not two fields.
    #[error("vsock address {address:?} is not CID:PORT")]
    VsockFields {
        /// The text.
        address: String,
    },
    /// The context id is neither -1 nor a number of 32 bits.
    #[error("vsock context id {cid:?} is neither -1 nor a number below 2^32")]
    Cid {
        /// The field.
        cid: String,
    },
    /// The port is not a number of 32 bits.
    #[error("vsock port {port:?} is not a number below 2^32 - 1")]
    Port {
        /// The field.
        port: String,
    },
    /// The path or name is empty, too long for the kernel, or holds a NUL.
    #[error("unix socket name {name:?} is empty, longer than 107 bytes or holds a NUL")]
    UnixName {
        /// The path or name.
        name: String,
    },
}

impl FromStr for ServerAddress {
    type Err = ParseAddressError;

    fn from_str(address: &str) -> Result<Self, Self::Err> {
        if let Some(fields) = address.strip_prefix("vsock://") {
            return parse_vsock(fields);
        }
        let name = address
            .strip_prefix("unix://")
            .ok_or_else(|| ParseAddressError::Scheme { address: address.to_owned() })?;
        let (kept, is_abstract) = name.strip_prefix('@').map_or((name, false), |kept| (kept, true));
        if kept.is_empty() || kept.len() > UNIX_NAME_MAX_BYTES || kept.contains('\0') {
            return Err(ParseAddressError::UnixName { name: name.to_owned() });
        }
        Ok(if is_abstract {
            Self::UnixAbstract(kept.to_owned())
        } else {
            Self::UnixPath(PathBuf::from(kept))
        })
    }
}

fn parse_vsock(fields: &str) -> Result<ServerAddress, ParseAddressError> {
    let (cid, port) = fields
        .split_once(':')
        .ok_or_else(|| ParseAddressError::VsockFields { address: format!("vsock://{fields}") })?;
    let cid = match cid {
        "-1" => VSOCK_CID_ANY,
        number => parse_u32(number).ok_or_else(|| ParseAddressError::Cid { cid: number.to_owned() })?,
    };
    // The highest port is the kernel's wildcard: a server on a port that nobody can know is a mistake.
    let port = parse_u32(port)
        .filter(|port| *port != u32::MAX)
        .ok_or_else(|| ParseAddressError::Port { port: port.to_owned() })?;
    Ok(ServerAddress::Vsock { cid, port })
}

/// Digits only: `u32::from_str` also takes a plus sign, which no other implementation does.
fn parse_u32(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vsock { cid: VSOCK_CID_ANY, port } => write!(f, "vsock://-1:{port}"),
            Self::Vsock { cid, port } => write!(f, "vsock://{cid}:{port}"),
            Self::UnixPath(path) => write!(f, "unix://{}", path.display()),
            Self::UnixAbstract(name) => write!(f, "unix://@{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_and_print_alike() {
        let cases = [
            ("vsock://-1:1024", ServerAddress::Vsock { cid: VSOCK_CID_ANY, port: 1024 }),
            ("vsock://3:0", ServerAddress::Vsock { cid: 3, port: 0 }),
            ("unix:///run/agent.sock", ServerAddress::UnixPath("/run/agent.sock".into())),
            ("unix://@/tmp/agent.sock", ServerAddress::UnixAbstract("/tmp/agent.sock".to_owned())),
        ];
        for (text, address) in cases {
            assert_eq!(text.parse(), Ok(address.clone()));
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn each_malformed_address_names_its_fault() {
        use ParseAddressError as E;
        let long = "x".repeat(UNIX_NAME_MAX_BYTES + 1);
        let cases = [
            ("tcp://1.2.3.4:5", E::Scheme { address: "tcp://1.2.3.4:5".to_owned() }),
            ("", E::Scheme { address: String::new() }),
            ("vsock://1024", E::VsockFields { address: "vsock://1024".to_owned() }),
            ("vsock://-2:1024", E::Cid { cid: "-2".to_owned() }),
            ("vsock://+2:1024", E::Cid { cid: "+2".to_owned() }),
            ("vsock://:1024", E::Cid { cid: String::new() }),
            ("vsock://2:", E::Port { port: String::new() }),
            ("vsock://2:-1", E::Port { port: "-1".to_owned() }),
            ("vsock://2:4294967295", E::Port { port: "4294967295".to_owned() }),
            ("vsock://2:1024:1", E::Port { port: "1024:1".to_owned() }),
            ("unix://", E::UnixName { name: String::new() }),
            ("unix://@", E::UnixName { name: "@".to_owned() }),
            ("unix:///a\0b", E::UnixName { name: "/a\0b".to_owned() }),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<ServerAddress>(), Err(error), "{text:?}");
        }
        assert_eq!(format!("unix://{long}").parse::<ServerAddress>(), Err(E::UnixName { name: long }));
    }
}
