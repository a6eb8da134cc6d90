//! Whether listed objects have the fields that their framework version demands. One that lacks a field, or has
//! it in another form, never fits a request.

use serde_json::{Map, Value as Json};

use super::document::{Document, members};
use super::finding::Findings;
use super::spelling;
use crate::native::objects::Version;

#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Flag,
    Texts,
    /// Null is what policy writers give for a command that neither image nor template names.
    TextsOrNull,
    Integers,
    /// A list of objects that `env_rules` and the checks of objects look into.
    List,
    Object,
    ObjectOrNull,
    /// A number or a text.
    Number,
}

/// A field: its name, form, and the framework version that it came with.
type Field = (&'static str, Kind, Version);

const ALWAYS: Version = Version::new(0, 0, 0);

const CONTAINER: [Field; 13] = [
    ("allow_elevated", Kind::Flag, ALWAYS),
    ("allow_stdio_access", Kind::Flag, ALWAYS),
    ("capabilities", Kind::ObjectOrNull, Version::new(0, 2, 2)),
    ("command", Kind::TextsOrNull, ALWAYS),
    ("env_rules", Kind::List, ALWAYS),
    ("exec_processes", Kind::List, ALWAYS),
    ("layers", Kind::Texts, ALWAYS),
    ("mounts", Kind::List, ALWAYS),
    ("no_new_privileges", Kind::Flag, Version::new(0, 2, 0)),
    ("seccomp_profile_sha256", Kind::Text, Version::new(0, 2, 3)),
    ("signals", Kind::Integers, ALWAYS),
    ("user", Kind::Object, Version::new(0, 2, 1)),
    ("working_dir", Kind::Text, ALWAYS),
];

/// Fields that say something to people or to Windows guests.
const CONTAINER_ALSO: [&str; 3] = ["id", "mounted_cim", "name"];

const EXTERNAL_PROCESS: [Field; 4] = [
    ("allow_stdio_access", Kind::Flag, ALWAYS),
    ("command", Kind::Texts, ALWAYS),
    ("env_rules", Kind::List, ALWAYS),
    ("working_dir", Kind::Text, ALWAYS),
];

const FRAGMENT: [Field; 4] = [
    ("feed", Kind::Text, ALWAYS),
    ("includes", Kind::Texts, ALWAYS),
    ("issuer", Kind::Text, ALWAYS),
    ("minimum_svn", Kind::Number, ALWAYS),
];

const FRAGMENT_ALSO: [&str; 2] = ["parameters", "required_receipts"];

const ENTRY_RULE: [Field; 2] = [("pattern", Kind::Text, ALWAYS), ("strategy", Kind::Text, ALWAYS)];

const PARTS_RULE: [Field; 4] = [
    ("name", Kind::Text, ALWAYS),
    ("name_strategy", Kind::Text, ALWAYS),
    ("value", Kind::Text, ALWAYS),
    ("value_strategy", Kind::Text, ALWAYS),
];

const MOUNT: [Field; 4] = [
    ("destination", Kind::Text, ALWAYS),
    ("options", Kind::Texts, ALWAYS),
    ("source", Kind::Text, ALWAYS),
    ("type", Kind::Text, ALWAYS),
];

const EXEC_PROCESS: [Field; 2] = [("command", Kind::Texts, ALWAYS), ("signals", Kind::Integers, ALWAYS)];

const USER: [Field; 3] = [
    ("group_idnames", Kind::List, ALWAYS),
    ("umask", Kind::Text, ALWAYS),
    ("user_idname", Kind::Object, ALWAYS),
];

const ID_NAME: [Field; 2] = [("pattern", Kind::Text, ALWAYS), ("strategy", Kind::Text, ALWAYS)];

const CAPABILITIES: [Field; 5] = [
    ("ambient", Kind::Texts, ALWAYS),
    ("bounding", Kind::Texts, ALWAYS),
    ("effective", Kind::Texts, ALWAYS),
    ("inheritable", Kind::Texts, ALWAYS),
    ("permitted", Kind::Texts, ALWAYS),
];

const ENV_STRATEGIES: [&str; 2] = ["string", "re2"];
const ID_NAME_STRATEGIES: [&str; 4] = ["any", "id", "name", "re2"];

pub(super) fn check(document: &Document, findings: &mut Findings) {
    let mut shapes = Shapes { version: document.framework_version, findings };
    for (path, container) in document.list("containers") {
        shapes.container(container, &path);
    }
    for (path, process) in document.list("external_processes") {
        if shapes.object(process, &path, &EXTERNAL_PROCESS, &[]) {
            shapes.env_rules(process, &path);
        }
    }
    for (path, fragment) in document.list("fragments") {
        shapes.object(fragment, &path, &FRAGMENT, &FRAGMENT_ALSO);
    }
    for (path, rule) in document.list("platform_rules") {
        shapes.env_rules(rule, &path);
        shapes.mounts(rule, &path);
    }
}

struct Shapes<'a> {
    version: Option<Version>,
    findings: &'a mut Findings,
}

