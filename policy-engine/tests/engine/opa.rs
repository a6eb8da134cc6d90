//! Expressions that OPA and the interpreter beneath read differently: the values are OPA's.

use policy_engine::{EvaluatorKind, LoadError, Session};
use serde_json::{Map, Value, json};

fn load(rules: &str) -> Result<Session, LoadError> {
    Session::load(format!("package policy\n{rules}\n").as_bytes(), Map::new(), EvaluatorKind::Interpreter)
}

fn value(expression: &str) -> Value {
    let mut session = load(&format!("answer := {expression}")).unwrap();
    session.query("data.policy.answer", &json!({"text": "a", "number": 1})).unwrap()
}

#[test]
fn versions_and_numbers_are_opas() {
    for (expression, expected) in [
        (r#"semver.is_valid("v1.2.3")"#, json!(true)),
        (r#"semver.is_valid("01.2.3")"#, json!(true)),
        (r#"semver.is_valid("1.2")"#, json!(false)),
        ("semver.is_valid(1)", json!(false)),
        (r#"semver.compare("v0.10.0", "0.9.0")"#, json!(1)),
        (r#"semver.compare("0.2.2", "00.2.2")"#, json!(0)),
        (r#"semver.compare("1.0.0-rc.1", "1.0.0")"#, json!(-1)),
        (r#"semver.compare("1.0", "1.0.0")"#, json!(null)),
        (r#"to_number("01") == 1"#, json!(true)),
        (r#"to_number("+1") == 1"#, json!(true)),
        (r#"to_number(" 1")"#, json!(null)),
        (r#"to_number("1 ")"#, json!(null)),
        (r#"to_number("inf")"#, json!(null)),
        ("to_number(null)", json!(0)),
        ("to_number(true)", json!(1)),
        ("to_number([])", json!(null)),
        (r#"sprintf("%v %s %d", ["a", "b", 7])"#, json!("a b 7")),
        (r#"sprintf("%v", [{"a": [1, true]}])"#, json!(r#"{"a": [1, true]}"#)),
        ("1 == 1.0", json!(true)),
        (r#"substring("abc", 1, -1)"#, json!("bc")),
        (r#"indexof("éa", "a")"#, json!(1)),
        (r#"object.get({"a": null}, "a", 1)"#, json!(null)),
        (r#"count(numbers.range(1, 3))"#, json!(3)),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn patterns_are_re2s() {
    for (expression, expected) in [
        (r"regex.match(`^\d$`, `٤`)", json!(false)),
        (r"regex.match(`^\w$`, `é`)", json!(false)),
        (r"regex.match(`^[a&&b]+$`, `&`)", json!(true)),
        (r"regex.match(`^\Qa.b\E$`, `a.b`)", json!(true)),
        (r"regex.match(`^\w{1,256}$`, `a`)", json!(true)),
        // What RE2 refuses has no value, as other mistakes.
        (r"regex.match(`a**`, `a`)", json!(null)),
        (r"regex.match(`(?x)a`, `a`)", json!(null)),
        (r"regex.match(`a{1001}`, `a`)", json!(null)),
        (r"regex.is_valid(`a**`)", json!(false)),
        ("regex.is_valid(1)", json!(false)),
    ] {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn mistakes_are_undefined_and_not_an_end() {
    for expression in [
        "to_number(\"x\")",
        "lower(1)",
        "concat(\",\", [1])",
        "semver.compare(\"x\", \"1.0.0\")",
        "substring(\"abc\", -1, 1)",
        "max([])",
        "input.nothing.at.all",
        "startswith(input.nothing, \"a\")",
    ] {
        assert_eq!(value(expression), json!(null), "{expression}");
        // Nor of the rule that asks: it is as if there was no value.
        assert_eq!(value(&format!("count([x | x := {expression}])")), json!(0), "{expression}");
    }
    // `not` is true of a function of something that is not there; the framework's inputs are full.
    let mut session =
        load("f(x) := true if x == 1\nanswer if not f(input.nothing)\nother if not f(input.number)").unwrap();
    let input = json!({"number": 2});
    assert_eq!(session.query("data.policy.other", &input).unwrap(), json!(true));
    assert_eq!(session.query("data.policy.other", &json!({"number": 1})).unwrap(), json!(null));
}

#[test]
fn values_that_conflict_are_an_error() {
    let mut session = load("answer := 1 if input.text\nanswer := 2 if input.text").unwrap();
    assert!(session.query("data.policy.answer", &json!({"text": "a"})).is_err());
}

#[test]
fn no_function_reaches_out_of_the_evaluation() {
    for call in [
        "http.send({\"method\": \"get\", \"url\": \"http://localhost/\"})",
        "net.lookup_ip_addr(\"localhost\")",
        "net.cidr_contains(\"10.0.0.0/8\", \"10.0.0.1\")",
        "time.now_ns()",
        "time.clock(0)",
        "opa.runtime()",
        "rand.intn(\"x\", 10)",
        "uuid.rfc4122(\"x\")",
        "crypto.sha256(\"x\")",
        "io.jwt.decode(\"x\")",
        "data[\"policy\"][\"f\"](1)",
    ] {
        // The policy does not load, or the rule has no value.
        if let Ok(mut session) = load(&format!("answer := {call}")) {
            let answer = session.query("data.policy.answer", &json!({})).unwrap_or(json!(null));
            assert_eq!(answer, json!(null), "{call}");
        }
    }
}
