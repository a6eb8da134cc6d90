//! Each limit, at it and beyond it.

use policy_engine::limits::{
    ANSWER_BYTES_MAX, EVALUATION_BYTES_MAX, NESTING_MAX, POLICY_BYTES_MAX, POLICY_LINES_MAX,
    RANGE_ELEMENTS_MAX, REQUEST_BYTES_MAX, RULE_DEPTH_MAX, TEXT_LENGTH_MAX,
};
use policy_engine::{EvaluationError, EvaluatorKind, LoadError, RecursionError, ScanError, Session};
use serde_json::{Map, Value, json};

fn session(rules: &str) -> Session {
    load(&format!("package policy\n{rules}\n")).unwrap()
}

fn load(policy: &str) -> Result<Session, LoadError> {
    Session::load(policy.as_bytes(), Map::new(), EvaluatorKind::Interpreter)
}

fn ask(rules: &str) -> Result<Value, EvaluationError> {
    session(rules).query("data.policy.answer", &json!({}))
}

/// A policy of exactly `bytes`.
fn padded(bytes: usize) -> String {
    let start = "package policy\nx := 1\n#";
    format!("{start}{}", "x".repeat(bytes.checked_sub(start.len()).unwrap()))
}

#[test]
fn policies_and_fragments_have_a_size() {
    assert!(load(&padded(POLICY_BYTES_MAX)).is_ok());
    assert!(matches!(load(&padded(POLICY_BYTES_MAX + 1)), Err(LoadError::TooLarge { .. })));
    let mut session = session("x := 1");
    let fragment = |bytes: usize| padded(bytes).replace("package policy", "package part  ");
    assert!(session.add_fragment("part", &fragment(POLICY_BYTES_MAX), &json!({})).is_ok());
    let refused = session.add_fragment("part", &fragment(POLICY_BYTES_MAX + 1), &json!({}));
    assert!(matches!(refused, Err(LoadError::TooLarge { .. })));
}

#[test]
fn policies_have_lines() {
    let lines = |lines: usize| format!("package policy\nx := 1{}", "\n".repeat(lines - 2));
    assert!(load(&lines(POLICY_LINES_MAX)).is_ok());
    assert!(matches!(load(&lines(POLICY_LINES_MAX + 2)), Err(LoadError::Parse { .. })));
}

#[test]
fn lines_are_as_long_as_policies_and_texts_are_not() {
    let line = format!("package policy\nx := [{}1]", "\"0123456789\", ".repeat(100_000));
    assert!(line.len() > 1 << 20);
    assert!(load(&line).is_ok());
    let text = |length: usize| format!("package policy\nx := [\"a\", \"{}\"]", "x".repeat(length));
    assert!(load(&text(TEXT_LENGTH_MAX)).is_ok());
    assert!(matches!(load(&text(TEXT_LENGTH_MAX + 1_100)), Err(LoadError::Parse { .. })));
}

#[test]
fn requests_have_a_size() {
    let mut session = session("answer := count(input.text)");
    let request = |bytes: usize| json!({"text": "x".repeat(bytes)});
    let most = REQUEST_BYTES_MAX - 32;
    assert_eq!(session.query("data.policy.answer", &request(most)).unwrap(), json!(most));
    let refused = session.query("data.policy.answer", &request(most + 1));
    assert_eq!(refused, Err(EvaluationError::RequestTooLarge));
    let many = json!({"list": vec![0; REQUEST_BYTES_MAX / 32]});
    assert_eq!(session.query("data.policy.answer", &many), Err(EvaluationError::RequestTooLarge));
}

/// `v<levels>`, a list of two of the level before.
fn doubled(levels: usize) -> String {
    (0..levels).zip(1..).fold("v0 := \"x\"\n".to_owned(), |rules, (below, level)| {
        format!("{rules}v{level} := [v{below}, v{below}]\n")
    })
}

