//! How a container of the policy differs from the process that is asked for in it.

use super::{Condition, Difference, Differences, Field};
use crate::explanation::survey::Inside;
use crate::native::agreement;
use crate::native::matching::{self, Mounts};
use crate::native::objects::{IdNameRule, Mount};
use crate::native::policy::{Candidate, Policy};
use crate::question::{self, IdName};

/// The most alternatives that are named as what is expected.
const ALTERNATIVES_MAX: usize = 8;

pub(super) fn of_rights(
    differences: &mut Differences,
    candidate: &Candidate,
    inside: &Inside<'_>,
    unmet: &impl Fn(Condition) -> bool,
    policy: &Policy,
) {
    let user = &candidate.container.user;
    if unmet(Condition::User) {
        let difference = Difference::of(Field::User).expected(identity_rule(&user.user));
        differences.add([difference.given(identity(inside.user))]);
    }
    if unmet(Condition::Groups) {
        let rules: Vec<String> = user.groups.iter().take(ALTERNATIVES_MAX).map(identity_rule).collect();
        let refused = inside.groups.iter().filter(|group| !user.group_fits(group));
        differences.add(
            refused.map(|group| {
                Difference::of(Field::Groups).expected(rules.join(" or ")).given(identity(group))
            }),
        );
    }
    if unmet(Condition::Umask) {
        differences.add([Difference::of(Field::Umask).expected(&*user.umask).given(inside.umask)]);
    }
    if unmet(Condition::Capabilities) {
        differences.add(capabilities(candidate, inside, policy));
    }
    if unmet(Condition::NoNewPrivileges) {
        differences.add([Difference::of(Field::NoNewPrivileges).expected("true").given("false")]);
    }
}

pub(super) fn of_creation(
    differences: &mut Differences,
    candidate: &Candidate,
    mounts: Mounts<'_>,
    unmet: &impl Fn(Condition) -> bool,
) {
    let question = mounts.question;
    if unmet(Condition::Mounts) {
        let unknown = question.mounts.iter().filter(|mount| !mounts.known(candidate, mount));
        differences.add(unknown.map(|mount| of_mount(candidate, mount, mounts)));
    }
    if unmet(Condition::AllowElevated) {
        differences.add([Difference::of(Field::AllowElevated).expected("false").given("true")]);
    }
    if unmet(Condition::Seccomp) {
        differences.add([Difference::of(Field::SeccompProfileSha256)
            .expected(&*candidate.container.seccomp_profile_sha256)
            .given(&*question.seccomp_profile_sha256)]);
    }
}

fn identity_rule(rule: &IdNameRule) -> String {
    match rule {
        IdNameRule::Any(_) => "any".to_owned(),
        IdNameRule::Id(id) => format!("id {id}"),
        IdNameRule::Name(name) => format!("name {name}"),
        IdNameRule::Pattern(pattern) => format!("name matching {}", pattern.text()),
    }
}

fn identity(given: &IdName<'_>) -> String {
    match given.name {
        "" => format!("id {}", given.id),
        name => format!("id {}, name {name}", given.id),
    }
}

/// For each set that differs: the names that are asked for too few and too many.
fn capabilities(candidate: &Candidate, inside: &Inside<'_>, policy: &Policy) -> Vec<Difference> {
    const SETS: [&str; 5] = ["bounding", "effective", "inheritable", "permitted", "ambient"];
    let granted = agreement::granted(candidate, &policy.defaults, inside.privileged);
    let asked = agreement::Sets::asked(inside.capabilities).0;
    let dropping = policy.rights.capability_dropping;
    let difference = |((set, granted), asked): ((&str, &[Box<str>]), &Vec<&str>)| {
        let lacking = granted.iter().map(AsRef::as_ref).filter(|name| !asked.contains(name));
        let excess = asked.iter().copied().filter(|name| !granted.iter().any(|one| **one == **name));
        let mut expected = join(lacking);
        let mut given = if dropping { None } else { join(excess) };
        // The same names, but some of them more than once.
        if expected.is_none() && given.is_none() && !dropping && granted.len() != asked.len() {
            [expected, given] = [granted.len(), asked.len()].map(|count| Some(format!("{count} names")));
        }
        let differs = expected.is_some() || given.is_some();
        differs.then(|| Difference { expected, given, ..Difference::of(Field::Capabilities).at(set) })
    };
    SETS.into_iter().zip(granted).zip(&asked).filter_map(difference).collect()
}

fn join<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<&str> = names.take(ALTERNATIVES_MAX).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Against the mount of the same destination that is most alike, if there is one: only what differs.
fn of_mount(candidate: &Candidate, asked: &question::Mount<'_>, mounts: Mounts<'_>) -> Difference {
    let defaults = &mounts.policy.defaults.mounts;
    let rivals =
        candidate.mounts().chain(defaults).filter(|allowed| *allowed.destination == *asked.destination);
    let same = |allowed: &Mount| {
        [
            *allowed.fstype == *asked.fstype,
            mounts.source_fits(allowed, asked.source),
            matching::same_names(&allowed.options, &asked.options),
        ]
    };
    let alike = |same: [bool; 3]| same.into_iter().filter(|same| *same).count();
    let mut nearest: Option<(&Mount, [bool; 3])> = None;
    for allowed in rivals {
        let same = same(allowed);
        if nearest.is_none_or(|(_, most)| alike(same) > alike(most)) {
            nearest = Some((allowed, same));
        }
    }
    let parts = |[fstype, source, options]: [bool; 3], mount: [&str; 3]| {
        let kinds = ["type", "source", "options"].into_iter().zip(mount).zip([fstype, source, options]);
        let differing = kinds.filter(|(_, same)| !same).map(|((kind, text), _)| format!("{kind} {text}"));
        differing.collect::<Vec<_>>().join(", ")
    };
    let options = asked.options.join(",");
    let asked_parts = [asked.fstype, asked.source, &options];
    let difference = Difference::of(Field::Mounts).at(asked.destination);
    match nearest {
        Some((allowed, same)) => {
            let options = allowed.options.join(",");
            difference
                .expected(parts(same, [&allowed.fstype, &allowed.source, &options]))
                .given(parts(same, asked_parts))
        }
        None => difference.given(parts([false; 3], asked_parts)),
    }
}
