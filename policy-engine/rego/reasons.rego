# Why a request was denied. Asked after a denial, with the same input and the name of the rule in
# `input.rule`. Each condition is reported when no remaining candidate meets it, so a reason names what has
# to change. Names are reported, never values: the answer goes to the host.

package framework

reason := {"errors": errors}

# --- Every rule ---

errors contains sprintf("framework_version is missing. Current version: %s", [version]) if {
	policy_framework_version == null
}

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
	input.rule in {"mount_device", "rw_mount_device"}
	device_mounted
}

errors contains "deviceHash not found" if {
	input.rule == "mount_device"
	not layer_known
}

errors contains "no device at path to unmount" if {
	input.rule in {"unmount_device", "rw_unmount_device"}
	not state.devices[input.unmountTarget]
	not state.rw_devices[input.unmountTarget]
}

errors contains "received read-only unmount request, but device provided is read-write" if {
	input.rule == "unmount_device"
	not state.devices[input.unmountTarget]
	state.rw_devices[input.unmountTarget]
}

errors contains "received read-write unmount request, but device provided is read-only" if {
	input.rule == "rw_unmount_device"
	not state.rw_devices[input.unmountTarget]
	state.devices[input.unmountTarget]
}

errors contains "blockdev mounts are not supported" if input.rule in {"mount_blockdev", "unmount_blockdev"}

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
	to_number(fragment_svn) < to_number(fragment.minimum_svn)
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
	text_svn
}

svn_comparable(svn) := "number" if is_number(to_number(svn))

svn_comparable(svn) := "semver" if semver.is_valid(svn)

errors contains "missing fragment svn in either header or rego payload" if {
	input.rule == "load_fragment"
	input.fragment_loaded == true
	input.has_header_svn == false
	not text_svn
}

errors contains sprintf("svn in header %v does not match svn in fragment rego %v", [input.header_svn, text_svn]) if {
	input.rule == "load_fragment"
	input.fragment_loaded == true
	input.has_header_svn == true
	to_number(text_svn) != to_number(input.header_svn)
}

errors contains sprintf("fragment framework_version is missing. Current version: %s", [version]) if {
	input.rule == "load_fragment"
	input.fragment_loaded == true
	fragment_framework_version == null
}

errors contains sprintf("fragment framework_version is ahead of the current version: %s is greater than %s", [
	fragment_framework_version,
	version,
]) if {
	input.rule == "load_fragment"
	input.fragment_loaded == true
	semver.compare(fragment_framework_version, version) > 0
}

errors contains sprintf("missing receipt from %s", [required]) if {
	input.rule == "load_fragment"
	some fragment in named_fragments
	some required in object.get(fragment, "required_receipts", [])
	not receipt_given(required)
}

errors contains "The provided TTL does not contain any ledgers it is allowed to load" if {
	input.rule == "load_transparency_trust_list"
	some_trust_list
	count(allowed_ledgers) == 0
}

errors contains "no TTL candidate matches the provided TTL's issuer, subject and svn" if {
	input.rule == "load_transparency_trust_list"
	not some_trust_list
}

some_trust_list if {
	some list in named_trust_lists
	svn_fits(input.svn, list.minimum_svn)
}
