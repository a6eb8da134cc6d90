package policy

api_version := "0.12.0"

framework_version := "0.5.0"

containers := [
	{
		"command": ["/bin/web"],
		"env_rules": [
			{"name": "MODE", "name_strategy": "string", "value": "fast|slow", "value_strategy": "re2", "required": true},
			{"pattern": "TERM=xterm", "strategy": "string", "required": false},
		],
		"layers": ["aa"],
		"mounts": [{"destination": "/data", "options": ["ro"], "source": "plan9://", "type": "bind"}],
		"exec_processes": [],
		"signals": [15],
		"user": {
			"user_idname": {"pattern": "web|www", "strategy": "re2"},
			"group_idnames": [{"pattern": "staff", "strategy": "name"}],
			"umask": "0027",
		},
		"capabilities": null,
		"seccomp_profile_sha256": "",
		"allow_elevated": true,
		"working_dir": "/",
		"allow_stdio_access": false,
		"no_new_privileges": false,
	},
]

external_processes := [{
	"command": ["/bin/probe"],
	"env_rules": [],
	"working_dir": "/",
	"allow_stdio_access": true,
}]

fragments := [
	{
		"issuer": "did:x509:0:sha256:issuer",
		"feed": "example/sidecar",
		"minimum_svn": 2,
		"includes": ["containers"],
		"parameters": {"command": "/bin/sidecar"},
	},
	{
		"issuer": "did:x509:0:sha256:issuer",
		"feed": "example/recorded",
		"minimum_svn": 1,
		"includes": ["containers"],
		"required_receipts": ["TTL:ledgers"],
	},
]

transparency_trust_lists := [{
	"issuer": "did:x509:0:sha256:issuer",
	"subject": "ledgers",
	"minimum_svn": 3,
	"allowed_ledgers": ["ledger.example"],
}]

allow_dump_stacks := true

allow_runtime_logging := true

allow_host_network := true

mount_device := data.framework.mount_device

rw_mount_device := data.framework.rw_mount_device

rw_unmount_device := data.framework.rw_unmount_device

mount_blockdev := data.framework.mount_blockdev

unmount_blockdev := data.framework.unmount_blockdev

mount_overlay := data.framework.mount_overlay

create_container := data.framework.create_container

exec_external := data.framework.exec_external

plan9_mount := data.framework.plan9_mount

plan9_unmount := data.framework.plan9_unmount

dump_stacks := data.framework.dump_stacks

runtime_logging := data.framework.runtime_logging

get_properties := data.framework.get_properties

host_network := data.framework.host_network

load_fragment := data.framework.load_fragment

load_transparency_trust_list := data.framework.load_transparency_trust_list

reason := data.framework.reason
