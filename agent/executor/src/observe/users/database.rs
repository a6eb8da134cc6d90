//! `passwd(5)` and `group(5)`.

use std::collections::BTreeMap;

use policy_engine::request::User;

/// The longest name, in bytes: one less than Linux's `LOGIN_NAME_MAX`.
///
/// Attack: a container that gives a group a name of a megabyte, and a host that asks for a process with that group ten
/// thousand times over.
const NAME_LENGTH_MAX: usize = 255;

/// Users and groups, as a container's files name them. The first line for an id or a name counts, as in libc.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Users {
    users: Vec<UserEntry>,
    groups: Vec<GroupEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct UserEntry {
    name: String,
    uid: u32,
    gid: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct GroupEntry {
    name: String,
    gid: u32,
    members: Vec<String>,
}

/// What a user string stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Groups that list the user as a member, without the primary one; none when a group was given.
    pub additional_gids: Vec<u32>,
}

/// Why a user string stands for nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveUserError {
    /// Neither a number nor a name in the container's `/etc/passwd`.
    #[error("the container has no such user")]
    UnknownUser,
    /// Neither a number nor a name in the container's `/etc/group`.
    #[error("the container has no such group")]
    UnknownGroup,
}

impl Users {
    /// Parses the two files. Lines of another form are skipped, as libc does.
    #[must_use]
    pub fn parse(passwd: &str, group: &str) -> Self {
        Self {
            users: passwd.lines().filter_map(parse_user).collect(),
            groups: group.lines().filter_map(parse_group).collect(),
        }
    }

    /// The name of a user id, empty when it has none.
    #[must_use]
    pub fn user_name(&self, uid: u32) -> &str {
        self.users.iter().find(|user| user.uid == uid).map_or("", |user| &user.name)
    }

    /// The name of a group id, empty when it has none.
    #[must_use]
    pub fn group_name(&self, gid: u32) -> &str {
        self.groups.iter().find(|group| group.gid == gid).map_or("", |group| &group.name)
    }

    /// Adds the names to the identity of a process, which a policy compares.
    pub fn name(&self, user: &mut User) {
        *user = self.describe(user.uid, user.gid, std::mem::take(&mut user.additional_gids));
    }

    /// The identity of a process, with the names that a policy compares.
    #[must_use]
    pub fn describe(&self, uid: u32, gid: u32, additional_gids: Vec<u32>) -> User {
        // The first line for an id counts, so that it is the last one to be put in.
        let names: BTreeMap<u32, &str> =
            self.groups.iter().rev().map(|group| (group.gid, group.name.as_str())).collect();
        let gids = std::iter::once(&gid).chain(&additional_gids);
        let group_names = gids.map(|gid| names.get(gid).copied().unwrap_or_default().to_owned()).collect();
        User { uid, gid, user_name: self.user_name(uid).to_owned(), group_names, additional_gids }
    }

    /// Resolves `user`, `uid`, `user:group`, `uid:gid` and the mixed forms. Digits are always a number, even
    /// where a file gives them as a name. A number that the files do not know is valid; its group is 0.
    ///
    /// # Errors
    /// When a name is in neither file.
    pub fn resolve(&self, text: &str) -> Result<ResolvedUser, ResolveUserError> {
        let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let entry = match parse_id(user) {
            Some(uid) => self.users.iter().find(|entry| entry.uid == uid),
            None => self.users.iter().find(|entry| entry.name == user),
        };
        let uid = parse_id(user).or(entry.map(|entry| entry.uid)).ok_or(ResolveUserError::UnknownUser)?;
        if let Some(group) = group {
            let gid = self.resolve_group(group)?;
            return Ok(ResolvedUser { uid, gid, additional_gids: Vec::new() });
        }
        let gid = entry.map_or(0, |entry| entry.gid);
        let additional_gids = entry.map_or_else(Vec::new, |entry| self.groups_of(&entry.name, gid));
        Ok(ResolvedUser { uid, gid, additional_gids })
    }

    fn resolve_group(&self, text: &str) -> Result<u32, ResolveUserError> {
        let named = || self.groups.iter().find(|group| group.name == text).map(|group| group.gid);
        parse_id(text).or_else(named).ok_or(ResolveUserError::UnknownGroup)
    }

    fn groups_of(&self, user: &str, primary_gid: u32) -> Vec<u32> {
        let listed = self.groups.iter().filter(|group| group.members.iter().any(|member| member == user));
        let mut gids: Vec<u32> = listed.map(|group| group.gid).filter(|gid| *gid != primary_gid).collect();
        gids.sort_unstable();
        gids.dedup();
        gids
    }
}

