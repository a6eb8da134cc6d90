//! Regular expressions with RE2's meaning.
//!
//! Policies are written for RE2. Rust's engine reads some patterns differently: `\d`, `\w`, `\s` and `\b` are
//! Unicode, `a**` and `(?x)` are accepted, `[a&&b]` is an intersection. Each would let a policy match more
//! than its author knew. Patterns are therefore translated: what RE2 refuses is refused, what both read alike
//! passes, what they read differently is spelled out.

mod class;
mod cursor;
mod translate;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use regex::{Regex, RegexBuilder};

/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 64 << 10;

/// The largest compiled pattern, in bytes: room for RE2's `{0,1000}` over any character.
const COMPILED_BYTES_MAX: usize = 4 << 20;

/// How many compiled patterns are kept. Patterns are the policy's, so that a host cannot fill this.
const CACHED_MAX: usize = 4096;

/// Compiled patterns, shared by the evaluators of one engine. `None` is a pattern that RE2 refuses, or that
/// exceeds the limits: it matches nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patterns {
    compiled: Arc<Mutex<HashMap<String, Option<Regex>>>>,
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
        if let Some(regex) = compiled.get(pattern) {
            return answer(regex.as_ref());
        }
        if compiled.len() >= CACHED_MAX {
            compiled.clear();
        }
        let regex = compiled.entry(pattern.to_owned()).or_insert_with(|| compile(pattern));
        answer(regex.as_ref())
    }
}

/// A pattern of a policy that must match the whole of a text, as `matches_whole` in `matching.rego` says.
/// Compiled when it is first asked.
#[derive(Debug)]
pub(crate) struct WholePattern {
    text: Box<str>,
    compiled: OnceLock<Option<Regex>>,
}

impl WholePattern {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.into(), compiled: OnceLock::new() }
    }

    /// The pattern as the policy has it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it matches the whole of `text`. A pattern that RE2 refuses matches nothing.
    pub(crate) fn fits(&self, text: &str) -> bool {
        self.compiled
            .get_or_init(|| compile_whole(&self.text))
            .as_ref()
            .is_some_and(|regex| regex.is_match(text))
    }
}

fn compile_whole(pattern: &str) -> Option<Regex> {
    // It must be valid on its own: one like `a)|(b` would escape the group.
    compile(pattern)?;
    compile(&format!("^(?:{pattern})$"))
}

fn compile(pattern: &str) -> Option<Regex> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return None;
    }
    let translated = translate::to_rust(pattern)?;
    RegexBuilder::new(&translated)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .build()
        .ok()
}

#[cfg(test)]
mod tests;
