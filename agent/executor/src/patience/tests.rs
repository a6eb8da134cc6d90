use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::retry::retry;

/// Not for longer than an answer takes that is there.
const SHORT: Patience = Patience { looks: 3 };

#[derive(Debug, PartialEq, Eq)]
enum WorkError {
    Silent(String),
    Own,
}

impl From<SilentDiskError> for WorkError {
    fn from(error: SilentDiskError) -> Self {
        Self::Silent(error.to_string())
    }
}

/// Threads that are one test's own.
fn threads() -> &'static DiskWork {
    Box::leak(Box::new(DiskWork::new()))
}

fn ask(threads: &'static DiskWork, disk: &str) -> Result<u32, WorkError> {
    threads.make(disk, SHORT, &mut Rollback::default(), |_| Ok(7))
}

/// A disk that answers when it is told to, and what was undone on it.
struct Frozen {
    threads: &'static DiskWork,
    name: &'static str,
    answer: Sender<()>,
    undone: Receiver<&'static str>,
}

impl Frozen {
    /// Asks for something of a disk that does not answer.
    fn ask(threads: &'static DiskWork, name: &'static str, outcome: Result<u32, WorkError>) -> Self {
        let (answer, answered) = channel();
        let (undo, undone) = channel();
        let mut rollback = Rollback::default();
        let made = threads.make(name, SHORT, &mut rollback, move |steps| {
            let last = undo.clone();
            steps.add(move || last.send("first step").map_err(io::Error::other));
            answered.recv().map_err(|_| WorkError::Own)?;
            steps.add(move || undo.send("second step").map_err(io::Error::other));
            outcome
        });
        assert_eq!(made, Err(WorkError::Silent(format!("{name} does not answer"))));
        assert!(rollback.undo(), "there is nothing to undo for who asked");
        Self { threads, name, answer, undone }
    }

    /// Lets it answer, and waits until it may be asked again.
    fn thaw(self) -> Vec<&'static str> {
        self.answer.send(()).unwrap();
        retry(250, |_| true, || ask(self.threads, self.name)).unwrap();
        self.undone.iter().collect()
    }
}

#[test]
fn work_is_done_and_can_be_undone() {
    let threads = threads();
    let (undo, undone) = channel();
    let mut rollback = Rollback::default();
    let made = threads.make("d0", Patience::FEW_BLOCKS, &mut rollback, move |steps| {
        steps.add(move || undo.send("undone").map_err(io::Error::other));
        Ok::<_, WorkError>(7)
    });
    assert_eq!((made, undone.try_recv().is_err()), (Ok(7), true));
    assert!(rollback.undo());
    assert_eq!(undone.recv(), Ok("undone"));
}

#[test]
fn work_that_fails_is_undone_and_says_when_it_cannot_be() {
    let threads = threads();
    for stuck in [false, true] {
        let mut rollback = Rollback::default();
        let made: Result<(), _> = threads.make("d1", Patience::FEW_BLOCKS, &mut rollback, move |steps| {
            steps.add(move || if stuck { Err(io::Error::other("stuck")) } else { Ok(()) });
            Err(WorkError::Own)
        });
        assert_eq!((made, rollback.undo()), (Err(WorkError::Own), !stuck));
    }
}

#[test]
fn a_disk_that_does_not_answer_is_not_waited_for_and_not_asked_again() {
    let threads = threads();
    let frozen = Frozen::ask(threads, "d2", Ok(7));
    assert_eq!(
        ask(threads, "d2"),
        Err(WorkError::Silent("d2 has not answered an earlier request".to_owned()))
    );
    // What stands on it is still taken down, and another disk is nobody's concern.
    assert_eq!(threads.take_down("d2", SHORT, || Ok::<_, WorkError>(8)), Ok(8));
    assert_eq!(ask(threads, "d3"), Ok(7));
    // What it made too late is undone, newest first, before it is asked again.
    assert_eq!(frozen.thaw(), ["second step", "first step"]);
}

#[test]
fn what_fails_too_late_is_undone_too() {
    let threads = threads();
    assert_eq!(Frozen::ask(threads, "d4", Err(WorkError::Own)).thaw(), ["second step", "first step"]);
}

#[test]
fn threads_that_wait_for_disks_are_bounded() {
    let threads = threads();
    let names = ["e0", "e1", "e2", "e3", "e4", "e5", "e6", "e7"];
    let frozen = names.map(|name| Frozen::ask(threads, name, Ok(1)));
    let too_many = WorkError::Silent("8 requests to disks have not been answered".to_owned());
    assert_eq!(ask(threads, "e8"), Err(too_many));
    let taken_down = threads.take_down("e8", SHORT, || Ok::<_, WorkError>(()));
    assert!(matches!(taken_down, Err(WorkError::Silent(_))));
    for disk in frozen {
        // The limit holds back whoever asks until the first has answered.
        disk.answer.send(()).unwrap();
        assert_eq!(disk.undone.iter().count(), 2);
    }
    retry(250, |_| true, || ask(threads, "e8")).unwrap();
}

#[test]
fn work_that_is_broken_off_is_an_error() {
    let threads = threads();
    let (answer, answered) = channel::<()>();
    let thread = threads.wait::<u32, _>("d5", SHORT, |place| {
        move || {
            drop(place);
            let _ended = answered.recv();
        }
    });
    assert!(matches!(thread, Err(SilentDiskError::BrokenOff { .. })), "{thread:?}");
    drop(answer);
}
