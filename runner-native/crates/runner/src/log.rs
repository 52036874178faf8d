//! Where a runtime's caller looks for what went wrong: stderr, for people, and the file of `--log`, a line of text or JSON for each message
//! in the form that runc gave it and podman and containerd read.

use crate::arguments::usage;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tbuild_runtime::error::{NOT_EXECUTABLE, NOT_FOUND, NativeError, Result};
use tbuild_runtime::record::timestamp;

#[derive(Clone, Copy, Default)]
pub enum Format {
    #[default]
    Text,
    Json,
}

impl Format {
    pub fn read(word: &str) -> Result<Self> {
        match word {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(usage(format!("--log-format is text or json, not {other:?}"))),
        }
    }
}

#[derive(Default)]
pub struct Log {
    file: Option<File>,
    format: Format,
    debug: bool,
}

impl Log {
    /// A file that cannot be opened is done without: there is stderr.
    pub fn open(path: Option<&Path>, format: Format, debug: bool) -> Self {
        let file = path.and_then(|path| OpenOptions::new().create(true).append(true).open(path).ok());
        Self { file, format, debug }
    }

    /// Returns the exit status.
    pub fn fail(&self, error: &NativeError, status: i32) -> i32 {
        let message = message_of(error);
        let _ = writeln!(std::io::stderr(), "tbuild-runner: {message}");
        if self.debug {
            let _ = writeln!(std::io::stderr(), "{}", serde_json::to_string(error).unwrap_or_default());
        }
        if let Some(file) = &self.file {
            self.write(file, "error", &message);
        }
        status
    }

    /// Goes on all the same: people are told only where nobody else listens.
    pub fn warn(&self, message: &str) {
        match &self.file {
            Some(file) => self.write(file, "warning", message),
            None => drop(writeln!(std::io::stderr(), "tbuild-runner: warning: {message}")),
        }
    }

    fn write(&self, mut file: &File, level: &str, message: &str) {
        let time = timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        let line = match self.format {
            Format::Json => serde_json::json!({ "level": level, "msg": message, "time": time }).to_string(),
            Format::Text => format!("time={time:?} level={level} msg={message:?}"),
        };
        let _ = writeln!(file, "{line}");
    }
}

/// Podman (libpod/oci_util.go) and docker (daemon/errors.go) know by these words that it was the command's fault, and exit 127 or 126.
fn message_of(error: &NativeError) -> String {
    let message = if error.detail.is_empty() { &error.op } else { &error.detail };
    match error.code.as_str() {
        NOT_FOUND => format!("{message}: executable file not found in the container"),
        NOT_EXECUTABLE => format!("{message}: permission denied"),
        _ => message.clone(),
    }
}
