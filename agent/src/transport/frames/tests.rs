use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

fn frame(type_: u8, stream_id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&length.to_be_bytes()[..], &stream_id.to_be_bytes(), &[type_, 0], payload].concat()
}

/// What ttrpc gets to see of these bytes.
async fn seen(bytes: &[u8]) -> Vec<u8> {
    seen_in(bytes, Room::new()).await
}

async fn seen_in(bytes: &[u8], room: Room) -> Vec<u8> {
    let (mut host, guest) = tokio::io::duplex(64);
    let bytes = bytes.to_vec();
    let host = tokio::spawn(async move { host.write_all(&bytes).await.map(|()| host) });
    let mut seen = Vec::new();
    let mut guest = Frames::new(guest, room);
    let (_, read) = tokio::join!(async { drop(host.await) }, guest.read_to_end(&mut seen));
    read.unwrap();
    seen
}

#[tokio::test]
async fn whole_frames_pass_as_they_are_and_cut_ones_do_not() {
    let call = frame(TYPE_REQUEST, 1, b"\x0a\x03abc\x20\x05");
    let long = frame(TYPE_REQUEST, 3, &[&b"\x1a\xa0\x8d\x06"[..], &[7; 100_000]].concat());
    let stray = frame(2, 3, b"stray");
    let all = [call.clone(), long, stray, frame(TYPE_REQUEST, 5, b"")].concat();
    assert_eq!(seen(&all).await, all);
    for cut in 1..call.len() {
        assert!(seen(&call[..cut]).await.is_empty());
    }
}

#[tokio::test]
async fn a_call_out_of_bounds_is_emptied_and_an_oversized_one_is_ttrpcs_to_refuse() {
    let metadata = b"\x2a\x00".repeat(ENVELOPE_PARTS_MAX + 1);
    let next = frame(TYPE_REQUEST, 3, b"\x0a\x01s");
    let sent = [frame(TYPE_REQUEST, 1, &metadata), next.clone()].concat();
    assert_eq!(seen(&sent).await, [frame(TYPE_REQUEST, 1, b""), next.clone()].concat());
    let oversized = frame(TYPE_REQUEST, 1, &vec![0; FRAME_PAYLOAD_MAX_BYTES + 1]);
    let sent = [oversized, next].concat();
    assert_eq!(seen(&sent).await, sent);
}

#[tokio::test]
async fn a_host_that_takes_no_answers_is_not_read() {
    let (mut host, guest) = tokio::io::duplex(1 << 20);
    let mut guest = Frames::new(guest, Room::new());
    let call = frame(TYPE_REQUEST, 1, b"\x0a\x01s");
    host.write_all(&call.repeat(UNANSWERED_MAX + 1)).await.unwrap();
    let mut read = vec![0; call.len() * UNANSWERED_MAX];
    guest.read_exact(&mut read).await.unwrap();

    let mut more = vec![0; call.len()];
    let mut context = Context::from_waker(Waker::noop());
    let mut buffer = ReadBuf::new(&mut more);
    assert!(Pin::new(&mut guest).poll_read(&mut context, &mut buffer).is_pending());
    // Half an answer is none.
    let answer = frame(2, 1, b"done");
    guest.write_all(&answer[..12]).await.unwrap();
    let mut buffer = ReadBuf::new(&mut more);
    assert!(Pin::new(&mut guest).poll_read(&mut context, &mut buffer).is_pending());
    guest.write_all(&answer[12..]).await.unwrap();
    guest.read_exact(&mut more).await.unwrap();
    assert_eq!(more, call);
}

/// Reads all that there is of a connection of which nothing but a part of a frame has come.
async fn reads_nothing(guest: &mut Frames<tokio::io::DuplexStream>) {
    // The runtime lets nobody read more than some megabytes at once.
    for _ in 0..4 {
        let mut bytes = [0; 16];
        let mut context = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut *guest).poll_read(&mut context, &mut ReadBuf::new(&mut bytes)).is_pending());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn long_frames_of_all_connections_have_one_room() {
    let room = Room::new();
    let long =
        frame(TYPE_REQUEST, 1, &[&b"\x1a\xfb\xff\xff\x01"[..], &[7; FRAME_PAYLOAD_MAX_BYTES - 5]].concat());
    let mut connections: Vec<_> = (0..5)
        .map(|_| {
            let (host, guest) = tokio::io::duplex(long.len());
            (host, Frames::new(guest, room.clone()))
        })
        .collect();
    for (host, guest) in &mut connections {
        host.write_all(&long[..long.len() - 1]).await.unwrap();
        reads_nothing(guest).await;
    }
    let held: Vec<usize> = connections.iter().map(|(_, guest)| guest.incoming.frame.len()).collect();
    assert_eq!(held, [long.len() - 1, long.len() - 1, long.len() - 1, long.len() - 1, HEADER_BYTES]);
    // What is short goes on meanwhile, and the room of one that has gone is the next one's.
    let call = frame(TYPE_REQUEST, 1, b"\x0a\x01s");
    assert_eq!(seen_in(&call, room).await, call);
    drop(connections.swap_remove(0));
    let (mut host, mut guest) = connections.swap_remove(0);
    host.write_all(&long[long.len() - 1..]).await.unwrap();
    let mut whole = vec![0; long.len()];
    guest.read_exact(&mut whole).await.unwrap();
    assert!(whole == long);
}
