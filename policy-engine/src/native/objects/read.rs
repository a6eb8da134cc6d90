//! From JSON to objects, upgraded from older framework versions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::{
    Capabilities, Container, EnvForm, EnvRule, ExecProcess, ExternalProcess, IdNameRule, Mount, PlatformRule,
    SourcePrefixes, TextRule, Texts, UserRule, Version,
};
use crate::pattern::{Room, WholePattern};

/// This framework's version.
pub(crate) const FRAMEWORK: Version = Version::new(0, 5, 0);

/// Reads objects, sharing patterns and layers between them. `None` is an object that is not exactly of its
/// shape.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    prefixes: SourcePrefixes,
    room: Room,
    patterns: HashMap<Box<str>, Arc<WholePattern>>,
    layers: HashSet<Arc<str>>,
}

/// The fields of one object.
struct Fields<'j>(&'j Map<String, Json>);

impl<'j> Fields<'j> {
    fn of(json: &'j Json) -> Option<Self> {
        json.as_object().map(Self)
    }

    fn get(&self, name: &str) -> Option<&'j Json> {
        self.0.get(name)
    }

    fn text(&self, name: &str) -> Option<&'j str> {
        self.get(name)?.as_str()
    }

    fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.as_bool()
    }

    fn list<T>(&self, name: &str, read: impl FnMut(&'j Json) -> Option<T>) -> Option<Box<[T]>> {
        list(self.get(name)?, read)
    }

    fn texts(&self, name: &str) -> Option<Texts> {
        self.list(name, |text| text.as_str().map(Into::into))
    }

    fn integers(&self, name: &str) -> Option<Box<[i64]>> {
        self.list(name, Json::as_i64)
    }

    /// A list that may be missing, and is empty then.
    fn list_or_empty<T>(&self, name: &str, read: impl FnMut(&'j Json) -> Option<T>) -> Option<Box<[T]>> {
        self.get(name).map_or_else(|| Some(Box::default()), |json| list(json, read))
    }
}

fn list<'j, T>(json: &'j Json, read: impl FnMut(&'j Json) -> Option<T>) -> Option<Box<[T]>> {
    json.as_array()?.iter().map(read).collect()
}

impl Reader {
    /// For mount sources that start with `prefixes`, and patterns that are compiled in this room.
    pub(crate) fn new(prefixes: SourcePrefixes, room: Room) -> Self {
        Self { prefixes, room, ..Self::default() }
    }

    /// A container of a policy of framework `version`. Fields that the older framework did not have get the
    /// meaning that it gave to their absence.
    pub(crate) fn container(&mut self, json: &Json, version: Version) -> Option<Container> {
        let fields = Fields::of(json)?;
        let since = |minor, patch| version >= Version::new(0, minor, patch);
        // What only Windows guests have stays in the state there.
        (fields.get("mounted_cim").is_none() && fields.get("registry_changes").is_none()).then_some(())?;
        let extra = |name: &str| fields.text(name).map(Into::into);
        Some(Container {
            name: extra("name"),
            id: extra("id"),
            command: if fields.get("command")?.is_null() { None } else { Some(fields.texts("command")?) },
            env_rules: fields.list("env_rules", |rule| self.env_rule(rule))?,
            layers: fields.list("layers", |layer| layer.as_str().map(|layer| self.layer(layer)))?,
            mounts: fields.list("mounts", |mount| self.mount(mount))?,
            exec_processes: fields.list("exec_processes", exec_process)?,
            signals: signals(&fields, since(4, 1))?,
            user: if since(2, 1) { self.user(fields.get("user")?)? } else { UserRule::anyone() },
            capabilities: if since(2, 2) { capabilities(fields.get("capabilities")?)? } else { None },
            seccomp_profile_sha256: if since(2, 3) { fields.text("seccomp_profile_sha256")? } else { "" }
                .into(),
            working_dir: fields.text("working_dir")?.into(),
            allow_elevated: fields.flag("allow_elevated")?,
            allow_stdio_access: fields.flag("allow_stdio_access")?,
            no_new_privileges: if since(2, 0) { fields.flag("no_new_privileges")? } else { false },
        })
    }

    /// A process of the guest itself: alike in all versions.
    pub(crate) fn external_process(&mut self, json: &Json) -> Option<ExternalProcess> {
        let fields = Fields::of(json)?;
        Some(ExternalProcess {
            command: fields.texts("command")?,
            env_rules: fields.list("env_rules", |rule| self.env_rule(rule))?,
            working_dir: fields.text("working_dir")?.into(),
            allow_stdio_access: fields.flag("allow_stdio_access")?,
        })
    }

    /// What the platform adds.
    pub(crate) fn platform_rule(&mut self, json: &Json) -> Option<PlatformRule> {
        let fields = Fields::of(json)?;
        Some(PlatformRule {
            env_rules: fields.list_or_empty("env_rules", |rule| self.env_rule(rule))?,
            mounts: fields.list_or_empty("mounts", |mount| self.mount(mount))?,
        })
    }

    /// A mount of a policy, or of those that container runtimes add.
    pub(crate) fn mount(&mut self, json: &Json) -> Option<Mount> {
        let fields = Fields::of(json)?;
        let source = fields.text("source")?;
        let below = |prefix: &str| source.strip_prefix(prefix);
        let (sandbox, huge_pages) = (below(&self.prefixes.sandbox), below(&self.prefixes.huge_pages));
        let plan9 = source.starts_with(&*self.prefixes.plan9);
        Some(Mount {
            destination: fields.text("destination")?.into(),
            fstype: fields.text("type")?.into(),
            options: fields.texts("options")?,
            source: source.into(),
            below_sandbox: sandbox.map(|pattern| self.pattern(pattern)),
            below_huge_pages: huge_pages.map(|pattern| self.pattern(pattern)),
            plan9,
        })
    }

    fn env_rule(&mut self, json: &Json) -> Option<EnvRule> {
        let fields = Fields::of(json)?;
        let has = |name: &str| fields.get(name).is_some();
        let form = if has("pattern") || has("strategy") {
            // Both forms in one rule would be two rules.
            let parts = ["name", "name_strategy", "value", "value_strategy"];
            (!parts.into_iter().any(has)).then_some(())?;
            EnvForm::Entry(self.text_rule(&fields, "strategy", "pattern")?)
        } else {
            EnvForm::Parts {
                name: self.text_rule(&fields, "name_strategy", "name")?,
                value: self.text_rule(&fields, "value_strategy", "value")?,
            }
        };
        let required = fields.get("required").map_or(Some(false), Json::as_bool)?;
        Some(EnvRule { form, required })
    }

    fn text_rule(&mut self, fields: &Fields<'_>, strategy: &str, text: &str) -> Option<TextRule> {
        let text = fields.text(text)?;
        match fields.text(strategy)? {
            "string" => Some(TextRule::Exact(text.into())),
            "re2" => Some(TextRule::Pattern(self.pattern(text))),
            _ => None,
        }
    }

    fn user(&mut self, json: &Json) -> Option<UserRule> {
        let fields = Fields::of(json)?;
        Some(UserRule {
            user: self.id_name(fields.get("user_idname")?)?,
            groups: fields.list("group_idnames", |group| self.id_name(group))?,
            umask: fields.text("umask")?.into(),
        })
    }

    fn id_name(&mut self, json: &Json) -> Option<IdNameRule> {
        let fields = Fields::of(json)?;
        let pattern = fields.text("pattern")?;
        match fields.text("strategy")? {
            "any" => Some(IdNameRule::Any(pattern.into())),
            "id" => Some(IdNameRule::Id(pattern.into())),
            "name" => Some(IdNameRule::Name(pattern.into())),
            "re2" => Some(IdNameRule::Pattern(self.pattern(pattern))),
            _ => None,
        }
    }

    fn pattern(&mut self, text: &str) -> Arc<WholePattern> {
        if let Some(pattern) = self.patterns.get(text) {
            return Arc::clone(pattern);
        }
        let pattern = Arc::new(WholePattern::new(text, &self.room));
        self.patterns.insert(text.into(), Arc::clone(&pattern));
        pattern
    }

    fn layer(&mut self, digest: &str) -> Arc<str> {
        if let Some(layer) = self.layers.get(digest) {
            return Arc::clone(layer);
        }
        let layer: Arc<str> = digest.into();
        self.layers.insert(Arc::clone(&layer));
        layer
    }
}

impl UserRule {
    /// What frameworks without users meant.
    fn anyone() -> Self {
        let any = || IdNameRule::Any("".into());
        Self { user: any(), groups: Box::new([any()]), umask: "0022".into() }
    }
}

fn exec_process(json: &Json) -> Option<ExecProcess> {
    let fields = Fields::of(json)?;
    Some(ExecProcess { command: fields.texts("command")?, signals: fields.integers("signals")? })
}

/// SIGKILL and SIGTERM once went without saying.
fn signals(fields: &Fields<'_>, all_said: bool) -> Option<Box<[i64]>> {
    let signals = fields.integers("signals")?;
    Some(if all_said { signals } else { signals.into_iter().chain([9, 15]).collect() })
}

fn capabilities(json: &Json) -> Option<Option<Capabilities>> {
    if json.is_null() {
        return Some(None);
    }
    let fields = Fields::of(json)?;
    let set = |name: &str| {
        let mut names = fields.texts(name)?;
        names.sort_unstable();
        Some(names)
    };
    Some(Some(Capabilities {
        bounding: set("bounding")?,
        effective: set("effective")?,
        inheritable: set("inheritable")?,
        permitted: set("permitted")?,
        ambient: set("ambient")?,
    }))
}
