use super::*;
use crate::evaluator::rego::framework_references;

fn check_modules(modules: &[(&str, &str)]) -> Option<String> {
    let modules: Vec<References> = modules
        .iter()
        .map(|(package, text)| References::read(package, &format!("package {package}\n{text}\n")))
        .collect();
    check(modules.iter()).err().map(|error| match error {
        RecursionError::Circle { package, rule } => format!("{package}.{rule}"),
        RecursionError::Depth { package, rule } => format!("depth of {package}.{rule}"),
    })
}

fn recursive(rules: &str) -> Option<String> {
    check_modules(&[("policy", rules)])
}

#[test]
fn recursive_functions_are_found() {
    for rules in [
        "f(x) := f(x)",
        "f(x) := y if {\n y := g(x)\n}\ng(x) := f(x - 1)",
        "f(x) := g(x) g(x) := f(x)",
        "f(x) := data.policy.f(x)",
        "f(x) := data[\"policy\"][\"f\"](x)",
        "f(x) := data.policy[\"f\"](x)",
        "import data.policy.f as again\nf(x) := again(x)",
        "import data.policy as p\nf(x) := p.f(x)",
        "import data[\"policy\"] as p\nf(x) := p[\"f\"](x)",
        "import data.policy\nf(x) := policy.f(x)",
        "f(0) := 1\nelse := 2 if f(1)",
        "f(x) := y if {\n y := x\n} else := f(x)",
        "f(x) := y if {\n z := {f: 1}\n y := f(z)\n}",
        // A variable does not hide a function.
        "f(x) := y if {\n f := 1\n y := f(x)\n}",
        "f(f) := f(f)",
        "f(x) := y if {\n some f in x\n y := f(x)\n}",
        "f(f) := count(f) with count as f",
        "f(x) := [y | some z in x; y := f(z)]",
        "default f(_) := 0\nf(x) := 1 if f(x - 1) == 0",
        // Not outside its own package, but inside an index.
        "f(x) := input.y[f(x)]",
    ] {
        assert_eq!(recursive(rules).as_deref(), Some("policy.f"), "{rules}");
    }
}

#[test]
fn recursive_rules_are_found() {
    for (rules, rule) in [
        ("a := a", "a"),
        ("a := b\nb := a", "a"),
        ("a if not a", "a"),
        ("a contains x if some x in a", "a"),
        ("a := data.policy.a", "a"),
        ("a := data.policy", "a"),
        ("a := data", "a"),
        ("a := data[input.x].a", "a"),
        ("a := data.policy[input.x]", "a"),
        ("a[x] := 1 if some x, _ in a", "a"),
        ("a.b := a.c\na.c := 1", "a"),
        ("f(x) := r + x\nr := f(1)", "f"),
    ] {
        assert_eq!(recursive(rules).as_deref(), Some(&*format!("policy.{rule}")), "{rules}");
    }
}

#[test]
fn circles_through_other_modules_are_found() {
    let framework =
        ("framework", "containers := data.policy.containers\nnames(x) := data[input.namespace].name");
    assert_eq!(
        check_modules(&[framework, ("policy", "containers := data.framework.containers")]).as_deref(),
        Some("framework.containers")
    );
    assert_eq!(
        check_modules(&[("policy", "f(x) := data.part.g(x)"), ("part", "g(x) := data.policy.f(x)")])
            .as_deref(),
        Some("part.g")
    );
    assert_eq!(
        check_modules(&[framework, ("part", "name := data.framework.names(1)")]).as_deref(),
        Some("framework.names")
    );
    assert_eq!(
        check_modules(&[framework, ("policy", "containers := []\nx := data.framework.containers")]),
        None
    );
}

#[test]
fn rules_lead_to_others_over_a_number_of_steps() {
    let chain = |steps: usize| -> String {
        (1..=steps).rev().map(|step| format!("r{step:03} := r{:03}\n", step - 1)).collect()
    };
    assert_eq!(recursive(&format!("{}r000 := 1", chain(RULE_DEPTH_MAX))), None);
    let beyond = format!("{}r000 := 1", chain(RULE_DEPTH_MAX + 1));
    assert_eq!(recursive(&beyond), Some(format!("depth of policy.r{:03}", RULE_DEPTH_MAX + 1)));
    // A way that was looked at before counts too.
    assert_eq!(
        recursive(&format!("a := r{:03}\n{}r000 := 1", RULE_DEPTH_MAX, chain(RULE_DEPTH_MAX))).as_deref(),
        Some("depth of policy.a")
    );
}

#[test]
fn the_framework_leaves_steps_to_policies() {
    let text = (1..=8).map(|step| format!("r{step} := r{}\n", step - 1)).collect::<String>();
    let policy = References::read(
        "policy",
        &format!("{text}r0 := data.framework.create_container\nx := data.framework.errors"),
    );
    assert_eq!(check(framework_references().iter().chain([&policy])), Ok(()));
}

#[test]
fn rules_without_circles_pass() {
    for rules in [
        "mount_device := data.framework.mount_device",
        "f(x) := g(x) if x > 0\ng(x) := x + 1",
        "default f(_) := 0\nf(x) := 1 if {\n # f(x)\n x == \"\\\"f(x)\\\"\"\n}",
        "reason := {\"errors\": data.framework.errors}\nerrors := 1",
        "a := {\"a\": [{\"a\": \"a\"}]}",
        "a := input.a",
        "a := input[\"a\"]",
        "a := x if {\n x := input.a.a\n}",
        "a := [b | some b in input.bs]\nb := a",
        "a := x if {\n b := input.b\n x := b\n}\nb := a",
        "a if every b in input.bs {\n b == 1\n}\nb := a",
        "f(b) := b\nb := f(1)",
        "import input.a as a\nb := a",
        "import rego.v1\nimport future.keywords.every\nevery_one := 1",
        "allow if {\n some x\n input.list[x] == \"x\"\n}\nx := allow",
        "a := data.framework.a\nb := data.other.b",
    ] {
        assert_eq!(recursive(rules), None, "{rules}");
    }
}

proptest::proptest! {
    /// Any text is read.
    #[test]
    fn no_text_breaks_the_search(text in "[a-f(){}\\[\\]:=., \n\"]{0,60}|(import|some|as|in|data|x|f|\\(|\\)|\\.|\\[|\\]|:=|\n| ){0,30}") {
        let _ = recursive(&text);
    }
}
