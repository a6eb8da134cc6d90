# The CCE framework: what a policy means when it says `mount_device := data.framework.mount_device`.
#
# These modules are the specification. A policy lists objects (containers, fragments, ...) and points its
# rules here; the rules decide a request (`input`) against those objects and against what has happened
# before (`input.metadata`, which the engine supplies and changes only as an allowed and completed request
# says in its own `metadata`).
#
#   framework.rego   the rules, one section an enforcement point
#   objects.rego     the policy's objects, upgraded from older framework versions
#   matching.rego    when a request fits an object: commands, environment, mounts, users, capabilities
#   anchoring.rego   what a pattern is held against
#   fragments.rego   pieces of policy that others wrote and signed
#   windows.rego     what only Windows guests are asked
#   reasons.rego, container_reasons.rego
#                    why a request was denied
#
# Undefined is not an allow: each rule defaults to a denial.

package framework

version := "0.5.0"

# What has happened so far. Every map is present from the start, empty.
state := input.metadata

# --- Layers: read-only devices behind dm-verity ---

default mount_device := {"allowed": false}

mount_device := {"allowed": true, "metadata": [add("devices", input.target, input.deviceHash)]} if {
	target_in_place
	not device_mounted
	layer_known
}

# The guest fixes where layers may be mounted; the pattern comes with the request.
target_in_place if matches_whole(input.mountPathRegex, input.target)

# One mount point has one device, whichever kind it is.
device_mounted if state.devices[input.target]

device_mounted if state.rw_devices[input.target]

# Any layer of any container may be mounted; which container it serves is decided by `mount_overlay`.
layer_known if {
	some container in declared_containers
	input.deviceHash in container.layers
}

layer_known if {
	some container in fragment_containers
	input.deviceHash in container.layers
}

default unmount_device := {"allowed": false}

unmount_device := {"allowed": true, "metadata": [remove("devices", input.unmountTarget)]} if {
	state.devices[input.unmountTarget]
}

# --- Root file systems: layers stacked for one container ---

default mount_overlay := {"allowed": false}

# Remembers which containers of the policy this one may turn out to be. Each later request narrows that
# list, and a request that fits none of the rest is denied.
mount_overlay := {
	"allowed": true,
	"metadata": [
		add("matches", input.containerID, containers),
		add("overlayTargets", input.target, true),
	],
} if {
	not overlay_mounted
	containers := overlay_candidates
	count(containers) > 0
}

overlay_mounted if state.overlayTargets[input.target]

overlay_mounted if state.matches[input.containerID]

overlay_candidates := [container |
	some container in candidate_containers
	layers_mounted(container.layers)
]

# Policies list layers from the base up, overlay mounts name them from the top down.
layers_mounted(layers) if {
	depth := count(input.layerPaths)
	depth > 0
	count(layers) == depth
	every index, path in input.layerPaths {
		state.devices[path] == layers[(depth - index) - 1]
	}
}

default unmount_overlay := {"allowed": false}

unmount_overlay := {"allowed": true, "metadata": [remove("overlayTargets", input.unmountTarget)]} if {
	state.overlayTargets[input.unmountTarget]
}

# --- Containers ---

default create_container := {"allowed": false}

create_container := {
	"allowed": true,
	"env_list": environment,
	"caps_list": capabilities,
	"allow_stdio_access": stdio,
	"metadata": [
		update("matches", input.containerID, containers),
		add("started", input.containerID, {"privileged": input.privileged}),
	],
} if {
	# An id is used once: a second container under it would inherit what was said of the first.
	not container_started
	count(input.devices) == 0
	fitting := [container |
		some container in state.matches[input.containerID]
		no_new_privileges_fits(container.no_new_privileges)
		user_fits(container.user)
		privileged_fits(container.allow_elevated)
		container.working_dir == input.workingDir
		container.command == input.argList
		mounts_fit(container)
		container.seccomp_profile_sha256 == input.seccompProfileSHA256
	]
	environment := agreed_environment(fitting)
	with_environment := [container |
		some container in fitting
		environment_fits(container.env_rules, environment)
	]
	capabilities := agreed_capabilities(with_environment, input.privileged)
	containers := [container |
		some container in with_environment
		capabilities_fit(container, input.privileged, capabilities)
	]
	stdio := agreed_stdio(containers)
}

container_started if state.started[input.containerID]

# What all of `objects`, one at least, say of stdio. Where they disagree nothing is agreed: the choice would
# be the host's.
agreed_stdio(objects) := choice if {
	choice := objects[0].allow_stdio_access
	every object in objects {
		object.allow_stdio_access == choice
	}
}

default exec_in_container := {"allowed": false}

exec_in_container := {
	"allowed": true,
	"env_list": environment,
	"caps_list": capabilities,
	"metadata": [update("matches", input.containerID, containers)],
} if {
	container_started
	fitting := [container |
		some container in state.matches[input.containerID]
		container.working_dir == input.workingDir
		no_new_privileges_fits(container.no_new_privileges)
		user_fits(container.user)
		executable(container)
	]
	environment := agreed_environment(fitting)
	with_environment := [container |
		some container in fitting
		environment_fits(container.env_rules, environment)
	]
	capabilities := agreed_capabilities(with_environment, runs_privileged)
	containers := [container |
		some container in with_environment
		capabilities_fit(container, runs_privileged, capabilities)
	]
	count(containers) > 0
}

