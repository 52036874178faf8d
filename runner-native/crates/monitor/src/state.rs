//! state.json: what the monitor knows of its container, for everybody who asks. Renamed into place at each change. Without the lock beside it
//! nothing runs, whatever it says.

use crate::directory::Directory;
use crate::health::Health;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};
use tbuild_runtime::error::{Context, Result, STATE};

const FILE: &str = "state.json";
const NEW_FILE: &str = "state.json.new";

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Starting,
    Running,
    Paused,
    Restarting,
    Exited,
}

#[derive(Serialize, Deserialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct State {
    pub status: Status,
    /// As the host has it; 0: none.
    pub pid: i32,
    pub monitor_pid: i32,
    /// Milliseconds since the epoch; 0: never.
    pub started_at: u64,
    pub finished_at: u64,
    /// As a shell's `$?`.
    pub exit_code: i32,
    pub oom_killed: bool,
    /// Why it could not be started.
    pub error: String,
    pub restart_count: u32,
    pub stopped_by_user: bool,
    pub health: Option<Health>,
    pub network: Value,
}

impl State {
    /// Of a container that is about to be started. When it ran before stays known.
    pub fn new(before: Option<&Self>) -> Self {
        Self {
            status: Status::Starting,
            pid: 0,
            monitor_pid: rustix::process::getpid().as_raw_nonzero().get(),
            started_at: before.map_or(0, |before| before.started_at),
            finished_at: before.map_or(0, |before| before.finished_at),
            exit_code: before.map_or(0, |before| before.exit_code),
            oom_killed: false,
            error: String::new(),
            restart_count: 0,
            stopped_by_user: false,
            health: before.and_then(|before| before.health.clone()),
            network: Value::Null,
        }
    }

    /// None where there is none yet, or none that can be understood.
    pub fn read(directory: &Directory) -> Option<Self> {
        let file = rustix::fs::openat(directory, FILE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut text = String::new();
        std::fs::File::from(file).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    pub fn write(&self, directory: &Directory) -> Result<()> {
        let write = || {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
            let file = rustix::fs::openat(directory, NEW_FILE, flags, Mode::RUSR | Mode::WUSR)?;
            std::fs::File::from(file).write_all(&serde_json::to_vec(self)?)?;
            Ok::<_, std::io::Error>(rustix::fs::renameat(directory, NEW_FILE, directory, FILE)?)
        };
        write().at(STATE, "write", directory.path().join(FILE))
    }
}

pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
