//! What a denial shows to whom, and how much.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::{Both, SECRET, container, create, device, with};
use crate::denial::{DENIAL_BYTES_MAX, Denial};
use crate::explanation::{DIFFERENCES_MAX, EXPLANATION_BYTES_MAX, EXPLANATION_TEXT_BYTES_MAX};

/// All that a denial shows to anyone.
fn shown(denial: &Denial) -> String {
    format!("{denial}\n{denial:?}\n{}", json!(denial))
}

#[test]
fn a_host_learns_names_of_fields_and_no_values() {
    let mut both = Both::mounted(&[container()], "");
    let request = with(create(), &[("/argList/0", json!("/bin/other")), ("/mounts/1/source", json!("/etc"))]);
    let denial = Denial::explained("create_container".into(), both.denied("create_container", &request));
    assert_eq!(
        denial.to_string(),
        "create_container is denied by policy: invalid command; invalid mount list: /data; closest is container 0 \
         `web`, which differs in command, mounts"
    );
    let denial = Denial::explained("mount_device".into(), both.denied("mount_device", &device("/m7", "ee")));
    assert_eq!(
        denial.to_string(),
        "mount_device is denied by policy: deviceHash not found; the policy names 2 layers"
    );
}

#[test]
fn explanations_are_bounded() {
    let long = "é".repeat(30_000);
    let many = |entry: &dyn Fn(usize) -> Json| Json::Array((0..1_000).map(entry).collect());
    let containers = [with(
        container(),
        &[
            ("/name", json!(format!("{long}\n"))),
            ("/id", json!(long)),
            ("/command", many(&|_| json!(long.get(..2_000)))),
            ("/working_dir", json!(long)),
        ],
    )];
    let mut both = Both::mounted(&containers, "");
    let mount = |number: usize| json!({"destination": format!("/{number}"), "source": long.get(..200), "type": "bind", "options": []});
    let request = with(
        create(),
        &[
            ("/argList", many(&|number| json!(format!("{number}\u{1b}[2J")))),
            ("/workingDir", json!(long)),
            ("/envList", many(&|number| json!(format!("N{number}={SECRET}")))),
            ("/mounts", Json::Array((0..400).map(mount).collect())),
            ("/groups", many(&|number| json!({"id": number.to_string(), "name": long.get(..200)}))),
            ("/umask", json!(long)),
            ("/seccompProfileSHA256", json!(long)),
        ],
    );
    let denial = Denial::explained("create_container".into(), both.denied("create_container", &request));
    assert!(denial.to_string().len() <= DENIAL_BYTES_MAX, "{}", denial.to_string().len());
    assert!(json!(denial).to_string().len() < 4 * EXPLANATION_BYTES_MAX);
    let closest = denial.closest.as_ref().unwrap();
    assert_eq!(closest.differences.len(), DIFFERENCES_MAX);
    assert!(closest.differences_left_out > 3_000, "{}", closest.differences_left_out);
    let differences = closest.differences.iter();
    let texts = differences.flat_map(|one| [&one.element, &one.expected, &one.given]).flatten();
    let texts: Vec<&String> = texts.chain(&closest.name).chain(&closest.id).collect();
    assert!(texts.iter().map(|text| text.len()).sum::<usize>() <= EXPLANATION_BYTES_MAX);
    for text in texts {
        assert!(text.len() <= EXPLANATION_TEXT_BYTES_MAX && !text.contains(char::is_control), "{text}");
    }
}

/// A rule about the environment whose value or pattern holds the marker.
fn rule() -> impl Strategy<Value = Json> {
    let name = prop_oneof![Just("A"), Just("TOKEN"), Just("(A|B)"), Just("A.*"), Just("A\\x3d"), Just("")];
    let equals = prop_oneof![Just("="), Just("."), Just("\\x3d"), Just("[<->]"), Just("{1}=?=")];
    (name, equals, 0..4, any::<bool>()).prop_map(|(name, equals, form, required)| match form {
        0 => json!({"pattern": format!("{name}={SECRET}"), "strategy": "string", "required": required}),
        1 => json!({"pattern": format!("{name}{equals}{SECRET}|B=.*"), "strategy": "re2", "required": required}),
        2 => json!({"name": name, "name_strategy": "re2", "value": SECRET, "value_strategy": "string",
                    "required": required}),
        _ => json!({"name": name, "name_strategy": "string", "value": format!(".*{SECRET}.*"),
                    "value_strategy": "re2", "required": required}),
    })
}

fn entry() -> impl Strategy<Value = String> {
    let name = prop_oneof![Just("A"), Just("B"), Just("TOKEN"), Just("OTHER"), Just("")];
    (name, "[a-z=]{0,2}", any::<bool>()).prop_map(|(name, rest, twice)| {
        if twice { format!("{name}={rest}{SECRET}={SECRET}") } else { format!("{name}={SECRET}{rest}") }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Neither what variables hold nor what rules want of them is in any form of a denial.
    #[test]
    fn no_value_of_an_environment_is_ever_shown(
        rules in proptest::collection::vec(proptest::collection::vec(rule(), 0..4), 1..3),
        environment in proptest::collection::vec(entry(), 0..4),
        dropping in any::<bool>(),
    ) {
        let containers: Vec<Json> =
            rules.into_iter().map(|rules| with(container(), &[("/env_rules", json!(rules))])).collect();
        let right = format!("allow_environment_variable_dropping := {dropping}");
        let mut both = Both::mounted(&containers, &right);
        let request = with(create(), &[("/envList", json!(environment)), ("/umask", json!("0777"))]);
        let denial = Denial::explained("create_container".into(), both.denied("create_container", &request));
        prop_assert!(!shown(&denial).contains(SECRET), "{}", shown(&denial));
        prop_assert!(denial.closest.is_some());
    }
}
