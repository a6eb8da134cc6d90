use proptest::prelude::*;

use super::*;

const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn parse(text: &str) -> Result<Reference, ParseReferenceError> {
    text.parse()
}

#[test]
fn short_names_are_those_of_docker_hub() {
    for (text, expected) in [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("team/app", "docker.io/team/app:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/team/app:v1", "docker.io/team/app:v1"),
        ("localhost/app", "localhost/app:latest"),
        ("Host.example/app", "host.example/app:latest"),
    ] {
        assert_eq!(parse(text).unwrap().to_string(), expected);
    }
    assert_eq!(parse("busybox").unwrap().api_host().to_string(), "registry-1.docker.io");
    assert_eq!(parse("registry.example/app").unwrap().api_host().to_string(), "registry.example");
}

#[test]
fn full_names_are_taken_apart() {
    let reference = parse(&format!("registry.example:5000/a/b-c/d__e:v1.0-x@{DIGEST}")).unwrap();
    assert_eq!(reference.registry().to_string(), "registry.example:5000");
    assert_eq!(reference.repository(), "a/b-c/d__e");
    assert_eq!(reference.tag(), Some("v1.0-x"));
    assert_eq!(reference.digest().unwrap().to_string(), DIGEST);
    let by_digest = parse(&format!("[::1]:5000/app@{DIGEST}")).unwrap();
    assert_eq!((by_digest.registry().host(), by_digest.tag()), ("::1", None));
    let pinned = parse("registry.example/app:v1").unwrap().pinned(DIGEST.parse().unwrap());
    assert_eq!(pinned.to_string(), format!("registry.example/app@{DIGEST}"));
}

#[test]
fn malformed_names_are_refused_by_their_part() {
    use ParseReferenceError as Error;
    let long = format!("registry.example/{}", "a".repeat(MAX_NAME_BYTES));
    let short = "a".repeat(MAX_NAME_BYTES);
    let long_tag = format!("app:{}", "t".repeat(MAX_TAG_BYTES + 1));
    for (text, expected) in [
        ("", Error::Empty),
        (":tag", Error::Empty),
        (&long, Error::TooLong),
        (&short, Error::TooLong),
        ("a_b.example/app", Error::Registry(ParseAuthorityError::Host)),
        ("host:0/app", Error::Registry(ParseAuthorityError::Port)),
        ("registry.example/", Error::Repository),
        ("registry.example/App", Error::Repository),
        ("Host/app", Error::Repository),
        ("registry.example/a//b", Error::Repository),
        ("registry.example/../b", Error::Repository),
        ("registry.example/a?b", Error::Repository),
        ("registry.example/a%2fb", Error::Repository),
        ("a___b", Error::Repository),
        ("a.", Error::Repository),
        (DIGEST.strip_prefix("sha256:").unwrap(), Error::LooksLikeId),
        ("app:", Error::Tag),
        ("app:.hidden", Error::Tag),
        ("app:a b", Error::Tag),
        (&long_tag, Error::Tag),
        ("app@sha256:00", Error::Digest(ParseDigestError)),
    ] {
        assert_eq!(parse(text), Err(expected), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_refused_or_keeps_its_meaning(text in "\\PC{0,80}|[a-zA-Z0-9./:@_\\[\\]-]{0,60}") {
        if let Ok(reference) = parse(&text) {
            let canonical = reference.to_string();
            prop_assert_eq!(parse(&canonical), Ok(reference));
        }
    }

    #[test]
    fn what_the_grammar_allows_is_taken(
        host in "[a-z]{1,8}\\.[a-z]{2,5}(:[1-9][0-9]{0,3})?",
        path in "[a-z0-9]{1,8}((\\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}(/[a-z0-9]{1,8}){0,3}",
        tag in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}",
    ) {
        let text = format!("{host}/{path}:{tag}@{DIGEST}");
        prop_assume!(!matches!(host.as_str(), "docker.io" | "index.docker.io"));
        prop_assert_eq!(parse(&text).unwrap().to_string(), text);
    }
}
