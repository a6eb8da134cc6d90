//! What the agent and the launcher say to each other: an order and a reply, of fixed size each. The first descriptor of
//! an order is the channel for its reply.
//!
//! The launcher reads no plan: it passes the sealed memory that holds one on to the process that it starts.

use rustix::process::Pid;
use rustix::thread::ThreadNameSpaceType as NamespaceKinds;

/// What kind of process to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The init of a new container.
    Init(Birth),
    /// A further process in the namespaces of a container.
    Exec,
}

/// The namespaces that a process is born in, where they are not the launcher's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Birth {
    /// Those that are made with it.
    pub(crate) new: NamespaceKinds,
    /// Those that exist. Descriptors of them come with the order, as [`Birth::JOINED`] is ordered.
    pub(crate) joined: NamespaceKinds,
}

impl Birth {
    /// The kinds that are made with a process. A cgroup or time namespace is made by the process itself, which has to
    /// be in its cgroup and to set its clocks before.
    pub(crate) const NEW: NamespaceKinds = NamespaceKinds::MOUNT
        .union(NamespaceKinds::PROCESS_ID)
        .union(NamespaceKinds::INTER_PROCESS_COMMUNICATION)
        .union(NamespaceKinds::HOST_NAME_AND_NIS_DOMAIN_NAME)
        .union(NamespaceKinds::NETWORK)
        .union(NamespaceKinds::USER);
    /// The kinds that the launcher enters for a process, and leaves again, in this order. There would be no way back
    /// from a user namespace, and it has no business among a container's files.
    pub(crate) const JOINED: [NamespaceKinds; 5] = [
        NamespaceKinds::PROCESS_ID,
        NamespaceKinds::INTER_PROCESS_COMMUNICATION,
        NamespaceKinds::HOST_NAME_AND_NIS_DOMAIN_NAME,
        NamespaceKinds::NETWORK,
        NamespaceKinds::TIME,
    ];

    /// Reads two numbers of `CLONE_NEW*` bits.
    fn from_bits(new: u32, joined: u32) -> Option<Self> {
        let (new, joined) = (NamespaceKinds::from_bits_retain(new), NamespaceKinds::from_bits_retain(joined));
        let enterable = NamespaceKinds::from_iter(Self::JOINED);
        (Self::NEW.contains(new) && enterable.contains(joined) && !new.intersects(joined))
            .then_some(Self { new, joined })
    }
}

/// Asks for a process, by descriptors that come with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// One of a container. Descriptors: the sealed memory with the plan, the new process's end of its channel to the
    /// agent, the directory of the cgroup that it is born in, the namespaces that it is born in, and those that the
    /// plan speaks of. Of an exec, the first of these is the container's init.
    Process(Kind),
    /// Another launcher. Descriptor: its end of its channel to the agent.
    Launcher,
}

impl Order {
    /// The bytes of the packet.
    pub(crate) fn encode(self) -> [u8; 9] {
        let (tag, new, joined) = match self {
            Self::Process(Kind::Init(birth)) => (1, birth.new.bits(), birth.joined.bits()),
            Self::Process(Kind::Exec) => (2, 0, 0),
            Self::Launcher => (3, 0, 0),
        };
        let ([a, b, c, d], [e, f, g, h]) = (new.to_le_bytes(), joined.to_le_bytes());
        [tag, a, b, c, d, e, f, g, h]
    }

    /// Reads a packet; `None` for anything that [`encode`](Self::encode) does not write.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let [tag, a, b, c, d, e, f, g, h] = *bytes else { return None };
        match (tag, u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])) {
            (1, new, joined) => Some(Self::Process(Kind::Init(Birth::from_bits(new, joined)?))),
            (2, 0, 0) => Some(Self::Process(Kind::Exec)),
            (3, 0, 0) => Some(Self::Launcher),
            _ => None,
        }
    }
}

/// The step at which the launcher failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaunchStep {
    /// The order made no sense.
    Order,
    /// A namespace could not be entered.
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
        let birth = Birth {
            new: NamespaceKinds::MOUNT | NamespaceKinds::USER,
            joined: NamespaceKinds::TIME | NamespaceKinds::PROCESS_ID,
        };
        for order in [Order::Process(Kind::Init(birth)), Order::Process(Kind::Exec), Order::Launcher] {
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
    fn only_kinds_that_the_launcher_knows_are_ordered() {
        let decode = |new: NamespaceKinds, joined: NamespaceKinds| {
            Order::decode(&Order::Process(Kind::Init(Birth { new, joined })).encode())
        };
        let none = NamespaceKinds::empty();
        assert!(decode(Birth::NEW, NamespaceKinds::TIME).is_some());
        // `CLONE_VM` and its like are no namespaces.
        assert_eq!(decode(NamespaceKinds::from_bits_retain(0x100), none), None);
        assert_eq!(decode(NamespaceKinds::TIME, none), None);
        assert_eq!(decode(none, NamespaceKinds::USER), None);
        assert_eq!(decode(none, NamespaceKinds::MOUNT), None);
        assert_eq!(decode(NamespaceKinds::NETWORK, NamespaceKinds::NETWORK), None);
    }

    #[test]
    fn other_bytes_are_no_message() {
        let mut long = Order::Launcher.encode().to_vec();
        long.push(0);
        let exec_with_namespaces = [2, 0, 0, 2, 0, 0, 0, 0, 0];
        for bytes in [&[][..], &[0; 9], &[4; 9], &[3; 1], &long, &exec_with_namespaces] {
            assert_eq!(Order::decode(bytes), None);
        }
        for bytes in [&[][..], &[0, 0, 0, 0, 0], &[9, 1, 0, 0, 0], &[0, 1, 0, 0, 0, 0], &[1, 0, 0, 0, 128]] {
            assert_eq!(Reply::decode(bytes), None);
        }
    }
}
