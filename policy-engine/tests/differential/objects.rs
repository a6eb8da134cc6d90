//! Objects of policies, from alphabets so small that they collide.

use serde_json::{Value, json};

use crate::random::Random;

pub(crate) const HASHES: [&str; 4] = ["aa", "bb", "cc", "aA"];
pub(crate) const DIRECTORIES: [&str; 3] = ["/", "/w", "/w/"];
pub(crate) const CAPABILITIES: [&str; 4] = ["CAP_A", "CAP_B", "CAP_C", "cap_a"];
pub(crate) const OPTIONS: [&str; 4] = ["ro", "rw", "rbind", "RO"];
const NAMES: [&str; 4] = ["A", "B", "AB", ""];
const VALUES: [&str; 5] = ["1", "2", "", "1=2", "é"];
const SIGNALS: [u64; 4] = [9, 15, 1, 64];

/// Patterns of whole environment entries, with entries that they match. Those without entries match none:
/// RE2 refuses them.
pub(crate) const ENTRY_PATTERNS: [(&str, &[&str]); 23] = [
    ("A=.*", &["A=", "A=1", "A=1=2", "A=é"]),
    ("A=[12]", &["A=1", "A=2"]),
    ("A=1|A=2", &["A=1", "A=2"]),
    ("A=1|B", &["A=1", "B"]),
    ("(A|B)=.+", &["A=1", "B=2"]),
    ("^A=1$", &["A=1"]),
    ("^B=1|B=2$", &["B=1", "B=2"]),
    (r"A=\d", &["A=1"]),
    (r"AB=\w*", &["AB=", "AB=x_1"]),
    ("(?i)a=1", &["A=1", "a=1"]),
    ("(?s).*", &["", "A=1", "B", "x\ny=1"]),
    (".*", &["", "A=1", "B", "=1"]),
    ("", &[""]),
    (r"\QA\E=1", &["A=1"]),
    (r"A=\pN", &["A=1", "A=٣"]),
    ("A=[[:digit:]]{1,3}", &["A=1", "A=123"]),
    ("A=é*", &["A=", "A=éé"]),
    (r"A=\s?", &["A=", "A= "]),
    (r"A=1\b", &["A=1"]),
    // Refused: each would match much if it were read otherwise.
    ("A=(", &[]),
    ("A**", &[]),
    (".*)|(.*", &[]),
    ("(?x) A = 1", &[]),
];

/// Patterns of names, values, users and what follows a mount prefix, in the same form.
pub(crate) const WORD_PATTERNS: [(&str, &[&str]); 13] = [
    (".+", &["1", "A", "www"]),
    (".*", &["", "1", "root"]),
    ("", &[""]),
    ("[A-Z]+", &["A", "AB"]),
    ("1|2", &["1", "2"]),
    ("root|www", &["root", "www"]),
    ("/tmp/.+", &["/tmp/x", "/tmp//", "/tmp/é"]),
    ("/tmp/a|/tmp/b", &["/tmp/a", "/tmp/b"]),
    ("/tmp/x", &["/tmp/x"]),
    (r"/tmp/\w+", &["/tmp/x", "/tmp/ab_1"]),
    ("[a-z", &[]),
    ("a++", &[]),
    ("1)|(2", &[]),
];

fn text(random: &mut Random, among: &[&str]) -> String {
    (*random.pick(among)).to_owned()
}

fn texts(random: &mut Random, among: &[&str], most: usize) -> Vec<String> {
    random.some(among, most).into_iter().map(str::to_owned).collect()
}

pub(crate) fn command(random: &mut Random) -> Vec<String> {
    let commands: [&[&str]; 7] =
        [&["/bin/a"], &["/bin/a", "x"], &["x", "/bin/a"], &["/bin/b"], &["/bin/a", ""], &["/bin/é"], &[]];
    random.pick(&commands).iter().map(|&word| word.to_owned()).collect()
}

