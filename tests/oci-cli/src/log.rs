//! Errors, where and as engines look for them: on standard error, and in a log file.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::json;

use crate::options::{Global, LogFormat};
use crate::time::now;

/// Where errors go.
#[derive(Debug)]
pub(crate) struct Log {
    file: Option<PathBuf>,
    format: LogFormat,
}

impl Log {
    pub(crate) fn new(global: &Global) -> Self {
        Self { file: global.log.clone(), format: global.log_format }
    }

    /// Tells of an error that ended the command.
    pub(crate) fn error(&self, message: &str) {
        // Some recognise errors by the word.
        eprintln!("cce-oci: error: {message}");
        let Some(file) = &self.file else { return };
        let time = now();
        let line = match self.format {
            LogFormat::Json => json!({"level": "error", "msg": message, "time": time}).to_string(),
            LogFormat::Text => format!("time={time:?} level=error msg={message:?}"),
        };
        let written = OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            eprintln!("cce-oci: the log file could not be written: {error}");
        }
    }
}
