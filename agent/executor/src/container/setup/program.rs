//! The program of a process and its environment.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use super::filter;
use super::root::Root;
use crate::container::plan::ProcessPlan;
use crate::container::report::{AtStep as _, Failure, Report, Step};
use crate::launcher::channel::Channel;
use crate::sys::descriptors;

/// Where programs are looked up when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The most of a container's `/etc/passwd` that is read, in bytes.
const PASSWD_LENGTH_MAX: u64 = 1 << 20;

/// The environment of the process: what was judged, unchanged, and `HOME` if it is missing.
pub(super) fn environment(root: &Root, process: &ProcessPlan) -> Vec<String> {
    let mut env = process.env.clone();
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        let home = passwd(root).ok().and_then(|passwd| home_of(&passwd, process.uid).map(str::to_owned));
        env.push(format!("HOME={}", home.as_deref().unwrap_or("/")));
    }
    env
}

/// The container's `/etc/passwd`, if that is a regular file.
fn passwd(root: &Root) -> io::Result<String> {
    // Without blocking: it may be a FIFO.
    let file = root.open("/etc/passwd", OFlags::RDONLY | OFlags::NONBLOCK, ResolveFlags::empty())?;
    if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL.into());
    }
    let mut text = Vec::new();
    File::from(file).take(PASSWD_LENGTH_MAX).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The home directory of a user, by `passwd(5)`.
fn home_of(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.nth(2)?.parse() == Ok(uid);
        fields.nth(2).filter(|home| found && home.starts_with('/'))
    })
}

/// Executes the program, looked up in the container's own `PATH`.
pub(super) fn execute(
    process: &ProcessPlan,
    env: &[String],
    further: impl Iterator<Item = OwnedFd>,
    channel: &Channel,
) -> Result<Infallible, Failure> {
    let program = process.args.first().map_or("", String::as_str);
    let c_string = |text: &String| CString::new(text.as_str()).map_err(|_| Errno::INVAL);
    let args: Vec<CString> =
        process.args.iter().map(c_string).collect::<Result<_, _>>().on(Step::Execute, program)?;
    let entries: Vec<CString> =
        env.iter().map(c_string).collect::<Result<_, _>>().on(Step::Execute, program)?;
    let candidates = candidates(program, env);
    Report::Executing.send(channel, None).at(Step::Execute)?;
    descriptors::place(further, &process.further).at(Step::Descriptors)?;
    let mut worst = Errno::NOENT;
    let mut filtered = false;
    for candidate in candidates {
        let path = CString::new(candidate).map_err(|_| Errno::INVAL).on(Step::Execute, program)?;
        let errno = match find(&path) {
            Ok(()) => {
                if !filtered {
                    filter::install(process)?;
                    filtered = true;
                }
                try_execute(&path, &args, &entries)
            }
            Err(errno) => errno,
        };
        match errno {
            Errno::NOENT | Errno::NOTDIR => {}
            // There, but not for this user: said if nothing better is found.
            Errno::ACCESS => worst = Errno::ACCESS,
            errno => {
                worst = errno;
                break;
            }
        }
    }
    Err(worst).on(Step::Execute, program)
}

/// Executes `path`, or tells why not.
fn try_execute(path: &CStr, args: &[CString], env: &[CString]) -> Errno {
    let Err(errno) = nix::unistd::execve(path, args, env);
    // Both are the kernel's numbers; those of rustix panic on any other.
    Errno::from_io_error(&errno.into()).unwrap_or(Errno::IO)
}

/// Whether there is something at `path`.
///
/// Not through a magic link: until its program runs, `/proc/self/exe` is the agent's binary (CVE-2019-5736). An
/// interpreter that a file names can still be that one. In the measured guest it is not executed, since its mount executes
/// nothing; elsewhere it runs with the container's rights. Nobody can write to it while the agent runs (`ETXTBSY`).
pub(super) fn find(path: &CStr) -> Result<(), Errno> {
    openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::NO_MAGICLINKS).map(drop)
}

/// Where `program` may be.
fn candidates(program: &str, env: &[String]) -> Vec<String> {
    if program.is_empty() || program.contains('/') {
        return vec![program.to_owned()];
    }
    let path = env.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let directory = |directory: &str| match directory {
        // As in a shell: the working directory.
        "" => format!("./{program}"),
        directory => format!("{directory}/{program}"),
    };
    path.split(':').map(directory).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbad\nweb:x:33:33::/srv/web:\nodd:x:7:7::relative:\n";
        assert_eq!(home_of(passwd, 0), Some("/root"));
        assert_eq!(home_of(passwd, 33), Some("/srv/web"));
        assert_eq!(home_of(passwd, 7), None);
        assert_eq!(home_of(passwd, 8), None);
    }

    #[test]
    fn programs_are_looked_up_in_the_containers_path() {
        let env = ["A=1".to_owned(), "PATH=/a::/b".to_owned()];
        assert_eq!(candidates("sh", &env), ["/a/sh", "./sh", "/b/sh"]);
        assert_eq!(candidates("/bin/sh", &env), ["/bin/sh"]);
        assert_eq!(candidates("./sh", &env), ["./sh"]);
        assert_eq!(candidates("sh", &[]).first().unwrap(), "/usr/local/sbin/sh");
    }
}
