//! Layer archives with a bit of everything.

use tar::{Builder, EntryType, Header};

/// A file of an archive.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) kind: EntryType,
    pub(crate) path: String,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    /// Seconds, with a fraction perhaps.
    pub(crate) modified: &'static str,
    pub(crate) data: Vec<u8>,
    /// Of links.
    pub(crate) target: String,
    pub(crate) device: (u32, u32),
    pub(crate) attributes: Vec<(&'static str, Vec<u8>)>,
}

impl File {
    pub(crate) fn new(kind: EntryType, path: &str) -> Self {
        Self {
            kind,
            path: path.to_owned(),
            mode: if kind.is_dir() { 0o755 } else { 0o644 },
            owner: (0, 0),
            modified: "1600000000",
            data: Vec::new(),
            target: String::new(),
            device: (0, 0),
            attributes: Vec::new(),
        }
    }

    pub(crate) fn regular(path: &str, data: &[u8]) -> Self {
        Self { data: data.to_vec(), ..Self::new(EntryType::Regular, path) }
    }

    pub(crate) fn directory(path: &str) -> Self {
        Self::new(EntryType::Directory, path)
    }

    pub(crate) fn link(kind: EntryType, path: &str, target: &str) -> Self {
        Self { target: target.to_owned(), ..Self::new(kind, path) }
    }

    fn device(kind: EntryType, path: &str, device: (u32, u32)) -> Self {
        Self { device, ..Self::new(kind, path) }
    }

    fn owned(self, uid: u64, gid: u64) -> Self {
        Self { owner: (uid, gid), ..self }
    }

    fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    fn at(self, modified: &'static str) -> Self {
        Self { modified, ..self }
    }

    fn attribute(mut self, name: &'static str, value: &[u8]) -> Self {
        self.attributes.push((name, value.to_vec()));
        self
    }
}

