//! The API of a CCE policy, read out of the framework's own table.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Value as Json, json};

use super::literal::{self, Definition};
use super::objects::Version;

/// What the guest asks, since which version.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) version: Version,
    points: BTreeMap<String, Point>,
}

/// An enforcement point.
#[derive(Debug)]
pub(crate) struct Point {
    pub(crate) introduced: Version,
    /// The answer of a policy that is older.
    pub(crate) default_results: Json,
    /// An older policy is judged by the framework's rule instead.
    pub(crate) use_framework: bool,
}

static API: LazyLock<Option<Api>> = LazyLock::new(|| read(include_str!("../../rego/api.rego")));

impl Api {
    /// This engine's.
    pub(crate) fn get() -> Option<&'static Self> {
        API.as_ref()
    }

    pub(crate) fn point(&self, name: &str) -> Option<&Point> {
        self.points.get(name)
    }

    /// What the API says of the question `name` to a policy of `policy_version`: the answer of the
    /// framework's rule `enforcement_point_info`.
    pub(crate) fn info(&self, name: &str, policy_version: Version) -> Json {
        match self.point(name) {
            Some(point) => json!({
                "available": policy_version >= point.introduced,
                "default_results": point.default_results,
                "invalid": self.version < point.introduced,
                "unknown": false,
                "use_framework": point.use_framework,
                "version_missing": false,
            }),
            None => json!({
                "available": false,
                "default_results": { "allow": false },
                "invalid": false,
                "unknown": true,
                "use_framework": false,
                "version_missing": false,
            }),
        }
    }
}

fn read(text: &str) -> Option<Api> {
    let document = literal::parse(text)?;
    let value = |name: &str| {
        document.definitions.iter().find_map(|(defined, definition)| match definition {
            Definition::Literal(literal) if *defined == name => literal.value(),
            _ => None,
        })
    };
    let version = Version::parse(value("version")?.as_str()?)?;
    let points = value("enforcement_points")?.as_object()?.iter().map(point).collect::<Option<_>>()?;
    Some(Api { version, points })
}

fn point((name, json): (&String, &Json)) -> Option<(String, Point)> {
    let point = Point {
        introduced: Version::parse(json.get("introduced")?.as_str()?)?,
        default_results: json.get("default_results")?.clone(),
        use_framework: json.get("use_framework")?.as_bool()?,
    };
    Some((name.clone(), point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read() {
        let api = Api::get().unwrap();
        assert_eq!(api.version, Version::new(0, 12, 0));
        assert_eq!(api.points.len(), include_str!("../../rego/api.rego").matches("introduced").count());
        let info = api.info("unmount_overlay", Version::new(0, 5, 9));
        assert_eq!(
            (info["available"].clone(), info["default_results"].clone()),
            (json!(false), json!({ "allowed": true }))
        );
        assert_eq!(api.info("unmount_overlay", Version::new(0, 6, 0))["available"], json!(true));
        assert_eq!(api.info("nothing", Version::new(0, 6, 0))["unknown"], json!(true));
    }
}
