//! When a request fits an object of the policy: `matching.rego`, natively.

use super::objects::{Container, EnvForm, EnvRule, IdNameRule, Mount, TextRule, UserRule};
use super::policy::{Candidate, Policy};
use super::state::State;
use crate::question::{CreateContainer, IdName, Mount as AskedMount};

impl TextRule {
    pub(crate) fn fits(&self, text: &str) -> bool {
        match self {
            Self::Exact(expected) => **expected == *text,
            Self::Pattern(pattern) => pattern.fits(text),
        }
    }
}

impl EnvRule {
    /// Whether the rule speaks of `entry`. An entry without an equals sign has no name.
    pub(crate) fn fits(&self, entry: &str) -> bool {
        match &self.form {
            EnvForm::Entry(rule) => rule.fits(entry),
            EnvForm::Parts { name, value } => entry
                .split_once('=')
                .is_some_and(|(entry_name, entry_value)| name.fits(entry_name) && value.fits(entry_value)),
        }
    }
}

/// Whether some rule speaks of `entry`.
pub(crate) fn entry_known<'r>(mut rules: impl Iterator<Item = &'r EnvRule>, entry: &str) -> bool {
    rules.any(|rule| rule.fits(entry))
}

/// Whether every required rule has its entry.
pub(crate) fn required_present<'r>(
    mut rules: impl Iterator<Item = &'r EnvRule>,
    environment: &[&str],
) -> bool {
    rules.all(|rule| !rule.required || environment.iter().any(|entry| rule.fits(entry)))
}

/// Whether every entry is known and every required one there.
pub(crate) fn environment_fits<'r, I: Iterator<Item = &'r EnvRule>>(
    rules: impl Fn() -> I,
    environment: &[&str],
) -> bool {
    environment.iter().all(|entry| entry_known(rules(), entry)) && required_present(rules(), environment)
}

impl IdNameRule {
    pub(crate) fn fits(&self, identity: &IdName<'_>) -> bool {
        match self {
            Self::Any(_) => true,
            Self::Id(id) => **id == *identity.id,
            Self::Name(name) => **name == *identity.name,
            Self::Pattern(pattern) => pattern.fits(identity.name),
        }
    }
}

impl UserRule {
    pub(crate) fn fits(&self, user: &IdName<'_>, groups: &[IdName<'_>], umask: &str) -> bool {
        self.user.fits(user) && groups.iter().all(|group| self.group_fits(group)) && *self.umask == *umask
    }

    pub(crate) fn group_fits(&self, group: &IdName<'_>) -> bool {
        self.groups.iter().any(|rule| rule.fits(group))
    }
}

impl Container {
    /// A container that may be privileged may also run without.
    pub(crate) fn privileged_fits(&self, asked: bool) -> bool {
        !asked || self.allow_elevated
    }

    /// A process may always give up the right to gain privileges.
    pub(crate) fn no_new_privileges_fits(&self, asked: bool) -> bool {
        !self.no_new_privileges || asked
    }

    /// Whether this is the command of its init.
    pub(crate) fn is_run_by(&self, asked: &[&str]) -> bool {
        self.command.as_ref().is_some_and(|command| same_texts(command, asked))
    }

    /// The command of its init; empty where it names none.
    pub(crate) fn words(&self) -> &[Box<str>] {
        self.command.as_deref().unwrap_or_default()
    }
}

/// Whether two lists of texts are equal, in order.
pub(crate) fn same_texts(allowed: &[Box<str>], asked: &[&str]) -> bool {
    allowed.len() == asked.len() && allowed.iter().zip(asked).all(|(allowed, asked)| **allowed == **asked)
}

/// Whether two lists hold the same names, in any order: equally many, and equal as sets.
pub(crate) fn same_names(allowed: &[Box<str>], asked: &[&str]) -> bool {
    same_texts(allowed, asked)
        || (allowed.len() == asked.len()
            && allowed.iter().all(|name| asked.contains(&&**name))
            && asked.iter().all(|name| allowed.iter().any(|allowed| **allowed == **name)))
}

/// What mounts are compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mounts<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) state: &'a State,
    pub(crate) question: &'a CreateContainer<'a>,
}

impl Mounts<'_> {
    /// Whether the container may have all its mounts.
    pub(crate) fn fit(self, candidate: &Candidate) -> bool {
        self.question.mounts.iter().all(|mount| self.known(candidate, mount))
    }

    /// Whether the container may have `mount`.
    pub(crate) fn known(self, candidate: &Candidate, mount: &AskedMount<'_>) -> bool {
        candidate.mounts().any(|allowed| self.mount_fits(allowed, mount))
            || self.known_by_default(mount)
            || candidate.container.allow_elevated && self.known_by_privilege(mount)
    }

    /// Whether every container may have `mount`.
    pub(crate) fn known_by_default(self, mount: &AskedMount<'_>) -> bool {
        let mut defaults = self.policy.defaults.mounts.iter();
        defaults.any(|allowed| self.mount_fits(allowed, mount)) || self.sandbox_sys(mount)
    }

    /// Whether every container that may be privileged may have `mount`.
    pub(crate) fn known_by_privilege(self, mount: &AskedMount<'_>) -> bool {
        self.policy.defaults.privileged_mounts.iter().any(|allowed| self.mount_fits(allowed, mount))
    }

    /// The pause container gets a writable `/sys` from container runtimes; it runs nothing that could use it.
    fn sandbox_sys(self, mount: &AskedMount<'_>) -> bool {
        let mut options = mount.options.clone();
        options.sort_unstable();
        self.question.is_sandbox_container
            && (mount.destination, mount.source, mount.fstype) == ("/sys", "sysfs", "sysfs")
            && options == ["nodev", "noexec", "nosuid", "rw"]
    }

    pub(crate) fn mount_fits(self, allowed: &Mount, mount: &AskedMount<'_>) -> bool {
        *allowed.fstype == *mount.fstype
            && *allowed.destination == *mount.destination
            && !mount.destination.is_empty()
            && same_names(&allowed.options, &mount.options)
            && self.source_fits(allowed, mount.source)
    }

    pub(crate) fn source_fits(self, allowed: &Mount, source: &str) -> bool {
        // The directory is compared as text, never as part of a pattern.
        let below = |directory: &str, pattern: &Option<std::sync::Arc<crate::pattern::WholePattern>>| {
            let rest = source.strip_prefix(directory);
            pattern.as_ref().zip(rest).is_some_and(|(pattern, rest)| pattern.fits(rest))
        };
        *allowed.source == *source
            || below(self.question.sandbox_dir, &allowed.below_sandbox)
            || below(self.question.huge_pages_dir, &allowed.below_huge_pages)
            // Any 9p directory that was mounted for this container.
            || (allowed.plan9 && self.state.p9mounts.get(source).is_some_and(|id| **id == *self.question.container_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(names: &[&str]) -> Vec<Box<str>> {
        names.iter().map(|name| (*name).into()).collect()
    }

    #[test]
    fn names_are_compared_as_sets_of_equal_size() {
        let same = |allowed: &[&str], asked: &[&str]| same_names(&boxed(allowed), asked);
        assert!(same(&["a", "b"], &["b", "a"]));
        assert!(same(&[], &[]));
        assert!(same(&["a", "a", "b"], &["a", "b", "b"]));
        assert!(!same(&["a", "a"], &["a"]));
        assert!(!same(&["a", "b"], &["a", "a"]));
        assert!(!same(&["a", "a"], &["a", "b"]));
    }
}
