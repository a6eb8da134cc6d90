# When a request fits an object of the policy.

package framework

# --- Texts ---

text_fits("string", expected, text) if expected == text

text_fits("re2", pattern, text) if matches_whole(pattern, text)

# --- Environment ---

dropping_environment if data.policy.allow_environment_variable_dropping == true

# The environment that the host asked for, or, where the policy lets entries be dropped, the largest part
# of it that one of `objects` allows. Two different largest parts are an ambiguity that the host would
# decide: no environment is agreed then.
agreed_environment(objects) := input.envList if {
	count(objects) > 0
	not dropping_environment
}

agreed_environment(objects) := environment if {
	dropping_environment
	parts := {known_entries(object.env_rules) | some object in objects}
	environment := only_largest(parts)
}

known_entries(rules) := {entry |
	some entry in input.envList
	entry_known(rules, entry)
}

entry_known(rules, entry) if {
	some rule in rules
	rule_fits(rule, entry)
}

only_largest(parts) := largest[0] if {
	size := max({count(part) | some part in parts})
	largest := [part | some part in parts; count(part) == size]
	count(largest) == 1
}

rule_fits(rule, entry) if text_fits(rule.strategy, rule.pattern, entry)

rule_fits(rule, entry) if {
	equals_sign := indexof(entry, "=")
	equals_sign >= 0
	text_fits(rule.name_strategy, rule.name, substring(entry, 0, equals_sign))
	text_fits(rule.value_strategy, rule.value, substring(entry, equals_sign + 1, -1))
}

environment_fits(rules, environment) if {
	every entry in environment {
		entry_known(rules, entry)
	}
	required_present(rules, environment)
}

required_present(rules, environment) if {
	required := [rule | some rule in rules; rule.required == true]
	every rule in required {
		rule_present(rule, environment)
	}
}

rule_present(rule, environment) if {
	some entry in environment
	rule_fits(rule, entry)
}

# --- Privileges ---

# A container that may be privileged may also run without.
privileged_fits(_) if input.privileged == false

privileged_fits(allow_elevated) if allow_elevated == true

# A process may always give up the right to gain privileges.
no_new_privileges_fits(required) if required == false

no_new_privileges_fits(required) if {
	required == true
	input.noNewPrivileges == true
}

# --- Users ---

user_fits(user) if {
	id_name_fits(user.user_idname, input.user)
	every group in input.groups {
		group_fits(user.group_idnames, group)
	}
	user.umask == input.umask
}

group_fits(rules, group) if {
	some rule in rules
	id_name_fits(rule, group)
}

id_name_fits(rule, _) if rule.strategy == "any"

id_name_fits(rule, identity) if {
	rule.strategy == "id"
	rule.pattern == identity.id
}

id_name_fits(rule, identity) if {
	rule.strategy == "name"
	rule.pattern == identity.name
}

id_name_fits(rule, identity) if {
	rule.strategy == "re2"
	matches_whole(rule.pattern, identity.name)
}

# --- Capabilities ---

# Before it had this flag, the framework dropped no capabilities.
dropping_capabilities if {
	since(policy_framework_version, "0.2.2")
	data.policy.allow_capability_dropping == true
}

# As with the environment: what was asked for, or the largest part of it that one container allows.
agreed_capabilities(containers, _) := asked_capabilities if {
	count(containers) > 0
	not dropping_capabilities
}

agreed_capabilities(containers, privileged) := only_largest_sets(parts) if {
	dropping_capabilities
	parts := {known_capabilities(granted_capabilities(container, privileged)) | some container in containers}
}

# Whatever else the host wrote beside the five sets is no part of an answer.
asked_capabilities := {name: input.capabilities[name] |
	some name in ["bounding", "effective", "inheritable", "permitted", "ambient"]
}

known_capabilities(granted) := {
	"bounding": {name | some name in input.capabilities.bounding; name in granted.bounding},
	"effective": {name | some name in input.capabilities.effective; name in granted.effective},
	"inheritable": {name | some name in input.capabilities.inheritable; name in granted.inheritable},
	"permitted": {name | some name in input.capabilities.permitted; name in granted.permitted},
	"ambient": {name | some name in input.capabilities.ambient; name in granted.ambient},
}

only_largest_sets(parts) := largest[0] if {
	size := max({capability_count(part) | some part in parts})
	largest := [part | some part in parts; capability_count(part) == size]
	count(largest) == 1
}

capability_count(sets) := sum([count(names) | some names in sets])

capabilities_fit(container, privileged, sets) if {
	granted := granted_capabilities(container, privileged)
	same_names(granted.bounding, sets.bounding)
	same_names(granted.effective, sets.effective)
	same_names(granted.inheritable, sets.inheritable)
	same_names(granted.permitted, sets.permitted)
	same_names(granted.ambient, sets.ambient)
}

same_names(granted, asked) if {
	count(granted) == count(asked)
	{name | some name in granted} == {name | some name in asked}
}

granted_capabilities(container, _) := container.capabilities if container.capabilities != null

# `null` stands for the sets that the container runtime gives by default.
granted_capabilities(container, privileged) := {
	"bounding": data.defaultPrivilegedCapabilities,
	"effective": data.defaultPrivilegedCapabilities,
	"inheritable": data.defaultPrivilegedCapabilities,
	"permitted": data.defaultPrivilegedCapabilities,
	"ambient": [],
} if {
	container.capabilities == null
	default_privileged(container, privileged)
}

granted_capabilities(container, privileged) := {
	"bounding": data.defaultUnprivilegedCapabilities,
	"effective": data.defaultUnprivilegedCapabilities,
	"inheritable": [],
	"permitted": data.defaultUnprivilegedCapabilities,
	"ambient": [],
} if {
	container.capabilities == null
	not default_privileged(container, privileged)
}

default_privileged(container, privileged) if {
	privileged == true
	container.allow_elevated == true
}

# --- Mounts ---

mounts_fit(container) if {
	every mount in input.mounts {
		mount_known(container, mount)
	}
}

mount_known(container, mount) if {
	some allowed in container.mounts
	mount_fits(allowed, mount)
}

mount_known(_, mount) if {
	some allowed in data.defaultMounts
	mount_fits(allowed, mount)
}

mount_known(container, mount) if {
	container.allow_elevated == true
	some allowed in data.privilegedMounts
	mount_fits(allowed, mount)
}

# The pause container gets a writable /sys from container runtimes; it runs nothing that could use it.
mount_known(_, mount) if {
	input.isSandboxContainer == true
	mount.destination == "/sys"
	mount.source == "sysfs"
	mount.type == "sysfs"
	same_names(["nosuid", "noexec", "nodev", "rw"], mount.options)
}

mount_fits(allowed, mount) if {
	allowed.type == mount.type
	allowed.destination == mount.destination
	mount.destination != ""
	same_names(allowed.options, mount.options)
	source_fits(allowed.source, mount.source)
}

source_fits(allowed, source) if allowed == source

source_fits(allowed, source) if below(data.sandboxPrefix, input.sandboxDir, allowed, source)

source_fits(allowed, source) if below(data.hugePagesPrefix, input.hugePagesDir, allowed, source)

# Any 9p directory that was mounted for this container.
source_fits(allowed, source) if {
	startswith(allowed, data.plan9Prefix)
	state.p9mounts[source] == input.containerID
}
