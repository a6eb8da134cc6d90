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
        "(?i-)",
        "(?i-:a)",
        "(?-)",
        "(?ii)a",
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
        r"\pC",
        r"\p{Greek}",
        r"\p{}",
        r"\p{Lu",
        "a(?i)*",
        r"a*\Q\E*",
        "[a-\\d]",
        "a{1000}{1000}",
        "(?P<n>a",
        "(?P<>a)",
        "(?P<n-m>a)",
        "(?P>n)",
        r"\Qa\E\E",
        r"[\Qa\E]",
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
        ("(?)^a$", "a", true),
        ("^(?P<1>a)(?<b>c)$", "ac", true),
        ("^(a|)$", "", true),
        ("^(|a|)b$", "b", true),
        ("()|(?:)", "", true),
        (r"\Aab\z", "ab", true),
        (r"a\z", "a\n", false),
        ("a$", "a\n", false),
        ("(?m)a$", "a\nb", true),
        (r"^a\Bb$", "ab", true),
        (r"^é\B", "é", true),
        ("^[[:word:]]+$", "a_9", true),
        ("^[[:word:]]+$", "é", false),
        ("^[[:^word:]]$", "é", true),
        ("^[[:space:]]$", "\u{a0}", false),
        // Folding is of all characters, also of those that RE2 folds into ASCII.
        ("(?i)^k$", "\u{212a}", true),
        ("(?i)^[a-z]$", "\u{17f}", true),
        (r"(?i)^\w$", "\u{17f}", true),
        ("(?i)^é$", "É", true),
        ("(?i)^ss$", "ß", false),
        ("^(?i:a)b$", "Ab", true),
        ("^(?i:a)b$", "AB", false),
        ("^a(?i)b|C$", "c", true),
        ("^a{0}$", "", true),
        ("^((a{10}){10}){10}$", "a", false),
        (r"^\x{00041}$", "A", true),
        (r"^\0\07$", "\u{0}\u{7}", true),
        (r"^\_\-\/$", "_-/", true),
    ] {
        assert_eq!(matches(pattern, text), Some(expected), "{pattern} {text}");
    }
}

#[test]
fn patterns_are_bounded() {
    let patterns = Patterns::default();
    assert!(!patterns.is_valid(&"a".repeat(PATTERN_BYTES_MAX + 1)));
    assert!(!patterns.is_valid(&"(".repeat(300)));
    assert!(patterns.is_valid(&"a".repeat(PATTERN_BYTES_MAX)));
    // RE2 accepts it; what it would take to keep it does not fit.
    assert!(!patterns.is_valid(r"^\pL{1000}\pL{1000}\pL{1000}$"));
}

#[test]
fn the_cache_is_bounded_in_bytes() {
    let patterns = Patterns::default();
    for number in 0..200 {
        assert!(patterns.is_valid(&format!("^.{{0,900}}{number}$")), "{number}");
        assert!(patterns.compiled.lock().unwrap().bytes <= COMPILED_PATTERNS_BYTES_MAX);
    }
    let small = Patterns::default();
    for number in 0..1500 {
        assert!(small.is_valid(&format!("^NAME{number}=.+$")));
    }
    // None of them had to go.
    assert_eq!(small.compiled.lock().unwrap().patterns.len(), 1500);
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
