# Why a request was denied. Asked after a denial, with the same input and the name of the rule in
# `input.rule`. Each condition is reported when no remaining candidate meets it, so a reason names what has
# to change. Names are reported, never values: the answer goes to the host.

package framework

reason := {"errors": errors}

# --- Every rule ---

errors contains "framework_version is missing" if policy_framework_version == null

errors contains sprintf("framework_version is ahead of the current version: %s is greater than %s", [
	policy_framework_version,
	version,
]) if {
	semver.compare(policy_framework_version, version) > 0
}

# --- Devices and file systems ---

errors contains "mountpoint invalid" if {
	input.rule in {"mount_device", "rw_mount_device"}
	not target_in_place
}

errors contains "device already mounted at path" if {
	input.rule == "mount_device"
	device_mounted
}

errors contains "deviceHash not found" if {
	input.rule == "mount_device"
	not layer_known
}

errors contains "no device at path to unmount" if {
	input.rule == "unmount_device"
	not state.devices[input.unmountTarget]
}

errors contains "overlay has already been mounted" if {
	input.rule == "mount_overlay"
	overlay_mounted
}

errors contains "no matching containers for overlay" if {
	input.rule == "mount_overlay"
	count(overlay_candidates) == 0
}

errors contains "no overlay at path to unmount" if {
	input.rule == "unmount_overlay"
	not state.overlayTargets[input.unmountTarget]
}

errors contains "scratch already mounted at path" if {
	input.rule == "scratch_mount"
	scratch_mounted
}

errors contains "unencrypted scratch not allowed" if {
	input.rule == "scratch_mount"
	not encryption_fits
}

errors contains "no scratch at path to unmount" if {
	input.rule == "scratch_unmount"
	not state.scratch_mounts[input.unmountTarget]
}

errors contains "device already mounted at path" if {
	input.rule == "rw_mount_device"
	rw_device_mounted
}

errors contains "unencrypted scratch not allowed, non-readonly mount request for SCSI disk must request encryption" if {
	input.rule == "rw_mount_device"
	not encryption_fits
}

errors contains "ensureFilesystem must be set on rw device mounts" if {
	input.rule == "rw_mount_device"
	not input.ensureFilesystem
}

errors contains "rw device mounts uses a filesystem that is not allowed" if {
	input.rule == "rw_mount_device"
	not input.filesystem in {"ext4", "xfs"}
}

errors contains "no device at path to unmount" if {
	input.rule == "rw_unmount_device"
	not state.rw_devices[input.unmountTarget]
}

errors contains "device already mounted at path" if {
	input.rule == "plan9_mount"
	plan9_mounted
}

errors contains "mountpoint invalid" if {
	input.rule == "plan9_mount"
	not plan9_container
}

errors contains "no device at path to unmount" if {
	input.rule == "plan9_unmount"
	not state.p9mounts[input.unmountTarget]
}

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
	described
	some_working_directory
	some_no_new_privileges
	some_user
	some_whole_command
	some_capabilities
	some_environment
	not some_whole_container
}

some_whole_command if {
	starting
	some_command
	some_privilege
	some_seccomp
	some_mounts
	count(input.devices) == 0
}

some_whole_command if {
	executing
	some_exec_command
}

some_whole_container if {
	starting
	some container in possible
	no_new_privileges_fits(container.no_new_privileges)
	user_fits(container.user)
	privileged_fits(container.allow_elevated)
	container.working_dir == input.workingDir
	container.command == input.argList
	mounts_fit(container)
	container.seccomp_profile_sha256 == input.seccompProfileSHA256
	environment_fits(container.env_rules, agreed_environment([container]))
	capabilities_fit(container, asked_privileged, agreed_capabilities([container], asked_privileged))
}

some_whole_container if {
	executing
	some container in possible
	container.working_dir == input.workingDir
	no_new_privileges_fits(container.no_new_privileges)
	user_fits(container.user)
	some process in container.exec_processes
	process.command == input.argList
	environment_fits(container.env_rules, agreed_environment([container]))
	capabilities_fit(container, asked_privileged, agreed_capabilities([container], asked_privileged))
}

