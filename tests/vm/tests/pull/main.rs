//! Guests that pull images: through the proxy of what is measured, from a registry that they have a reason to believe, with
//! a login for it alone, and only what the policy names.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests stop at the first surprise")]

mod image;
mod proxy;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use debian_registry::{Access, Registry, authority, certified};
use image::Image;
use proxy::{HANDSHAKE, Overheard};
use serde_json::{Value, json};
use vm::{BootFiles, Host, HostTool, Initdata, VirtualMachine, VmConfig};

const PROXY_PORT: u32 = 4443;
const MARKER: &str = "an image that nobody on the way could change";
const COMMAND: [&str; 3] = ["/bin/busybox", "cat", "/marker"];
/// Allows nothing: no layer of a stranger gets as far as a question.
const POLICY: &str = "package policy\n\napi_version := \"0.10.0\"\nframework_version := \"0.2.3\"\n";

/// What [`Access::Password`] wants, as engines keep it: `user:secret` in base64.
const LOGIN: &str = "dXNlcjpzZWNyZXQ=";

/// Debian's registry over TLS, behind a password, with two images, of which a policy names one.
struct Served {
    registry: Registry,
    image: Image,
    policy: String,
    /// Where the registry has the bytes of the image's layer.
    layer: PathBuf,
}

impl Served {
    fn start(host: &Host, folder: &Path) -> Self {
        let image = Image::write(folder.join("image"), MARKER);
        let foreign = Image::write(folder.join("foreign"), "of somebody else");
        let storing = Registry::start(folder, &Access::Plain);
        image.push(&storing, "team/app");
        foreign.push(&storing, "team/foreign");
        drop(storing);
        let file = folder.join("policy.rego");
        let command = json!(COMMAND).to_string();
        let words = ["policy", "create", "--command", &command, "--image"].map(OsStr::new);
        let paths = [image.layout.as_os_str(), "--output".as_ref(), file.as_os_str()];
        vm::cce(host, words.into_iter().chain(paths)).unwrap();
        let digest = image.layer();
        let blobs = folder.join("images/docker/registry/v2/blobs/sha256");
        Self {
            registry: Registry::start(folder, &Access::Password(&certified(&authority()))),
            layer: blobs.join(digest.split_at(2).0).join(digest).join("data"),
            policy: fs::read_to_string(file).unwrap(),
            image,
        }
    }

    /// The policy's container on an image of this registry.
    fn run(&self, tool: &HostTool, number: u8, repository: &str, more: &[&str]) -> Value {
        self.run_from(&self.registry, tool, number, repository, more)
    }

    /// The policy's container on an image of another registry.
    fn run_from(
        &self,
        registry: &Registry,
        tool: &HostTool,
        number: u8,
        repository: &str,
        more: &[&str],
    ) -> Value {
        let id = format!("{number:02x}").repeat(32);
        let reference = format!("docker://localhost:{}/{repository}:v1", registry.port);
        let mut args = vec!["run", "--id", &id, "--image", self.image.layout.to_str().unwrap()];
        args.extend(["--pull", &reference]);
        args.extend(more);
        args.extend(COMMAND.iter().flat_map(|&argument| ["--arg", argument]));
        tool.call(&args).unwrap()
    }
}

/// Initdata that names the proxy, the registry's authority and a login for it.
fn initdata(served: &Served) -> Initdata {
    let certificate = authority().chain_pem();
    let hub = format!(
        "[kbc]\nname = \"cc_kbc\"\nurl = \"https://kbs.example\"\n\n[image]\n\
         extra_root_certificates = [\"\"\"\n{certificate}\"\"\"]\n\
         authenticated_registry_credentials_uri = \
         \"file:///run/confidential-containers/initdata/auth.json\"\n\n\
         [image.image_pull_proxy]\nhttps_proxy = \"vsock://2:{PROXY_PORT}\"\n"
    );
    let registry = format!("localhost:{}", served.registry.port);
    let logins = json!({ "auths": { registry: { "auth": LOGIN } } }).to_string();
    let files = [("policy.rego", served.policy.as_str()), ("cdh.toml", &hub), ("auth.json", &logins)];
    Initdata::of_files(&files).unwrap()
}

