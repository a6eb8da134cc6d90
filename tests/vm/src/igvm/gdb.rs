//! QEMU's debugger socket: registers, memory and breakpoints of a machine (GDB Remote Serial Protocol).

use std::{
    io::{BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// How long the guest may run until it comes to a breakpoint.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// Why the debugger's socket did not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum GdbError {
    /// The socket failed, was closed, or was silent for too long.
    #[error("QEMU's debugger socket failed")]
    Socket(#[from] std::io::Error),
    /// QEMU answered something else than the protocol allows.
    #[error("QEMU's debugger socket answered `{answer}` to `{request}`")]
    Answer {
        /// What was asked.
        request: String,
        /// What came back.
        answer: String,
    },
}

/// Registers by QEMU's number for x86-64, each with its size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Register {
    number: u8,
    size: usize,
}

impl Register {
    const fn new(number: u8, size: usize) -> Self {
        Self { number, size }
    }

    pub(super) const RAX: Self = Self::new(0, 8);
    pub(super) const RCX: Self = Self::new(2, 8);
    pub(super) const RDX: Self = Self::new(3, 8);
    pub(super) const RSI: Self = Self::new(4, 8);
    pub(super) const RIP: Self = Self::new(16, 8);
    pub(super) const RFLAGS: Self = Self::new(17, 4);
    pub(super) const CS: Self = Self::new(18, 4);
    pub(super) const SS: Self = Self::new(19, 4);
    pub(super) const DS: Self = Self::new(20, 4);
    pub(super) const ES: Self = Self::new(21, 4);
    pub(super) const FS: Self = Self::new(22, 4);
    pub(super) const GS: Self = Self::new(23, 4);
    pub(super) const CR0: Self = Self::new(27, 8);
    pub(super) const CR3: Self = Self::new(29, 8);
    pub(super) const CR4: Self = Self::new(30, 8);
    pub(super) const EFER: Self = Self::new(32, 8);
}

/// A connection to the machine's processors, the first of which is meant.
#[derive(Debug)]
pub(super) struct Gdb {
    stream: BufReader<UnixStream>,
}

impl Gdb {
    /// Connects to a machine that stands still.
    pub(super) fn connect(socket: &Path) -> Result<Self, GdbError> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(STOP_TIMEOUT))?;
        let mut gdb = Self { stream: BufReader::new(stream) };
        // Single registers are there only for who has read their description.
        gdb.ask("qXfer:features:read:target.xml:0,1000")?;
        Ok(gdb)
    }

    /// A register's value.
    pub(super) fn register(&mut self, register: Register) -> Result<u64, GdbError> {
        let request = format!("p{:x}", register.number);
        let answer = self.ask(&request)?;
        let bytes = hex::decode(&answer).ok().filter(|bytes| bytes.len() <= 8);
        let bytes = bytes.ok_or(GdbError::Answer { request, answer })?;
        let mut value = [0; 8];
        for (to, from) in value.iter_mut().zip(bytes) {
            *to = from;
        }
        Ok(u64::from_le_bytes(value))
    }

    /// Sets a register.
    pub(super) fn set_register(&mut self, register: Register, value: u64) -> Result<(), GdbError> {
        let bytes: Vec<u8> = value.to_le_bytes().into_iter().take(register.size).collect();
        self.command(&format!("P{:x}={}", register.number, hex::encode(bytes)))
    }

    /// Writes memory at an address as the processor sees it.
    pub(super) fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), GdbError> {
        self.command(&format!("M{address:x},{:x}:{}", bytes.len(), hex::encode(bytes)))
    }

    /// Stops the machine whenever it comes to this instruction.
    pub(super) fn set_breakpoint(&mut self, address: u64) -> Result<(), GdbError> {
        self.command(&format!("Z0,{address:x},1"))
    }

    /// Stops it there no longer.
    pub(super) fn remove_breakpoint(&mut self, address: u64) -> Result<(), GdbError> {
        self.command(&format!("z0,{address:x},1"))
    }

    /// Runs one instruction.
    pub(super) fn step(&mut self) -> Result<(), GdbError> {
        self.run("s")
    }

    /// Runs the machine until it comes to a breakpoint.
    pub(super) fn run_to_breakpoint(&mut self) -> Result<(), GdbError> {
        self.run("c")
    }

    /// Lets the machine run by itself from now on.
    pub(super) fn detach(mut self) -> Result<(), GdbError> {
        self.command("D")
    }

    /// Runs, and waits until the machine stands still.
    fn run(&mut self, request: &str) -> Result<(), GdbError> {
        let answer = self.ask(request)?;
        if answer.starts_with('T') || answer.starts_with('S') {
            return Ok(());
        }
        Err(GdbError::Answer { request: request.to_owned(), answer })
    }

    fn command(&mut self, request: &str) -> Result<(), GdbError> {
        let answer = self.ask(request)?;
        if answer == "OK" { Ok(()) } else { Err(GdbError::Answer { request: request.to_owned(), answer }) }
    }

    /// Sends a packet and reads the one that answers it.
    fn ask(&mut self, request: &str) -> Result<String, GdbError> {
        let sum = request.bytes().fold(0_u8, u8::wrapping_add);
        self.stream.get_mut().write_all(format!("${request}#{sum:02x}").as_bytes())?;
        // Acknowledgements come before it.
        while self.byte()? != b'$' {}
        let mut answer = Vec::new();
        loop {
            match self.byte()? {
                b'#' => break,
                byte => answer.push(byte),
            }
        }
        // The sum: a local socket loses nothing.
        let _sum = [self.byte()?, self.byte()?];
        self.stream.get_mut().write_all(b"+")?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn byte(&mut self) -> Result<u8, GdbError> {
        let mut byte = [0];
        self.stream.read_exact(&mut byte)?;
        let [byte] = byte;
        Ok(byte)
    }
}
