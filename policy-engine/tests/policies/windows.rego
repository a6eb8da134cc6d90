package policy

api_version := "0.12.0"

framework_version := "0.5.0"

containers := [
	{
		"command": ["cmd.exe", "/c", "serve"],
		"env_rules": [{"pattern": "MODE=fast", "strategy": "string", "required": true}],
		"layers": ["base", "top"],
		"mounted_cim": ["merged"],
		"exec_processes": [{"command": ["cmd.exe", "/c", "dir"], "signals": [1]}],
		"signals": [0],
		"user": "ContainerUser",
		"working_dir": "C:\\",
		"allow_stdio_access": true,
		"registry_changes": {"add_values": [
			{
				"key": {"hive": "System", "name": "Software\\App", "volatile": true},
				"name": "Mode",
				"type": "String",
				"string_value": "fast",
			},
			{"key": {"hive": "System", "name": "Software\\App"}, "name": "Level", "type": "DWord", "dword_value": 0},
			{
				"key": {"hive": "System", "name": "Software\\App"},
				"name": "Kind",
				"type": "CustomType",
				"custom_type": 77,
				"binary_value": "AQI=",
			},
			{"key": {"hive": "System", "name": "Software\\App"}, "name": "Mark", "type": "None"},
		]},
	},
	{
		"command": ["cmd.exe", "/c", "other"],
		"env_rules": [],
		"layers": ["base", "top"],
		"mounted_cim": ["merged"],
		"exec_processes": [],
		"signals": [],
		"user": "ContainerAdministrator",
		"working_dir": "C:\\",
		"allow_stdio_access": true,
	},
]

allowed_log_providers := ["Microsoft-Windows-Kernel-Process", "App-Events"]

allow_log_provider_dropping := false

allow_environment_variable_dropping := false

mount_cims := data.framework.mount_cims

registry_changes := data.framework.registry_changes

log_provider := data.framework.log_provider

create_container := data.framework.create_container

exec_in_container := data.framework.exec_in_container

signal_container_process := data.framework.signal_container_process

shutdown_container := data.framework.shutdown_container

mount_blockdev := data.framework.mount_blockdev

unmount_blockdev := data.framework.unmount_blockdev

reason := {"errors": data.framework.errors}
