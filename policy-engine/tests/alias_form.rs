//! Policies that nearly are plain lists and pointers to the framework. The native matcher takes only those
//! that are; whatever means more, or something else, is the interpreter's, and means there what Rego says.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test: whatever goes wrong ends it")]

use policy_engine::{EvaluatorKind, Session};
use serde_json::{Map, Value, json};

/// Who judges a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judge {
    Native,
    Interpreter,
    /// Nobody: it does not load.
    Nobody,
}
use Judge::{Interpreter, Native, Nobody};

const CONTAINER: &str = r#"{"allow_elevated": false, "allow_stdio_access": true, "capabilities": null,
    "command": ["/bin/a"], "env_rules": [{"pattern": "A=1", "strategy": "string", "required": false}],
    "exec_processes": [], "layers": ["aa"], "mounts": [], "no_new_privileges": false,
    "seccomp_profile_sha256": "", "signals": [9], "user": {"user_idname": {"pattern": "", "strategy": "any"},
    "group_idnames": [], "umask": "0022"}, "working_dir": "/"}"#;

/// A policy in alias form, without the definition of `mount_device`.
fn policy(definitions: &str) -> String {
    format!(
        "package policy\n\napi_version := \"0.12.0\"\nframework_version := \"0.5.0\"\n\n\
         containers := [{CONTAINER}]\n\nallow_properties_access := true\n\n{definitions}\n\
         mount_overlay := data.framework.mount_overlay\ncreate_container := data.framework.create_container\n\
         signal_container_process := data.framework.signal_container_process\n\
         get_properties := data.framework.get_properties\ndump_stacks := data.framework.dump_stacks\n\
         reason := {{\"errors\": data.framework.errors}}\n"
    )
}

const ALIAS: &str = "mount_device := data.framework.mount_device";

fn data() -> Map<String, Value> {
    let data = json!({
        "defaultMounts": [], "privilegedMounts": [], "defaultPrivilegedCapabilities": [],
        "defaultUnprivilegedCapabilities": [], "sandboxPrefix": "sandbox://", "hugePagesPrefix": "hugepages://",
        "plan9Prefix": "plan9://",
    });
    data.as_object().unwrap().clone()
}

/// Questions whose answers tell one meaning of a policy from another.
fn questions() -> Vec<(&'static str, Value)> {
    let mount = |target: &str, hash: &str| json!({ "target": target, "deviceHash": hash, "mountPathRegex": "/m[0-9]" });
    let create = |argument: &str, environment: Value| {
        let none: [&str; 0] = [];
        json!({
            "containerID": "c", "argList": [argument], "envList": environment, "workingDir": "/",
            "sandboxDir": "/s", "hugePagesDir": "/h", "mounts": [], "devices": [], "privileged": false,
            "noNewPrivileges": false, "user": {"id": "0", "name": ""}, "groups": [], "umask": "0022",
            "capabilities": {
                "bounding": none, "effective": none, "inheritable": none, "permitted": none, "ambient": none,
            },
            "seccompProfileSHA256": "", "isSandboxContainer": false, "rule": "create_container",
        })
    };
    let signal = |number: i64| json!({ "containerID": "c", "signal": number, "isInitProcess": true, "argList": ["/bin/a"] });
    vec![
        ("get_properties", json!({})),
        ("dump_stacks", json!({})),
        ("runtime_logging", json!({})),
        ("mount_device", mount("/elsewhere", "aa")),
        ("mount_device", mount("/m1", "bb")),
        ("mount_device", mount("/m1", "aa")),
        ("mount_device", mount("/m1", "aa")),
        ("mount_overlay", json!({ "containerID": "c", "layerPaths": ["/m1"], "target": "/root" })),
        ("create_container", create("/bin/b", json!([]))),
        ("reason", create("/bin/b", json!([]))),
        ("create_container", create("/bin/a", json!(["B=1"]))),
        ("create_container", create("/bin/a", json!(["A=1"]))),
        ("signal_container_process", signal(10)),
        ("signal_container_process", signal(9)),
    ]
}

