#![expect(clippy::arithmetic_side_effects, reason = "the counts of a test are small")]

use std::cell::RefCell;

use super::*;

/// An entry as the kernel keeps it.
struct KernelEntry {
    provider: &'static str,
    state: RefCell<State>,
}

struct State {
    generation: u64,
    privlevel: Vec<u8>,
    inblob: Vec<u8>,
    /// Another process writes this after our own data.
    intruder: Option<[u8; 64]>,
    /// The answer, when it is not the report about `inblob`.
    outblob: Option<Vec<u8>>,
}

impl KernelEntry {
    fn new(provider: &'static str) -> Self {
        let state = State { generation: 4, privlevel: vec![], inblob: vec![], intruder: None, outblob: None };
        Self { provider, state: RefCell::new(state) }
    }
}

impl Attributes for KernelEntry {
    fn write(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.generation += 1;
        match file {
            "privlevel" => state.privlevel = bytes.to_vec(),
            "inblob" => state.inblob = bytes.to_vec(),
            _ => return Err(io::ErrorKind::PermissionDenied.into()),
        }
        if let (Some(data), "inblob") = (state.intruder, file) {
            state.generation += 1;
            state.inblob = data.to_vec();
        }
        Ok(())
    }

    fn read(&self, file: &str, _limit: usize) -> io::Result<Vec<u8>> {
        let state = self.state.borrow();
        match file {
            "provider" => Ok(format!("{}\n", self.provider).into_bytes()),
            "generation" => Ok(format!("{}\n", state.generation).into_bytes()),
            "outblob" => Ok(state.outblob.clone().unwrap_or_else(|| report_about(&state.inblob))),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn report_about(data: &[u8]) -> Vec<u8> {
    let mut raw = vec![0; REPORT_LEN];
    raw[0] = 2;
    raw[0x50..0x90].copy_from_slice(data);
    raw
}

const DATA: ReportData = ReportData::new([9; 64]);

#[test]
fn a_report_about_the_data_is_taken() {
    let entry = KernelEntry::new("sev_guest");
    assert_eq!(report_from(&entry, &DATA).unwrap().report_data(), DATA);
    assert_eq!(entry.state.borrow().privlevel, b"0");
}

#[test]
fn a_write_by_somebody_else_is_noticed() {
    let entry = KernelEntry::new("sev_guest");
    // Even one with the same data: it may be gone by the next reading.
    entry.state.borrow_mut().intruder = Some([9; 64]);
    assert!(matches!(report_from(&entry, &DATA), Err(ReportError::Race)));
}

#[test]
fn another_kind_of_guest_is_refused() {
    let refused = report_from(&KernelEntry::new("tdx_guest"), &DATA).unwrap_err();
    assert!(matches!(refused, ReportError::Provider(name) if name == "tdx_guest"));
}

#[test]
fn a_report_about_other_data_is_refused() {
    let entry = KernelEntry::new("sev_guest");
    entry.state.borrow_mut().outblob = Some(report_about(&[8; 64]));
    assert!(matches!(report_from(&entry, &DATA), Err(ReportError::OtherData)));
}

#[test]
fn a_longer_answer_is_refused() {
    let entry = KernelEntry::new("sev_guest");
    entry.state.borrow_mut().outblob = Some([report_about(&[9; 64]), vec![0]].concat());
    assert!(matches!(report_from(&entry, &DATA), Err(ReportError::Parse(_))));
}

#[test]
fn files_are_read_to_the_limit_and_written_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let entry = Entry::make(folder.path().join("entry")).unwrap();
    fs::write(entry.0.join("inblob"), b"").unwrap();
    entry.write("inblob", b"abcdef").unwrap();
    assert_eq!(entry.read("inblob", 6).unwrap(), b"abcdef");
    assert_eq!(entry.read("inblob", 3).unwrap(), b"abcd");
    assert!(entry.write("outblob", b"x").is_err());
}

#[test]
fn an_entry_is_made_once_and_removed_when_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("entry");
    let entry = Entry::make(path.clone()).unwrap();
    assert!(Entry::make(path.clone()).is_err());
    drop(entry);
    assert!(!path.exists());
}

#[test]
fn a_folder_that_is_not_configfs_gives_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let refused = ConfigfsTsm::at(folder.path()).report(&DATA).unwrap_err();
    assert!(matches!(refused, ReportError::Configfs { .. }));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