# A function, so that a container that lists a command twice is one candidate still.
executable(container) if {
	some process in container.exec_processes
	process.command == input.argList
}

default runs_privileged := false

runs_privileged if state.started[input.containerID].privileged == true

default signal_container_process := {"allowed": false}

signal_container_process := {
	"allowed": true,
	"metadata": [update("matches", input.containerID, containers)],
} if {
	container_started
	containers := [container |
		some container in state.matches[input.containerID]
		signal_fits(container)
	]
	count(containers) > 0
}

signal_fits(container) if {
	input.isInitProcess == true
	input.signal in container.signals
}

signal_fits(container) if {
	input.isInitProcess == false
	some process in container.exec_processes
	process.command == input.argList
	input.signal in process.signals
}

default shutdown_container := {"allowed": false}

# `started` stays: the id is never used again.
shutdown_container := {"allowed": true, "metadata": [remove("matches", input.containerID)]} if container_started

# --- Scratch: what containers write to ---

default scratch_mount := {"allowed": false}

scratch_mount := {
	"allowed": true,
	"metadata": [add("scratch_mounts", input.target, {"encrypted": input.encrypted})],
} if {
	not scratch_mounted
	encryption_fits
}

scratch_mounted if state.scratch_mounts[input.target]

encryption_fits if input.encrypted == true

encryption_fits if data.policy.allow_unencrypted_scratch == true

default scratch_unmount := {"allowed": false}

scratch_unmount := {"allowed": true, "metadata": [remove("scratch_mounts", input.unmountTarget)]} if {
	state.scratch_mounts[input.unmountTarget]
}

# Writable disks. Policies older than this question are judged by these rules too: the default would be to
# take no notice of a plaintext disk.
default rw_mount_device := {"allowed": false}

rw_mount_device := {"allowed": true, "metadata": [add("rw_devices", input.target, true)]} if {
	target_in_place
	not device_mounted
	encryption_fits
	formatted_by_guest
}

# A file system that the host made is a parser bug away from the kernel. Only a fresh one is mounted.
formatted_by_guest if {
	input.ensureFilesystem == true
	input.filesystem in {"ext4", "xfs"}
}

default rw_unmount_device := {"allowed": false}

rw_unmount_device := {"allowed": true, "metadata": [remove("rw_devices", input.unmountTarget)]} if {
	state.rw_devices[input.unmountTarget]
}

# Raw block devices are never given to containers.
mount_blockdev := {"allowed": false}

unmount_blockdev := {"allowed": false}

# --- Shared directories (9p) ---

default plan9_mount := {"allowed": false}

plan9_mount := {"allowed": true, "metadata": [add("p9mounts", input.target, container_id)]} if {
	not plan9_mounted
	container_id := plan9_container
}

plan9_mounted if state.p9mounts[input.target]

# `<root>/<container id><mount path>`, for a container whose root is mounted.
plan9_container := container_id if {
	some container_id, _ in state.matches
	directory := concat("", [input.rootPrefix, "/", container_id])
	startswith(input.target, directory)
	matches_whole(input.mountPathPrefix, substring(input.target, count(directory), -1))
}

default plan9_unmount := {"allowed": false}

plan9_unmount := {"allowed": true, "metadata": [remove("p9mounts", input.unmountTarget)]} if {
	state.p9mounts[input.unmountTarget]
}

# --- Processes of the guest itself ---

default exec_external := {"allowed": false}

exec_external := {
	"allowed": true,
	"env_list": environment,
	"allow_stdio_access": stdio,
} if {
	fitting := [process |
		some process in candidate_external_processes
		process.working_dir == input.workingDir
		process.command == input.argList
	]
	environment := agreed_environment(fitting)
	processes := [process |
		some process in fitting
		environment_fits(process.env_rules, environment)
	]
	stdio := agreed_stdio(processes)
}

# --- Rights of the host over the guest ---

default get_properties := {"allowed": false}

get_properties := {"allowed": true} if data.policy.allow_properties_access == true

default dump_stacks := {"allowed": false}

dump_stacks := {"allowed": true} if data.policy.allow_dump_stacks == true

default runtime_logging := {"allowed": false}

runtime_logging := {"allowed": true} if data.policy.allow_runtime_logging == true

default host_network := {"allowed": false}

host_network := {"allowed": true} if data.policy.allow_host_network == true

# --- Changes of state ---

add(name, key, value) := {"name": name, "action": "add", "key": key, "value": value}

update(name, key, value) := {"name": name, "action": "update", "key": key, "value": value}

remove(name, key) := {"name": name, "action": "remove", "key": key}

# --- What the API knows of a question ---

default policy_api_version := null

policy_api_version := data.policy.api_version

policy_api_version := data.policy.api_svn

default enforcement_point_info := {
	"available": false,
	"default_results": {"allow": false},
	"invalid": false,
	"unknown": true,
	"use_framework": false,
	"version_missing": false,
}

enforcement_point_info := {
	"available": false,
	"default_results": {"allow": false},
	"invalid": false,
	"unknown": false,
	"use_framework": false,
	"version_missing": true,
} if {
	policy_api_version == null
}

enforcement_point_info := {
	"available": semver.compare(policy_api_version, point.introduced) >= 0,
	"default_results": point.default_results,
	"invalid": semver.compare(data.api.version, point.introduced) < 0,
	"unknown": false,
	"use_framework": point.use_framework,
	"version_missing": false,
} if {
	policy_api_version != null
	point := data.api.enforcement_points[input.name]
}
