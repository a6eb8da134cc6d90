use serde_json::json;

use super::*;
use crate::evaluator::limits::TEXT_LENGTH_MAX;

fn value(text: &str) -> Option<Json> {
    let text = format!("package policy\nx := {text}\n");
    match parse(&text)?.definitions[..] {
        [("x", Definition::Literal(literal))] => literal.value(),
        _ => None,
    }
}

#[test]
fn values_are_those_of_json() {
    for (text, expected) in [
        ("[]", json!([])),
        ("{}", json!({})),
        ("[1, -2, 0, true, false, null]", json!([1, -2, 0, true, false, null])),
        ("{\"a\": [\"b\"], \"c\": {\"d\": 9223372036854775807}}", json!({"a": ["b"], "c": {"d": i64::MAX}})),
        ("[\"a\",]", json!(["a"])),
        ("{\"a\": 1,}", json!({"a": 1})),
        ("[ # first\n\t\"#\", # second\r\n\n  2 # ]\n]", json!(["#", 2])),
        (r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é""#, json!("\"\\/\u{8}\u{c}\n\r\té😀é")),
        (r#""a\\""#, json!("a\\")),
        ("\"\u{7f}\"", json!("\u{7f}")),
    ] {
        assert_eq!(value(text), Some(expected), "{text}");
    }
}

#[test]
fn doubtful_values_are_not_read() {
    for text in [
        "",
        ",",
        "[,]",
        "[1,,2]",
        "[1 2]",
        "[1",
        "{\"a\"}",
        "{\"a\": 1, \"a\": 1}",
        "{a: 1}",
        "{1: 2}",
        "{\"a\" := 1}",
        "1.0",
        "1e2",
        "1E2",
        "-0",
        "00",
        "01",
        "+1",
        "-",
        "1_0",
        "0x1",
        "9223372036854775808",
        ".5",
        "`raw`",
        "'a'",
        "\"a\nb\"",
        "\"a\tb\"",
        "\"\\x41\"",
        "\"\\'\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "\"a",
        "truth",
        "set()",
        "{\"a\"}",
        "{1, 2}",
        "[x | x := 1]",
        "\"a\" + \"b\"",
        "-1 + 2",
        "(1)",
        "[1][0]",
        "x",
        "input",
        "data.policy.y",
        "data.framework",
        "data.framework.a.b",
        "data . framework.a",
        "data.framework[\"a\"]",
        "data.framework.a()",
        "1 2",
        "1 y := 2",
        "1; y := 2",
        "1 if true",
        "1\nelse := 2",
        "[1] y := 2",
        "\u{a0}1",
        "[\u{a0}]",
        "[\u{c}]",
        "[1\r]",
    ] {
        assert_eq!(value(text), None, "{text:?}");
    }
}

#[test]
fn references_point_at_the_framework() {
    let text = "package policy\n\nimport future.keywords.every\nimport future.keywords.in\n\
        mount_device := data.framework.mount_device\nmount_cims:= data.framework.mount_cims\r\n\
        reason := { \"errors\" : data.framework.errors, } # all";
    let document = parse(text).unwrap();
    assert_eq!(document.package, "policy");
    assert_eq!(
        document.definitions,
        [
            ("mount_device", Definition::Framework("mount_device")),
            ("mount_cims", Definition::Framework("mount_cims")),
            ("reason", Definition::FrameworkErrors),
        ]
    );
}

#[test]
fn other_texts_are_not_read() {
    for text in [
        "",
        "x := 1",
        "package policy x := 1",
        "package policy.x\nx := 1",
        "package\npolicy\nx := 1",
        "package policy;x := 1",
        "package policy\nx = 1",
        "package policy\nx : = 1",
        "package policy\nx := 1\nx := 1",
        "package policy\ndefault x := 1",
        "package policy\nx := 1 if { true }",
        "package policy\nx.y := 1",
        "package policy\nx[\"y\"] := 1",
        "package policy\nx contains 1",
        "package policy\nf(a) := 1",
        "package policy\nimport data.framework\nx := 1",
        "package policy\nimport data.other as framework\nx := 1",
        "package policy\nimport input\nx := 1",
        "package policy\nimport future.keywords.not\nx := 1",
        "package policy\nimport future.keywords.in\nimport future.keywords.in\nx := 1",
        "package policy\nimport rego.v1\nimport future.keywords.in\nx := 1",
        "package policy\nimport future.keywords.in\nimport rego.v1\nx := 1",
        "package policy\nx := 1\nimport rego.v1",
        "package policy\nx := 1\0",
        "package policy\n# a \0 comment\nx := 1",
        "package policy\rx := 1",
        "\u{feff}package policy\nx := 1",
        "package policy\nx := 1 # c\u{2028}\ny",
        "package policy\nreason := {\"errors\": data.framework.errors, \"x\": 1}",
        "package policy\nreason := {\"errors\": [data.framework.errors]}",
        "package policy\nreason := {\"errors\": data.framework.reason}",
    ] {
        assert!(parse(text).is_none(), "{text:?}");
    }
}

#[test]
fn sizes_are_bounded() {
    let nested = |depth: usize| value(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    assert!(nested(NESTING_MAX).is_some());
    assert!(nested(NESTING_MAX + 1).is_none());
    assert!(nested(1_000_000).is_none());
    assert!(value(&format!("\"{}\"", "x".repeat(COLUMNS_MAX - 10))).is_some());
    assert!(value(&format!("\"{}\"", "x".repeat(TEXT_LENGTH_MAX))).is_none());
    assert!(value(&format!("[{}1]", "1, ".repeat(100_000))).is_some());
    assert!(value(&format!("[1{}]", "\t".repeat(COLUMNS_MAX / 4))).is_none());
    assert!(parse(&format!("package policy{}", "\n".repeat(POLICY_LINES_MAX))).is_none());
}

#[test]
fn elements_of_a_list_come_one_by_one() {
    let document = parse("package policy\nx := [1, [2], {\"a\": 3},]\ny := {}").unwrap();
    let literals: Vec<Literal<'_>> = document
        .definitions
        .iter()
        .filter_map(|(_, definition)| match definition {
            Definition::Literal(literal) => Some(*literal),
            _ => None,
        })
        .collect();
    let mut seen = Vec::new();
    let read = literals[0].elements(|element| {
        seen.push(element);
        Some(())
    });
    assert!(read.is_some());
    assert_eq!(seen, [json!(1), json!([2]), json!({"a": 3})]);
    assert!(literals[1].elements(|_| Some(())).is_none());
    assert!(literals[0].elements(|_| None).is_none());
}

proptest::proptest! {
    /// No text breaks the parser, and what it reads is what the interpreter reads.
    #[test]
    fn what_is_read_is_what_the_interpreter_reads(
        text in r#"([\[\]{},:"\\#\n \t]|[0-9]{1,2}|-|"[a-z\\"/u]{0,3}"|true|null|data\.framework\.x|\r\n){0,12}"#,
    ) {
        if let Some(json) = value(&text) {
            let policy = format!("package policy\nx := {text}\n");
            let data = Map::new();
            let mut session =
                crate::Session::load(policy.as_bytes(), data, crate::EvaluatorKind::Interpreter).expect("the interpreter reads it");
            let answer = session.query("data.policy.x", &serde_json::json!({})).expect("it has a value");
            proptest::prop_assert_eq!(answer, json);
        }
    }
}
