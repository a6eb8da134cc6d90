//! QMP: QEMU's control socket, one JSON object a line (QEMU documentation, "QEMU Machine Protocol").

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// QEMU answers at once, and says later what a guest did.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The socket failed, was closed, or was silent for too long.
    #[error("QEMU's control socket failed")]
    Socket(#[from] std::io::Error),
    /// QEMU sent something else than JSON.
    #[error("QEMU's control socket sent no JSON")]
    Json(#[from] serde_json::Error),
    /// QEMU refused.
    #[error("QEMU refused `{command}`: {reason}")]
    Refused {
        /// The command.
        command: &'static str,
        /// What QEMU said.
        reason: String,
    },
    /// The event did not come.
    #[error("QEMU did not report {0}")]
    NoEvent(&'static str),
}

/// A connection to QEMU.
#[derive(Debug)]
pub(crate) struct Qmp {
    stream: BufReader<UnixStream>,
    events: Vec<Value>,
}

impl Qmp {
    /// Connects, and leaves the negotiation mode.
    pub(crate) fn connect(socket: &Path) -> Result<Self, QmpError> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let mut qmp = Self { stream: BufReader::new(stream), events: Vec::new() };
        // The greeting.
        qmp.read()?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command. Events that come before its answer are kept.
    pub(crate) fn execute(&mut self, command: &'static str, arguments: Value) -> Result<Value, QmpError> {
        let line = json!({ "execute": command, "arguments": arguments });
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes())?;
        loop {
            let mut answer = self.read()?;
            if let Some(error) = answer.get("error") {
                let reason =
                    error.get("desc").and_then(Value::as_str).unwrap_or("no reason given").to_owned();
                return Err(QmpError::Refused { command, reason });
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            self.events.push(answer);
        }
    }

    /// Waits until QEMU has taken this device out of the machine.
    pub(crate) fn wait_for_removal(&mut self, device: &str) -> Result<(), QmpError> {
        const EVENT: &str = "DEVICE_DELETED";
        let is_removal = |event: &Value| {
            event.get("event").and_then(Value::as_str) == Some(EVENT)
                && event.pointer("/data/device").and_then(Value::as_str) == Some(device)
        };
        let start = Instant::now();
        loop {
            if let Some(found) = self.events.iter().position(is_removal) {
                self.events.remove(found);
                return Ok(());
            }
            if start.elapsed() > ANSWER_TIMEOUT {
                return Err(QmpError::NoEvent(EVENT));
            }
            let event = self.read()?;
            self.events.push(event);
        }
    }

    fn read(&mut self) -> Result<Value, QmpError> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// A QEMU that says these lines, one after each command.
    fn qemu(answers: &[&'static str]) -> Result<Qmp, QmpError> {
        let answers = answers.to_vec();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qmp");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream);
            for answer in [vec!["{\"QMP\": {}}", "{\"return\": {}}"], answers].concat() {
                reader.get_mut().write_all(format!("{answer}\n").as_bytes()).unwrap();
            }
            std::io::copy(&mut reader, &mut std::io::sink()).unwrap();
        });
        Qmp::connect(&path)
    }

    #[test]
    fn an_answer_is_found_behind_events() {
        let mut qmp = qemu(&[r#"{"event": "STOP"}"#, r#"{"return": {"running": true}}"#]).unwrap();
        assert_eq!(qmp.execute("query-status", json!({})).unwrap()["running"], true);
    }

    #[test]
    fn a_refusal_has_its_reason() {
        let mut qmp = qemu(&[r#"{"error": {"class": "GenericError", "desc": "no such device"}}"#]).unwrap();
        let error = qmp.execute("device_del", json!({})).unwrap_err();
        assert_eq!(error.to_string(), "QEMU refused `device_del`: no such device");
    }

    #[test]
    fn a_removal_is_that_of_the_device() {
        let other = r#"{"event": "DEVICE_DELETED", "data": {"device": "disk1"}}"#;
        let wanted = r#"{"event": "DEVICE_DELETED", "data": {"device": "disk0"}}"#;
        let mut qmp = qemu(&[other, wanted]).unwrap();
        qmp.wait_for_removal("disk0").unwrap();
        qmp.wait_for_removal("disk1").unwrap();
    }
}
