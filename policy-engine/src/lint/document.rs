//! The policy as its rules give it.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use crate::evaluator::{EvaluatorKind, LoadError, Rule, Session, policy_rules};
use crate::native::objects::Version;
use crate::request::EnforcementPoint;

/// What every policy of this dialect may define beside its answers to questions.
pub(super) const VALUES: [&str; 20] = [
    "allow_capability_dropping",
    "allow_dump_stacks",
    "allow_environment_variable_dropping",
    "allow_host_network",
    "allow_log_provider_dropping",
    "allow_properties_access",
    "allow_registry_changes_dropping",
    "allow_runtime_logging",
    "allow_unencrypted_scratch",
    "allowed_log_providers",
    "api_svn",
    "api_version",
    "containers",
    "external_processes",
    "fragments",
    "framework_svn",
    "framework_version",
    "platform_rules",
    "reason",
    "transparency_trust_lists",
];

/// A question of the API.
#[derive(Debug)]
pub(super) struct Point {
    pub(super) introduced: Version,
    /// Whether the policy allows it whatever the request is.
    pub(super) open: bool,
}

/// A policy, its rules and its values.
#[derive(Debug)]
pub(super) struct Document {
    /// What the policy's text defines, by name.
    pub(super) rules: BTreeMap<String, Rule>,
    pub(super) points: BTreeMap<String, Point>,
    /// The values of [`VALUES`] that are defined.
    pub(super) values: Map<String, Json>,
    pub(super) api_version: Option<Version>,
    pub(super) framework_version: Option<Version>,
    pub(super) engine_api_version: Option<Version>,
    pub(super) engine_framework_version: Option<Version>,
}

/// Evaluates rules, with what cannot be evaluated as undefined.
struct Values(Session);

impl Values {
    fn of(&mut self, rule: &str) -> Json {
        self.0.query(rule, &json!({})).unwrap_or(Json::Null)
    }

    fn version(&mut self, rule: &str) -> Option<Version> {
        version(self.of(rule).as_str()?)
    }
}

impl Document {
    pub(super) fn load(policy: &[u8]) -> Result<Self, LoadError> {
        let rules = policy_rules(policy)?;
        let mut values = Values(Session::load(policy, Map::new(), EvaluatorKind::Interpreter)?);
        let points = points(&mut values, &rules);
        let defined = VALUES.iter().filter(|name| rules.contains_key(**name));
        Ok(Self {
            points,
            api_version: values.version("data.framework.policy_api_version"),
            framework_version: values.version("data.framework.policy_framework_version"),
            engine_api_version: values.version("data.api.version"),
            engine_framework_version: values.version("data.framework.version"),
            values: defined
                .map(|name| ((*name).to_owned(), values.of(&format!("data.policy.{name}"))))
                .filter(|(_, value)| !value.is_null())
                .collect(),
            rules,
        })
    }

    /// The members of a list of the policy, each with its path.
    pub(super) fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (String, &'a Json)> {
        members(self.values.get(name), name)
    }

    /// Whether a right of the host is granted.
    pub(super) fn grants(&self, name: &str) -> bool {
        self.values.get(name) == Some(&Json::Bool(true))
    }

    /// Whether the policy leaves the question `name` to the framework.
    pub(super) fn delegates(&self, name: &str) -> bool {
        self.rules.get(name).is_some_and(|rule| rule.framework.as_deref() == Some(name))
    }
}

/// The members of a list, each with its path below `path`.
pub(super) fn members<'a>(list: Option<&'a Json>, path: &str) -> impl Iterator<Item = (String, &'a Json)> {
    let members = list.and_then(Json::as_array).into_iter().flatten().enumerate();
    members.map(move |(index, member)| (format!("{path}[{index}]"), member))
}

fn points(values: &mut Values, rules: &BTreeMap<String, Rule>) -> BTreeMap<String, Point> {
    let api = values.of("data.api.enforcement_points");
    let mut points = BTreeMap::new();
    for (name, point) in api.as_object().into_iter().flatten() {
        let Some(introduced) = point["introduced"].as_str().and_then(version) else { continue };
        points.insert(name.clone(), Point { introduced, open: is_open(values, rules, name) });
    }
    // No version of the API has it, and no policy needs it.
    let settings = EnforcementPoint::LinuxSettings.name();
    if rules.contains_key(settings) {
        let open = is_open(values, rules, settings);
        points.insert(settings.to_owned(), Point { introduced: Version::new(0, 0, 0), open });
    }
    points
}

/// Whether a rule of the policy's own allows whatever is asked.
fn is_open(values: &mut Values, rules: &BTreeMap<String, Rule>, name: &str) -> bool {
    let own = rules.get(name).is_some_and(|rule| rule.framework.is_none());
    own && values.of(&format!("data.policy.{name}")).get("allowed") == Some(&Json::Bool(true))
}

/// A version as `0.10.0`.
pub(super) fn version(text: &str) -> Option<Version> {
    let mut numbers = text.split('.').map(|number| number.parse::<u32>().ok());
    let version = Version::new(numbers.next()??, numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(version)
}
