//! Checks of a Rego text before it is parsed.
//!
//! The parser's time doubles with each level of nesting. What would take it long is found here, on tokens
//! alone.

use std::collections::BTreeMap;

use super::functions::is_unavailable;
use super::limits::NESTING_MAX;
use super::tokens::{Token, Tokens, starts_rule};

/// Why a text is not parsed at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// A string without an end.
    #[error("line {line}: a string has no end")]
    Unterminated {
        /// Where, from 1.
        line: usize,
    },
    /// Brackets nest deeper than the limit.
    #[error("line {line}: brackets nest deeper than {NESTING_MAX} levels")]
    Nesting {
        /// Where, from 1.
        line: usize,
    },
    /// Not the package that was expected: another one could change the meaning of the framework.
    #[error("the package must be `{expected}`")]
    Package {
        /// The name that was expected.
        expected: String,
    },
    /// A builtin function that this engine does not have.
    #[error("builtin function `{name}` is not available")]
    Builtin {
        /// Its name.
        name: String,
    },
}

/// Checks `text`, which must be of package `expected`.
pub(super) fn check(text: &str, expected: &str) -> Result<(), ScanError> {
    check_package(text, expected)?;
    check_tokens(text)
}

/// Checks all but which builtin functions `text` calls.
pub(crate) fn check_structure(text: &str, expected: &str) -> Result<(), ScanError> {
    check_package(text, expected)?;
    check_nesting(text)
}

fn check_package(text: &str, expected: &str) -> Result<(), ScanError> {
    let mut tokens = Tokens::new(text);
    let named = tokens.next() == Some(Token::Word("package")) && tokens.next() == Some(Token::Word(expected));
    if named && !matches!(tokens.next(), Some(Token::Dot | Token::Open(_))) {
        Ok(())
    } else {
        Err(ScanError::Package { expected: expected.to_owned() })
    }
}

pub(super) fn check_tokens(text: &str) -> Result<(), ScanError> {
    check_nesting(text)?;
    let mut before = [Token::Sign(' '); 2];
    for token in Tokens::new(text) {
        if let ([Token::Word(family), Token::Dot], Token::Word(name)) = (before, token)
            && is_unavailable(family, name)
        {
            return Err(ScanError::Builtin { name: format!("{family}.{name}") });
        }
        before = [before[1], token];
    }
    Ok(())
}

fn check_nesting(text: &str) -> Result<(), ScanError> {
    let mut tokens = Tokens::new(text);
    let mut depth = 0usize;
    while let Some(token) = tokens.next() {
        match token {
            Token::Unterminated => return Err(ScanError::Unterminated { line: tokens.line() }),
            Token::Open(_) | Token::Call => depth = depth.saturating_add(1),
            Token::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            return Err(ScanError::Nesting { line: tokens.line() });
        }
    }
    Ok(())
}

/// Walks the rules of a text: `visit(starts_rule, token)` for each token.
fn walk<'a>(text: &'a str, mut visit: impl FnMut(bool, Token<'a>)) {
    let mut depth = 0usize;
    let mut previous = Token::Sign(' ');
    for token in Tokens::new(text) {
        let starts = depth == 0 && starts_rule(previous, token);
        match token {
            Token::Open(_) | Token::Call => depth = depth.saturating_add(1),
            Token::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        visit(starts, token);
        previous = token;
    }
}

/// What a policy says under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The framework's rule that it stands for, if its whole value is `data.framework.` and a name.
    pub(crate) framework: Option<String>,
}

/// The rules of `text` by name.
pub(super) fn rules(text: &str) -> BTreeMap<String, Rule> {
    let mut rules = BTreeMap::new();
    let mut tokens: Vec<Token<'_>> = Vec::new();
    walk(text, |starts, token| {
        if starts {
            collect_rule(&tokens, &mut rules);
            tokens.clear();
        }
        // One more than an alias has, to tell longer ones.
        if tokens.len() < 9 {
            tokens.push(token);
        }
    });
    collect_rule(&tokens, &mut rules);
    rules
}

fn collect_rule(tokens: &[Token<'_>], rules: &mut BTreeMap<String, Rule>) {
    let ([Token::Word("default"), Token::Word(name), ..] | [Token::Word(name), ..]) = tokens else { return };
    if matches!(*name, "import" | "package") {
        return;
    }
    let framework = match tokens {
        [
            Token::Word(_),
            Token::Sign(':'),
            Token::Sign('='),
            Token::Word("data"),
            Token::Dot,
            Token::Word("framework"),
            Token::Dot,
            Token::Word(of),
        ] => Some((*of).to_owned()),
        _ => None,
    };
    // Several definitions of one name are the policy's own.
    rules
        .entry((*name).to_owned())
        .and_modify(|rule: &mut Rule| rule.framework = None)
        .or_insert(Rule { framework });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_rules(rules: &str) -> Result<(), ScanError> {
        check(&format!("package policy\n{rules}\n"), "policy")
    }

    #[test]
    fn nesting_is_bounded() {
        let nested =
            |depth: usize| format!("package policy\na := {}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(check(&nested(NESTING_MAX), "policy"), Ok(()));
        assert_eq!(check(&nested(NESTING_MAX + 1), "policy"), Err(ScanError::Nesting { line: 2 }));
        // Brackets in strings and comments do not count.
        let text = format!("package policy\na := \"{}\" # {}", "[".repeat(99), "[".repeat(99));
        assert_eq!(check(&text, "policy"), Ok(()));
    }

    #[test]
    fn the_package_is_the_expected_one() {
        let error = Err(ScanError::Package { expected: "policy".to_owned() });
        for text in ["package framework", "package policy.x", "package policy[\"x\"]", "", "a := 1"] {
            assert_eq!(check(text, "policy"), error, "{text:?}");
        }
        assert_eq!(check("# tenant\npackage policy # mine\na := 1", "policy"), Ok(()));
    }

    #[test]
    fn strings_end() {
        for text in ["package policy\na := \"b", "package policy\na := `b", "package policy\na := \"b\nc\""] {
            assert!(matches!(check(text, "policy"), Err(ScanError::Unterminated { .. })), "{text:?}");
        }
    }

    #[test]
    fn only_the_regex_functions_with_our_meaning_are_there() {
        assert_eq!(check_rules("a if regex.match(\"a\", \"b\")"), Ok(()));
        let error = ScanError::Builtin { name: "regex.replace".to_owned() };
        assert_eq!(check_rules("a := regex.replace(\"a\", \"b\", \"c\")"), Err(error));
    }
}
