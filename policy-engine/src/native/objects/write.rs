//! From objects to the JSON that rules read, in the shape of this framework's version.

use serde_json::{Value as Json, json};

use super::{
    Capabilities, Container, EnvForm, EnvRule, ExecProcess, IdNameRule, Mount, PlatformRule, TextRule,
    UserRule,
};

impl Container {
    /// The container with what `rule` adds to it.
    pub(crate) fn to_json(&self, rule: Option<&PlatformRule>) -> Json {
        let more_env = rule.map_or(&[][..], |rule| &rule.env_rules);
        let more_mounts = rule.map_or(&[][..], |rule| &rule.mounts);
        let mut json = json!({
            "command": self.command,
            "env_rules": self.env_rules.iter().chain(more_env).map(EnvRule::to_json).collect::<Vec<_>>(),
            "layers": self.layers.iter().map(|layer| &**layer).collect::<Vec<&str>>(),
            "mounts": self.mounts.iter().chain(more_mounts).map(Mount::to_json).collect::<Vec<_>>(),
            "exec_processes": self.exec_processes.iter().map(ExecProcess::to_json).collect::<Vec<_>>(),
            "signals": self.signals,
            "user": self.user.to_json(),
            "capabilities": self.capabilities.as_ref().map(Capabilities::to_json),
            "seccomp_profile_sha256": self.seccomp_profile_sha256,
            "working_dir": self.working_dir,
            "allow_elevated": self.allow_elevated,
            "allow_stdio_access": self.allow_stdio_access,
            "no_new_privileges": self.no_new_privileges,
        });
        if let Json::Object(fields) = &mut json {
            for (key, text) in [("name", &self.name), ("id", &self.id)] {
                if let Some(text) = text {
                    fields.insert(key.to_owned(), Json::from(&**text));
                }
            }
        }
        json
    }
}

impl TextRule {
    /// Its strategy and its text.
    pub(crate) fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Exact(text) => ("string", text),
            Self::Pattern(pattern) => ("re2", pattern.text()),
        }
    }
}

impl EnvRule {
    fn to_json(&self) -> Json {
        match &self.form {
            EnvForm::Entry(rule) => {
                let (strategy, pattern) = rule.parts();
                json!({ "strategy": strategy, "pattern": pattern, "required": self.required })
            }
            EnvForm::Parts { name, value } => {
                let ((name_strategy, name), (value_strategy, value)) = (name.parts(), value.parts());
                json!({
                    "name_strategy": name_strategy,
                    "name": name,
                    "value_strategy": value_strategy,
                    "value": value,
                    "required": self.required,
                })
            }
        }
    }
}

impl Mount {
    fn to_json(&self) -> Json {
        json!({
            "destination": self.destination,
            "type": self.fstype,
            "options": self.options,
            "source": self.source,
        })
    }
}

impl ExecProcess {
    fn to_json(&self) -> Json {
        json!({ "command": self.command, "signals": self.signals })
    }
}

impl IdNameRule {
    /// Its strategy and its pattern.
    pub(crate) fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Any(pattern) => ("any", pattern),
            Self::Id(id) => ("id", id),
            Self::Name(name) => ("name", name),
            Self::Pattern(pattern) => ("re2", pattern.text()),
        }
    }

    fn to_json(&self) -> Json {
        let (strategy, pattern) = self.parts();
        json!({ "strategy": strategy, "pattern": pattern })
    }
}

impl UserRule {
    fn to_json(&self) -> Json {
        json!({
            "user_idname": self.user.to_json(),
            "group_idnames": self.groups.iter().map(IdNameRule::to_json).collect::<Vec<_>>(),
            "umask": self.umask,
        })
    }
}

impl Capabilities {
    fn to_json(&self) -> Json {
        json!({
            "bounding": self.bounding,
            "effective": self.effective,
            "inheritable": self.inheritable,
            "permitted": self.permitted,
            "ambient": self.ambient,
        })
    }
}