fn strategy_and_pattern(random: &mut Random, plain: &[&str], patterns: &[(&str, &[&str])]) -> (Value, Value) {
    if random.percent(55) {
        (json!("string"), json!(text(random, plain)))
    } else {
        (json!("re2"), json!(random.pick(patterns).0))
    }
}

pub(crate) fn env_rule(random: &mut Random) -> Value {
    let required = random.percent(20);
    if random.percent(60) {
        let entries = ["A=1", "A=2", "B=1", "AB=1", "A=", "A", "=1", "A=1=2", "", "a=1"];
        let (strategy, pattern) = strategy_and_pattern(random, &entries, &ENTRY_PATTERNS);
        return json!({ "pattern": pattern, "strategy": strategy, "required": required });
    }
    let (name_strategy, name) = strategy_and_pattern(random, &NAMES, &WORD_PATTERNS);
    let (value_strategy, value) = strategy_and_pattern(random, &VALUES, &WORD_PATTERNS);
    json!({
        "name": name, "name_strategy": name_strategy,
        "value": value, "value_strategy": value_strategy,
        "required": required,
    })
}

pub(crate) fn env_rules(random: &mut Random) -> Vec<Value> {
    (0..random.below(5)).map(|_| env_rule(random)).collect()
}

pub(crate) fn mount(random: &mut Random) -> Value {
    let prefix =
        *random.pick(&["sandbox://", "sandbox://", "hugepages://", "plan9://", "plan9://", "", "sandbox:/"]);
    let rest = random.pick(&WORD_PATTERNS).0;
    let source =
        if prefix == "plan9://" && random.percent(70) { prefix.into() } else { format!("{prefix}{rest}") };
    json!({
        "destination": text(random, &["/data", "/etc/x", "/data/"]),
        "options": texts(random, &OPTIONS, 3),
        "source": source,
        "type": text(random, &["bind", "bind", "tmpfs"]),
    })
}

pub(crate) fn mounts(random: &mut Random) -> Vec<Value> {
    (0..random.below(4)).map(|_| mount(random)).collect()
}

fn id_name(random: &mut Random) -> Value {
    let strategy = *random.pick(&["any", "id", "name", "re2"]);
    let pattern = match strategy {
        "re2" => random.pick(&WORD_PATTERNS).0.to_owned(),
        "id" => text(random, &["0", "1000"]),
        _ => text(random, &["root", "www", ""]),
    };
    json!({ "pattern": pattern, "strategy": strategy })
}

fn user(random: &mut Random) -> Value {
    let groups: Vec<Value> = (0..random.below(3)).map(|_| id_name(random)).collect();
    json!({
        "user_idname": id_name(random),
        "group_idnames": groups,
        "umask": text(random, &["0022", "0022", "0027", "22"]),
    })
}

fn capabilities(random: &mut Random) -> Value {
    if random.percent(20) {
        return Value::Null;
    }
    // A name twice, as in the second form, makes a set that no request has after dropping.
    let all = random.part(&CAPABILITIES, 60);
    if random.percent(50) {
        return json!({ "bounding": all, "effective": all, "permitted": all, "inheritable": [], "ambient": [] });
    }
    let mut set = || texts(random, &CAPABILITIES, 3);
    json!({ "bounding": set(), "effective": set(), "permitted": set(), "inheritable": set(), "ambient": set() })
}

pub(crate) fn signals(random: &mut Random) -> Vec<u64> {
    random.some(&SIGNALS, 3)
}

