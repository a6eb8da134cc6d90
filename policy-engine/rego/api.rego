# The API of a CCE policy: what the guest asks, since which version, and what an older policy is taken to say.
#
# A policy names the API version it was written for (`api_version`). A question that its version does not
# know is answered by `default_results`, or by the framework's own rule where `use_framework` is true: an
# older policy keeps its meaning. A question that its version knows must be answered by the policy itself.
#
# Literals only: the native evaluator reads this very text.

package api

version := "0.12.0"

enforcement_points := {
	# Layers, root file systems and scratch.
	"mount_device": {"introduced": "0.1.0", "default_results": {"allowed": false}, "use_framework": false},
	"unmount_device": {"introduced": "0.2.0", "default_results": {"allowed": true}, "use_framework": false},
	"mount_overlay": {"introduced": "0.1.0", "default_results": {"allowed": false}, "use_framework": false},
	"unmount_overlay": {"introduced": "0.6.0", "default_results": {"allowed": true}, "use_framework": false},
	"scratch_mount": {"introduced": "0.10.0", "default_results": {"allowed": true}, "use_framework": false},
	"scratch_unmount": {"introduced": "0.10.0", "default_results": {"allowed": true}, "use_framework": false},
	"rw_mount_device": {"introduced": "0.11.0", "default_results": {}, "use_framework": true},
	"rw_unmount_device": {"introduced": "0.11.0", "default_results": {}, "use_framework": true},
	"mount_blockdev": {"introduced": "0.11.1", "default_results": {"allowed": false}, "use_framework": false},
	"unmount_blockdev": {"introduced": "0.11.1", "default_results": {"allowed": false}, "use_framework": false},
	"plan9_mount": {"introduced": "0.6.0", "default_results": {"allowed": true}, "use_framework": false},
	"plan9_unmount": {"introduced": "0.6.0", "default_results": {"allowed": true}, "use_framework": false},
	# Containers and their processes.
	"create_container": {
		"introduced": "0.1.0",
		"default_results": {"allowed": false, "env_list": null, "allow_stdio_access": false},
		"use_framework": false,
	},
	"exec_in_container": {
		"introduced": "0.2.0",
		"default_results": {"allowed": true, "env_list": null},
		"use_framework": false,
	},
	"exec_external": {
		"introduced": "0.3.0",
		"default_results": {"allowed": true, "env_list": null, "allow_stdio_access": false},
		"use_framework": false,
	},
	"signal_container_process": {"introduced": "0.5.0", "default_results": {"allowed": true}, "use_framework": false},
	"shutdown_container": {"introduced": "0.4.0", "default_results": {"allowed": true}, "use_framework": false},
	# The guest.
	"get_properties": {"introduced": "0.7.0", "default_results": {"allowed": true}, "use_framework": false},
	"dump_stacks": {"introduced": "0.7.0", "default_results": {"allowed": true}, "use_framework": false},
	"runtime_logging": {"introduced": "0.8.0", "default_results": {"allowed": true}, "use_framework": false},
	"host_network": {"introduced": "0.12.0", "default_results": {"allowed": false}, "use_framework": false},
	# What the policy takes in from others.
	"load_fragment": {
		"introduced": "0.9.0",
		"default_results": {"allowed": false, "add_module": false},
		"use_framework": false,
	},
	"load_transparency_trust_list": {"introduced": "0.12.0", "default_results": {"allowed": false}, "use_framework": false},
	# Windows guests.
	"registry_changes": {"introduced": "0.10.0", "default_results": {"allowed": false}, "use_framework": false},
	"mount_cims": {"introduced": "0.11.0", "default_results": {"allowed": false}, "use_framework": false},
	"log_provider": {
		"introduced": "0.11.0",
		"default_results": {"allowed": true, "providers_to_keep": null},
		"use_framework": false,
	},
}
