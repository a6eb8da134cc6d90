use super::*;

fn matches(pattern: &str, text: &str) -> Option<bool> {
    Patterns::default().is_match(pattern, text)
}

#[test]
fn classes_are_ascii() {
    for (pattern, inside, outside) in [
        (r"^\d$", "7", "\u{664}"),
        (r"^\w$", "w", "é"),
        (r"^\s$", " ", "\u{a0}"),
        (r"^\s$", "\t", "\u{b}"),
        (r"^[\d]$", "7", "\u{664}"),
        (r"^[^\D]$", "7", "\u{664}"),
        (r"^[\w-]$", "-", "é"),
        (r"^\bab\b$", "ab", "éab"),
    ] {
        assert_eq!(matches(pattern, inside), Some(true), "{pattern} {inside}");
        assert_eq!(matches(pattern, outside), Some(false), "{pattern} {outside}");
    }
    // `é` is no word character of RE2's: there is a boundary before `a`.
    assert_eq!(matches(r"\bab", "éab"), Some(true));
    assert_eq!(matches(r"^\D$", "\u{664}"), Some(true));
}

#[test]
fn what_re2_refuses_is_refused() {
    for pattern in [
        "a**",
        "a*+",
        "a+*",
        "a??*",
        "a{2}{3}",
        "a{2}*",
        "(?x)a b",
        "(?u)a",
        "(?R)a",
        "(?)",
        "(?i-)",
        "a{1001}",
        "a{3,2}",
        "(a{100}){100}",
        "((a{2}){600}){2}",
        "(",
        ")",
        "a)|(b",
        "[",
        "[a",
        "[z-a]",
        r"\1",
        r"\8",
        r"\y",
        r"\C",
        r"\Z",
        r"\",
        r"\x",
        r"\x{110000}",
        r"\p{Alphabetic}",
        r"\p{Script=Greek}",
        "[[:nope:]]",
        "(?=a)",
        "(?<!a)b",
        "(?P=n)",
        "*a",
        "|*",
        "(?P<n>a)(?P<n>b)",
        r"[\b]",
    ] {
        assert_eq!(matches(pattern, "a"), None, "{pattern}");
    }
}

#[test]
fn signs_that_rust_reads_differently_are_literals() {
    for (pattern, text) in [
        (r"^[a&&b]+$", "a&b"),
        (r"^[a~~b-]+$", "~-"),
        (r"^[[a]$", "["),
        (r"^[]a]+$", "]a"),
        (r"^[^]a]$", "b"),
        (r"^{$", "{"),
        (r"^a{,3}$", "a{,3}"),
        (r"^a{x}$", "a{x}"),
        (r"^a{01}$", "a{01}"),
        (r"^\Qa.b\E\.$", "a.b."),
        (r"^\101$", "A"),
        (r"^\x41\x{42}$", "AB"),
        (r"^\<\>$", "<>"),
        ("^a b#c$", "a b#c"),
        (r"^[\]]$", "]"),
        (r"^[a-]$", "-"),
        (r"^[a\-z]$", "-"),
        ("^[é-ü]$", "ö"),
    ] {
        assert_eq!(matches(pattern, text), Some(true), "{pattern} {text}");
    }
    assert_eq!(matches(r"^[a&&b]$", "c"), Some(false));
    assert_eq!(matches(r"^[a\-z]$", "b"), Some(false));
}

#[test]
fn common_patterns_keep_their_meaning() {
    for (pattern, text, expected) in [
        ("(?i)(FABRIC)_.+=.+", "Fabric_NodeIPOrFqdn=10.0.0.1", true),
        ("T(E)?MP=.+", "TMP=/tmp", true),
        ("^(?:a|b)$", "ab", false),
        ("^[A-Z0-9_]+_PORT_[0-9]+_TCP(_PROTO|_PORT|_ADDR)?=.+$", "WEB_PORT_80_TCP_ADDR=10.0.0.1", true),
        ("^.{0,1000}$", "x", true),
        (r"^\w{1,256}$", "word", true),
        ("^[a-z0-9]{1,1000}$", "abc", true),
        ("^(?P<name>a)(?s:.)$", "a\n", true),
        ("^.$", "\n", false),
        ("^[^a]$", "\n", true),
        (r"^\pL\p{Nd}\P{L}\p{^L}$", "é5!!", true),
        ("^[[:alpha:]]+$", "abc", true),
        ("^a+?$", "aa", true),
        ("", "anything", true),
    ] {
        assert_eq!(matches(pattern, text), Some(expected), "{pattern} {text}");
    }
}

#[test]
fn patterns_are_bounded() {
    let patterns = Patterns::default();
    assert!(!patterns.is_valid(&"a".repeat(PATTERN_BYTES_MAX + 1)));
    assert!(!patterns.is_valid(&"(".repeat(300)));
    for number in 0..CACHED_MAX + 10 {
        assert!(patterns.is_valid(&format!("a{number}")));
    }
    assert!(patterns.compiled.lock().unwrap().len() <= CACHED_MAX);
}

proptest::proptest! {
    /// Any pattern is translated or refused.
    #[test]
    fn no_pattern_breaks_the_translation(pattern in r"[a-z0-9(){}\[\]|*+?.,^$\\:<>=!PQEpLx -]{0,24}", text in ".{0,8}") {
        let patterns = Patterns::default();
        let matched = patterns.is_match(&pattern, &text);
        proptest::prop_assert_eq!(matched.is_some(), patterns.is_valid(&pattern));
    }
}
