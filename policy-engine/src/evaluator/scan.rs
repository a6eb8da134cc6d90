//! Checks of a Rego text before it is parsed.
//!
//! The parser's time doubles with each level of nesting, and a recursive function overflows the stack of the
//! interpreter, which ends the process. Both are found here, on tokens alone. The search for recursion errs
//! on the safe side: a name that is only *mentioned* counts as a call.

use std::collections::{BTreeMap, BTreeSet};

use super::limits::NESTING_MAX;
use super::tokens::{Token, Tokens};

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
    /// A function that may call itself.
    #[error("function `{function}` may call itself")]
    Recursion {
        /// Its name.
        function: String,
    },
    /// A builtin function that this engine does not have.
    #[error("builtin function `regex.{name}` is not available")]
    Builtin {
        /// Its name after `regex.`.
        name: String,
    },
}

/// Words after which a name does not start a rule.
const CONTINUING: [&str; 12] =
    ["as", "contains", "default", "else", "every", "if", "import", "in", "not", "package", "some", "with"];

/// The functions of the `regex` family whose meaning is RE2's here.
const REGEX_FUNCTIONS: [&str; 2] = ["is_valid", "match"];

/// Checks `text`, which must be of package `expected`.
pub(super) fn check(text: &str, expected: &str) -> Result<(), ScanError> {
    check_package(text, expected)?;
    check_tokens(text)?;
    let functions = functions(text);
    if functions.is_empty() { Ok(()) } else { check_recursion(text, &functions) }
}

fn check_package(text: &str, expected: &str) -> Result<(), ScanError> {
    let mut tokens = Tokens::new(text);
    let named = tokens.next() == Some(Token::Word("package")) && tokens.next() == Some(Token::Word(expected));
    if named && !matches!(tokens.next(), Some(Token::Dot | Token::Open)) {
        Ok(())
    } else {
        Err(ScanError::Package { expected: expected.to_owned() })
    }
}

fn check_tokens(text: &str) -> Result<(), ScanError> {
    let mut tokens = Tokens::new(text);
    let mut depth = 0usize;
    let mut before = [Token::Sign; 2];
    while let Some(token) = tokens.next() {
        match token {
            Token::Unterminated => return Err(ScanError::Unterminated { line: tokens.line() }),
            Token::Open | Token::Call => depth = depth.saturating_add(1),
            Token::Close => depth = depth.saturating_sub(1),
            Token::Word(name)
                if before == [Token::Word("regex"), Token::Dot] && !REGEX_FUNCTIONS.contains(&name) =>
            {
                return Err(ScanError::Builtin { name: name.to_owned() });
            }
            _ => {}
        }
        if depth > NESTING_MAX {
            return Err(ScanError::Nesting { line: tokens.line() });
        }
        before = [before[1], token];
    }
    Ok(())
}

