//! A policy may keep the streams of a container from the host.

use ttrpc::Code;

use crate::disks::Policy;
use crate::guest::{Guest, id};

/// hcsshim refuses the whole connection; kata-agent 4.1.0 takes the data out before it asks.
#[test]
fn streams_are_closed_to_the_host_when_the_policy_says_so() {
    let policy = Policy::of(&["/bin/sh", "-c", "echo secret; exit 3"])
        .replace(r#""allow_stdio_access":true"#, r#""allow_stdio_access":false"#);
    let Some(guest) = Guest::new(&policy) else { return };
    guest.launch(&id(1));
    for method in ["ReadStdout", "ReadStderr"] {
        assert_eq!(guest.read(method, &id(1), "").unwrap_err().code, Code::PERMISSION_DENIED, "{method}");
    }
    assert_eq!(guest.write(&id(1), "", b"x").unwrap_err().code, Code::PERMISSION_DENIED);
    assert_eq!(guest.wait(&id(1), "").unwrap(), 3, "the container runs all the same");
    guest.remove(&id(1)).unwrap();
}