/// What is compared: changes of state show in the answers that follow.
fn answer(session: &mut Session, rule: &str, input: &Value) -> Option<Value> {
    let mut answer = session.query(rule, input).ok()?;
    answer.as_object_mut().and_then(|fields| fields.remove("metadata"));
    Some(answer)
}

/// Who judges `text`; fails where that changes an answer. With the answers.
fn judged(text: &str) -> (Judge, Vec<Option<Value>>) {
    let load = |kind| Session::load(text.as_bytes(), data(), kind);
    let (mut interpreter, mut native) = match (load(EvaluatorKind::Interpreter), load(EvaluatorKind::Native))
    {
        (Ok(interpreter), Ok(native)) => (interpreter, native),
        (Err(_), Err(_)) => return (Nobody, Vec::new()),
        (interpreter, native) => {
            panic!("only one loads {text}\n{:?}\n{:?}", interpreter.map(drop), native.map(drop))
        }
    };
    let mut answers = Vec::new();
    for (rule, input) in questions() {
        let rule = format!("data.policy.{rule}");
        let specified = answer(&mut interpreter, &rule, &input);
        let given = answer(&mut native, &rule, &input);
        assert_eq!(given, specified, "{rule} {input} of\n{text}");
        answers.push(specified);
    }
    (if native.native_answers() > 0 { Native } else { Interpreter }, answers)
}

fn assert_judge(judge: Judge, texts: &[&str]) {
    for text in texts {
        assert_eq!(judged(text).0, judge, "{text}");
    }
}

/// As `assert_judge`, for definitions in place of the plain alias.
fn assert_judge_of(judge: Judge, definitions: &[&str]) {
    for definition in definitions {
        assert_eq!(judged(&policy(definition)).0, judge, "{definition}");
    }
}

#[test]
fn the_plain_form_is_native() {
    let (judge, answers) = judged(&policy(ALIAS));
    assert_eq!(judge, Native);
    let allowed: Vec<bool> = answers
        .iter()
        .map(|answer| answer.as_ref().is_some_and(|answer| answer["allowed"] == true))
        .collect();
    // The questions tell an allow from a denial.
    let expected =
        [true, false, false, false, false, true, false, true, false, false, false, true, false, true];
    assert_eq!(allowed, expected);
}

