//! Regular expressions that match more, or less, than they seem to.

use serde_json::Value as Json;

use super::document::{Document, members};
use super::finding::Findings;
use crate::pattern::{Patterns, Room, WholePattern};

/// Prefixes of mount sources after which a pattern follows.
const PATTERN_SOURCES: [&str; 2] = ["sandbox://", "hugepages://"];

/// Prefixes of mount sources that policies do not know.
const PLAIN_SOURCES: [&str; 3] = ["blockdev://", "sandbox-tmp://", "uvm://"];

/// Texts that have nothing in common: what matches them all matches anything.
const ANY_ENTRY: [&str; 3] = ["LD_PRELOAD=/x", "ZQ7_=", "a.b=c d"];
const ANY_NAME: [&str; 3] = ["LD_PRELOAD", "ZQ7_", "a.b"];
const ANY_PATH: [&str; 3] = ["/x", "/zq7/../a", "/etc/b c"];

pub(super) fn check(document: &Document, findings: &mut Findings) {
    let mut checks = Checks { patterns: Patterns::default(), findings };
    for list in ["containers", "external_processes", "platform_rules"] {
        for (path, object) in document.list(list) {
            checks.env_rules(object, &path);
            checks.mounts(object, &path);
            checks.user(&object["user"], &format!("{path}.user"));
        }
    }
}

struct Checks<'a> {
    patterns: Patterns,
    findings: &'a mut Findings,
}

impl Checks<'_> {
    fn env_rules(&mut self, object: &Json, path: &str) {
        for (path, rule) in members(object.get("env_rules"), &format!("{path}.env_rules")) {
            self.rule(rule, "strategy", "pattern", &path, &ANY_ENTRY);
            self.rule(rule, "name_strategy", "name", &path, &ANY_NAME);
            self.rule(rule, "value_strategy", "value", &path, &[]);
        }
    }

    fn user(&mut self, user: &Json, path: &str) {
        self.rule(&user["user_idname"], "strategy", "pattern", &format!("{path}.user_idname"), &ANY_NAME);
        for (path, group) in members(user.get("group_idnames"), &format!("{path}.group_idnames")) {
            self.rule(group, "strategy", "pattern", &path, &ANY_NAME);
        }
    }

    fn mounts(&mut self, object: &Json, path: &str) {
        for (path, mount) in members(object.get("mounts"), &format!("{path}.mounts")) {
            let Some(source) = mount["source"].as_str() else { continue };
            if let Some(pattern) = PATTERN_SOURCES.iter().find_map(|prefix| source.strip_prefix(prefix)) {
                self.pattern(pattern, &path, &ANY_PATH);
            }
            if let Some(prefix) = PLAIN_SOURCES.iter().find(|prefix| source.starts_with(**prefix)) {
                let message =
                    format!("a policy gives `{prefix}` no meaning; the source is compared as it stands");
                self.findings.warning("mount-source-plain", path, message);
            }
        }
    }

    /// A rule with its strategy in one field and its text in another; `any` are texts that it should not all match.
    fn rule(&mut self, rule: &Json, strategy: &str, text: &str, path: &str, any: &[&str]) {
        let (Some(strategy), Some(text)) = (rule[strategy].as_str(), rule[text].as_str()) else { return };
        match strategy {
            "re2" => self.pattern(text, path, any),
            "string" if [".*", ".+", "[^", "\\d"].iter().any(|sign| text.contains(sign)) => {
                let message =
                    format!("`{text}` looks like a pattern, but the strategy compares it as it stands");
                self.findings.warning("pattern-not-read", path, message);
            }
            _ => {}
        }
    }

    fn pattern(&mut self, pattern: &str, path: &str, any: &[&str]) {
        if !self.patterns.is_valid(pattern) {
            let message = format!("`{pattern}` is no RE2 pattern, or exceeds its limits: it matches nothing");
            self.findings.error("pattern-invalid", path, message);
            return;
        }
        let whole = WholePattern::new(pattern, &Room::default());
        if !any.is_empty() && any.iter().all(|text| whole.fits(text)) {
            let message = format!("`{pattern}` matches any name");
            self.findings.warning("pattern-matches-anything", path, message);
        }
        let signs = Signs::read(pattern);
        if signs.outer_alternation {
            let message = format!(
                "an engine that anchors only the ends lets `{pattern}` match what begins as its first alternative or \
                 ends as its last; write `({pattern})`"
            );
            self.findings.warning("pattern-alternation", path, message);
        }
        if signs.dot_in_word {
            let message = format!("the dot in `{pattern}` stands for any character; write `\\.` for a dot");
            self.findings.note("pattern-dot", path, message);
        }
    }
}

/// What a pattern's text shows without its being matched.
#[derive(Debug, Default, PartialEq, Eq)]
struct Signs {
    /// A `|` outside parentheses.
    outer_alternation: bool,
    /// A dot that is not repeated, between two letters or digits.
    dot_in_word: bool,
}

impl Signs {
    fn read(pattern: &str) -> Self {
        let mut signs = Self::default();
        let mut depth = 0usize;
        let mut before = None;
        let mut rest = pattern.chars().peekable();
        while let Some(sign) = rest.next() {
            match sign {
                '\\' => skip_escape(&mut rest),
                '[' => skip_class(&mut rest),
                '(' => depth = depth.saturating_add(1),
                ')' => depth = depth.saturating_sub(1),
                '|' => signs.outer_alternation |= depth == 0,
                '.' => {
                    let word = |sign: Option<&char>| sign.is_some_and(char::is_ascii_alphanumeric);
                    signs.dot_in_word |= word(before.as_ref()) && word(rest.peek());
                }
                _ => {}
            }
            before = Some(sign);
        }
        signs
    }
}

