//! Patterns that must match the whole of a text.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use regex::Regex;

use super::compile;
use crate::evaluator::limits::COMPILED_PATTERNS_BYTES_MAX;

/// How many patterns of requests are kept.
const REQUEST_PATTERNS_MAX: usize = 64;

/// What a compiled pattern takes at the least, in bytes.
const COMPILED_BYTES_MIN: usize = 512;

/// The bytes that are left for compiled patterns: [`COMPILED_PATTERNS_BYTES_MAX`] for those of one policy.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<AtomicUsize>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(COMPILED_PATTERNS_BYTES_MAX)))
    }
}

impl Room {
    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A pattern of a policy that must match the whole of a text, as `matches_whole` in `anchoring.rego` says.
/// Compiled when it is first asked, and anew each time when there is no room to keep it.
#[derive(Debug)]
pub(crate) struct WholePattern {
    text: Box<str>,
    compiled: OnceLock<Box<Compiled>>,
    room: Room,
}

#[derive(Debug)]
struct Compiled {
    /// `None` for a pattern that RE2 refuses: it matches nothing.
    regex: Option<Regex>,
    /// What it takes, in bytes.
    bytes: usize,
}

impl Compiled {
    fn new(pattern: &str) -> Self {
        // It must be valid on its own: one like `a)|(b` would escape the group.
        let (regex, size) = match compile(pattern) {
            (Some(_), _) => compile(&format!("^(?:{pattern})$")),
            refused => refused,
        };
        // The compiled program, and as much again for what it caches of its texts.
        let bytes = size.saturating_mul(2).saturating_add(COMPILED_BYTES_MIN);
        Self { regex, bytes }
    }

    fn fits(&self, text: &str) -> bool {
        self.regex.as_ref().is_some_and(|regex| regex.is_match(text))
    }
}

/// The same pattern matches the same texts.
impl PartialEq for WholePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for WholePattern {}

impl WholePattern {
    pub(crate) fn new(text: &str, room: &Room) -> Self {
        Self { text: text.into(), compiled: OnceLock::new(), room: room.clone() }
    }

    /// The pattern as the policy has it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches the whole of `text`.
    pub(crate) fn fits(&self, text: &str) -> bool {
        if let Some(compiled) = self.compiled.get() {
            return compiled.fits(text);
        }
        let compiled = Box::new(Compiled::new(&self.text));
        let fits = compiled.fits(text);
        if self.room.take(compiled.bytes)
            && let Err(second) = self.compiled.set(compiled)
        {
            self.room.give(second.bytes);
        }
        fits
    }
}

impl Drop for WholePattern {
    fn drop(&mut self) {
        if let Some(compiled) = self.compiled.get() {
            self.room.give(compiled.bytes);
        }
    }
}

/// Patterns that come with requests: the guest's own, so that there are few.
#[derive(Debug, Default)]
pub(crate) struct RequestPatterns {
    known: HashMap<Box<str>, WholePattern>,
    room: Room,
}

impl RequestPatterns {
    /// Whether `pattern` matches the whole of `text`.
    pub(crate) fn matches_whole(&mut self, pattern: &str, text: &str) -> bool {
        if let Some(known) = self.known.get(pattern) {
            return known.fits(text);
        }
        if self.known.len() >= REQUEST_PATTERNS_MAX {
            self.known.clear();
        }
        let room = &self.room;
        self.known.entry(pattern.into()).or_insert_with(|| WholePattern::new(pattern, room)).fits(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, text: &str) -> bool {
        WholePattern::new(pattern, &Room::default()).fits(text)
    }

    #[test]
    fn whole_texts_are_matched() {
        assert!(fits("a|b", "a") && fits("a|b", "b"));
        assert!(!fits("a|b", "ab") && !fits("a", "ba") && !fits("a", "a\n"));
        assert!(fits("^a$", "a") && fits("", "") && !fits("", "a"));
        assert!(fits("(?i)a", "A"));
    }

    #[test]
    fn no_pattern_escapes_its_anchors() {
        for pattern in ["a)|(b", ")|(", "a**", "(", r"\"] {
            assert!(!fits(pattern, "a") && !fits(pattern, "b") && !fits(pattern, ""), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_without_room_still_matches() {
        let room = Room(Arc::new(AtomicUsize::new(0)));
        let pattern = WholePattern::new("a+", &room);
        assert!(pattern.fits("aa") && !pattern.fits("b") && pattern.fits("a"));
        assert!(pattern.compiled.get().is_none());
    }

    #[test]
    fn room_comes_back() {
        let room = Room::default();
        let pattern = WholePattern::new("a+", &room);
        assert!(pattern.fits("aa"));
        assert!(room.0.load(Ordering::Relaxed) < COMPILED_PATTERNS_BYTES_MAX);
        drop(pattern);
        assert_eq!(room.0.load(Ordering::Relaxed), COMPILED_PATTERNS_BYTES_MAX);
    }

    #[test]
    fn few_patterns_of_requests_are_kept() {
        let mut patterns = RequestPatterns::default();
        for number in 0..REQUEST_PATTERNS_MAX * 3 {
            assert!(patterns.matches_whole(&format!("a{number}"), &format!("a{number}")));
        }
        assert!(patterns.known.len() <= REQUEST_PATTERNS_MAX);
        assert!(!patterns.matches_whole("a1", "a11"));
    }
}
