//! Turns the device nodes of a request into a plan.

use policy_engine::request::linux::{DeviceKind, DeviceNode, IdMappings, MountSet, Namespace, Namespaces};

use super::mappings;
use super::mounts::Mounts;
use super::plan::{DeviceNodePlan, DevicesPlan, MountKind, NodeKind};
use crate::cgroup::devices::DEFAULT_NODES;

/// The most device nodes of a container.
const NODES_MAX: usize = 512;
/// The largest major number: the kernel has 12 bits for it.
const MAJOR_MAX: u32 = (1 << 12) - 1;
/// The largest minor number: the kernel has 20 bits for it.
const MINOR_MAX: u32 = (1 << 20) - 1;
/// The permission bits of a node.
const MODE_MAX: u16 = 0o777;

/// Why a device node is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// More than 512.
    #[error("a container has at most {NODES_MAX} device nodes")]
    TooMany,
    /// Two nodes at one place.
    #[error("two device nodes have this path")]
    Duplicate,
    /// A default node with other numbers: what is `/dev/null` to programs is the null device.
    #[error("this is the path of another device")]
    Other,
    /// Numbers that the kernel would cut.
    #[error("device numbers are at most {MAJOR_MAX} and {MINOR_MAX}")]
    Number,
    /// More than permissions.
    #[error("the mode of a device node has at most the bits 0777")]
    Mode,
    /// An owner whom the container's user namespace does not have.
    #[error("the owner of the device node is not mapped")]
    Owner,
    /// Where no device of this container can be opened.
    #[error("device nodes of this container are below /dev")]
    Place,
}

/// Plans the nodes: the default ones, each with the owner and the mode of a requested one of the same path, and the other
/// requested ones.
pub(super) fn compile(
    requested: &[DeviceNode],
    mounts: &Mounts,
    set: MountSet,
) -> Result<DevicesPlan, (String, DeviceError)> {
    if requested.len() > NODES_MAX {
        return Err((String::new(), DeviceError::TooMany));
    }
    let mut dev: Vec<DeviceNodePlan> = DEFAULT_NODES.iter().map(default_node).collect();
    let mut elsewhere = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for node in requested {
        let refused = |error| (node.path.to_string(), error);
        if !seen.insert(&node.path) {
            return Err(refused(DeviceError::Duplicate));
        }
        let mut plan = check(node).map_err(refused)?;
        match node.path.as_path().strip_prefix("/dev").ok().and_then(|below| below.to_str()) {
            Some("") => return Err(refused(DeviceError::Place)),
            Some(below) => {
                plan.path = below.to_owned();
                match dev.iter_mut().find(|default| default.path == plan.path) {
                    Some(default) if same_device(default, &plan) => *default = plan,
                    Some(_) => return Err(refused(DeviceError::Other)),
                    None => dev.push(plan),
                }
            }
            None if set == MountSet::Confined => return Err(refused(DeviceError::Place)),
            None => elsewhere.push(plan),
        }
    }
    // Into what else is mounted there nothing is put: it is somebody's, and has what it is to have.
    let dev_of_rootfs = !mounts
        .plans
        .iter()
        .any(|mount| mount.destination == "/dev" && !matches!(mount.what, MountKind::Changes { .. }));
    Ok(DevicesPlan { dev, dev_of_rootfs, elsewhere })
}

/// Names the owners of nodes by the guest's ids, where the nodes are made outside of a user namespace. In a joined one
/// whose ids are not said they are nobody's.
pub(super) fn map_owners(
    mut plan: DevicesPlan,
    namespaces: &Namespaces,
) -> Result<DevicesPlan, (String, DeviceError)> {
    if namespaces.user == Namespace::Guest {
        return Ok(plan);
    }
    let ids = &namespaces.id_mappings;
    let unknown = *ids == IdMappings::default();
    for node in plan.dev.iter_mut().chain(&mut plan.elsewhere).filter(|node| node.kind != NodeKind::Fifo) {
        let owner = mappings::to_guest(&ids.uids, node.uid).zip(mappings::to_guest(&ids.gids, node.gid));
        let owner = owner.or(unknown.then_some((0, 0)));
        (node.uid, node.gid) = owner.ok_or_else(|| (node.path.clone(), DeviceError::Owner))?;
    }
    Ok(plan)
}

