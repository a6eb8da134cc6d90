//! What a container or process asks for beyond what the guest gives every one.
use crate::fixture::{create_container, denied, exec, with_overlay};
use policy_engine::Engine;
use policy_engine::request::linux::{IdMapping, MountSet, Namespace, Sysctl};
use policy_engine::request::{CreateContainer, ExecInContainer, Request};

/// A policy with a rule of its own about settings.
fn engine_with(rule: &str) -> Engine {
    let policy = format!(
        "package policy\nimport rego.v1\napi_version := \"0.10.0\"\nframework_version := \"0.2.3\"\n\
         create_container := {{\"allowed\": true, \"env_list\": input.envList}}\n\
         exec_in_container := {{\"allowed\": true, \"env_list\": input.envList}}\n{rule}\n"
    );
    Engine::load(policy.as_bytes()).unwrap()
}

fn with_sysctl(name: &str) -> CreateContainer {
    let mut request = create_container("c1");
    request.linux.sysctls.push(Sysctl { name: name.to_owned(), value: "1".to_owned() });
    request
}

fn with_label() -> ExecInContainer {
    let mut request = exec("c1", &["/bin/true"]);
    request.process.settings.selinux_label = Some("system_u:object_r:x:s0".to_owned());
    request
}

fn allowed<R: Request>(engine: &Engine, request: R) -> bool {
    engine.decide(request).map(policy_engine::Permit::untouched).is_ok()
}

#[test]
fn a_policy_without_a_rule_for_settings_denies_them() {
    // Judged natively.
    let native = with_overlay("c1");
    assert!(allowed(&native, create_container("c1")));
    let reasons = denied(&native, with_sysctl("net.ipv4.ip_forward"));
    assert!(reasons[0].contains("linux_settings"), "{reasons:?}");
    // By the interpreter.
    let interpreted = engine_with("");
    assert!(allowed(&interpreted, create_container("c1")));
    assert!(!allowed(&interpreted, with_sysctl("net.ipv4.ip_forward")));
    assert!(allowed(&interpreted, exec("c1", &["/bin/true"])));
    assert!(!allowed(&interpreted, with_label()));
}

#[test]
fn a_rule_for_settings_sees_them() {
    let engine = engine_with(
        "linux_settings := {\"allowed\": true} if {\n\tinput.containerID == \"c1\"\n\
         \tinput.process.selinuxLabel == null\n\
         \tevery sysctl in input.linux.sysctls { sysctl.name == \"net.ipv4.ip_forward\" }\n\
         \tinput.linux.namespaces.user == \"guest\"\n}",
    );
    assert!(allowed(&engine, with_sysctl("net.ipv4.ip_forward")));
    assert!(!allowed(&engine, with_sysctl("kernel.core_pattern")));
    assert!(!allowed(&engine, with_label()));
    let mut mapped = with_sysctl("net.ipv4.ip_forward");
    mapped.linux.namespaces.user = Namespace::New;
    assert!(!allowed(&engine, mapped));
}

#[test]
fn id_mappings_of_mounts_are_settings() {
    let mapped = |host_id| {
        let mut request = create_container("c1");
        request.mounts[0].id_mappings.uids = vec![IdMapping { container_id: 0, host_id, size: 1 }];
        request
    };
    assert!(!allowed(&with_overlay("c1"), mapped(7)));
    let engine = engine_with(
        "linux_settings := {\"allowed\": true} if {\n\tinput.linux.mounts == \"confined\"\n\
         \tevery mapped in input.mountIDMappings { mapped.uids[0].hostID == 7 }\n}",
    );
    assert!(allowed(&engine, mapped(7)));
    assert!(!allowed(&engine, mapped(8)));
    let mut free = create_container("c1");
    free.linux.mounts = MountSet::AsAsked;
    assert!(!allowed(&engine, free));
}

#[test]
fn settings_alone_make_no_container() {
    let policy = "package policy\napi_version := \"0.10.0\"\nframework_version := \"0.2.3\"\n\
                  linux_settings := {\"allowed\": true}\ncreate_container := {\"allowed\": false}\n";
    let engine = Engine::load(policy.as_bytes()).unwrap();
    assert!(!allowed(&engine, with_sysctl("net.ipv4.ip_forward")));
}
