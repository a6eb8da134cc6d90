//! Regular expressions with RE2's meaning.
//!
//! Policies are written for RE2. Rust's engine reads some patterns differently: `\d`, `\w`, `\s` and `\b` are
//! Unicode, `a**` and `(?x)` are accepted, `[a&&b]` is an intersection. Each would let a policy match more
//! than its author knew. Patterns are therefore translated: what RE2 refuses is refused, what both read alike
//! passes, what they read differently is spelled out.

mod class;
mod cursor;
mod translate;
mod whole;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use regex::{Regex, RegexBuilder};

pub(crate) use whole::{RequestPatterns, Room, WholePattern};

use crate::evaluator::limits::{COMPILED_PATTERN_BYTES_MAX, COMPILED_PATTERNS_BYTES_MAX, PATTERN_BYTES_MAX};

/// The sizes that a pattern is compiled to, one after the other until it fits. What is kept is counted by the
/// size that it was given, so that many small patterns fit where few large ones do.
const SIZES: [usize; 3] = [16 << 10, 256 << 10, COMPILED_PATTERN_BYTES_MAX];

/// What an entry of the cache takes beside the compiled pattern, in bytes.
const ENTRY_BYTES: usize = 512;

/// Compiled patterns, shared by the evaluators of one engine. `None` is a pattern that RE2 refuses, or that
/// exceeds the limits: it matches nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patterns {
    compiled: Arc<Mutex<Cache>>,
}

#[derive(Debug, Default)]
struct Cache {
    patterns: HashMap<String, Option<Regex>>,
    bytes: usize,
}

impl Cache {
    /// The compiled pattern. What is kept never weighs more than [`COMPILED_PATTERNS_BYTES_MAX`].
    fn get(&mut self, pattern: &str) -> Option<&Regex> {
        if !self.patterns.contains_key(pattern) {
            let (regex, size) = compile(pattern);
            // The compiled program, and as much again for what it caches of its texts.
            let bytes = size.saturating_mul(2).saturating_add(pattern.len()).saturating_add(ENTRY_BYTES);
            if self.bytes.saturating_add(bytes) > COMPILED_PATTERNS_BYTES_MAX {
                *self = Self::default();
            }
            self.bytes = self.bytes.saturating_add(bytes);
            self.patterns.insert(pattern.to_owned(), regex);
        }
        self.patterns.get(pattern).and_then(Option::as_ref)
    }
}

impl Patterns {
    /// Whether `pattern` matches somewhere in `text`; `None` for a pattern that is not RE2's.
    pub(crate) fn is_match(&self, pattern: &str, text: &str) -> Option<bool> {
        self.with(pattern, |regex| regex.map(|regex| regex.is_match(text)))
    }

    /// Whether RE2 would accept `pattern`, as far as this engine supports it.
    pub(crate) fn is_valid(&self, pattern: &str) -> bool {
        self.with(pattern, |regex| regex.is_some())
    }

    fn with<T>(&self, pattern: &str, answer: impl FnOnce(Option<&Regex>) -> T) -> T {
        // A panic elsewhere leaves a map of finished entries.
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        answer(compiled.get(pattern))
    }
}

/// The compiled pattern and the size that it was given, in bytes.
fn compile(pattern: &str) -> (Option<Regex>, usize) {
    if pattern.len() > PATTERN_BYTES_MAX {
        return (None, 0);
    }
    let Some(translated) = translate::to_rust(pattern) else { return (None, 0) };
    for size in SIZES {
        match RegexBuilder::new(&translated).size_limit(size).dfa_size_limit(size).build() {
            Ok(regex) => return (Some(regex), size),
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(_) => break,
        }
    }
    (None, 0)
}

#[cfg(test)]
mod tests;