fn default_node((name, major, minor): &(&str, u32, u32)) -> DeviceNodePlan {
    DeviceNodePlan {
        path: (*name).to_owned(),
        kind: NodeKind::Character,
        major: *major,
        minor: *minor,
        mode: 0o666,
        uid: 0,
        gid: 0,
    }
}

fn check(node: &DeviceNode) -> Result<DeviceNodePlan, DeviceError> {
    if node.major > MAJOR_MAX || node.minor > MINOR_MAX {
        return Err(DeviceError::Number);
    }
    if node.file_mode > MODE_MAX {
        return Err(DeviceError::Mode);
    }
    let kind = match node.kind {
        DeviceKind::Character => NodeKind::Character,
        DeviceKind::Block => NodeKind::Block,
        DeviceKind::Fifo => NodeKind::Fifo,
    };
    Ok(DeviceNodePlan {
        path: node.path.as_str().to_owned(),
        kind,
        major: node.major,
        minor: node.minor,
        mode: node.file_mode,
        uid: node.uid,
        gid: node.gid,
    })
}

fn same_device(one: &DeviceNodePlan, other: &DeviceNodePlan) -> bool {
    (one.kind, one.major, one.minor) == (other.kind, other.major, other.minor)
}

#[cfg(test)]
mod tests {
    use policy_engine::GuestPath;

    use super::*;

    fn node(path: &str, kind: DeviceKind, major: u32, minor: u32) -> DeviceNode {
        let path: GuestPath = path.parse().unwrap();
        DeviceNode { path, kind, major, minor, file_mode: 0o600, uid: 7, gid: 8 }
    }

    fn refused(nodes: &[DeviceNode]) -> DeviceError {
        compile(nodes, &Mounts::default(), MountSet::Confined).unwrap_err().1
    }

    #[test]
    fn a_requested_node_takes_the_place_of_the_default_one() {
        let nodes = [
            node("/dev/null", DeviceKind::Character, 1, 3),
            node("/dev/net/tun", DeviceKind::Character, 10, 200),
            node("/srv/pipe", DeviceKind::Fifo, 0, 0),
        ];
        let plan = compile(&nodes, &Mounts::default(), MountSet::AsAsked).unwrap();
        assert_eq!(plan.dev.len(), DEFAULT_NODES.len() + 1);
        let null = plan.dev.iter().find(|node| node.path == "null").unwrap();
        assert_eq!((null.mode, null.uid, null.gid), (0o600, 7, 8));
        assert_eq!(plan.dev.last().unwrap().path, "net/tun");
        assert_eq!(plan.elsewhere[0].path, "/srv/pipe");
    }

    #[test]
    fn nodes_that_are_not_what_they_seem_are_refused() {
        let character = |path, major, minor| node(path, DeviceKind::Character, major, minor);
        assert_eq!(refused(&[character("/dev/null", 1, 5)]), DeviceError::Other);
        assert_eq!(refused(&[node("/dev/null", DeviceKind::Block, 1, 3)]), DeviceError::Other);
        assert_eq!(refused(&[character("/dev/x", 1 << 12, 0)]), DeviceError::Number);
        assert_eq!(refused(&[character("/dev/x", 0, 1 << 20)]), DeviceError::Number);
        assert_eq!(refused(&[character("/srv/x", 1, 3)]), DeviceError::Place);
        assert_eq!(refused(&[character("/dev", 1, 3)]), DeviceError::Place);
        let twice = character("/dev/x", 1, 3);
        assert_eq!(refused(&[twice.clone(), twice.clone()]), DeviceError::Duplicate);
        assert_eq!(refused(&[DeviceNode { file_mode: 0o4755, ..twice.clone() }]), DeviceError::Mode);
        assert_eq!(refused(&vec![twice; NODES_MAX + 1]), DeviceError::TooMany);
    }
}
