use registry_client::Secret;

use super::*;

/// What a key service and a hub are told beside images, as CoCo's example has it.
const HUB: &str = "socket = \"unix:///run/confidential-containers/cdh.sock\"\ncredentials = []\n\
                   [kbc]\nname = \"cc_kbc\"\nurl = \"https://kbs.example\"\n";
const PROXY: ServerAddress = ServerAddress::Vsock { cid: 2, port: 3128 };

fn of_files(files: &[(&str, &str)]) -> Result<PullSettings, CdhError> {
    let owned = |&(name, text): &(&str, &str)| (name.to_owned(), text.to_owned());
    PullSettings::of_initdata(&files.iter().map(owned).collect())
}

fn of_image(image: &str) -> Result<PullSettings, CdhError> {
    of_files(&[(FILE, &format!("{HUB}[image]\n{image}\n"))])
}

#[test]
fn without_the_file_the_command_line_stands() {
    let none = || of_files(&[("policy.rego", "package policy")]).unwrap();
    assert_eq!(none(), PullSettings::default());
    assert_eq!(none().complete(None), Ok(None));
    let measured = PullConfig::through(PROXY);
    assert_eq!(none().complete(Some(measured.clone())), Ok(Some(measured)));
    assert_eq!(of_files(&[(FILE, HUB)]).unwrap(), PullSettings::default());
}

#[test]
fn authorities_come_beside_those_that_are_compiled_in() {
    let image = "extra_root_certificates = [\"\"\"\nfirst\n\"\"\", \"second\"]\n\
                 max_concurrent_layer_downloads_per_image = 3";
    let config = of_image(image).unwrap().complete(Some(PullConfig::through(PROXY))).unwrap().unwrap();
    let texts = vec![b"first\n".to_vec(), b"second".to_vec()];
    assert_eq!(config.trust_anchors, TrustAnchors::MozillaAnd(texts));
    assert_eq!(config.proxy, PROXY);
    assert_eq!(of_image(image).unwrap().complete(None), Ok(None), "authorities open no way");
}

#[test]
fn the_proxy_is_named_by_what_is_measured() {
    let settings = || of_image("image_pull_proxy = { https_proxy = \"vsock://2:3128\" }").unwrap();
    let expected = PullConfig::through(PROXY);
    assert_eq!(settings().complete(None), Ok(Some(expected.clone())));
    assert_eq!(settings().complete(Some(expected.clone())), Ok(Some(expected)));
    let other = PullConfig::through(ServerAddress::Vsock { cid: 2, port: 1 });
    assert_eq!(settings().complete(Some(other)), Err(CdhError::OtherProxy));
}

#[test]
fn logins_come_from_a_file_of_initdata() {
    let image = format!("authenticated_registry_credentials_uri = \"{INITDATA_FOLDER}auth.json\"");
    let hub = format!("[image]\n{image}");
    let with = |logins: &str| of_files(&[(FILE, &hub), ("auth.json", logins)]);
    let settings = with(r#"{"auths": {"registry.example": {"auth": "dXNlcjpzZXNhbWU="}}}"#).unwrap();
    let password = Secret::new("sesame".to_owned());
    let credentials = Credentials::Basic { username: "user".to_owned(), password };
    assert_eq!(settings.credentials, BTreeMap::from([("registry.example".parse().unwrap(), credentials)]));
    assert!(!format!("{settings:?}").contains("sesame"));

    assert_eq!(of_image(&image), Err(CdhError::NoLogins("auth.json".to_owned())));
    let unusable = with(r#"{"auths": {"registry.example": {"auth": "dXNlcg=="}}}"#);
    assert!(matches!(unusable, Err(CdhError::Logins(LoginsError::Login(_)))), "{unusable:?}");
}

#[test]
fn what_is_not_followed_is_refused_by_name() {
    for (key, reason) in NOT_FOLLOWED {
        let text = match key.strip_prefix("image.image_pull_proxy.") {
            Some(key) => format!("[image.image_pull_proxy]\n{key} = \"x\""),
            None => format!("{key} = \"x\""),
        };
        assert_eq!(of_files(&[(FILE, &text)]), Err(CdhError::NotFollowed { key: key.to_owned(), reason }));
    }
    let by_key = of_image("authenticated_registry_credentials_uri = \"kbs:///default/credential/test\"");
    assert!(matches!(by_key, Err(CdhError::NotFollowed { reason: NO_KEYS, .. })), "{by_key:?}");
    let unknown = of_image("image_security_polcy = \"x\"");
    assert_eq!(unknown, Err(CdhError::Unknown("image.image_security_polcy".to_owned())));
    assert_eq!(of_files(&[(FILE, "images = {}")]), Err(CdhError::Unknown("images".to_owned())));
}

#[test]
fn settings_of_another_form_are_refused_without_being_repeated() {
    for image in [
        "extra_root_certificates = \"sesame\"",
        "extra_root_certificates = [1]",
        "max_concurrent_layer_downloads_per_image = 0",
        "max_concurrent_layer_downloads_per_image = \"3\"",
        "image_pull_proxy = \"http://user:sesame@proxy.example\"",
        "image_pull_proxy = { https_proxy = \"http://user:sesame@proxy.example\" }",
        "image_pull_proxy = { https_proxy = \"unix:///run/proxy.sock\" }",
        "authenticated_registry_credentials_uri = \"file:///etc/sesame\"",
        "authenticated_registry_credentials_uri = 1",
    ] {
        let error = of_image(image).unwrap_err();
        assert!(matches!(error, CdhError::Value { .. }), "{image}: {error:?}");
        assert!(!error.to_string().contains("sesame"), "{error}");
    }
    assert!(matches!(of_files(&[(FILE, "image = 1")]), Err(CdhError::Value { .. })));
    let broken = of_files(&[(FILE, "\n[image]\npassword = sesame")]);
    assert_eq!(broken, Err(CdhError::Parse { line: 3 }));
}