#[test]
fn layout_changes_nothing() {
    let plain = policy(ALIAS);
    let commented = plain.replace('\n', " # := data.framework.x \"\n");
    assert_judge(
        Native,
        &[
            &plain.replace('\n', "\r\n"),
            &plain.replace(" := ", ":="),
            &plain.replace(" := ", "\t:=\t"),
            &plain.replace('\n', "\n\n"),
            &plain.replace("\"layers\": [\"aa\"]", "\"layers\": [\n\t\"aa\",\n]"),
            &plain.replace("\"/bin/a\"", r#""\/bin\u002fa""#),
            &plain.replace("package policy", "# tenant\n\npackage policy # mine"),
            &plain.replace(
                "package policy",
                "package policy\nimport future.keywords.in\nimport future.keywords.if",
            ),
            &plain.replace("package policy", "package policy\nimport rego.v1"),
            &plain.replace("{\"errors\": data.framework.errors}", "data.framework.reason"),
            plain.trim_end(),
        ],
    );
    // Comments are read wherever a line may end.
    assert_ne!(judged(&commented).0, Nobody);
    assert_eq!(judged(&commented).1, judged(&plain).1);
}

#[test]
fn rules_that_only_look_like_aliases_are_interpreted() {
    let definitions = [
        "mount_device := data.framework.mount_device if true",
        "mount_device := data.framework.mount_device if { input.target == \"/m1\" }",
        "mount_device := data.framework.mount_device if false",
        "mount_device := data[\"framework\"].mount_device",
        "mount_device := data.framework[\"mount_device\"]",
        "mount_device := (data.framework.mount_device)",
        "mount_device := data . framework . mount_device",
        "mount_device := data.framework.mount_overlay",
        "mount_device := data.framework.get_properties",
        "mount_device := data.framework.mount_device.metadata",
        "mount_device := data.policy.get_properties",
        "mount_device := data.api.enforcement_points",
        "mount_device := get_properties",
        "mount_device = data.framework.mount_device",
        "default mount_device := {\"allowed\": true}",
        "default mount_device := {\"allowed\": true}\nmount_device := data.framework.mount_device",
        "mount_device := data.framework.mount_device\nmount_device := data.framework.mount_device",
        "mount_device := data.framework.mount_device\nmount_device := {\"allowed\": true}",
        "mount_device := {\"allowed\": true}\nmount_device := data.framework.mount_device",
        "mount_device := data.framework.mount_device if input.target == \"x\" else := {\"allowed\": true}",
        "mount_device := data.framework.mount_device { true }",
        "mount_device := {\"allowed\": true}",
        "mount_device := {\"allowed\": true, \"metadata\": []}",
        "mount_device := data.framework.mount_device if data.policy.allow_properties_access with input as {}",
        "mount_device := object.union(data.framework.mount_device, {\"allowed\": true})",
        "mount_device := {\"allowed\": data.framework.mount_device.allowed}",
        "mount_device contains \"allowed\"",
        "mount_device[\"allowed\"] := true",
        "mount_device.allowed := true",
        "mount_device := `x`",
        "f(x) := x\nmount_device := f(data.framework.mount_device)",
        "mount_device := [rule | rule := data.framework.mount_device][0]",
        "mount_device := data.framework.mount_device\nmount_device_ := data.framework.mount_device",
    ];
    let judges = definitions.map(|definition| {
        let (judge, _) = judged(&policy(definition));
        assert_ne!(judge, Native, "{definition}");
        judge
    });
    // Most are Rego, and so are judged.
    let interpreted = judges.iter().filter(|judge| **judge == Interpreter).count();
    assert!(interpreted > 20, "{judges:?}");
}

#[test]
fn names_that_only_look_alike_are_not_taken_for_each_other() {
    // Cyrillic `о`, a fullwidth letter, a zero-width space, a combining accent.
    for name in ["m\u{43e}unt_device", "\u{ff4d}ount_device", "mount\u{200b}_device", "mount_device\u{301}"] {
        for definition in [
            format!("{name} := data.framework.mount_device"),
            format!("mount_device := data.framework.{name}"),
        ] {
            assert_ne!(judged(&policy(&definition)).0, Native, "{definition}");
        }
    }
    assert_judge_of(Interpreter, &["mount_devices := data.framework.mount_devices"]);
}

#[test]
fn imports_that_rename_are_interpreted() {
    let import = |line: &str| policy(ALIAS).replace("package policy\n", &format!("package policy\n{line}\n"));
    let other = |line: &str| {
        policy("mount_device := framework.mount_device")
            .replace("package policy\n", &format!("package policy\n{line}\n"))
    };
    assert_judge(
        Interpreter,
        &[
            &import("import data.framework"),
            &import("import data.framework as other"),
            &import("import input as request"),
            &other("import data.framework"),
        ],
    );
    // A rule that would refer to itself is refused.
    let renamed = "import data.policy as framework";
    assert_judge(Interpreter, &[&import(renamed)]);
    assert_judge(Nobody, &[&other(renamed)]);
    for line in
        ["import data.policy as data", "import input as data", "import rego.v1\nimport future.keywords.in"]
    {
        assert_ne!(judged(&import(line)).0, Native, "{line}");
    }
}

#[test]
fn literals_whose_reading_could_be_argued_about_are_interpreted() {
    let plain = policy(ALIAS);
    let flag = |value: &str| plain.replace("access := true", &format!("access := {value}"));
    let command = |value: &str| plain.replace("[\"/bin/a\"]", value);
    for text in [
        flag("\"true\""),
        flag("1"),
        flag("null"),
        flag("[true]"),
        flag("{true}"),
        flag("1 == 1"),
        flag("true == false"),
        flag("not false"),
        flag("input.x"),
        flag("data.policy.x"),
        flag("true; false"),
        flag("true\nallow_properties_access := false"),
        flag("true\nallow_properties_access := true"),
        flag("false\ndefault allow_properties_access := true"),
        command("[`/bin/a`]"),
        command("[\"/bin/\", \"a\"][0]"),
        command("[concat(\"\", [\"/bin\", \"/a\"])]"),
        command("{\"/bin/a\"}"),
        command("set()"),
        command("[\"/bin/a\" | true]"),
        command("[\"/bin/a\", input.x]"),
        command("array.concat([\"/bin/a\"], [])"),
        command("[true]"),
        command("[1]"),
        command("[null]"),
        command("\"/bin/a\""),
        plain.replace("\"signals\": [9]", "\"signals\": [9.0]"),
        plain.replace("\"signals\": [9]", "\"signals\": [9e0]"),
        plain.replace("\"signals\": [9]", "\"signals\": [0x9]"),
        plain.replace("\"signals\": [9]", "\"signals\": [09]"),
        plain.replace("\"signals\": [9]", "\"signals\": [-9]"),
        plain.replace("\"signals\": [9]", "\"signals\": [+9]"),
        plain.replace("\"signals\": [9]", "\"signals\": [9, 99999999999999999999999]"),
        plain.replace("\"signals\": [9]", "\"signals\": {9}"),
        plain.replace("\"allow_elevated\": false", "\"allow_elevated\": true, \"allow_elevated\": false"),
        plain.replace("\"allow_elevated\": false", "\"allow_elevated\": false, allow_elevated: true"),
        plain.replace("\"working_dir\": \"/\"", "\"working_dir\": \"/\", \"working_d\\u0069r\": \"/x\""),
        plain.replace("\"allow_stdio_access\": true, ", ""),
        plain.replace("\"umask\": \"0022\"", "\"umask\": 22"),
        plain.replace("\"strategy\": \"any\"", "\"strategy\": \"Any\""),
        plain.replace("\"strategy\": \"string\"", "\"strategy\": \"regex\""),
        plain.replace("\"required\": false", "\"required\": \"false\""),
        plain.replace(":= \"0.5.0\"", ":= \"0.5\""),
        plain.replace(":= \"0.5.0\"", ":= \"v0.5.0\""),
        plain.replace(":= \"0.5.0\"", ":= 0.5"),
        plain.replace(":= \"0.5.0\"", ":= \"0.5.0\"\nframework_svn := \"0.4.0\""),
        plain.replace("containers := [", "containers := [[], "),
        plain.replace("containers := [", "containers := [null, "),
        plain.replace("containers := [", "containers := {\"x\": "),
    ] {
        // A negative number is one, and loads natively as such.
        let may_be_native = text.contains("[-9]");
        let (judge, _) = judged(&text);
        assert!(judge != Native || may_be_native, "{text}");
    }
}

#[test]
fn texts_that_end_strangely_mean_the_same_to_both() {
    let plain = policy(ALIAS);
    for text in [
        format!("\u{feff}{plain}"),
        format!("{plain}\0"),
        plain.replace("\n\n", "\n\0\n"),
        format!("{plain}}}"),
        format!("{plain}]"),
        format!("{plain}x"),
        format!("{plain}\npackage policy\nmount_device := {{\"allowed\": true}}\n"),
        format!("{plain}\npackage framework\nmount_device := {{\"allowed\": true}}\n"),
        plain.replace("package policy", "package policy package framework"),
        plain.replace("package policy", "package policy.inner"),
        plain.replace("package policy", "package framework"),
        plain.replace("package policy", "package  policy;"),
        plain.replace("package policy\n", "package policy "),
        plain.replace('\n', "\r"),
        plain.replace('\n', "\u{2028}"),
        plain.replace('\n', "\u{85}"),
        plain.replace(' ', "\u{a0}"),
        plain.replace(' ', "\u{3000}"),
        plain.replace('\n', "\u{b}\n"),
        plain.replace('\n', "\u{c}\n"),
        plain.replace("\n\n", "\n;\n"),
        plain.replace(":= true", ":=\ntrue"),
        plain.replace("data.framework.mount_device", "data.framework.\nmount_device"),
        plain.replace("data.framework.mount_device", "data.\u{200b}framework.mount_device"),
        plain.replace(ALIAS, &format!("{ALIAS} get_stacks := true")),
        plain.replace("mount_device :=", "mount_device\n:="),
        plain.replace("# ", "// "),
        plain.replace("package policy", "/* x */ package policy"),
    ] {
        // Whoever judges it, the answers are the same: `judged` compares them.
        judged(&text);
    }
    for text in [
        format!("{plain}x"),
        format!("{plain}]"),
        format!("{plain}}}"),
        format!("{plain}\0"),
        format!("\u{feff}{plain}"),
        format!("{plain}\npackage policy\nmount_device := {{\"allowed\": true}}\n"),
        plain.replace("package policy", "package framework"),
    ] {
        assert_ne!(judged(&text).0, Native, "{text:?}");
    }
}

#[test]
fn escapes_mean_the_same_to_both() {
    let plain = policy(ALIAS);
    let escapes = [
        r"\u0000",
        r"\ud83d\ude00",
        r"\ud83d",
        r"\ude00\ud83d",
        r"\ud83dx",
        r"\uD83D\uDE00",
        r"\u00e9",
        r"\x41",
        r"\101",
        r"\a",
        r"\v",
        r"\'",
        r"\t\n\r\b\f",
        r"\\u0041",
        r#"\""#,
        r"\u{41}",
        r"\U00000041",
        r"\u004",
        "\u{1}",
        "\t",
        "\u{7f}",
        "\u{e9}",
        "e\u{301}",
        "\u{1f600}",
    ];
    for escape in escapes {
        let text = plain.replace("\"/bin/a\"", &format!("\"/bin/{escape}\""));
        judged(&text);
    }
}

#[test]
fn names_of_other_kinds_do_not_make_a_policy_native_with_another_meaning() {
    assert_judge_of(
        Interpreter,
        &[
            // Names that the framework does not read.
            "mount_device := data.framework.mount_device\nmy_own := 1",
            "mount_device := data.framework.mount_device\nmatches_whole := true",
            "mount_device := data.framework.mount_device\nmetadata := {\"devices\": {}}",
            // A value where the framework has a rule.
            "mount_device := data.framework.mount_device\nruntime_logging := true",
            "mount_device := true",
            "mount_device := null",
            "mount_device := []",
        ],
    );
    // Pointers where the framework reads a value: they would refer to themselves.
    for (name, target) in [("platform_rules", "platform_rules"), ("allow_dump_stacks", "dump_stacks")] {
        assert_judge_of(Nobody, &[&format!("{ALIAS}\n{name} := data.framework.{target}")]);
    }
    for keyword in
        ["if", "in", "every", "contains", "not", "default", "else", "true", "null", "with", "data", "input"]
    {
        let text = policy(&format!("{ALIAS}\n{keyword} := 1"));
        assert_ne!(judged(&text).0, Native, "{keyword}");
    }
    let reasons = [
        "{\"errors\": data.framework.reason}",
        "{\"errors\": []}",
        "{\"error\": data.framework.errors}",
        "{\"errors\": data.framework.errors, \"errors\": []}",
        "{\"errors\": data.framework.errors, \"input\": input}",
        "data.framework.errors",
        "\"no\"",
    ];
    for reason in reasons {
        let text = policy(ALIAS).replace("{\"errors\": data.framework.errors}", reason);
        assert_eq!(judged(&text).0, Interpreter, "{reason}");
    }
}
