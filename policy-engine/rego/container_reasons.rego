# Why no object of the policy fits a process: a container to create, something to execute in it or outside, a
# signal to send. See reasons.rego.
#
# Each such request asks for several conditions, and the policy has several objects that could meet them. The
# reasons are the conditions that no object meets.

package framework

# --- What is asked, and of which objects ---

# What the container may still turn out to be.
default possible := []

possible := state.matches[input.containerID]

starting if {
	input.rule == "create_container"
	not container_started
	count(possible) > 0
}

executing if {
	input.rule == "exec_in_container"
	container_started
	count(possible) > 0
}

signalling if {
	input.rule == "signal_container_process"
	container_started
	count(possible) > 0
}

launching if input.rule == "exec_external"

# A process in a container: its environment and its capabilities may be cut down to what the policy allows.
described if starting

described if executing

candidates := possible if described

candidates := possible if signalling

candidates := candidate_external_processes if launching

# The conditions, under the words for the case that none of the candidates meets one.
conditions := {
	"capabilities don't match",
	"invalid command",
	"invalid env list",
	"invalid mount list",
	"invalid noNewPrivileges",
	"invalid seccomp",
	"invalid user",
	"invalid working directory",
	"missing required environment variable",
	"privileged escalation not allowed",
} if {
	starting
	not windows
}

conditions := {
	"capabilities don't match",
	"invalid command",
	"invalid env list",
	"invalid noNewPrivileges",
	"invalid user",
	"invalid working directory",
	"missing required environment variable",
} if {
	executing
	not windows
}

conditions := {
	"invalid command",
	"invalid env list",
	"invalid user",
	"invalid working directory",
	"missing required environment variable",
} if {
	described
	windows
}

conditions := {
	"invalid command",
	"invalid env list",
	"invalid working directory",
	"missing required environment variable",
} if {
	launching
}

conditions := {"target isn't allowed to receive the signal"} if signalling

# --- When a candidate meets a condition ---

meets("capabilities don't match", candidate) if {
	capabilities_fit(candidate, asked_privileged, agreed_capabilities([candidate], asked_privileged))
}

meets("invalid command", candidate) if {
	not executing
	candidate.command == input.argList
}

meets("invalid command", candidate) if {
	executing
	some process in candidate.exec_processes
	process.command == input.argList
}

meets("invalid env list", candidate) if {
	environment_fits(candidate.env_rules, agreed_environment([candidate]))
}

meets("invalid mount list", candidate) if mounts_fit(candidate)

meets("invalid noNewPrivileges", candidate) if no_new_privileges_fits(candidate.no_new_privileges)

meets("invalid seccomp", candidate) if candidate.seccomp_profile_sha256 == input.seccompProfileSHA256

meets("invalid user", candidate) if user_fits(candidate.user)

meets("invalid user", candidate) if {
	windows
	candidate.user == input.user
}

meets("invalid working directory", candidate) if candidate.working_dir == input.workingDir

meets("missing required environment variable", candidate) if required_present(candidate.env_rules, input.envList)

meets("privileged escalation not allowed", candidate) if privileged_fits(candidate.allow_elevated)

meets("target isn't allowed to receive the signal", candidate) if signal_fits(candidate)

asked_privileged := input.privileged if starting

asked_privileged := runs_privileged if executing

# --- The reasons ---

unmet_by_all := {condition |
	some condition in conditions
	every candidate in candidates {
		not meets(condition, candidate)
	}
}

errors contains condition if {
	some condition in unmet_by_all
	not condition in {"invalid env list", "invalid mount list", "missing required environment variable"}
}

# Lists are reported by the names of the entries that no candidate knows, or else as a whole.
errors contains sprintf("invalid mount list: %s", [concat(",", unknown_mounts)]) if {
	starting
	count(unknown_mounts) > 0
}

errors contains "invalid mount list" if {
	"invalid mount list" in unmet_by_all
	count(unknown_mounts) == 0
}

unknown_mounts := [mount.destination |
	some mount in input.mounts
	not mount_known_somewhere(mount)
]

mount_known_somewhere(mount) if {
	some candidate in candidates
	mount_known(candidate, mount)
}

errors contains sprintf("invalid env list: %s", [concat(",", unknown_variables)]) if variables_refused

errors contains "missing required environment variable" if required_missing

errors contains "invalid env list" if {
	"invalid env list" in unmet_by_all
	count(candidates) > 0
	not variables_refused
	not required_missing
}

variables_refused if {
	"invalid env list" in conditions
	not dropping_environment
	count(unknown_variables) > 0
}

required_missing if {
	"missing required environment variable" in unmet_by_all
	count(candidates) > 0
}

unknown_variables := [split(entry, "=")[0] |
	some entry in input.envList
	not entry_known_somewhere(entry)
]

entry_known_somewhere(entry) if {
	some candidate in candidates
	entry_known(candidate.env_rules, entry)
}

# --- Conditions that only some candidates meet ---

# Each condition is met by some candidate, but no candidate meets all of them.
errors contains sprintf("no %s of the policy meets all conditions at once", [object_words.one]) if {
	each_met_by_some
	count(whole) == 0
}

# Several candidates meet them all, and the host would decide by choosing.
errors contains sprintf("%s only distinguishable by allow_stdio_access", [object_words.many]) if {
	each_met_by_some
	count(whole) > 0
	not stdio_agreed
}

errors contains sprintf("%s only distinguishable by what would be dropped", [object_words.many]) if {
	each_met_by_some
	stdio_agreed
}

stdio_agreed if is_boolean(agreed_stdio(whole))

each_met_by_some if {
	count(unmet_by_all) == 0
	not devices_asked
}

devices_asked if {
	starting
	count(input.devices) > 0
}

whole := [candidate |
	some candidate in candidates
	every condition in conditions {
		meets(condition, candidate)
	}
]

object_words := {"one": "container", "many": "containers"} if described

object_words := {"one": "external process", "many": "external processes"} if launching

# --- Containers that are not there ---

errors contains "container already started" if {
	input.rule == "create_container"
	container_started
}

errors contains "no overlay mounted for container" if {
	input.rule == "create_container"
	not container_started
	count(possible) == 0
}

errors contains "devices not supported" if {
	input.rule == "create_container"
	count(input.devices) > 0
}

errors contains "container not started" if {
	input.rule in {"exec_in_container", "shutdown_container", "signal_container_process"}
	not container_started
}

errors contains "container already shut down" if {
	input.rule in {"exec_in_container", "signal_container_process"}
	container_started
	count(possible) == 0
}
