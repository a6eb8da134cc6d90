//! Standard streams and terminals.

use executor::stdio::StdioError;
use policy_engine::request::TerminalSize;

use crate::guest::{Guest, process};

pub(crate) const TESTS: &[crate::Test] = &[
    ("input_comes_back_as_output", echo),
    ("the_last_bytes_of_a_flood_arrive", flood),
    ("output_that_nobody_reads_does_not_block_the_agent", unread),
    ("a_terminal_has_a_size_and_controls_its_session", terminal),
    ("an_exec_may_have_a_terminal", exec_terminal),
    ("streams_are_closed_to_the_host_unless_policy_grants_them", denied),
    ("streams_of_an_exec_are_open_to_the_host_like_the_containers", exec_access),
    ("a_user_may_reopen_his_streams", reopen),
];

fn echo() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["cat"]));
    let init = container.init();
    guest.runtime.block_on(async {
        assert_eq!(init.write_stdin(b"through").await.unwrap(), 7);
        assert_eq!(init.read_stdout(100).await.unwrap(), b"through");
        assert!(matches!(init.resize(TerminalSize::default()), Err(StdioError::Missing)));
        init.close_stdin().unwrap();
        assert!(matches!(init.write_stdin(b"late").await, Err(StdioError::Closed)));
        assert_eq!(init.wait().await.get(), 0);
    });
    guest.remove(container);
}

fn flood() {
    let guest = Guest::new();
    let (code, output, _) =
        guest.script("i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done; echo end");
    assert_eq!(code, 0);
    assert_eq!(output.lines().count(), 20001);
    assert!(output.ends_with("\n19999\nend\n"));
}

fn unread() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["sh", "-c", "while true; do echo full; done"]));
    let exec = guest.exec(&container, "e1", process(&["echo", "alive"])).unwrap();
    assert_eq!(guest.finish(&exec).1, "alive\n");
    guest.remove(container);
}

fn terminal() {
    let guest = Guest::new();
    let mut request =
        guest.request(&["sh", "-c", "tty; stty size; read line; stty size; test -t 2 && ls -l /dev/console"]);
    request.process.terminal = Some(TerminalSize { rows: 24, columns: 80 });
    let container = guest.start(request);
    let init = container.init();
    let mut seen = String::new();
    guest.runtime.block_on(async {
        while !seen.contains("24 80") {
            seen.push_str(&String::from_utf8(init.read_stdout(100).await.unwrap()).unwrap());
        }
        init.resize(TerminalSize { rows: 50, columns: 132 }).unwrap();
        init.write_stdin(b"go\n").await.unwrap();
        assert!(matches!(init.read_stderr(1).await, Err(StdioError::Missing)));
        loop {
            let chunk = init.read_stdout(100).await.unwrap();
            if chunk.is_empty() {
                break;
            }
            seen.push_str(&String::from_utf8(chunk).unwrap());
        }
        assert_eq!(init.wait().await.get(), 0, "{seen}");
    });
    assert!(seen.starts_with("/dev/pts/0\r\n") && seen.contains("50 132\r\n"), "{seen}");
    // The agent has no controlling terminal of a container's.
    let own = std::fs::read_to_string("/proc/self/stat").unwrap();
    let agent_terminal: i64 = own.rsplit(") ").next().unwrap().split(' ').nth(4).unwrap().parse().unwrap();
    assert_ne!(agent_terminal >> 8, 136);
    guest.remove(container);
}

fn exec_terminal() {
    let guest = Guest::new();
    let container = guest.start(guest.request(&["sleep", "600"]));
    let mut spec = process(&["sh", "-c", "tty; stty size"]);
    spec.terminal = Some(TerminalSize { rows: 10, columns: 20 });
    let exec = guest.exec(&container, "e1", spec).unwrap();
    let (code, output, _) = guest.finish(&exec);
    assert_eq!((code, output.as_str()), (0, "/dev/pts/0\r\n10 20\r\n"));
    guest.remove(container);
}

fn denied() {
    let guest = Guest::with_stdio(false);
    let mut request = guest.request(&["sh", "-c", "echo secret; echo secret >&2; read line || exit 4"]);
    request.process.terminal = Some(TerminalSize::default());
    let container = guest.start(request);
    let init = container.init();
    guest.runtime.block_on(async {
        assert!(matches!(init.read_stdout(10).await, Err(StdioError::Denied)));
        assert!(matches!(init.read_stderr(10).await, Err(StdioError::Denied)));
        assert!(matches!(init.write_stdin(b"x").await, Err(StdioError::Denied)));
        assert_eq!(init.wait().await.get(), 4);
    });
    guest.remove(container);
}

/// Policy grants access to streams for a container, and with it for whatever is executed there.
fn exec_access() {
    for is_granted in [true, false] {
        let guest = Guest::with_stdio(is_granted);
        let container = guest.start(guest.request(&["sleep", "600"]));
        let exec = guest.exec(&container, "e1", process(&["sh", "-c", "echo secret; cat; exit 5"])).unwrap();
        guest.runtime.block_on(async {
            if is_granted {
                assert_eq!(exec.read_stdout(10).await.unwrap(), b"secret\n");
                exec.write_stdin(b"in").await.unwrap();
                assert_eq!(exec.read_stdout(10).await.unwrap(), b"in");
                exec.close_stdin().unwrap();
            } else {
                assert!(matches!(exec.read_stdout(10).await, Err(StdioError::Denied)));
                assert!(matches!(exec.read_stderr(10).await, Err(StdioError::Denied)));
                assert!(matches!(exec.write_stdin(b"in").await, Err(StdioError::Denied)));
            }
            assert_eq!(exec.wait().await.get(), 5);
        });
        guest.remove(container);
    }
}

fn reopen() {
    let guest = Guest::new();
    let mut request = guest.request(&["sh", "-c", "echo again > /dev/stdout"]);
    request.process.user.uid = 33;
    request.process.user.gid = 33;
    let (code, output, error) = guest.run(request);
    assert_eq!((code, output.as_str()), (0, "again\n"), "{error}");
}
