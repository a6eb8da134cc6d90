# The objects that a policy lists, in the shape of this framework's version.

package framework

# --- Versions ---

# The framework that the policy was written for; null when it does not say.
default policy_framework_version := null

policy_framework_version := data.policy.framework_version

policy_framework_version := data.policy.framework_svn

# Objects of a newer framework may hold conditions that this one would not check.
understood(framework_version) if semver.compare(framework_version, version) <= 0

current(framework_version) if semver.compare(framework_version, version) == 0

default api_version_understood := false

api_version_understood if semver.compare(policy_api_version, api_version) <= 0

api_version := data.api.version

default framework_version_understood := false

framework_version_understood if understood(policy_framework_version)

since(framework_version, introduced) if semver.compare(framework_version, introduced) >= 0

# --- Lists: what a policy leaves out is empty ---

default declared_containers := []

declared_containers := data.policy.containers

default declared_external_processes := []

declared_external_processes := data.policy.external_processes

default declared_fragments := []

declared_fragments := data.policy.fragments

default declared_platform_rules := []

declared_platform_rules := data.policy.platform_rules

default declared_trust_lists := []

declared_trust_lists := data.policy.transparency_trust_lists

# --- Containers ---

candidate_containers := with_platform_rules(array.concat(policy_containers, fragment_containers))

default policy_containers := []

policy_containers := upgraded_containers(declared_containers, policy_framework_version)

fragment_containers := [container |
	some loaded in loaded_fragments
	some container in loaded.containers
]

upgraded_containers(containers, framework_version) := [container |
	understood(framework_version)
	some raw in containers
	container := upgraded_container(raw, framework_version)
]

upgraded_container(container, framework_version) := container if current(framework_version)

# Fields that the older framework did not have get the meaning that it gave to their absence. A container
# that lacks a field of its own version is no container.
upgraded_container(container, framework_version) := {
	"command": container.command,
	"env_rules": container.env_rules,
	"layers": container.layers,
	"mounts": container.mounts,
	"exec_processes": container.exec_processes,
	"allow_elevated": container.allow_elevated,
	"working_dir": container.working_dir,
	"allow_stdio_access": container.allow_stdio_access,
	"signals": upgraded_signals(container, framework_version),
	"no_new_privileges": upgraded_no_new_privileges(container, framework_version),
	"user": upgraded_user(container, framework_version),
	"capabilities": upgraded_capabilities(container, framework_version),
	"seccomp_profile_sha256": upgraded_seccomp(container, framework_version),
} if {
	not current(framework_version)
}

upgraded_no_new_privileges(container, framework_version) := container.no_new_privileges if {
	since(framework_version, "0.2.0")
}

upgraded_no_new_privileges(_, framework_version) := false if not since(framework_version, "0.2.0")

upgraded_user(container, framework_version) := container.user if since(framework_version, "0.2.1")

upgraded_user(_, framework_version) := {
	"user_idname": {"pattern": "", "strategy": "any"},
	"group_idnames": [{"pattern": "", "strategy": "any"}],
	"umask": "0022",
} if {
	not since(framework_version, "0.2.1")
}

upgraded_capabilities(container, framework_version) := container.capabilities if since(framework_version, "0.2.2")

upgraded_capabilities(_, framework_version) := null if not since(framework_version, "0.2.2")

upgraded_seccomp(container, framework_version) := container.seccomp_profile_sha256 if {
	since(framework_version, "0.2.3")
}

upgraded_seccomp(_, framework_version) := "" if not since(framework_version, "0.2.3")

upgraded_signals(container, framework_version) := container.signals if since(framework_version, "0.4.1")

# SIGKILL and SIGTERM went without saying.
upgraded_signals(container, framework_version) := array.concat(container.signals, [9, 15]) if {
	not since(framework_version, "0.4.1")
}

# --- Platform rules: what the platform adds to every container ---

platform_rules := array.concat(policy_platform_rules, fragment_platform_rules)

default policy_platform_rules := []

policy_platform_rules := declared_platform_rules if current(policy_framework_version)

fragment_platform_rules := [rule |
	some loaded in loaded_fragments
	some rule in loaded.platform_rules
]

# Each rule is an alternative: a container may run with the additions of one of them, not of several.
with_platform_rules(containers) := containers if count(platform_rules) == 0

with_platform_rules(containers) := [extended |
	some container in containers
	some rule in platform_rules
	extended := object.union(container, {
		"env_rules": array.concat(object.get(container, "env_rules", []), object.get(rule, "env_rules", [])),
		"mounts": array.concat(object.get(container, "mounts", []), object.get(rule, "mounts", [])),
	})
] if {
	count(platform_rules) > 0
}

# --- Processes of the guest itself ---

candidate_external_processes := array.concat(
	upgraded_external_processes(declared_external_processes, policy_framework_version),
	[process | some loaded in loaded_fragments; some process in loaded.external_processes],
) if {
	external_processes_wanted
}

default candidate_external_processes := []

external_processes_wanted if current(policy_framework_version)

# An older policy that lists none has none from fragments either.
external_processes_wanted if data.policy.external_processes

upgraded_external_processes(processes, framework_version) := [process |
	understood(framework_version)
	some raw in processes
	process := upgraded_external_process(raw, framework_version)
]

upgraded_external_process(process, framework_version) := process if current(framework_version)

upgraded_external_process(process, framework_version) := {
	"command": process.command,
	"env_rules": process.env_rules,
	"working_dir": process.working_dir,
	"allow_stdio_access": process.allow_stdio_access,
} if {
	not current(framework_version)
}
