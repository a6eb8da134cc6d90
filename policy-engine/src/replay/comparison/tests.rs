use serde_json::json;

use super::*;

const CREATE: &str = "data.policy.create_container";

fn field(comparison: Comparison, rule: &str, recorded: Json, given: Json) -> Option<&'static str> {
    let input = json!({
        "envList": ["A=1", "B=2"],
        "capabilities": {
            "ambient": [], "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "inheritable": [], "permitted": [],
        },
    });
    let (recorded, given) = (Answer::Value(recorded), Answer::Value(given));
    comparison.mismatch(rule, &input, &recorded, &given).map(|mismatch| mismatch.field)
}

fn capabilities(bounding: &[&str]) -> Json {
    json!({"ambient": [], "bounding": bounding, "effective": [], "inheritable": [], "permitted": []})
}

#[test]
fn what_a_guest_acts_on_is_compared() {
    let decisions = |recorded, given| field(Comparison::Decisions, CREATE, recorded, given);
    let allow = |env: Json| json!({"allowed": true, "env_list": env});
    assert_eq!(decisions(json!({"allowed": true}), json!({"allowed": false})), Some("allowed"));
    assert_eq!(decisions(json!({"allowed": false}), json!({"allowed": true})), Some("allowed"));
    assert_eq!(decisions(json!({"allowed": true}), Json::Null), Some("allowed"));
    assert_eq!(decisions(Json::Null, json!({"allowed": false})), None);
    assert_eq!(decisions(json!({"allowed": 1}), json!({"allowed": false})), None);
    assert_eq!(decisions(allow(json!(["A=1", "B=2"])), allow(json!(["B=2", "A=1"]))), None);
    assert_eq!(decisions(allow(Json::Null), allow(json!(["B=2", "A=1"]))), None);
    assert_eq!(decisions(allow(json!(["A=1", "C=3"])), allow(json!(["A=1"]))), None);
    assert_eq!(decisions(allow(json!(["A=1", "B=2"])), allow(json!(["A=1"]))), Some("env_list"));
    let caps = |sets: Json| json!({"allowed": true, "caps_list": sets});
    assert_eq!(decisions(caps(capabilities(&["CAP_KILL"])), caps(capabilities(&[]))), Some("caps_list"));
    let stdio = |access: Json| json!({"allowed": true, "allow_stdio_access": access});
    assert_eq!(decisions(stdio(json!(true)), stdio(json!(false))), Some("allow_stdio_access"));
    assert_eq!(decisions(stdio(Json::Null), stdio(json!(false))), None);
    let denied = json!({"allowed": false, "env_list": ["A=1"]});
    assert_eq!(decisions(denied, json!({"allowed": false})), None);
}

#[test]
fn a_failure_agrees_with_a_denial_only() {
    let failed = Answer::Failed("conflict".to_owned());
    let given = |value: Json| {
        Comparison::Strict.mismatch(CREATE, &Json::Null, &failed, &Answer::Value(value)).is_some()
    };
    assert!(given(json!({"allowed": true})));
    assert!(!given(json!({"allowed": false})));
    assert!(!given(Json::Null));
}

#[test]
fn strict_comparisons_take_answers_to_the_letter() {
    let strict = |recorded, given| field(Comparison::Strict, CREATE, recorded, given);
    assert_eq!(strict(Json::Null, json!({"allowed": false})), Some("allowed"));
    let allow = |env: Json| json!({"allowed": true, "env_list": env, "metadata": []});
    assert_eq!(strict(allow(json!(["A=1", "B=2"])), allow(json!(["B=2", "A=1"]))), Some("env_list"));
    assert_eq!(strict(json!("1"), json!("2")), Some("value"));
    let parameters = |value: Json| json!({"allowed": true, "parameters": value});
    assert_eq!(strict(parameters(json!([{"a": 1}])), parameters(json!([]))), Some("parameters"));
}

#[test]
fn defaults_of_points_are_compared_by_what_they_decide() {
    let info = |available: bool, default: Json| json!({"available": available, "default_results": default});
    let compare = |comparison, recorded, given| field(comparison, POINT_INFO, recorded, given);
    let denied = || info(true, json!({"allowed": false}));
    assert_eq!(compare(Comparison::Decisions, denied(), info(true, json!({}))), None);
    assert_eq!(compare(Comparison::Strict, denied(), info(true, json!({}))), Some("enforcement point"));
    for other in [info(false, json!({"allowed": false})), info(true, json!({"allowed": true}))] {
        assert_eq!(compare(Comparison::Decisions, denied(), other), Some("enforcement point"));
    }
}

#[test]
fn reasons_are_compared_only_when_asked_for() {
    let reason = "data.policy.reason";
    let errors = |list: &[&str]| json!({ "errors": list });
    let both = |recorded: Json, given: Json| {
        let compare = |comparison| field(comparison, reason, recorded.clone(), given.clone()).is_none();
        (compare(Comparison::Decisions), compare(Comparison::Strict))
    };
    assert_eq!(
        both(errors(&["invalid user", "invalid command"]), errors(&["invalid command"])),
        (true, true)
    );
    assert_eq!(both(errors(&["invalid user"]), errors(&["mountpoint invalid"])), (true, true));
    assert_eq!(both(errors(&["invalid user"]), errors(&["invalid command"])), (true, false));
    assert_eq!(both(errors(&["invalid user"]), errors(&[])), (true, false));
    assert_eq!(both(errors(&["invalid user"]), Json::Null), (false, false));
    assert_eq!(both(Json::Null, Json::Null), (true, true));
}

#[test]
fn what_is_shown_is_bounded() {
    let long = Answer::Value(json!({"allowed": true, "env_list": ["x".repeat(10_000)]}));
    let none = Answer::Value(json!({"allowed": true, "env_list": []}));
    let mismatch = Comparison::Strict.mismatch(CREATE, &Json::Null, &long, &none).unwrap();
    assert_eq!(mismatch.recorded.chars().count(), SHOWN_MAX + 1);
    assert_eq!(mismatch.given, "[]");
}
