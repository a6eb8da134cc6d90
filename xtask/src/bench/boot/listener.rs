//! The smallest program that listens on vsock: busybox has none. Static, without a C library, in machine code.

/// Where the program lies in memory.
const BASE: u64 = 0x40_0000;
/// ELF header and one program header.
const HEADERS_SIZE: u64 = 0x40 + 0x38;
/// `AF_VSOCK`, and the size of its address.
const VSOCK_FAMILY: u8 = 40;
const ADDRESS_SIZE: u8 = 16;
/// `VMADDR_CID_ANY`
const ANY_CID: u32 = u32::MAX;

/// A program that listens on this port, accepts what comes, and returns as soon as it listens, leaving a child behind.
pub(super) fn program(port: u32) -> Vec<u8> {
    // struct sockaddr_vm: family, reserved, port, context, flags.
    let mut address = vec![VSOCK_FAMILY, 0, 0, 0];
    address.extend(port.to_le_bytes());
    address.extend(ANY_CID.to_le_bytes());
    address.extend([0; 4]);

    let code = code();
    let size = HEADERS_SIZE.saturating_add((address.len() as u64).saturating_add(code.len() as u64));
    let entry = BASE.saturating_add(HEADERS_SIZE).saturating_add(address.len() as u64);
    let mut program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    // Entry, place of the program header, of no section header; flags, sizes and numbers of headers.
    for value in [entry, 0x40, 0] {
        program.extend(value.to_le_bytes());
    }
    program.extend([0, 0, 0, 0, 0x40, 0, 0x38, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    // One segment, readable and executable: all of the file.
    program.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for value in [0, BASE, BASE, size, size, 0x1000] {
        program.extend(value.to_le_bytes());
    }
    program.extend(address);
    program.extend(code);
    program
}

/// System calls by number: 41 socket, 49 bind, 50 listen, 57 fork, 43 accept, 60 exit.
fn code() -> Vec<u8> {
    let [a, b, c, d] = u32::try_from(BASE.saturating_add(HEADERS_SIZE)).unwrap_or_default().to_le_bytes();
    [
        // ebx = socket(AF_VSOCK, SOCK_STREAM, 0)
        &[0xb8, 41, 0, 0, 0, 0xbf, VSOCK_FAMILY, 0, 0, 0, 0xbe, 1, 0, 0, 0, 0x31, 0xd2][..],
        &[0x0f, 0x05, 0x89, 0xc3],
        // bind(ebx, address, its size)
        &[0xb8, 49, 0, 0, 0, 0x89, 0xdf, 0xbe, a, b, c, d, 0xba, ADDRESS_SIZE, 0, 0, 0, 0x0f, 0x05],
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