/// Skips what follows a backslash: one character, or a quotation up to `\E`.
fn skip_escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    if rest.next() != Some('Q') {
        return;
    }
    let mut before = ' ';
    for sign in rest.by_ref() {
        if before == '\\' && sign == 'E' {
            return;
        }
        before = sign;
    }
}

/// Skips a class in brackets; a bracket directly after its start is a member.
fn skip_class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    rest.next_if_eq(&'^');
    rest.next_if_eq(&']');
    while let Some(sign) = rest.next() {
        match sign {
            '\\' => {
                rest.next();
            }
            '[' if rest.peek() == Some(&':') => {
                rest.find(|sign| *sign == ']');
            }
            ']' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::lint::fixture::Policy;

    fn entry(pattern: &str, strategy: &str) -> Policy {
        let rule = json!({"pattern": pattern, "strategy": strategy, "required": false});
        Policy::new().container(0, |container| container["env_rules"][1] = rule)
    }

    fn source(source: &str) -> Policy {
        Policy::new().container(0, |container| container["mounts"][0]["source"] = json!(source))
    }

    const RULE: &str = "containers[0].env_rules[1]";

    #[test]
    fn patterns_that_re2_refuses_are_found() {
        for pattern in ["A=a**", "A=(", "(?x)A=1", "A=x{2,1}"] {
            assert_eq!(entry(pattern, "re2").paths("pattern-invalid"), [RULE], "{pattern}");
        }
        assert_eq!(entry("(?i)(FABRIC)_.+=.+", "re2").paths("pattern-invalid"), [""; 0]);
    }

    #[test]
    fn alternations_that_escape_their_anchors_are_found() {
        for pattern in ["A=1|B=2", "^A=1|B=2$", "(A)=1|B=2", "A=[(]|B"] {
            assert_eq!(entry(pattern, "re2").paths("pattern-alternation"), [RULE], "{pattern}");
        }
        for pattern in ["A=(1|2)", "(A=1|B=2)", r"A=\|", "A=[|]", r"A=\Q|\E", "A=[]|]", "A=[[:alpha:]|]"] {
            assert_eq!(entry(pattern, "re2").paths("pattern-alternation"), [""; 0], "{pattern}");
        }
        assert_eq!(source("sandbox:///a|/b").paths("pattern-alternation"), ["containers[0].mounts[0]"]);
    }

    #[test]
    fn patterns_for_any_name_are_found() {
        for pattern in [".*", ".+", ".+=.*", "^.*$", "[^=]+=.*"] {
            assert_eq!(entry(pattern, "re2").paths("pattern-matches-anything"), [RULE], "{pattern}");
        }
        for pattern in ["HOSTNAME=.*", "[A-Z0-9_]+_SERVICE_HOST=.+", "(?i)(FABRIC)_.+=.+"] {
            assert_eq!(entry(pattern, "re2").paths("pattern-matches-anything"), [""; 0], "{pattern}");
        }
        let parts = |name: &str, value: &str| {
            let rule = json!({"name": name, "name_strategy": "re2", "value": value, "value_strategy": "re2"});
            Policy::new().container(0, |container| container["env_rules"][1] = rule)
        };
        assert_eq!(parts(".*", "1").paths("pattern-matches-anything"), [RULE]);
        assert_eq!(parts("NAME", ".*").paths("pattern-matches-anything"), [""; 0]);
        assert_eq!(source("sandbox://.*").paths("pattern-matches-anything"), ["containers[0].mounts[0]"]);
        let user = Policy::new().container(0, |container| {
            container["user"]["user_idname"] = json!({"pattern": ".*", "strategy": "re2"})
        });
        assert_eq!(user.paths("pattern-matches-anything"), ["containers[0].user.user_idname"]);
    }

    #[test]
    fn dots_in_words_are_found() {
        for pattern in ["HOST=registry.example", "HOST=10.0.0.1"] {
            assert_eq!(entry(pattern, "re2").paths("pattern-dot"), [RULE], "{pattern}");
        }
        for pattern in [r"HOST=registry\.example", "HOST=.+", "HOST=a.*b", "HOST=[a.b]+"] {
            assert_eq!(entry(pattern, "re2").paths("pattern-dot"), [""; 0], "{pattern}");
        }
        assert_eq!(entry("HOST=registry.example", "string").paths("pattern-dot"), [""; 0]);
    }

    #[test]
    fn patterns_that_are_compared_as_they_stand_are_found() {
        assert_eq!(entry("HOSTNAME=.+", "string").paths("pattern-not-read"), [RULE]);
        assert_eq!(entry("HOSTNAME=.+", "re2").paths("pattern-not-read"), [""; 0]);
        assert_eq!(entry("HOSTNAME=a", "string").paths("pattern-not-read"), [""; 0]);
    }

    #[test]
    fn sources_without_a_meaning_are_found() {
        assert_eq!(Policy::new().paths("mount-source-plain"), [""; 0]);
        assert_eq!(source("uvm:///etc").paths("mount-source-plain"), ["containers[0].mounts[0]"]);
        assert_eq!(source("plan9://").paths("mount-source-plain"), [""; 0]);
    }
}
