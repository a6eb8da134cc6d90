use std::future::{pending, ready};
use std::io::{Read as _, Write as _};

use super::*;

type Theirs = (PipeReader, PipeWriter, PipeWriter);

fn pipes() -> (Stdio, Theirs) {
    let Prepared::Pipes { ours, theirs } = Prepared::new(StreamAccess::Agent, false).unwrap() else {
        panic!("pipes")
    };
    let spare = Prepared::new(StreamAccess::Agent, false).unwrap();
    let Prepared::Pipes { theirs: unused, .. } = spare else { panic!("pipes") };
    (Prepared::Pipes { ours, theirs: unused }.into_stdio(None).unwrap(), theirs)
}

#[tokio::test]
async fn a_read_returns_at_most_what_was_asked_and_then_the_rest() {
    let (stdio, (_, mut output, _)) = pipes();
    output.write_all(b"hello").unwrap();
    assert_eq!(stdio.read_output(2, pending()).await.unwrap(), b"he");
    assert_eq!(stdio.read_output(usize::MAX, pending()).await.unwrap(), b"llo");
    drop(output);
    assert_eq!(stdio.read_output(9, pending()).await.unwrap(), b"");
}

#[tokio::test]
async fn the_last_bytes_are_read_after_the_end() {
    let (stdio, (_, mut output, _)) = pipes();
    output.write_all(b"last").unwrap();
    // The writing end stays open, as a background process would keep it.
    assert_eq!(stdio.read_output(9, ready(())).await.unwrap(), b"last");
    assert_eq!(stdio.read_output(9, ready(())).await.unwrap(), b"");
}

#[tokio::test]
async fn a_cancelled_read_takes_nothing() {
    let (stdio, (_, _, mut error)) = pipes();
    {
        let read = stdio.read_error(9, pending());
        let mut read = std::pin::pin!(read);
        tokio::select! {
            biased;
            _ = &mut read => panic!("nothing was written yet"),
            () = tokio::task::yield_now() => {}
        }
    }
    error.write_all(b"kept").unwrap();
    assert_eq!(stdio.read_error(9, pending()).await.unwrap(), b"kept");
}

#[tokio::test]
async fn a_write_that_nobody_reads_ends_when_input_is_closed() {
    let (stdio, (mut input, _, _)) = pipes();
    let stdio = Arc::new(stdio);
    let writer = Arc::clone(&stdio);
    let stuck = tokio::spawn(async move {
        let block = [7_u8; READ_LENGTH_MAX];
        let mut written = 0_usize;
        loop {
            match writer.write_input(&block, pending()).await {
                Ok(length) => written += length,
                Err(error) => return (written, error),
            }
        }
    });
    tokio::task::yield_now().await;
    stdio.close_input().unwrap();
    let (written, error) = stuck.await.unwrap();
    assert!(matches!(error, StdioError::Closed));
    let mut bytes = Vec::new();
    input.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), written);
    assert!(matches!(stdio.write_input(b"x", pending()).await, Err(StdioError::Closed)));
}

#[tokio::test]
async fn nothing_is_to_be_had_where_access_is_denied() {
    let prepared = Prepared::new(StreamAccess::Denied, true).unwrap();
    assert_eq!(prepared.theirs().len(), 3);
    let stdio = prepared.into_stdio(None).unwrap();
    assert!(matches!(stdio.read_output(1, pending()).await, Err(StdioError::Denied)));
    assert!(matches!(stdio.read_error(1, pending()).await, Err(StdioError::Denied)));
    assert!(matches!(stdio.write_input(b"x", pending()).await, Err(StdioError::Denied)));
    assert!(matches!(stdio.close_input(), Err(StdioError::Denied)));
    assert!(matches!(stdio.resize(TerminalSize::default()), Err(StdioError::Denied)));
}