impl Shapes<'_> {
    fn container(&mut self, container: &Json, path: &str) {
        if !self.object(container, path, &CONTAINER, &CONTAINER_ALSO) {
            return;
        }
        self.env_rules(container, path);
        self.mounts(container, path);
        for (path, process) in members(container.get("exec_processes"), &format!("{path}.exec_processes")) {
            self.object(process, &path, &EXEC_PROCESS, &["allow_stdio_access"]);
        }
        if container["capabilities"].is_object() {
            self.object(&container["capabilities"], &format!("{path}.capabilities"), &CAPABILITIES, &[]);
        }
        if container["user"].is_object() {
            self.user(&container["user"], &format!("{path}.user"));
        }
    }

    fn user(&mut self, user: &Json, path: &str) {
        self.object(user, path, &USER, &[]);
        let umask = user["umask"].as_str().unwrap_or("0022");
        if umask.len() != 4 || !umask.bytes().all(|digit| (b'0'..b'8').contains(&digit)) {
            let message = "a request's umask has four octal digits, so that this one never fits";
            self.findings.error("umask-form", format!("{path}.umask"), message);
        }
        self.id_name(&user["user_idname"], &format!("{path}.user_idname"));
        for (path, group) in members(user.get("group_idnames"), &format!("{path}.group_idnames")) {
            self.id_name(group, &path);
        }
    }

    fn id_name(&mut self, rule: &Json, path: &str) {
        if !rule.is_object() || !self.object(rule, path, &ID_NAME, &[]) {
            return;
        }
        self.strategy(&rule["strategy"], path, &ID_NAME_STRATEGIES);
        let pattern = rule["pattern"].as_str().unwrap_or_default();
        let number = !pattern.is_empty() && pattern.bytes().all(|digit| digit.is_ascii_digit());
        if rule["strategy"] == "id" && !number {
            self.findings.error("id-not-a-number", path, format!("no user or group has the id `{pattern}`"));
        }
    }

    fn strategy(&mut self, strategy: &Json, path: &str, known: &[&str]) {
        let strategy = strategy.as_str().unwrap_or_default();
        if !known.contains(&strategy) {
            let message = format!("`{strategy}` is not one of {}; the rule never fits", known.join(", "));
            self.findings.error("strategy-unknown", path, message);
        }
    }

    fn env_rules(&mut self, object: &Json, path: &str) {
        for (path, rule) in members(object.get("env_rules"), &format!("{path}.env_rules")) {
            let parts =
                rule.get("pattern").is_none() && (rule.get("name").is_some() || rule.get("value").is_some());
            if parts {
                self.object(rule, &path, &PARTS_RULE, &["required"]);
                for strategy in ["name_strategy", "value_strategy"] {
                    self.strategy(&rule[strategy], &path, &ENV_STRATEGIES);
                }
            } else if self.object(rule, &path, &ENTRY_RULE, &["required"]) {
                self.strategy(&rule["strategy"], &path, &ENV_STRATEGIES);
            }
        }
    }

    fn mounts(&mut self, object: &Json, path: &str) {
        for (path, mount) in members(object.get("mounts"), &format!("{path}.mounts")) {
            self.object(mount, &path, &MOUNT, &[]);
        }
    }

    /// Checks one object's fields; whether it is an object at all.
    fn object(&mut self, object: &Json, path: &str, fields: &[Field], also: &[&str]) -> bool {
        let Some(object) = object.as_object() else {
            self.findings.error("field-type", path, "this must be an object");
            return false;
        };
        for (name, kind, since) in fields {
            match object.get(*name) {
                Some(value) if !kind.fits(value) => {
                    let message = format!("this must be {}", kind.described());
                    self.findings.error("field-type", format!("{path}.{name}"), message);
                }
                None if self.version.is_some_and(|version| version >= *since) => {
                    self.findings.error("field-missing", path, format!("without `{name}` no request fits"));
                }
                _ => {}
            }
        }
        self.unknown(object, path, fields, also);
        true
    }

    fn unknown(&mut self, object: &Map<String, Json>, path: &str, fields: &[Field], also: &[&str]) {
        let known = || fields.iter().map(|(name, ..)| *name).chain(also.iter().copied());
        for name in object.keys() {
            if known().any(|known| known == name) {
                continue;
            }
            let path = format!("{path}.{name}");
            match spelling::meant(name, known()) {
                Some(meant) => {
                    self.findings.warning(
                        "field-misspelt",
                        path,
                        format!("nobody reads it; is `{meant}` meant?"),
                    );
                }
                None => self.findings.note("field-unknown", path, "the framework does not read this field"),
            }
        }
    }
}

