//! From the text of a policy to a native policy, if it is one.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::api::Api;
use super::literal::{self, Definition, Literal};
use super::objects::{FRAMEWORK, Mount, Reader, SourcePrefixes, Version};
use super::policy::{Defaults, Index, Policy, Reasons, Rights};
use crate::pattern::Room;

/// Names that only the interpreter reads, whatever literal they stand for.
const OPAQUE: [&str; 4] =
    ["fragments", "transparency_trust_lists", "allowed_log_providers", "allow_log_provider_dropping"];

/// Reads `text` with `data` beside it. `None`: the policy is the interpreter's, perhaps to be refused by it.
pub(crate) fn policy(text: &str, data: &Map<String, Json>) -> Option<Policy> {
    let document = literal::parse(text)?;
    (document.package == "policy").then_some(())?;
    let api = Api::get()?;
    let (api_name, api_version) = version(&document, ["api_version", "api_svn"])?;
    let (framework_name, framework_version) = version(&document, ["framework_version", "framework_svn"])?;
    (api_version <= api.version && framework_version <= FRAMEWORK).then_some(())?;
    // The rules of Windows guests are the interpreter's.
    (data.get("operatingsystem").and_then(Json::as_str) != Some("windows")).then_some(())?;
    let prefixes = prefixes(data)?;
    let room = Room::default();
    let mut reader = Reader::new(prefixes.clone(), room.clone());
    let mut policy = Policy {
        api_version,
        framework_version,
        rules: BTreeSet::new(),
        reasons: Reasons::None,
        containers: Vec::new(),
        external_processes: Vec::new(),
        external_processes_wanted: framework_version == FRAMEWORK,
        platform_rules: Vec::new(),
        rights: Rights::default(),
        defaults: defaults(data, &mut reader)?,
        prefixes,
        room,
        index: Index::default(),
    };
    for (name, definition) in &document.definitions {
        match definition {
            Definition::Literal(_) if *name == api_name || *name == framework_name => {}
            Definition::Literal(literal) => define(&mut policy, &mut reader, name, *literal)?,
            Definition::FrameworkErrors if *name == "reason" => policy.reasons = Reasons::Framework,
            Definition::Framework("reason") if *name == "reason" => policy.reasons = Reasons::Framework,
            Definition::Framework(rule) if rule == name => {
                api.point(rule)?;
                policy.rules.insert((*rule).into());
            }
            _ => return None,
        }
    }
    // Before it had this flag, the framework dropped no capabilities.
    policy.rights.capability_dropping &= framework_version >= Version::new(0, 2, 2);
    policy.containers.shrink_to_fit();
    policy.index = Index::of(&policy.containers);
    Some(policy)
}

/// The one of `names` that is there, and its plain version.
fn version<'n>(document: &literal::Document<'_>, names: [&'n str; 2]) -> Option<(&'n str, Version)> {
    let mut found = None;
    for name in names {
        let definition = document.definitions.iter().find(|(defined, _)| *defined == name);
        match definition {
            None => {}
            Some((_, Definition::Literal(literal))) if found.is_none() => {
                found = Some((name, Version::parse(literal.value()?.as_str()?)?));
            }
            Some(_) => return None,
        }
    }
    found
}

fn define(policy: &mut Policy, reader: &mut Reader, name: &str, literal: Literal<'_>) -> Option<()> {
    match name {
        "containers" => literal.elements(|json| {
            policy.containers.push(Arc::new(reader.container(&json, policy.framework_version)?));
            Some(())
        }),
        "external_processes" => {
            policy.external_processes_wanted = true;
            literal.elements(|json| {
                policy.external_processes.push(Arc::new(reader.external_process(&json)?));
                Some(())
            })
        }
        // An older framework did not know of them.
        "platform_rules" if policy.framework_version != FRAMEWORK => Some(()),
        "platform_rules" => literal.elements(|json| {
            policy.platform_rules.push(Arc::new(reader.platform_rule(&json)?));
            Some(())
        }),
        _ if OPAQUE.contains(&name) => Some(()),
        _ => {
            *policy.rights.named(name)? = literal.value()?.as_bool()?;
            Some(())
        }
    }
}

impl Rights {
    fn named(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "allow_environment_variable_dropping" => &mut self.environment_variable_dropping,
            "allow_capability_dropping" => &mut self.capability_dropping,
            "allow_unencrypted_scratch" => &mut self.unencrypted_scratch,
            "allow_properties_access" => &mut self.properties_access,
            "allow_dump_stacks" => &mut self.dump_stacks,
            "allow_runtime_logging" => &mut self.runtime_logging,
            "allow_host_network" => &mut self.host_network,
            _ => return None,
        })
    }
}

fn prefixes(data: &Map<String, Json>) -> Option<SourcePrefixes> {
    let text = |name: &str| data.get(name)?.as_str().map(str::to_owned);
    Some(SourcePrefixes {
        sandbox: text("sandboxPrefix")?,
        huge_pages: text("hugePagesPrefix")?,
        plan9: text("plan9Prefix")?,
    })
}

fn defaults(data: &Map<String, Json>, reader: &mut Reader) -> Option<Defaults> {
    let mut mounts = |name: &str| -> Option<Box<[Mount]>> {
        data.get(name)?.as_array()?.iter().map(|mount| reader.mount(mount)).collect()
    };
    Some(Defaults {
        mounts: mounts("defaultMounts")?,
        privileged_mounts: mounts("privilegedMounts")?,
        privileged_capabilities: names(data.get("defaultPrivilegedCapabilities")?)?,
        unprivileged_capabilities: names(data.get("defaultUnprivilegedCapabilities")?)?,
    })
}

fn names(json: &Json) -> Option<Box<[Box<str>]>> {
    let mut names: Box<[Box<str>]> =
        json.as_array()?.iter().map(|name| name.as_str().map(Into::into)).collect::<Option<_>>()?;
    names.sort_unstable();
    Some(names)
}

#[cfg(test)]
pub(crate) mod tests;
