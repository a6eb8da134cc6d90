//! What the agent and the launcher say to each other: an order and a reply, of fixed size each.
//!
//! The launcher reads no plan: it passes the sealed memory that holds one on to the process that it starts.

use rustix::process::Pid;

/// What kind of process to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The init of a new container, in new namespaces.
    Init,
    /// A further process in the namespaces of a container.
    Exec,
}

/// Asks for a process, by descriptors that come with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// One of a container. Descriptors: the sealed memory with the plan, the new process's end of its channel to the
    /// agent, the directory of the cgroup that it is born in, and those that the plan speaks of. Of an exec, the first
    /// of these is the container's init.
    Process(Kind),
    /// Another launcher. Descriptor: its end of its channel to the agent.
    Launcher,
}

impl Order {
    /// The bytes of the packet.
    pub(crate) fn encode(self) -> [u8; 1] {
        match self {
            Self::Process(Kind::Init) => [1],
            Self::Process(Kind::Exec) => [2],
            Self::Launcher => [3],
        }
    }

    /// Reads a packet; `None` for anything that [`encode`](Self::encode) does not write.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [1] => Some(Self::Process(Kind::Init)),
            [2] => Some(Self::Process(Kind::Exec)),
            [3] => Some(Self::Launcher),
            _ => None,
        }
    }
}

/// The step at which the launcher failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaunchStep {
    /// The order made no sense.
    Order,
    /// The container's pid namespace could not be entered.
    Namespace,
    /// No process could be made.
    Clone,
}

/// Answers an order; a started process's pidfd comes with it. The first word of the launcher that the agent forked is
/// one as well, on itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It runs.
    Started(Pid),
    /// It does not.
    /// The second is an errno.
    Failed(LaunchStep, i32),
}

impl Reply {
    /// The bytes of the packet.
    pub(crate) fn encode(self) -> [u8; 5] {
        let (tag, number) = match self {
            Self::Started(pid) => (0, pid.as_raw_nonzero().get()),
            Self::Failed(LaunchStep::Order, errno) => (1, errno),
            Self::Failed(LaunchStep::Namespace, errno) => (2, errno),
            Self::Failed(LaunchStep::Clone, errno) => (3, errno),
        };
        let [a, b, c, d] = number.to_le_bytes();
        [tag, a, b, c, d]
    }

    /// Reads a packet; `None` for anything that [`encode`](Self::encode) does not write.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let [tag, a, b, c, d] = *bytes else { return None };
        let number = i32::from_le_bytes([a, b, c, d]);
        if number <= 0 {
            return None;
        }
        match tag {
            0 => Pid::from_raw(number).map(Self::Started),
            1 => Some(Self::Failed(LaunchStep::Order, number)),
            2 => Some(Self::Failed(LaunchStep::Namespace, number)),
            3 => Some(Self::Failed(LaunchStep::Clone, number)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_wire() {
        for order in [Order::Process(Kind::Init), Order::Process(Kind::Exec), Order::Launcher] {
            assert_eq!(Order::decode(&order.encode()), Some(order));
        }
        for reply in [
            Reply::Started(Pid::from_raw(77).unwrap()),
            Reply::Failed(LaunchStep::Clone, 11),
            Reply::Failed(LaunchStep::Namespace, 3),
            Reply::Failed(LaunchStep::Order, 22),
        ] {
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
    }

    #[test]
    fn other_bytes_are_no_message() {
        for bytes in [&[][..], &[0], &[4], &[1, 1]] {
            assert_eq!(Order::decode(bytes), None);
        }
        for bytes in [&[][..], &[0, 0, 0, 0, 0], &[9, 1, 0, 0, 0], &[0, 1, 0, 0, 0, 0], &[1, 0, 0, 0, 128]] {
            assert_eq!(Reply::decode(bytes), None);
        }
    }
}