fn container(random: &mut Random) -> Value {
    let layers = 1 + random.below(3);
    let layers: Vec<&str> =
        if random.percent(3) { Vec::new() } else { (0..layers).map(|_| *random.pick(&HASHES)).collect() };
    let processes: Vec<Value> = (0..random.below(4))
        .map(|_| json!({ "command": command(random), "signals": signals(random) }))
        .collect();
    json!({
        "allow_elevated": random.percent(30),
        "allow_stdio_access": random.percent(70),
        "capabilities": capabilities(random),
        "command": command(random),
        "env_rules": env_rules(random),
        "exec_processes": processes,
        "layers": layers,
        "mounts": mounts(random),
        "no_new_privileges": random.percent(40),
        "seccomp_profile_sha256": text(random, &["", "", "ab12"]),
        "signals": signals(random),
        "user": user(random),
        "working_dir": text(random, &DIRECTORIES),
    })
}

/// Containers of which many share their layers and differ in little else.
pub(crate) fn containers(random: &mut Random, most: usize) -> Vec<Value> {
    let mut containers: Vec<Value> = Vec::new();
    for _ in 0..=random.below(most) {
        let fresh = container(random);
        let known = containers.len();
        if known == 0 || random.percent(25) {
            containers.push(fresh);
            continue;
        }
        let mut relative = containers[random.below(known)].clone();
        for _ in 0..random.below(3) {
            let fields: Vec<&str> = fresh.as_object().unwrap().keys().map(String::as_str).collect();
            // What is dropped depends on these.
            let kept = ["env_rules", "capabilities"];
            let fields = if random.percent(40) { &kept } else { &fields[..] };
            let field = *random.pick(fields);
            relative[field] = fresh[field].clone();
        }
        if random.percent(10) {
            relative["name"] = json!("another");
        }
        containers.push(relative);
    }
    containers
}

pub(crate) fn external_processes(random: &mut Random) -> Vec<Value> {
    let process = |random: &mut Random| {
        json!({
            "allow_stdio_access": random.percent(70),
            "command": command(random),
            "env_rules": env_rules(random),
            "working_dir": text(random, &DIRECTORIES),
        })
    };
    (0..random.below(4)).map(|_| process(random)).collect()
}

pub(crate) fn platform_rules(random: &mut Random) -> Vec<Value> {
    let rule = |random: &mut Random| {
        let mut rule = json!({ "env_rules": env_rules(random), "mounts": mounts(random) });
        if random.percent(15) {
            rule.as_object_mut().unwrap().remove("mounts");
        }
        rule
    };
    (0..random.below(3)).map(|_| rule(random)).collect()
}

pub(crate) fn trust_lists(random: &mut Random) -> Vec<Value> {
    let list = |random: &mut Random| {
        json!({
            "issuer": text(random, &ISSUERS),
            "subject": text(random, &["s", "t"]),
            "minimum_svn": *random.pick(&[1, 2]),
            "allowed_ledgers": texts(random, &LEDGERS, 2),
        })
    };
    (0..random.below(3)).map(|_| list(random)).collect()
}

pub(crate) const ISSUERS: [&str; 2] = ["did:x509:i", "did:x509:j"];
pub(crate) const FEEDS: [&str; 2] = ["f", "g"];
pub(crate) const LEDGERS: [&str; 3] = ["l.example", "m.example", "*"];

pub(crate) fn fragments(random: &mut Random) -> Vec<Value> {
    let parts = [
        "containers",
        "containers",
        "fragments",
        "external_processes",
        "namespace",
        "platform_rules",
        "transparency_trust_lists",
    ];
    let fragment = |random: &mut Random| {
        let includes = random.part(&parts, 60);
        let mut fragment = json!({
            "issuer": text(random, &ISSUERS),
            "feed": text(random, &FEEDS),
            "minimum_svn": random.pick(&[json!(1), json!(2), json!("1"), json!("1.0.0")]),
            "includes": includes,
        });
        if random.percent(30) {
            fragment["parameters"] = json!({ "command": command(random) });
        }
        if random.percent(15) {
            fragment["required_receipts"] = json!([random.pick(&["*", "l.example", "TTL:s"])]);
        }
        fragment
    };
    (0..random.below(4)).map(|_| fragment(random)).collect()
}
