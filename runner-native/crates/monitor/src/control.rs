//! What the monitor is asked, one JSON object each, and the client's side of it: `tbuild-runner monitor control`.

use crate::connections::Streams;
use crate::directory::{Directory, not_running};
use crate::exec::ExecRequest;
use crate::packets::{Kind, Packets};
use crate::spec::{RestartSpec, Size};
use serde::Deserialize;
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use tbuild_runtime::error::{CONFIG, Context, NativeError, Result, STATE};
use tbuild_runtime::resources::Resources;

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Request {
    Stop { signal: Option<String>, timeout_ms: Option<i64> },
    Kill { signal: String },
    Pause,
    Unpause,
    Restart { signal: Option<String>, timeout_ms: Option<i64> },
    Update { resources: Option<Box<Resources>>, restart: Option<RestartSpec> },
    Wait,
    Processes,
    Stats,
    Resize(Size),
    Exec(Box<ExecRequest>),
    Netconnect { options: Value },
    Netdisconnect { options: Value },
    Attach(Streams),
}

pub fn parse(bytes: &[u8]) -> Result<Request> {
    serde_json::from_slice(bytes).map_err(|error| {
        NativeError::new(CONFIG, "read the request").detail(format!("the request is not as docs/native.md describes it: {error}"))
    })
}

/// `control DIR REQUEST`: returns the answer, a line of JSON.
pub fn control(path: &Path, request: &str) -> Result<String> {
    ask(&Directory::open(path)?, request)
}

pub fn ask(directory: &Directory, request: &str) -> Result<String> {
    let monitor = directory.connect()?;
    monitor.send(Kind::Request, request.as_bytes()).during(STATE, "ask the container's monitor")?;
    let answer = answer(&monitor)?;
    String::from_utf8(answer).map_err(|_| NativeError::new(STATE, "understand the answer").detail("the answer is not text"))
}

/// Waits for it.
pub fn answer(monitor: &Packets) -> Result<Vec<u8>> {
    loop {
        let Some(packet) = monitor.receive().during(STATE, "hear from the container's monitor")? else { return Err(not_running()) };
        match packet.kind {
            Kind::Answer => return Ok(packet.bytes),
            Kind::Failed => return Err(failure(&packet.bytes)),
            Kind::Notice => say(&packet.bytes),
            _ => {}
        }
    }
}

/// For people, where `with-root` says the same.
pub fn say(notice: &[u8]) {
    let _ = writeln!(std::io::stderr(), "{}", String::from_utf8_lossy(notice));
}

pub fn failure(bytes: &[u8]) -> NativeError {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| NativeError::new(STATE, "understand the monitor").detail(String::from_utf8_lossy(bytes).into_owned()))
}

pub fn exit_code(answer: &[u8]) -> i32 {
    serde_json::from_slice::<Value>(answer).ok().and_then(|answer| answer["exitCode"].as_i64()).map_or(125, |code| code as i32)
}