#[test]
fn answers_have_a_size() {
    assert!(ask(&format!("{}answer := v10", doubled(10))).is_ok());
    // Thirty lists, or 10^9 texts when they are written out.
    assert_eq!(ask(&format!("{}answer := v30", doubled(30))), Err(EvaluationError::AnswerTooLarge));
    let half = ANSWER_BYTES_MAX / 2;
    let rules = |parts: usize| {
        let parts = vec!["part"; parts].join(", ");
        format!(
            "part := concat(\"\", [line | some _ in numbers.range(1, {})])\nline := \"{}\"\nanswer := [{parts}]",
            half / 2 / 1024,
            "x".repeat(1024)
        )
    };
    assert!(ask(&rules(3)).is_ok());
    assert_eq!(ask(&rules(4)), Err(EvaluationError::AnswerTooLarge));
}

#[test]
fn what_functions_build_has_a_size() {
    let text = "x".repeat(1024);
    let rules = |kibibytes: usize, rest: &str| {
        format!(
            "text := \"{text}\"\nlong := concat(\"\", [text | some _ in numbers.range(1, {kibibytes})])\n{rest}"
        )
    };
    assert_eq!(ask(&rules(1024, "answer := count(long)")).unwrap(), json!(1 << 20));
    let beyond = EVALUATION_BYTES_MAX / 1024 + 1;
    assert_eq!(ask(&rules(beyond, "answer := count(long)")), Err(EvaluationError::AnswerTooLarge));
    // Together, also where a rule takes the missing value for a yes.
    let together =
        "answer if {\n\tnot [concat(long, [\"a\", \"b\"]) | some _ in numbers.range(1, 100)][99]\n}";
    assert_eq!(ask(&rules(1024, together)), Err(EvaluationError::AnswerTooLarge));
    // The next evaluation starts anew.
    let mut session = session(&rules(20 * 1024, "answer := count(long)"));
    for _ in 0..5 {
        assert_eq!(session.query("data.policy.answer", &json!({})).unwrap(), json!(20 << 20));
    }
}

#[test]
fn numbers_do_not_make_texts_and_lists_grow() {
    let range = |last: usize| format!("answer := count(numbers.range(1, {last}))");
    assert_eq!(ask(&range(RANGE_ELEMENTS_MAX)).unwrap(), json!(RANGE_ELEMENTS_MAX));
    assert_eq!(ask(&range(RANGE_ELEMENTS_MAX + 1)), Err(EvaluationError::AnswerTooLarge));
    assert_eq!(ask("answer := numbers.range(1, 1000000000000000)"), Err(EvaluationError::AnswerTooLarge));
    assert_eq!(ask("answer := count(sprintf(\"%256d\", [1]))").unwrap(), json!(256));
    assert_eq!(ask("answer := count(sprintf(\"%257d\", [1]))").unwrap(), json!(null));
    assert_eq!(ask("answer := bits.lsh(1, 62)").unwrap(), json!(1u64 << 62));
    assert_eq!(ask("answer := bits.lsh(1, 1000000000)").unwrap(), json!(null));
}

#[test]
fn functions_that_cannot_be_bounded_are_refused() {
    for name in ["rand.intn", "strings.replace_n", "regex.replace", "regex.split", "regex.find_n"] {
        let policy = format!("package policy\nanswer := {name}(\"a\", \"b\", \"c\")\n");
        let refused = load(&policy);
        assert!(
            matches!(&refused, Err(LoadError::Scan(ScanError::Builtin { name: found })) if found == name),
            "{refused:?}"
        );
    }
}

#[test]
fn rules_refer_to_others_over_a_number_of_steps() {
    let nested = format!("{}x{}", "[y | y := ".repeat(NESTING_MAX - 3), "]".repeat(NESTING_MAX - 3));
    // The deepest evaluation that is accepted fits into the stack of a test's thread.
    let chain = |steps: usize| -> String {
        (1..=steps)
            .map(|step| format!("f{step}(x) := {}\n", nested.replacen('x', &format!("f{}(x)", step - 1), 1)))
            .collect()
    };
    let policy =
        |steps: usize| format!("package policy\nf0(x) := x\n{}answer := f{steps}(1)\n", chain(steps));
    let mut deepest = load(&policy(RULE_DEPTH_MAX - 1)).unwrap();
    assert!(deepest.query("data.policy.answer", &json!({})).is_ok());
    assert!(matches!(load(&policy(RULE_DEPTH_MAX)), Err(LoadError::Recursion(RecursionError::Depth { .. }))));
}