/// An id: decimal digits, no sign, and not the number that means "leave unchanged" to the kernel.
fn parse_id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|id| *id != u32::MAX)
}

/// A name that an entry can have: what is longer names nobody.
fn parse_name(field: &str) -> Option<&str> {
    (1..=NAME_LENGTH_MAX).contains(&field.len()).then_some(field)
}

fn parse_user(line: &str) -> Option<UserEntry> {
    let mut fields = line.split(':');
    let name = fields.next().and_then(parse_name)?;
    let (uid, gid) = (parse_id(fields.nth(1)?)?, parse_id(fields.next()?)?);
    Some(UserEntry { name: name.to_owned(), uid, gid })
}

fn parse_group(line: &str) -> Option<GroupEntry> {
    let mut fields = line.split(':');
    let name = fields.next().and_then(parse_name)?;
    let gid = parse_id(fields.nth(1)?)?;
    let members = fields.next().unwrap_or_default().split(',').filter(|member| !member.is_empty());
    Some(GroupEntry { name: name.to_owned(), gid, members: members.map(str::to_owned).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken\n:x:5:5::/:\nweb:x:33:33:::\n\
                          twin:x:33:34:::\nneg:x:-1:0:::\nmax:x:4294967295:0:::\n1000:x:7:7:::\n";
    const GROUP: &str = "root:x:0:\nweb:x:33:\nlog:x:40:web,other\ndisk:x:6:web\nself:x:33:web\n";

    fn users() -> Users {
        Users::parse(PASSWD, GROUP)
    }

    #[test]
    fn ids_have_the_first_name_given() {
        let users = users();
        assert_eq!((users.user_name(0), users.user_name(33), users.user_name(5)), ("root", "web", ""));
        assert_eq!((users.group_name(33), users.group_name(99)), ("web", ""));
        let user = users.describe(33, 6, vec![40, 99]);
        assert_eq!((user.user_name.as_str(), user.uid, user.gid), ("web", 33, 6));
        assert_eq!(user.group_names, ["disk", "log", ""]);
        assert_eq!(users.describe(0, 33, vec![]).group_names, ["web"], "the second line for a number");
        assert_eq!(user.additional_gids, [40, 99]);
    }

    #[test]
    fn a_name_that_is_too_long_names_nobody() {
        let (longest, too_long) = ("n".repeat(NAME_LENGTH_MAX), "n".repeat(1 << 20));
        let users = Users::parse(
            &format!("{too_long}:x:1:1:::\n{longest}:x:2:2:::\n"),
            &format!("{too_long}:x:1:\n{longest}:x:2:\n"),
        );
        let many = users.describe(1, 1, vec![1; 1 << 14]);
        assert_eq!(many.user_name, "");
        assert!(many.group_names.iter().all(String::is_empty) && many.group_names.len() == (1 << 14) + 1);
        assert_eq!((users.user_name(2), users.group_name(2)), (longest.as_str(), longest.as_str()));
        assert_eq!(users.describe(2, 2, vec![]).group_names, [longest]);
    }

    #[test]
    fn names_and_numbers_resolve() {
        let resolved = |uid, gid, additional: &[u32]| {
            Ok(ResolvedUser { uid, gid, additional_gids: additional.to_vec() })
        };
        let users = users();
        assert_eq!(users.resolve("web"), resolved(33, 33, &[6, 40]));
        assert_eq!(users.resolve("33"), resolved(33, 33, &[6, 40]));
        assert_eq!(users.resolve("web:disk"), resolved(33, 6, &[]));
        assert_eq!(users.resolve("33:12"), resolved(33, 12, &[]));
        assert_eq!(users.resolve("5000"), resolved(5000, 0, &[]));
        // Digits are a number although a user is called so.
        assert_eq!(users.resolve("1000"), resolved(1000, 0, &[]));
    }

    #[test]
    fn what_names_nobody_is_an_error() {
        let users = users();
        for text in ["", "nobody", "-1", "+1", "4294967295", "99999999999", "max", "neg", ":0"] {
            assert_eq!(users.resolve(text), Err(ResolveUserError::UnknownUser), "{text:?}");
        }
        for text in ["web:", "web:nobody", "web:0:0", "web:4294967295"] {
            assert_eq!(users.resolve(text), Err(ResolveUserError::UnknownGroup), "{text:?}");
        }
    }
}
