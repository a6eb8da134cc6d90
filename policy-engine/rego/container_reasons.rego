# Why a container was not created, or nothing was executed in it or sent to it: see reasons.rego.

package framework

# --- Containers and processes ---

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

errors contains "container already started" if {
	input.rule == "create_container"
	container_started
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

errors contains "no overlay mounted for container" if {
	input.rule == "create_container"
	not container_started
	count(possible) == 0
}

errors contains "devices not supported" if {
	input.rule == "create_container"
	count(input.devices) > 0
}

errors contains "invalid command" if {
	starting
	not some_command
}

some_command if {
	some container in possible
	container.command == input.argList
}

errors contains "invalid command" if {
	executing
	not some_exec_command
}

some_exec_command if {
	some container in possible
	some process in container.exec_processes
	process.command == input.argList
}

errors contains "invalid working directory" if {
	described
	not some_working_directory
}

some_working_directory if {
	some container in possible
	container.working_dir == input.workingDir
}

errors contains "invalid noNewPrivileges" if {
	described
	not some_no_new_privileges
}

some_no_new_privileges if {
	some container in possible
	no_new_privileges_fits(container.no_new_privileges)
}

errors contains "invalid user" if {
	described
	not some_user
}

some_user if {
	some container in possible
	user_fits(container.user)
}

described if starting

described if executing

errors contains "privileged escalation not allowed" if {
	starting
	not some_privilege
}

some_privilege if {
	some container in possible
	privileged_fits(container.allow_elevated)
}

errors contains "invalid seccomp" if {
	starting
	not some_seccomp
}

some_seccomp if {
	some container in possible
	container.seccomp_profile_sha256 == input.seccompProfileSHA256
}

unknown_mounts := [mount.destination |
	some mount in input.mounts
	not mount_known_somewhere(mount)
]

mount_known_somewhere(mount) if {
	some container in possible
	mount_known(container, mount)
}

errors contains sprintf("invalid mount list: %s", [concat(",", unknown_mounts)]) if {
	starting
	count(unknown_mounts) > 0
}

errors contains "invalid mount list" if {
	starting
	count(unknown_mounts) == 0
	not some_mounts
}

some_mounts if {
	some container in possible
	mounts_fit(container)
}

errors contains "capabilities don't match" if {
	described
	not some_capabilities
}

some_capabilities if {
	some container in possible
	capabilities_fit(container, asked_privileged, agreed_capabilities([container], asked_privileged))
}

asked_privileged := input.privileged if starting

asked_privileged := runs_privileged if executing

errors contains "target isn't allowed to receive the signal" if {
	input.rule == "signal_container_process"
	container_started
	count(possible) > 0
	not some_signal
}

some_signal if {
	some container in possible
	signal_fits(container)
}

# Each condition is met by some candidate, but no candidate meets all of them.
errors contains "no container of the policy meets all conditions at once" if {
	some_of_each
	count(whole_containers) == 0
}

# Several candidates meet them all, and the host would decide by choosing.
errors contains "containers only distinguishable by allow_stdio_access" if {
	some_of_each
	count(stdio_choices(whole_containers)) > 1
}

errors contains "containers only distinguishable by what would be dropped" if {
	some_of_each
	count(stdio_choices(whole_containers)) == 1
}

some_of_each if {
	described
	some_working_directory
	some_no_new_privileges
	some_user
	some_invocation
	some_capabilities
	some_environment
}

some_invocation if {
	starting
	some_command
	some_privilege
	some_seccomp
	some_mounts
	count(input.devices) == 0
}

some_invocation if {
	executing
	some_exec_command
}

whole_containers := [container |
	some container in possible
	container.working_dir == input.workingDir
	no_new_privileges_fits(container.no_new_privileges)
	user_fits(container.user)
	invocation_fits(container)
	environment_fits(container.env_rules, agreed_environment([container]))
	capabilities_fit(container, asked_privileged, agreed_capabilities([container], asked_privileged))
]

invocation_fits(container) if {
	starting
	privileged_fits(container.allow_elevated)
	container.command == input.argList
	mounts_fit(container)
	container.seccomp_profile_sha256 == input.seccompProfileSHA256
}

invocation_fits(container) if {
	executing
	some process in container.exec_processes
	process.command == input.argList
}

# --- Environment ---

environment_asked if described

environment_asked if input.rule == "exec_external"

environment_candidates := possible if described

environment_candidates := candidate_external_processes if input.rule == "exec_external"

unknown_variables := [split(entry, "=")[0] |
	some entry in input.envList
	not entry_known_somewhere(entry)
]

entry_known_somewhere(entry) if {
	some candidate in environment_candidates
	entry_known(candidate.env_rules, entry)
}

errors contains sprintf("invalid env list: %s", [concat(",", unknown_variables)]) if {
	environment_asked
	not dropping_environment
	count(unknown_variables) > 0
}

errors contains "missing required environment variable" if {
	environment_asked
	count(environment_candidates) > 0
	not some_required
}

some_required if {
	some candidate in environment_candidates
	required_present(candidate.env_rules, input.envList)
}

errors contains "invalid env list" if {
	environment_asked
	not environment_refused
	not some_environment
}

environment_refused if {
	not dropping_environment
	count(unknown_variables) > 0
}

environment_refused if not some_required

some_environment if {
	some candidate in environment_candidates
	environment_fits(candidate.env_rules, agreed_environment([candidate]))
}