/// The archive of these files; what a plain header has no room for stands in PAX records.
pub(crate) fn archive(files: &[File]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for file in files {
        let mut records: Vec<(String, Vec<u8>)> = Vec::new();
        let mut header = Header::new_ustar();
        header.set_entry_type(file.kind);
        header.set_mode(file.mode);
        let (uid, gid) = file.owner;
        header.set_uid(uid.min(0o7_777_777));
        header.set_gid(gid.min(0o7_777_777));
        header.set_size(file.data.len() as u64);
        header.set_mtime(file.modified.parse().unwrap_or_default());
        if header.set_path(&file.path).is_err() {
            header.set_path("long").unwrap();
            records.push(("path".into(), file.path.clone().into()));
        }
        if matches!(file.kind, EntryType::Link | EntryType::Symlink)
            && header.set_link_name(&file.target).is_err()
        {
            records.push(("linkpath".into(), file.target.clone().into()));
        }
        if matches!(file.kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(file.device.0).unwrap();
            header.set_device_minor(file.device.1).unwrap();
        }
        if file.modified.parse::<u64>().is_err() {
            records.push(("mtime".into(), file.modified.into()));
        }
        for (name, value) in &file.attributes {
            records.push((format!("SCHILY.xattr.{name}"), value.clone()));
        }
        if !records.is_empty() {
            let records = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
            builder.append_pax_extensions(records).unwrap();
        }
        header.set_cksum();
        builder.append(&header, &file.data[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Every kind of file, with no name twice.
pub(crate) fn kinds() -> Vec<File> {
    use EntryType::{Block, Char, Fifo, Link, Symlink};
    vec![
        File::directory("./").mode(0o755).at("1500000000"),
        File::directory("etc/"),
        File::regular("etc/passwd", &[b'p'; 5000]).owned(1, 2),
        File::regular("etc/empty", b"").at("0"),
        File::regular("etc/set-uid", &[1; 4096]).mode(0o4755).at("0"),
        File::link(Symlink, "etc/link", "../etc/passwd").mode(0o777),
        File::link(Link, "etc/passwd-", "etc/passwd"),
        File::directory("tmp").mode(0o1777).at("0"),
        File::directory("dev"),
        File::device(Char, "dev/null", (1, 3)).mode(0o666),
        File::device(Block, "dev/large", (259, 70_000)).owned(0, 6),
        File::new(Fifo, "dev/fifo"),
        File::regular("many", &[7; 12_289]).owned(70_000, 2_000_000).at("1700000001"),
        File::regular("exact", &[9; 8192]).at("0").owned(65_535, 65_535),
        File::directory("attributes")
            .attribute("user.b", b"2")
            .attribute("user.a", b"1")
            .attribute("security.capability", &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            .attribute("trusted.large", &[b'x'; 3000]),
        File::regular("attributes/file", b"data")
            .attribute("user.name", b"")
            .attribute("user.zero", &[0, 1, 0]),
        File::link(Symlink, "attributes/link", &"t".repeat(300)).attribute("trusted.only", b"q"),
        File::regular(&format!("{}/{}", "d".repeat(200), "f".repeat(255)), b"long names"),
        File::link(Symlink, "whole-block", &"w".repeat(4095)).mode(0o777),
    ]
}

fn whiteouts() -> Vec<File> {
    vec![
        File::directory("a"),
        File::regular("a/.wh.gone", b"").mode(0o600).owned(3, 4),
        File::directory("b").attribute("user.kept", b"1"),
        File::regular("b/.wh..wh..opq", b""),
        File::regular("b/c", b"c"),
        File::regular("b/.wh.z", b""),
        File::regular(".wh.top", b""),
        File::regular("w/.wh..wh..opq", b""),
        File::regular("v/.wh.u", b""),
        File::regular("v/u", b"comes back"),
    ]
}

fn missing_parents() -> Vec<File> {
    vec![
        File::regular("x/y/z/file", b"1").owned(5, 6),
        File::directory("x/y").mode(0o2700).owned(9, 9),
        File::regular("x/y/q", b"2"),
        File::directory("shared").mode(0o777).owned(8, 8).at("12"),
        File::regular("shared/deep/er/file", b"3"),
    ]
}

fn duplicates() -> Vec<File> {
    use EntryType::Link;
    vec![
        File::regular("f", &[1; 9000]),
        File::regular("f", &[2; 5000]),
        File::directory("d").at("0"),
        File::directory("d/1").at("0"),
        File::regular("d/1", b"a file now"),
        File::directory("d/2").at("0"),
        File::regular("d/2", b"a file now"),
        File::directory("d/3").at("0"),
        File::regular("d/3", b"a file now"),
        File::regular("g", b"g"),
        File::link(Link, "h", "g"),
        File::link(Link, "h", "g"),
        File::link(Link, "i", "h"),
        File::directory("g"),
        File::directory("e").mode(0o700).attribute("user.a", b"1"),
        File::directory("e").mode(0o711).attribute("user.b", b"2"),
        File::directory("tree/with/leaves"),
        File::regular("tree", b"felled"),
    ]
}

fn large_directories() -> Vec<File> {
    let mut files = vec![File::directory("large")];
    files.extend(
        (0..1500).map(|i| File::regular(&format!("large/{}", format!("n{i}").repeat(1 + i % 9)), b"")),
    );
    files.extend((0..150).map(|i| File::regular(&format!("tail/{i:03}{}", "m".repeat(i)), &[0; 3]).at("0")));
    files.extend((0..90).map(|i| File::directory(&format!("tail/-{i}"))));
    files
}

/// The root has no room in block 0, and so stands behind the data.
fn root_behind_data() -> Vec<File> {
    let long = "x".repeat(40);
    let mut files: Vec<_> =
        (0..200_u8).map(|i| File::regular(&format!("file{i:03}{long}"), &vec![i; 20_000])).collect();
    for i in 0..30 {
        files.push(File::directory(&format!("d{i}")).at("0"));
        files.push(File::link(EntryType::Symlink, &format!("d{i}/s"), &"q".repeat(1 + i * 130)));
    }
    files
}

fn fractions() -> Vec<File> {
    let times = ["1.5", "1700000000.123456789", "1600000000.25", "-1.5", "-0.5", "0.5", "12.000001", "-7"];
    let file = |(i, time)| File::regular(&format!("f{i}"), b"1").at(time);
    times.into_iter().enumerate().map(file).collect()
}

/// A number generator that is always the same.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Files of all kinds and sizes in directories of all depths; sizes around those of blocks.
pub(crate) fn random(random: &mut Random, count: usize) -> Vec<File> {
    let mut directories = vec![String::new()];
    let mut regular = Vec::new();
    let mut files = Vec::new();
    let attributes = ["user.a", "user.longer-name", "trusted.b", "security.ima", "system.posix_acl_access"];
    for i in 0..count {
        let directory = directories[random.below(directories.len())].clone();
        let length = random.of(&[1, 3, 10, 60, 200]);
        let name: String = (0..length).map(|_| random.of(&['a', 'b', '.', '-', 'Z', '0'])).collect();
        let path = format!("{directory}{name}{i}");
        let mut file = match random.below(20) {
            0..4 => {
                directories.push(format!("{path}/"));
                File::directory(&path).mode(random.of(&[0o755, 0o700, 0o777]))
            }
            4..8 => {
                let length = random.of(&[1, 20, 300, 3000, 3950, 4000, 4031, 4090, 4500]);
                File::link(EntryType::Symlink, &path, &"l".repeat(length))
            }
            8 => File::regular(&format!("{directory}.wh.{i}"), b""),
            9 if !regular.is_empty() => {
                let target: &String = &regular[random.below(regular.len())];
                File::link(EntryType::Link, &path, target)
            }
            10 if !regular.is_empty() => {
                File::regular(&regular[random.below(regular.len())], &vec![b'r'; random.below(9000)])
            }
            11 => File::device(
                EntryType::Char,
                &path,
                (random.below(4000) as u32, random.below(1 << 19) as u32),
            ),
            12 => File::regular(&format!("{path}/below/nothing"), b"n"),
            _ => {
                regular.push(path.clone());
                File::regular(&path, &vec![i as u8; random.of(&[0, 0, 1, 100, 4095, 4096, 4097, 10_000])])
            }
        };
        file = file.at(random.of(&["0", "0", "1700000000"])).owned(random.of(&[0, 1000, 100_000]), 0);
        if random.below(6) == 0 && file.kind != EntryType::Link {
            for _ in 0..1 + random.below(3) {
                let name = random.of(&attributes);
                if file.attributes.iter().all(|(present, _)| *present != name) {
                    file = file.attribute(name, &vec![b'v'; random.of(&[0, 7, 90, 900, 2500])]);
                }
            }
        }
        files.push(file);
    }
    files
}

/// Named archives.
pub(crate) fn samples() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", archive(&[])),
        ("kinds", archive(&kinds())),
        ("whiteouts", archive(&whiteouts())),
        ("missing-parents", archive(&missing_parents())),
        ("duplicates", archive(&duplicates())),
        ("large-directories", archive(&large_directories())),
        ("root-behind-data", archive(&root_behind_data())),
        ("fractions", archive(&fractions())),
        ("random-50", archive(&random(&mut Random(1), 50))),
        ("random-400", archive(&random(&mut Random(2), 400))),
        ("random-1000", archive(&random(&mut Random(3), 1000))),
    ]
}
