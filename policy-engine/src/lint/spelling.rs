//! Names that were meant to be others.

/// The name of `known` that `name` was most likely meant to be.
pub(super) fn meant<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = if name.len() < 8 { 1 } else { 2 };
    known
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| (1..=allowed).contains(distance))
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many characters must be put in, left out or replaced to get from one name to the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (index, left) in from.chars().enumerate() {
        let mut diagonal = index;
        let mut before = index.saturating_add(1);
        if let Some(first) = row.first_mut() {
            *first = before;
        }
        for (cell, right) in row.iter_mut().skip(1).zip(to.chars()) {
            let replaced = diagonal.saturating_add(usize::from(left != right));
            let other = before.min(*cell).saturating_add(1);
            diagonal = *cell;
            *cell = replaced.min(other);
            before = *cell;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_changed_characters() {
        for (from, to, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn only_near_names_are_meant() {
        let known = ["containers", "fragments", "layers", "user"];
        let meant = |name| meant(name, known.into_iter());
        assert_eq!(meant("container"), Some("containers"));
        assert_eq!(meant("contianers"), Some("containers"));
        assert_eq!(meant("uses"), Some("user"));
        assert_eq!(meant("uxxr"), None);
        assert_eq!(meant("containers"), None);
        assert_eq!(meant("helper"), None);
    }
}
