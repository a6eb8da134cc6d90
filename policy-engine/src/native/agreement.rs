//! What of a request is kept: what was asked for, or, where the policy lets parts be dropped, the largest part
//! that one object of the policy allows.
//!
//! Two different largest parts are an ambiguity that the host would decide: nothing is agreed then.

use super::matching::entry_known;
use super::objects::{Capabilities, EnvRule};
use super::policy::{Candidate, Defaults};
use crate::question::Capabilities as Asked;
use crate::request::CapabilitySets;

/// The environment agreed on, over the rules of each object. `None`: there is no object, or no agreement.
pub(crate) fn environment<'q, 'r, I: Iterator<Item = &'r EnvRule> + Clone>(
    asked: &[&'q str],
    objects: impl ExactSizeIterator<Item = I>,
    dropping: bool,
) -> Option<Vec<&'q str>> {
    if !dropping {
        return (objects.len() > 0).then(|| asked.to_vec());
    }
    let mut entries = asked.to_vec();
    sort(&mut entries);
    let parts = objects.map(|rules| {
        entries.iter().copied().filter(|entry| entry_known(rules.clone(), entry)).collect::<Vec<&str>>()
    });
    only_largest(parts, Vec::len)
}

/// The five sets that are agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sets<'q>(pub(crate) [Vec<&'q str>; 5]);

impl<'q> Sets<'q> {
    /// In the order bounding, effective, inheritable, permitted, ambient.
    pub(crate) fn asked(asked: &Asked<'q>) -> Self {
        Self(
            [&asked.bounding, &asked.effective, &asked.inheritable, &asked.permitted, &asked.ambient]
                .map(Clone::clone),
        )
    }

    /// Whether these are all that was asked for, in the same order.
    pub(crate) fn are(&self, asked: &Asked<'_>) -> bool {
        self.0.iter().eq([
            &asked.bounding,
            &asked.effective,
            &asked.inheritable,
            &asked.permitted,
            &asked.ambient,
        ])
    }

    /// These of what was asked for, each set as `kept` tells from what was asked for and what is agreed.
    pub(crate) fn of(
        &self,
        asked: &Asked<'_>,
        kept: impl Fn(&[&str], &[&str]) -> Vec<String>,
    ) -> CapabilitySets {
        let [bounding, effective, inheritable, permitted, ambient] = &self.0;
        CapabilitySets {
            bounding: kept(&asked.bounding, bounding),
            effective: kept(&asked.effective, effective),
            inheritable: kept(&asked.inheritable, inheritable),
            permitted: kept(&asked.permitted, permitted),
            ambient: kept(&asked.ambient, ambient),
        }
    }

    fn count(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

/// What a container is granted, in the order of [`Sets`]; each set is sorted.
pub(crate) type Granted<'a> = [&'a [Box<str>]; 5];

/// Without sets of its own a container is granted what the container runtime gives by default.
pub(crate) fn granted<'a>(
    candidate: &'a Candidate,
    defaults: &'a Defaults,
    runs_privileged: bool,
) -> Granted<'a> {
    let container = &candidate.container;
    match &container.capabilities {
        Some(Capabilities { bounding, effective, inheritable, permitted, ambient }) => {
            [bounding, effective, inheritable, permitted, ambient]
        }
        None if runs_privileged && container.allow_elevated => {
            let all = &*defaults.privileged_capabilities;
            [all, all, all, all, &[]]
        }
        None => {
            let some = &*defaults.unprivileged_capabilities;
            [some, some, &[], some, &[]]
        }
    }
}

/// The capabilities agreed on, over what each container is granted.
pub(crate) fn capabilities<'q, 'a>(
    asked: &Asked<'q>,
    mut granted: impl ExactSizeIterator<Item = Granted<'a>>,
    dropping: bool,
) -> Option<Sets<'q>> {
    let mut sets = Sets::asked(asked);
    if !dropping {
        return granted.next().map(|_| sets);
    }
    sets.0.iter_mut().for_each(sort);
    only_largest(granted.map(|granted| known(&sets, &granted)), Sets::count)
}

fn known<'q>(sets: &Sets<'q>, granted: &Granted<'_>) -> Sets<'q> {
    let mut known = Sets(Default::default());
    for ((kept, asked), granted) in known.0.iter_mut().zip(&sets.0).zip(granted) {
        let is_granted = |name: &&str| granted.binary_search_by(|other| (**other).cmp(*name)).is_ok();
        *kept = asked.iter().copied().filter(is_granted).collect();
    }
    known
}

/// Whether `sets` are what is granted: equally many names, and equal as sets.
pub(crate) fn capabilities_fit(granted: &Granted<'_>, sets: &Sets<'_>) -> bool {
    granted.iter().zip(&sets.0).all(|(granted, asked)| {
        granted.len() == asked.len() && {
            let mut sorted = asked.clone();
            sorted.sort_unstable();
            sorted.dedup();
            let mut distinct: Vec<&str> = granted.iter().map(|name| &**name).collect();
            distinct.dedup();
            sorted == distinct
        }
    })
}

/// As a set, in the order in which the interpreter lists one.
fn sort(names: &mut Vec<&str>) {
    names.sort_unstable();
    names.dedup();
}

fn only_largest<T: PartialEq>(parts: impl Iterator<Item = T>, size: impl Fn(&T) -> usize) -> Option<T> {
    let mut largest: Option<(T, bool)> = None;
    for part in parts {
        match &mut largest {
            Some((best, _)) if size(&part) < size(best) => {}
            Some((best, alone)) if size(&part) == size(best) => *alone &= part == *best,
            _ => largest = Some((part, true)),
        }
    }
    largest.and_then(|(part, alone)| alone.then_some(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_largest_parts_are_none() {
        let largest = |parts: &[&'static str]| only_largest(parts.iter().copied(), |part| part.len());
        assert_eq!(largest(&[]), None);
        assert_eq!(largest(&["a", "bc", "d"]), Some("bc"));
        assert_eq!(largest(&["bc", "bc"]), Some("bc"));
        assert_eq!(largest(&["bc", "de", "bc"]), None);
        assert_eq!(largest(&["bc", "de", "fgh"]), Some("fgh"));
        assert_eq!(largest(&[""]), Some(""));
    }

    #[test]
    fn capabilities_are_compared_as_sets_of_equal_size() {
        let fit = |granted: &[&str], asked: &[&'static str]| {
            let granted: Vec<Box<str>> = granted.iter().map(|name| (*name).into()).collect();
            let sets = Sets([asked.to_vec(), vec![], vec![], vec![], vec![]]);
            capabilities_fit(&[&granted, &[], &[], &[], &[]], &sets)
        };
        assert!(fit(&["a", "b"], &["b", "a"]));
        assert!(fit(&["a", "a", "b"], &["b", "b", "a"]));
        assert!(!fit(&["a", "a"], &["a"]));
        assert!(!fit(&["a", "b"], &["a", "a"]));
    }
}
