//! What a request asks of an object of the policy, condition by condition.

use super::Field;

/// One condition. An object that meets all that are asked fits the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    NoNewPrivileges,
    User,
    Groups,
    Umask,
    AllowElevated,
    WorkingDir,
    Command,
    Mounts,
    Seccomp,
    /// Every variable fits a rule, or may be dropped.
    Environment,
    /// Every required variable is there.
    RequiredEnvironment,
    Capabilities,
    Signals,
}

impl Condition {
    const ALL: [Self; 13] = [
        Self::Command,
        Self::WorkingDir,
        Self::Environment,
        Self::RequiredEnvironment,
        Self::Mounts,
        Self::User,
        Self::Groups,
        Self::Umask,
        Self::Capabilities,
        Self::NoNewPrivileges,
        Self::AllowElevated,
        Self::Seccomp,
        Self::Signals,
    ];

    const fn field(self) -> Field {
        match self {
            Self::NoNewPrivileges => Field::NoNewPrivileges,
            Self::User => Field::User,
            Self::Groups => Field::Groups,
            Self::Umask => Field::Umask,
            Self::AllowElevated => Field::AllowElevated,
            Self::WorkingDir => Field::WorkingDir,
            Self::Command => Field::Command,
            Self::Mounts => Field::Mounts,
            Self::Seccomp => Field::SeccompProfileSha256,
            Self::Environment | Self::RequiredEnvironment => Field::EnvRules,
            Self::Capabilities => Field::Capabilities,
            Self::Signals => Field::Signals,
        }
    }
}

/// A set of conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Conditions(u16);

impl Conditions {
    pub(super) const fn of(conditions: &[Condition]) -> Self {
        let mut set = Self(0);
        let mut rest = conditions;
        while let [first, others @ ..] = rest {
            set.0 |= 1 << (*first as u16);
            rest = others;
        }
        set
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn set(&mut self, condition: Condition, met: bool) {
        if met {
            self.0 |= Self::of(&[condition]).0;
        }
    }

    pub(super) const fn includes(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// The fields of `asked` whose conditions are all in this set, and the others.
    pub(super) fn fields(self, asked: Self) -> (Vec<Field>, Vec<Field>) {
        let (mut met, mut differing) = (Vec::new(), Vec::new());
        for condition in Condition::ALL.into_iter().filter(|one| asked.includes(Self::of(&[*one]))) {
            let field = condition.field();
            if self.includes(Self::of(&[condition])) {
                if !met.contains(&field) && !differing.contains(&field) {
                    met.push(field);
                }
            } else if !differing.contains(&field) {
                met.retain(|other| *other != field);
                differing.push(field);
            }
        }
        (met, differing)
    }
}

/// A set of entries of a list of the request, by their places.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Marks(Vec<u64>);

impl Marks {
    /// The places of `list` that `fits` is true of.
    pub(super) fn of<T>(list: &[T], fits: impl Fn(&T) -> bool) -> Self {
        let word = |chunk: &[T]| {
            let bits = chunk.iter().enumerate().filter(|(_, entry)| fits(entry));
            bits.fold(0u64, |word, (place, _)| word | 1u64.wrapping_shl(u32::try_from(place).unwrap_or(0)))
        };
        Self(list.chunks(64).map(word).collect())
    }

    /// Adds the places of `other`, a set over the same list.
    pub(super) fn add(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(word, more)| *word |= more);
    }

    pub(super) fn clear(&mut self) {
        self.0.fill(0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(super) fn includes(&self, other: &Self) -> bool {
        let words = self.0.iter().copied().chain(std::iter::repeat(0));
        words.zip(&other.0).all(|(word, asked)| word & asked == *asked)
    }

    /// The entries of `list` that are not in the set.
    pub(super) fn missing<'l, T>(&'l self, list: &'l [T]) -> impl Iterator<Item = &'l T> {
        let words = self.0.iter().copied().chain(std::iter::repeat(0));
        list.chunks(64).zip(words).flat_map(|(chunk, word)| {
            let places = chunk.iter().enumerate();
            places.filter_map(move |(place, entry)| (word >> place & 1 == 0).then_some(entry))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_name_places_of_long_lists() {
        let list: Vec<usize> = (0..130).collect();
        let mut marks = Marks::of(&list, |number| number % 2 == 0);
        assert_eq!(marks.missing(&list).count(), 65);
        marks.add(&Marks::of(&list, |number| *number != 129));
        assert_eq!(marks.missing(&list).collect::<Vec<_>>(), [&129]);
        let all = Marks::of(&list, |_| true);
        assert!(all.includes(&marks) && !marks.includes(&all) && !marks.is_empty());
        marks.clear();
        assert!(marks.is_empty() && all.includes(&Marks::default()));
        assert_eq!(Marks::default().missing(&list).count(), 130);
    }

    #[test]
    fn a_field_is_met_if_all_its_conditions_are() {
        use Condition::{Command, Environment, RequiredEnvironment};
        let asked = Conditions::of(&[Command, Environment, RequiredEnvironment]);
        let met = Conditions::of(&[Command, Environment]);
        assert_eq!(met.fields(asked), (vec![Field::Command], vec![Field::EnvRules]));
        let met = Conditions::of(&[RequiredEnvironment]);
        assert_eq!(met.fields(asked), (vec![], vec![Field::Command, Field::EnvRules]));
        assert_eq!(asked.fields(asked), (vec![Field::Command, Field::EnvRules], vec![]));
        assert_eq!(asked.count(), 3);
    }
}
