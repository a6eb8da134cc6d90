//! Whom a request goes to: a host and perhaps a port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The most bytes of a host name (RFC 1035, 2.3.4, without the final dot).
const MAX_NAME_BYTES: usize = 253;
/// The most bytes between two dots.
const MAX_LABEL_BYTES: usize = 63;

/// A host and perhaps a port, as registries are named: `registry.example:5000`, `127.0.0.1`, `[::1]:5000`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Authority {
    /// In lower case; an IPv6 address without brackets.
    host: String,
    port: Option<u16>,
}

/// Why a text names no host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseAuthorityError {
    /// Neither a host name nor an address.
    #[error("the host is neither a name nor an address")]
    Host,
    /// No number of a port.
    #[error("the port is no number from 1 to 65535")]
    Port,
}

impl Authority {
    /// Its host: a name or an address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port, if one was named.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether nobody but this machine can answer: a loopback address or `localhost` (RFC 6761, 6.3).
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for Authority {
    type Err = ParseAuthorityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, rest) = rest.split_once(']').ok_or(ParseAuthorityError::Host)?;
                let address: Ipv6Addr = address.parse().map_err(|_| ParseAuthorityError::Host)?;
                let port = match rest {
                    "" => None,
                    _ => Some(rest.strip_prefix(':').ok_or(ParseAuthorityError::Port)?),
                };
                (address.to_string(), port)
            }
            None => {
                let (host, port) = match text.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (text, None),
                };
                if !is_name(host) {
                    return Err(ParseAuthorityError::Host);
                }
                (host.to_ascii_lowercase(), port)
            }
        };
        let port = port.map(parse_port).transpose()?;
        Ok(Self { host, port })
    }
}

fn parse_port(digits: &str) -> Result<u16, ParseAuthorityError> {
    // `u16` takes a sign too.
    let number = if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None };
    number.filter(|&port| port != 0).ok_or(ParseAuthorityError::Port)
}

/// Whether it is a host name or an IPv4 address.
fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=MAX_LABEL_BYTES).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    // What ends in a number is an address, and some resolvers take odd spellings of one: `127.1` is loopback to them.
    let ends_in_number =
        host.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    host.len() <= MAX_NAME_BYTES
        && host.split('.').all(is_label)
        && (!ends_in_number || host.parse::<Ipv4Addr>().is_ok())
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]", self.host)?,
            false => f.write_str(&self.host)?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_told_apart() {
        for text in
            ["registry.example", "registry.example:5000", "127.0.0.1:80", "[::1]", "[2001:db8::1]:443"]
        {
            assert_eq!(text.parse::<Authority>().unwrap().to_string(), text);
        }
        let authority: Authority = "Registry.Example:5000".parse().unwrap();
        assert_eq!((authority.host(), authority.port()), ("registry.example", Some(5000)));
    }

    #[test]
    fn what_names_no_host_is_refused() {
        let long = format!("{}.example", "a".repeat(64));
        for text in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a_b",
            "a b",
            "user@host",
            "host/",
            "127.1",
            "1",
            &long,
            "::1",
            "[::1",
        ] {
            assert_eq!(text.parse::<Authority>(), Err(ParseAuthorityError::Host), "{text}");
        }
        for text in ["a:", "a:0", "a:65536", "a:+1", "a:1:2", "[::1]5000", "[::1]:"] {
            assert_eq!(text.parse::<Authority>(), Err(ParseAuthorityError::Port), "{text}");
        }
    }

    #[test]
    fn loopback_is_this_machine_alone() {
        for (text, expected) in [
            ("localhost:5000", true),
            ("127.8.9.1", true),
            ("[::1]:5000", true),
            ("localhost.example", false),
            ("10.0.0.1", false),
            ("[::ffff:127.0.0.1]", false),
        ] {
            assert_eq!(text.parse::<Authority>().unwrap().is_loopback(), expected, "{text}");
        }
    }
}
