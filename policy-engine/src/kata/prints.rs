//! Takes calls of `print` out of a policy.
//!
//! genpolicy's rules print the whole request and every policy object they try: more than 100 KB of text for one
//! decision, which took most of its time and which nobody reads. The peer sends it to the host. A call of
//! `print` is true whatever it prints, so that `true` in its place means the same.

use std::borrow::Cow;

use crate::evaluator::tokens::{Token, Tokens};

/// `policy` with `true` for each call of `print` in a rule's body, on the lines they were. A policy that has a
/// rule of that name is left as it is.
pub(super) fn remove(policy: &str) -> Cow<'_, str> {
    let mut kept = String::with_capacity(policy.len());
    let mut copied = 0usize;
    let mut depth = 0usize;
    let mut before = Token::Sign(' ');
    let mut tokens = Tokens::new(policy);
    while let Some(token) = tokens.next() {
        let end = tokens.position();
        if token == Token::Word("print") && before != Token::Dot {
            if depth == 0 {
                return Cow::Borrowed(policy);
            }
            let mut call = tokens.clone();
            if policy.get(end..).is_some_and(|rest| rest.starts_with('(')) && skip_call(&mut call) {
                let start = end.saturating_sub("print".len());
                kept.push_str(policy.get(copied..start).unwrap_or_default());
                kept.push_str("true");
                copied = call.position();
                let removed = policy.get(start..copied).unwrap_or_default();
                kept.extend(removed.chars().filter(|character| *character == '\n'));
                tokens = call;
                before = Token::Close;
                continue;
            }
        }
        match token {
            Token::Open(_) | Token::Call => depth = depth.saturating_add(1),
            Token::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        before = token;
    }
    if copied == 0 {
        return Cow::Borrowed(policy);
    }
    kept.push_str(policy.get(copied..).unwrap_or_default());
    Cow::Owned(kept)
}

/// Reads a call's arguments and their parentheses; false when they do not end.
fn skip_call(tokens: &mut Tokens<'_>) -> bool {
    let mut depth = 0usize;
    for token in tokens {
        match token {
            Token::Open(_) | Token::Call => depth = depth.saturating_add(1),
            Token::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_become_true() {
        let policy = "package agent_policy\na if {\n  print(\"a (\", f(x)[\"}\"], # )\n y)\n  b\n}\n";
        assert_eq!(remove(policy), "package agent_policy\na if {\n  true\n\n  b\n}\n");
        assert_eq!(remove("a { not print(1); print(2) }"), "a { not true; true }");
    }

    #[test]
    fn what_is_no_call_of_the_builtin_stays() {
        for policy in [
            "a { data.x.print(1) }",
            "a { x := \"print(1)\" } # print(1)",
            "a { some print }",
            "a { print (1) }",
            "print(x) := x { true }\na { print(1) }",
            "a { print(1",
            "",
        ] {
            assert!(matches!(remove(policy), Cow::Borrowed(text) if text == policy), "{policy:?}");
        }
    }

    proptest::proptest! {
        /// Whatever is printed, and around whatever: what is left has the tokens of a text with `true` there.
        #[test]
        fn nothing_else_changes(
            pieces in proptest::collection::vec(("[a-z:= ]{0,8}", "[a-z, .0-9]{0,8}", "[()\\\\#{}]{0,4}"), 1..8),
        ) {
            let body = |print: &dyn Fn(&str, &str) -> String| {
                let lines: Vec<String> = pieces
                    .iter()
                    .map(|(code, name, text)| format!("x{code}\n{}\n", print(name, text)))
                    .collect();
                format!("a {{\n{}}}\n", lines.concat())
            };
            let printing = body(&|name, text| format!("print(f(x[{name}]), `{text}`, # )\n 1)"));
            let silent = body(&|_, _| "true".to_owned());
            proptest::prop_assert!(Tokens::new(&remove(&printing)).eq(Tokens::new(&silent)));
            proptest::prop_assert_eq!(remove(&printing).lines().count(), printing.lines().count());
        }
    }
}