/// Walks the rules of a text: `visit(starts_rule, token)` for each token.
///
/// Outside brackets, a name directly after the end of an expression starts a rule: an expression goes on
/// only with a sign or a keyword.
fn walk<'a>(text: &'a str, mut visit: impl FnMut(bool, Token<'a>)) {
    let mut depth = 0usize;
    let mut previous = Token::Sign;
    for token in Tokens::new(text) {
        let ended = match previous {
            Token::Word(word) => !CONTINUING.contains(&word),
            Token::Text(_) | Token::Number | Token::Close => true,
            _ => false,
        };
        let starts = match token {
            Token::Word("default" | "import") => depth == 0,
            Token::Word(word) => depth == 0 && ended && !CONTINUING.contains(&word),
            _ => false,
        };
        match token {
            Token::Open | Token::Call => depth = depth.saturating_add(1),
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
            Token::Sign,
            Token::Sign,
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

/// What may be called in `text`: the name that a call uses, and the first word of the rule it calls.
fn functions(text: &str) -> BTreeMap<&str, &str> {
    let mut functions = BTreeMap::new();
    // First and last word of the head that is being read; `None` past it.
    let mut head: Option<(&str, &str)> = None;
    walk(text, |starts, token| {
        head = match (token, head) {
            (Token::Word(name), _) if starts => Some((name, name)),
            (Token::Word(name), Some(("default", _))) => Some((name, name)),
            (Token::Word(name), Some((first, ""))) => Some((first, name)),
            (Token::Dot, Some((first, _))) => Some((first, "")),
            (Token::Call, Some((first, last))) => {
                functions.insert(last, first);
                None
            }
            _ => None,
        };
    });
    functions
}

/// The other names that imports give to functions.
fn aliases<'a>(text: &'a str, functions: &BTreeMap<&'a str, &'a str>) -> BTreeMap<&'a str, &'a str> {
    let mut aliases = BTreeMap::new();
    let mut import: Option<Vec<&str>> = None;
    walk(text, |starts, token| {
        if starts {
            import = (token == Token::Word("import")).then(Vec::new);
        } else if let (Some(words), Token::Word(name) | Token::Text(name)) = (&mut import, token) {
            words.push(name);
            if let [.., target, "as", alias] = words.as_slice()
                && let Some(rule) = functions.get(target)
            {
                aliases.insert(*alias, *rule);
            }
        }
    });
    aliases
}

fn check_recursion<'a>(text: &'a str, functions: &BTreeMap<&'a str, &'a str>) -> Result<(), ScanError> {
    let aliases = aliases(text, functions);
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut current = None;
    walk(text, |starts, token| {
        let (Token::Word(name) | Token::Text(name)) = token else { return };
        if starts {
            current = functions.values().find(|first| **first == name);
        } else if let Some(current) = current
            && let Some(called) = functions.get(name).or_else(|| aliases.get(name))
        {
            edges.entry(current).or_default().insert(called);
        }
    });
    match edges.keys().find(|function| reaches(&edges, function)) {
        Some(function) => Err(ScanError::Recursion { function: (*function).to_owned() }),
        None => Ok(()),
    }
}

fn reaches<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>, start: &'a str) -> bool {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = edges.get(start).into_iter().flatten().copied().collect();
    while let Some(next) = open.pop() {
        if next == start {
            return true;
        }
        if seen.insert(next) {
            open.extend(edges.get(next).into_iter().flatten());
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recursion(rules: &str) -> Result<(), ScanError> {
        check(&format!("package policy\n{rules}\n"), "policy")
    }

    fn recursive(function: &str) -> Result<(), ScanError> {
        Err(ScanError::Recursion { function: function.to_owned() })
    }

    #[test]
    fn recursive_functions_are_found() {
        assert_eq!(recursion("f(x) := g(x) if x > 0\ng(x) := x + 1"), Ok(()));
        assert_eq!(recursion("f(x) := f(x)"), recursive("f"));
        assert_eq!(recursion("f(x) := y if {\n y := g(x)\n}\ng(x) := f(x - 1)"), recursive("f"));
        assert_eq!(recursion("f(x) := g(x) g(x) := f(x)"), recursive("f"));
        assert_eq!(recursion("f(x) := data[\"policy\"][\"f\"](x)"), recursive("f"));
        assert_eq!(recursion("import data.policy.f as again\nf(x) := again(x)"), recursive("f"));
        assert_eq!(recursion("f(0) := 1\nelse := 2 if f(1)"), recursive("f"));
        assert_eq!(recursion("default f(_) := 0\nf(x) := 1 if {\n # f(x)\n x == \"\\\"\"\n}"), Ok(()));
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
        assert_eq!(recursion("a if regex.match(\"a\", \"b\")"), Ok(()));
        let error = ScanError::Builtin { name: "replace".to_owned() };
        assert_eq!(recursion("a := regex.replace(\"a\", \"b\", \"c\")"), Err(error));
    }
}
