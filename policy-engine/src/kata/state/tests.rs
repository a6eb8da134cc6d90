use super::*;

fn operation(op: &str, path: &str, value: &str) -> Value {
    let text = serde_json::json!({ "op": op, "path": path, "value": value }).to_string();
    Value::from_json_str(&text).unwrap()
}

fn add(key: &str) -> Value {
    operation("add", &format!("/pstate/{key}"), "x")
}

fn remove(key: &str) -> Value {
    operation("remove", &format!("/pstate/{key}"), "")
}

/// A sandbox named by its first container, `one`.
fn state() -> State {
    let mut state = State::new();
    let change = state.stage(&[add("sandbox_name"), add("one")], Some("one")).unwrap();
    state.commit(change);
    state
}

#[test]
fn a_staged_change_is_not_yet_there() {
    let mut state = State::new();
    let change = state.stage(&[add("sandbox_name"), add("one")], Some("one")).unwrap();
    assert_eq!(state.document(), Value::new_object());
    state.commit(change);
    assert_eq!(serde_json::to_string(&state.document()).unwrap(), r#"{"one":"x","sandbox_name":"x"}"#);
}

#[test]
fn a_container_reaches_its_own_entry_only() {
    let state = state();
    assert!(state.stage(&[remove("one")], Some("one")).is_ok());
    assert_eq!(state.stage(&[remove("one")], Some("two")).unwrap_err(), StateError::NotOwned);
    assert_eq!(state.stage(&[remove("one")], None).unwrap_err(), StateError::NotOwned);
    assert_eq!(state.stage(&[add("one")], Some("two")).unwrap_err(), StateError::NotOwned);
    // The host names a container as the sandbox names an entry.
    let stolen = state.stage(&[remove("sandbox_name")], Some("sandbox_name"));
    assert_eq!(stolen.unwrap_err(), StateError::NotOwned);
    assert!(!state.is_container_id("sandbox_name"));
    assert!(state.is_container_id("one") && state.is_container_id("two") && state.is_container_id(""));
}

#[test]
fn the_first_container_cannot_take_an_entry_of_the_sandbox() {
    let taken = State::new().stage(&[add("sandbox_name"), add("sandbox_name")], Some("sandbox_name"));
    assert_eq!(taken.unwrap_err(), StateError::Twice);
}

#[test]
fn ids_cannot_be_paths() {
    let state = state();
    for id in ["a/b", "one/../sandbox_name", "a~1b", "~", "a\nb", &"a".repeat(KEY_BYTES_MAX + 1)] {
        assert!(!state.is_container_id(id), "{id:?}");
    }
    for path in
        ["/pstate", "", "/", "pstate/a", "/pstate/a/b", "/other/a", "/pstate/a~", "/pstate/a~2", "/pstate/~é"]
    {
        assert_eq!(
            state.stage(&[operation("add", path, "x")], None).unwrap_err(),
            StateError::Path,
            "{path:?}"
        );
    }
    assert_eq!(key("/pstate/a~1b~0~01c"), Ok("a/b~~1c".to_owned()));
    assert_eq!(key("/pstate/"), Ok(String::new()));
}

#[test]
fn what_is_not_there_is_neither_removed_nor_replaced() {
    let state = state();
    assert_eq!(state.stage(&[remove("two")], Some("two")).unwrap_err(), StateError::Missing);
    let replace = operation("replace", "/pstate/two", "x");
    assert_eq!(state.stage(&[replace], Some("two")).unwrap_err(), StateError::Missing);
    assert!(state.stage(&[operation("replace", "/pstate/one", "x")], Some("one")).is_ok());
}

#[test]
fn malformed_operations_are_refused() {
    let state = state();
    for text in [
        r#"{}"#,
        r#"{"op":"add","path":"/pstate/a"}"#,
        r#"{"op":"add","value":1}"#,
        r#"{"op":1,"path":"/pstate/a","value":1}"#,
        r#"{"op":"test","path":"/pstate/one","value":"x"}"#,
        r#"{"op":"move","path":"/pstate/a","from":"/pstate/sandbox_name"}"#,
        r#"["add"]"#,
        r#"null"#,
    ] {
        let operation = Value::from_json_str(text).unwrap();
        assert_eq!(state.stage(&[operation], None).unwrap_err(), StateError::Malformed, "{text}");
    }
}

#[test]
fn state_is_bounded() {
    let mut state = State::new();
    let many: Vec<Value> = (0..ENTRIES_MAX).map(|number| add(&number.to_string())).collect();
    state.commit(state.stage(&many, None).unwrap());
    assert_eq!(state.stage(&[add("more")], None).unwrap_err(), StateError::TooLarge);
    assert!(state.stage(&[add("7")], None).is_ok());
    let long = operation("add", "/pstate/7", &"x".repeat(VALUE_BYTES_MAX));
    assert_eq!(state.stage(&[long], None).unwrap_err(), StateError::TooLarge);
    let long = add(&"x".repeat(KEY_BYTES_MAX + 1));
    assert_eq!(state.stage(&[long], None).unwrap_err(), StateError::TooLarge);
}