impl Kind {
    fn fits(self, value: &Json) -> bool {
        let all = |fits: fn(&Json) -> bool| value.as_array().is_some_and(|list| list.iter().all(fits));
        match self {
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Texts => all(Json::is_string),
            Self::TextsOrNull => value.is_null() || all(Json::is_string),
            Self::Integers => all(|number| number.is_i64() || number.is_u64()),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
            Self::ObjectOrNull => value.is_object() || value.is_null(),
            Self::Number => value.is_number() || value.is_string(),
        }
    }

    const fn described(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Flag => "true or false",
            Self::Texts | Self::TextsOrNull => "a list of texts",
            Self::Integers => "a list of whole numbers",
            Self::List => "a list",
            Self::Object => "an object",
            Self::ObjectOrNull => "an object or null",
            Self::Number => "a number, or a text with one",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::lint::fixture::Policy;

    fn changed(change: impl FnOnce(&mut Json)) -> Policy {
        Policy::new().container(1, change)
    }

    #[test]
    fn missing_fields_are_found_for_the_policys_version() {
        assert_eq!(Policy::new().paths("field-missing"), [""; 0]);
        let without = || {
            changed(|container| {
                container.as_object_mut().unwrap().remove("seccomp_profile_sha256");
            })
        };
        assert_eq!(without().paths("field-missing"), ["containers[1]"]);
        assert_eq!(without().replace("\"0.5.0\"", "\"0.2.2\"").paths("field-missing"), [""; 0]);
        let rule =
            changed(|container| container["env_rules"][2] = json!({"name": "A", "name_strategy": "string"}));
        assert_eq!(rule.paths("field-missing"), ["containers[1].env_rules[2]"; 2]);
    }

    #[test]
    fn fields_of_another_form_are_found() {
        assert_eq!(Policy::new().paths("field-type"), [""; 0]);
        for (field, value) in [
            ("command", json!("/bin/web")),
            ("signals", json!(["TERM"])),
            ("allow_elevated", json!("false")),
            ("user", json!(null)),
            ("mounts", json!({})),
        ] {
            let policy = changed(|container| container[field] = value);
            assert_eq!(policy.paths("field-type"), [format!("containers[1].{field}")]);
        }
        let policy = Policy::new().containers(|containers| containers.push(json!("web")));
        assert_eq!(policy.paths("field-type"), ["containers[2]"]);
        let unprivileged = changed(|container| container["capabilities"] = Json::Null);
        assert_eq!(unprivileged.paths("field-type"), [""; 0]);
    }

    #[test]
    fn fields_that_nobody_reads_are_found() {
        for code in ["field-misspelt", "field-unknown"] {
            assert_eq!(Policy::new().paths(code), [""; 0]);
        }
        let misspelt = changed(|container| container["mount"] = json!([]));
        assert_eq!(misspelt.paths("field-misspelt"), ["containers[1].mount"]);
        let more = changed(|container| container["comment"] = json!("of the team"));
        assert_eq!(more.paths("field-unknown"), ["containers[1].comment"]);
    }

    #[test]
    fn umasks_that_no_request_has_are_found() {
        assert_eq!(Policy::new().paths("umask-form"), [""; 0]);
        for umask in ["22", "0o22", "0028", ""] {
            let policy = changed(|container| container["user"]["umask"] = json!(umask));
            assert_eq!(policy.paths("umask-form"), ["containers[1].user.umask"]);
        }
    }

    #[test]
    fn ids_are_numbers() {
        assert_eq!(Policy::new().paths("id-not-a-number"), [""; 0]);
        let policy = changed(|container| container["user"]["group_idnames"][0]["pattern"] = json!("staff"));
        assert_eq!(policy.paths("id-not-a-number"), ["containers[1].user.group_idnames[0]"]);
    }

    #[test]
    fn strategies_that_nobody_knows_are_found() {
        assert_eq!(Policy::new().paths("strategy-unknown"), [""; 0]);
        let rule = changed(|container| container["env_rules"][1]["strategy"] = json!("regex"));
        assert_eq!(rule.paths("strategy-unknown"), ["containers[1].env_rules[1]"]);
        let user = changed(|container| container["user"]["user_idname"]["strategy"] = json!("string"));
        assert_eq!(user.paths("strategy-unknown"), ["containers[1].user.user_idname"]);
    }
}
