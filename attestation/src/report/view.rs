//! A report as JSON: stable keys, lower-case hexadecimal.

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::{FirmwareVersion, GuestPolicy, PlatformInfo, Report, SigningKey};

#[derive(serde::Serialize)]
struct PolicyView {
    value: String,
    abi_major: u8,
    abi_minor: u8,
    smt_allowed: bool,
    migration_agent_allowed: bool,
    debug_allowed: bool,
    single_socket: bool,
}

impl From<GuestPolicy> for PolicyView {
    fn from(policy: GuestPolicy) -> Self {
        Self {
            value: format!("{:016x}", policy.0),
            abi_major: policy.abi_major(),
            abi_minor: policy.abi_minor(),
            smt_allowed: policy.smt_allowed(),
            migration_agent_allowed: policy.migration_agent_allowed(),
            debug_allowed: policy.debug_allowed(),
            single_socket: policy.single_socket(),
        }
    }
}

#[derive(serde::Serialize)]
struct PlatformView {
    value: String,
    smt_enabled: bool,
    tsme_enabled: bool,
    ecc_enabled: bool,
    alias_check_complete: bool,
}

impl From<PlatformInfo> for PlatformView {
    fn from(info: PlatformInfo) -> Self {
        Self {
            value: format!("{:016x}", info.0),
            smt_enabled: info.smt_enabled(),
            tsme_enabled: info.tsme_enabled(),
            ecc_enabled: info.ecc_enabled(),
            alias_check_complete: info.alias_check_complete(),
        }
    }
}

/// The name of the key that signed a report.
const fn signing_key_name(key: SigningKey) -> &'static str {
    match key {
        SigningKey::Vcek => "vcek",
        SigningKey::Vlek => "vlek",
        SigningKey::Unsigned => "none",
        SigningKey::Reserved(_) => "reserved",
    }
}

fn firmware(version: FirmwareVersion) -> String {
    format!("{}.{}.{}", version.major, version.minor, version.build)
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut view = serializer.serialize_struct("Report", 28)?;
        view.serialize_field("version", &self.version().number())?;
        view.serialize_field("guest_svn", &self.guest_svn())?;
        view.serialize_field("policy", &PolicyView::from(self.policy()))?;
        view.serialize_field("family_id", &hex::encode(self.family_id()))?;
        view.serialize_field("image_id", &hex::encode(self.image_id()))?;
        view.serialize_field("vmpl", &self.vmpl())?;
        view.serialize_field("signature_algorithm", &self.signature_algorithm())?;
        view.serialize_field("signing_key", signing_key_name(self.key_info().signing_key()))?;
        view.serialize_field("author_key_enabled", &self.key_info().author_key_enabled())?;
        view.serialize_field("chip_key_masked", &self.key_info().chip_key_masked())?;
        view.serialize_field("platform_info", &PlatformView::from(self.platform_info()))?;
        view.serialize_field("report_data", &self.report_data())?;
        view.serialize_field("measurement", &self.measurement())?;
        view.serialize_field("host_data", &self.host_data())?;
        view.serialize_field("id_key_digest", &hex::encode(self.id_key_digest()))?;
        view.serialize_field("author_key_digest", &hex::encode(self.author_key_digest()))?;
        view.serialize_field("report_id", &hex::encode(self.report_id()))?;
        view.serialize_field("report_id_ma", &hex::encode(self.report_id_migration_agent()))?;
        view.serialize_field("chip_id", &self.chip_id())?;
        view.serialize_field("cpu", &self.cpu_id())?;
        view.serialize_field("current_tcb", &self.current_tcb().to_string())?;
        view.serialize_field("reported_tcb", &self.reported_tcb().to_string())?;
        view.serialize_field("committed_tcb", &self.committed_tcb().to_string())?;
        view.serialize_field("launch_tcb", &self.launch_tcb().to_string())?;
        view.serialize_field("current_firmware", &firmware(self.current_firmware()))?;
        view.serialize_field("committed_firmware", &firmware(self.committed_firmware()))?;
        view.serialize_field("launch_mitigations", &self.launch_mitigations().map(|v| format!("{v:016x}")))?;
        view.serialize_field(
            "current_mitigations",
            &self.current_mitigations().map(|v| format!("{v:016x}")),
        )?;
        view.end()
    }
}