#[test]
fn a_guest_pulls_from_the_registry_that_its_initdata_trusts_what_its_policy_names() {
    let Some(host) = Host::for_test().unwrap() else { return };
    if !debian_registry::is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(&host, folder.path());
    let boot = BootFiles::in_folder(&host.image).unwrap();
    let config = VmConfig::new("pull", boot, [0; 32]).with_initdata(initdata(&served));
    let machine = VirtualMachine::start(&host, &config).unwrap();
    proxy::relay(machine.listen(PROXY_PORT).unwrap());
    let tool = HostTool::new(&host, &machine);

    let ran = served.run(&tool, 1, "team/app", &[]);
    assert_eq!((&ran["exit_code"], &ran["stdout"]), (&json!(0), &json!(MARKER)), "{ran}");

    let refused = served.run(&tool, 2, "team/foreign", &["--no-sandbox"]);
    assert_eq!(refused["status"], "PERMISSION_DENIED", "{refused}");

    // The same image and password, at a registry that the login is not for.
    let other = Registry::start(folder.path(), &Access::Password(&certified(&authority())));
    let refused = served.run_from(&other, &tool, 5, "team/app", &["--no-sandbox"]);
    assert_eq!(refused["status"], "UNAVAILABLE", "{refused}");
    let message = refused["message"].as_str().unwrap();
    assert!(message.ends_with("the registry asks for other credentials than there are"), "{refused}");

    // A bit of the file's content.
    let honest = fs::read(&served.layer).unwrap();
    let mut changed = honest.clone();
    let place = changed.windows(MARKER.len()).position(|bytes| bytes == MARKER.as_bytes()).unwrap();
    changed[place] ^= 1;
    fs::write(&served.layer, changed).unwrap();
    let refused = served.run(&tool, 3, "team/app", &["--no-sandbox"]);
    assert_eq!(refused["status"], "UNAVAILABLE", "{refused}");
    let digest = served.image.layer();
    assert!(refused.to_string().contains(&format!("the blob is not sha256:{digest}")), "{refused}");

    fs::write(&served.layer, honest).unwrap();
    let ran = served.run(&tool, 4, "team/app", &["--no-sandbox"]);
    assert_eq!(ran["stdout"], MARKER, "{ran}");
    machine.stop().unwrap();
}

#[test]
fn a_pull_goes_through_the_measured_proxy_and_believes_nobody_without_a_reason() {
    let Some(host) = Host::for_test().unwrap() else { return };
    let mut boot = BootFiles::in_folder(&host.image).unwrap();
    boot.command_line.push_str(&format!(" cce.pull_proxy=vsock://2:{PROXY_PORT}"));
    let config =
        VmConfig::new("pull-strangers", boot, [0; 32]).with_initdata(Initdata::with_policy(POLICY).unwrap());
    let machine = VirtualMachine::start(&host, &config).unwrap();
    let listener = machine.listen(PROXY_PORT).unwrap();
    let overheard = thread::spawn(move || (proxy::answer_one(&listener), listener));

    let tool = HostTool::new(&host, &machine);
    let id = "5".repeat(64);
    let image = "docker://registry.example/team/app:1";
    let refused = tool.call(&["run", "--id", &id, "--pull", image, "--arg", "/bin/true"]).unwrap();
    assert_eq!(refused["status"], "UNAVAILABLE", "{refused}");
    let (Overheard { request, record }, listener) = overheard.join().unwrap();
    assert!(request.starts_with("CONNECT registry.example:443 HTTP/1.1\r\n"), "{request:?}");
    assert_eq!(record[0], HANDSHAKE, "{record:02x?}");
    let named = record.windows(16).any(|bytes| bytes == b"registry.example");
    assert!(named, "the guest does not say whom it wants: {record:02x?}");

    // A registry that proves who it is, by an authority that this guest was not told of.
    if debian_registry::is_there() {
        let folder = tempfile::tempdir().unwrap();
        proxy::relay(listener);
        let served = Served::start(&host, folder.path());
        let refused = served.run(&tool, 6, "team/app", &["--no-sandbox"]);
        assert_eq!(refused["status"], "UNAVAILABLE", "{refused}");
        assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
    }
    assert_eq!(tool.call(&["health"]).unwrap()["status"], "SERVING");
    machine.stop().unwrap();
}
