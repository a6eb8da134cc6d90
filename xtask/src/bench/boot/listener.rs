//! The smallest program that listens on vsock: busybox has none. Static, without a C library, in machine code.

use vm::machine_code::{DATA_ADDRESS, VSOCK_ADDRESS_SIZE, VSOCK_FAMILY, executable, vsock_address};

/// `VMADDR_CID_ANY`
const ANY_CID: u32 = u32::MAX;

/// A program that listens on this port, accepts what comes, and returns as soon as it listens, leaving a child behind.
pub(super) fn program(port: u32) -> Vec<u8> {
    executable(&vsock_address(ANY_CID, port), &code())
}

/// System calls by number: 41 socket, 49 bind, 50 listen, 57 fork, 43 accept, 60 exit.
fn code() -> Vec<u8> {
    let [a, b, c, d] = DATA_ADDRESS.to_le_bytes();
    [
        // ebx = socket(AF_VSOCK, SOCK_STREAM, 0)
        &[0xb8, 41, 0, 0, 0, 0xbf, VSOCK_FAMILY, 0, 0, 0, 0xbe, 1, 0, 0, 0, 0x31, 0xd2][..],
        &[0x0f, 0x05, 0x89, 0xc3],
        // bind(ebx, address, its size)
        &[0xb8, 49, 0, 0, 0, 0x89, 0xdf, 0xbe, a, b, c, d, 0xba, VSOCK_ADDRESS_SIZE, 0, 0, 0, 0x0f, 0x05],
        // listen(ebx, 8)
        &[0xb8, 50, 0, 0, 0, 0x89, 0xdf, 0xbe, 8, 0, 0, 0, 0x0f, 0x05],
        // if fork() != 0: over the loop, to exit
        &[0xb8, 57, 0, 0, 0, 0x0f, 0x05, 0x85, 0xc0, 0x75, 15],
        // loop: accept(ebx, 0, 0)
        &[0xb8, 43, 0, 0, 0, 0x89, 0xdf, 0x31, 0xf6, 0x31, 0xd2, 0x0f, 0x05, 0xeb, 0xf1],
        // exit(0)
        &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05],
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_runs_where_there_is_vsock_or_not_and_leaves_a_child() {
        use std::os::unix::fs::PermissionsExt as _;

        let path = std::env::temp_dir().join(format!("listener-{}", std::process::id()));
        std::fs::write(&path, program(1024)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        // In a pid namespace of its own where the machine lets us, so that the child ends with it.
        let run = crate::command::Run::new("unshare")
            .args(["--pid", "--fork", "--kill-child", "sh", "-c", "\"$0\"; echo ended $?"])
            .arg(&path);
        let said = run.stdout();
        std::fs::remove_file(&path).unwrap();
        match said {
            Ok(said) => assert_eq!(said, "ended 0\n"),
            Err(refused) => println!("skipped: {refused}"),
        }
    }

    #[test]
    fn jumps_lead_where_they_say() {
        let code = code();
        let exit = code.windows(5).position(|bytes| bytes == [0xb8, 60, 0, 0, 0]).unwrap();
        let accept = code.windows(5).position(|bytes| bytes == [0xb8, 43, 0, 0, 0]).unwrap();
        let over = code.windows(2).position(|bytes| bytes[0] == 0x75).unwrap();
        assert_eq!(over + 2 + usize::from(code[over + 1]), exit);
        let back = code.windows(2).position(|bytes| bytes == [0xeb, 0xf1]).unwrap();
        assert_eq!(back + 2 - 15, accept);
    }
}
