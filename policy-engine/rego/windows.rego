# What only Windows guests are asked. This agent serves none: these rules are for who tests a policy.
#
# A Windows container has no capabilities, umask, seccomp profile or privileges, and its user is a text. Its
# files are images (CIMs) that Windows checks block by block, named by their hashes.

package framework

windows if data.operatingsystem == "windows"

# --- Images: the root file system of a container ---

default mount_cims := {"allowed": false}

mount_cims := {"allowed": true, "metadata": [add("matches", input.containerID, containers)]} if {
	not state.matches[input.containerID]
	containers := cim_candidates
	count(containers) > 0
}

cim_candidates := [container |
	some container in candidate_containers
	layers_named(container.layers)
	container.mounted_cim == input.mountedCim
]

# As with overlays, policies list layers from the base up and requests from the top down.
layers_named(layers) if {
	depth := count(input.layerHashes)
	depth > 0
	count(layers) == depth
	every index, hash in input.layerHashes {
		layers[(depth - index) - 1] == hash
	}
}

# --- Containers ---

create_container := {
	"allowed": true,
	"env_list": environment,
	"allow_stdio_access": stdio,
	"metadata": [
		update("matches", input.containerID, containers),
		add("started", input.containerID, {"privileged": false}),
	],
} if {
	windows
	not container_started
	fitting := [container |
		some container in state.matches[input.containerID]
		container.user == input.user
		container.working_dir == input.workingDir
		container.command == input.argList
	]
	environment := agreed_environment(fitting)
	containers := [container |
		some container in fitting
		environment_fits(container.env_rules, environment)
	]
	stdio := agreed_stdio(containers)
}

exec_in_container := {
	"allowed": true,
	"env_list": environment,
	"metadata": [update("matches", input.containerID, containers)],
} if {
	windows
	container_started
	fitting := [container |
		some container in state.matches[input.containerID]
		container.user == input.user
		container.working_dir == input.workingDir
		executable(container)
	]
	environment := agreed_environment(fitting)
	containers := [container |
		some container in fitting
		environment_fits(container.env_rules, environment)
	]
	count(containers) > 0
}

# --- Registry: what is written to it before a container starts ---

default registry_changes := {"allowed": false}

# The changes belong to one container: whoever does not allow them is no candidate any more. Policies have
# no words for keys to delete, so that none may be.
registry_changes := {
	"allowed": true,
	"metadata": [update("matches", input.containerID, containers)],
} if {
	not input.registryChanges.DeleteKeys
	containers := [container |
		some container in state.matches[input.containerID]
		registry_values_fit(container.registry_changes.add_values)
	]
	count(containers) > 0
}

registry_values_fit(allowed_values) if {
	every value in input.registryChanges.AddValues {
		registry_value_known(allowed_values, value)
	}
}

registry_value_known(allowed_values, value) if {
	some allowed in allowed_values
	registry_value_fits(allowed, value)
}

registry_value_fits(allowed, value) if {
	allowed.key.hive == value.Key.Hive
	allowed.key.name == value.Key.Name
	object.get(allowed.key, "volatile", false) == object.get(value.Key, "Volatile", false)
	allowed.name == object.get(value, "Name", "")
	allowed.type == value.Type
	every field in registry_contents[allowed.type] {
		allowed[field.policy] == object.get(value, field.request, field.absent)
	}
}

# Where a value of each type has its content, and what it means when a request leaves it out.
registry_contents := {
	"String": [registry_text],
	"ExpandedString": [registry_text],
	"MultiString": [registry_text],
	"DWord": [{"policy": "dword_value", "request": "DWordValue", "absent": 0}],
	"QWord": [{"policy": "qword_value", "request": "QWordValue", "absent": 0}],
	"Binary": [registry_bytes],
	"CustomType": [{"policy": "custom_type", "request": "CustomType", "absent": 0}, registry_bytes],
	"None": [],
}

registry_text := {"policy": "string_value", "request": "StringValue", "absent": ""}

registry_bytes := {"policy": "binary_value", "request": "BinaryValue", "absent": ""}

# --- Logs: which providers of events are forwarded ---

default log_provider := {"allowed": false, "providers_to_keep": []}

log_provider := {"allowed": true, "providers_to_keep": input.providers} if {
	not dropping_log_providers
	every name in input.providers {
		log_provider_known(name)
	}
}

log_provider := {"allowed": true, "providers_to_keep": known} if {
	dropping_log_providers
	known := [name | some name in input.providers; log_provider_known(name)]
}

dropping_log_providers if data.policy.allow_log_provider_dropping == true

# Windows takes no notice of upper and lower case in these names.
log_provider_known(name) if {
	some allowed in data.policy.allowed_log_providers
	lower(name) == lower(allowed)
}

# --- Reasons ---

errors contains "image already mounted for container" if {
	input.rule == "mount_cims"
	state.matches[input.containerID]
}

errors contains "no matching containers for image" if {
	input.rule == "mount_cims"
	count(cim_candidates) == 0
}

errors contains "no image mounted for container" if {
	input.rule == "registry_changes"
	count(possible) == 0
}

errors contains "deleting registry keys is not allowed" if {
	input.rule == "registry_changes"
	input.registryChanges.DeleteKeys
}

errors contains sprintf("invalid registry values: %s", [concat(",", unknown_registry_values)]) if {
	input.rule == "registry_changes"
	count(possible) > 0
	count(unknown_registry_values) > 0
}

unknown_registry_values := [object.get(value, "Name", "") |
	some value in input.registryChanges.AddValues
	not registry_value_known_somewhere(value)
]

registry_value_known_somewhere(value) if {
	some container in possible
	registry_value_known(container.registry_changes.add_values, value)
}

errors contains "no container of the policy allows all registry changes at once" if {
	input.rule == "registry_changes"
	count(possible) > 0
	count(unknown_registry_values) == 0
	not input.registryChanges.DeleteKeys
	not some_registry_values
}

some_registry_values if {
	some container in possible
	registry_values_fit(container.registry_changes.add_values)
}

errors contains "log provider not allowed by policy" if {
	input.rule == "log_provider"
	log_provider.allowed == false
}