# Several candidates are left and disagree about what the host would decide by choosing.
errors contains "containers only distinguishable by what they would drop or by allow_stdio_access" if {
	described
	some_whole_container
}

# --- Environment ---

with_environment if described

with_environment if input.rule == "exec_external"

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
	with_environment
	not dropping_environment
	count(unknown_variables) > 0
}

errors contains "missing required environment variable" if {
	with_environment
	count(environment_candidates) > 0
	not some_required
}

some_required if {
	some candidate in environment_candidates
	required_present(candidate.env_rules, input.envList)
}

errors contains "invalid env list" if {
	with_environment
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

# --- Processes of the guest itself ---

errors contains "invalid command" if {
	input.rule == "exec_external"
	not some_external_command
}

some_external_command if {
	some process in candidate_external_processes
	process.command == input.argList
}

errors contains "invalid working directory" if {
	input.rule == "exec_external"
	not some_external_directory
}

some_external_directory if {
	some process in candidate_external_processes
	process.working_dir == input.workingDir
}

errors contains "external processes only distinguishable by allow_stdio_access" if {
	input.rule == "exec_external"
	fitting := [process |
		some process in candidate_external_processes
		process.working_dir == input.workingDir
		process.command == input.argList
	]
	count(stdio_choices(fitting)) > 1
}

# --- Rights of the host over the guest ---

errors contains "properties access not allowed" if input.rule == "get_properties"

errors contains "dumping stacks not allowed" if input.rule == "dump_stacks"

errors contains "runtime logging not allowed" if input.rule == "runtime_logging"

errors contains "host network not allowed" if input.rule == "host_network"

# --- Fragments and trust lists ---

errors contains "invalid fragment issuer" if {
	input.rule == "load_fragment"
	not some_issuer
}

some_issuer if {
	some fragment in candidate_fragments
	fragment.issuer == input.issuer
}

errors contains "invalid fragment feed" if {
	input.rule == "load_fragment"
	some_issuer
	count(named_fragments) == 0
}

errors contains "fragment svn is below the specified minimum" if {
	input.rule == "load_fragment"
	some fragment in named_fragments
	svn_number(fragment_svn) < svn_number(fragment.minimum_svn)
}

errors contains "fragment svn is below the specified minimum" if {
	input.rule == "load_fragment"
	some fragment in named_fragments
	semver.compare(fragment_svn, fragment.minimum_svn) < 0
}

errors contains "fragment svn and the specified minimum are different types" if {
	input.rule == "load_fragment"
	some fragment in named_fragments
	svn_comparable(fragment_svn) != svn_comparable(fragment.minimum_svn)
}

fragment_svn := input.header_svn if input.has_header_svn == true

fragment_svn := text_svn if {
	input.has_header_svn == false
	input.fragment_loaded == true
	text_svn != null
}

svn_comparable(svn) := "number" if svn_number(svn) >= 0

svn_comparable(svn) := "semver" if semver.is_valid(svn)

errors contains "missing fragment svn in either header or rego payload" if {
	input.rule == "load_fragment"
	input.fragment_loaded == true
	input.has_header_svn == false
	text_svn == null
}

errors contains sprintf("svn in header %v does not match svn in fragment rego %v", [input.header_svn, text_svn]) if {
	input.rule == "load_fragment"
	input.fragment_loaded == true
	input.has_header_svn == true
	text_svn != null
	svn_number(text_svn) != svn_number(input.header_svn)
}

errors contains sprintf("missing receipt from %s", [required]) if {
	input.rule == "load_fragment"
	some fragment in named_fragments
	some required in object.get(fragment, "required_receipts", [])
	not receipt_given(required)
}

errors contains "The provided TTL does not contain any ledgers it is allowed to load" if {
	input.rule == "load_transparency_trust_list"
	count(allowed_ledgers) == 0
}
