# A pod of a web server and a job, in the manner of genpolicy: rules, then data.
package agent_policy

import future.keywords.every
import future.keywords.if
import future.keywords.in

default AddARPNeighborsRequest := false

default CopyFileRequest := false

default CreateContainerRequest := false

default CreateSandboxRequest := false

default ExecProcessRequest := false

default PauseContainerRequest := false

default RemoveContainerRequest := false

default StartContainerRequest := true

default UpdateInterfaceRequest := false

default UpdateRoutesRequest := false

default WaitProcessRequest := true

# A guest must not take this up: every denial would be an allow.
default AllowRequestsFailingPolicy := true

entry(key) := concat("/", ["/pstate", key])

# Nothing to do for what is known; another value is undefined.
remember(key, value) := [] if {
	print("known", key, "=", data.pstate[key])
	data.pstate[key] == value
}

remember(key, value) := [{"op": "add", "path": entry(key), "value": value}] if {
	print("new", key)
	not data["pstate"][key]
}

CreateContainerRequest := {"allowed": true, "ops": ops} if {
	print("CreateContainerRequest:", input)
	is_null(input.OCI.Hooks)
	annotations := input.OCI.Annotations
	of_pod := remember("sandbox_name", annotations["io.kubernetes.cri.sandbox-name"])

	some index, container in policy_data.containers
	container.args == input.OCI.Process.Args
	root := replace(policy_data.root, "$(id)", input.container_id)
	regex.match(root, input.OCI.Root.Path)
	every variable in input.OCI.Process.Env {
		is_variable(container, variable)
	}
	every storage in input.storages {
		storage.mount_point == concat("/", [policy_data.storage, base64url.encode(storage.source)])
	}

	ops := array.concat(of_pod, remember(input.container_id, index))
}

is_variable(container, variable) if variable in container.env

is_variable(_, variable) if {
	some pattern in policy_data.env_patterns
	print("pattern =", pattern)
	regex.match(pattern, variable)
}

RemoveContainerRequest := {"allowed": true, "ops": [{"op": "remove", "path": entry(input.container_id)}]}

ExecProcessRequest if {
	is_null(input.string_user)
	container := policy_data.containers[data.pstate[input.container_id]]
	some command in container.exec
	command == input.process.Args
}

CopyFileRequest if {
	input.file_type in {"Regular", "Directory"}
	regex.match("^/run/shared/[a-z0-9]{8}-[^/]+$", input.path)
}

CopyFileRequest if {
	input.file_type == "Symlink"
	regex.match("^/run/shared/[a-z0-9]{8}-[^/]+/.+$", input.path)
	not startswith(input.symlink_target, "/")
	not regex.match(`(^|/)\.\.(/|$)`, input.symlink_target)
}

CreateSandboxRequest if {
	input.guest_hook_path == ""
	count(input.kernel_modules) == 0
}

UpdateInterfaceRequest if {
	bits.and(input.interface.raw_flags, bits.negate(128)) == 0
	not input.interface.name in {"lo"}
}

UpdateRoutesRequest if {
	every route in input.routes.Routes {
		not regex.match(`^127\.`, route.source)
	}
}

AddARPNeighborsRequest if {
	every neighbor in input.neighbors.ARPNeighbors {
		neighbor.state in [2, 128]
	}
}

policy_data := {
	"containers": [
		{
			"args": ["/pause"],
			"env": [],
			"exec": []
		},
		{
			"args": ["/bin/web", "--port=80"],
			"env": ["MODE=plain"],
			"exec": [["/bin/probe"]]
		},
		{
			"args": ["/bin/twin"],
			"env": [],
			"exec": []
		},
		{
			"args": ["/bin/twin"],
			"env": [],
			"exec": []
		}
	],
	"env_patterns": ["^WEB_PORT=\\d{1,5}$"],
	"root": "^/run/containers/$(id)/rootfs$",
	"storage": "/run/storage"
}
