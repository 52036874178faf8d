//! monitor.json, as src/native/monitor.ts defines it: what the monitor itself needs of it. The root is read by the child that makes it.

use crate::directory::Directory;
use crate::events::EventLog;
use crate::health::HealthSpec;
use crate::network::NetworkSpec;
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;
use tbuild_runtime::error::{CONFIG, Context, NativeError, Result};
use tbuild_runtime::root_spec::{RootSpec, Upper};
use tbuild_runtime::signals;

const FILE: &str = "monitor.json";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    pub id: String,
    /// argv prefix of another OCI runtime.
    pub runtime: Option<Vec<String>>,
    pub open_stdin: bool,
    pub log: Option<LogSpec>,
    pub restart: RestartSpec,
    pub stop: StopSpec,
    pub health: Option<HealthSpec>,
    pub network: Option<NetworkSpec>,
    pub remove_at_end: bool,
    pub events: Option<EventLog>,
    root: RootPart,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogSpec {
    pub path: PathBuf,
    pub max_bytes: Option<u64>,
    pub max_files: u32,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
pub struct RestartSpec {
    pub policy: Policy,
    #[serde(default)]
    pub maximum_retries: u32,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    No,
    Always,
    OnFailure,
    UnlessStopped,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopSpec {
    pub signal: String,
    timeout_ms: i64,
}

/// Of a terminal.
#[derive(Deserialize, Clone, Copy)]
pub struct Size {
    pub rows: u16,
    pub columns: u16,
}

#[derive(Deserialize)]
struct RootPart {
    config: ConfigPart,
}

#[derive(Deserialize)]
struct ConfigPart {
    process: Option<ProcessPart>,
    linux: Option<LinuxPart>,
}

#[derive(Deserialize)]
struct ProcessPart {
    #[serde(default)]
    terminal: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LinuxPart {
    cgroups_path: Option<PathBuf>,
}

impl Spec {
    pub fn read(directory: &Directory) -> Result<Self> {
        let spec: Self = parse(&text(directory)?)?;
        spec.stop.signal_number()?;
        Ok(spec)
    }

    pub fn note(&self, action: &str, more: &[(&str, String)]) {
        if let Some(events) = &self.events {
            events.note(&self.id, action, more);
        }
    }

    pub fn has_terminal(&self) -> bool {
        self.root.config.process.as_ref().is_some_and(|process| process.terminal)
    }

    /// Empty: none is asked for by name.
    pub fn cgroups_path(&self) -> PathBuf {
        self.root.config.linux.as_ref().and_then(|linux| linux.cgroups_path.clone()).unwrap_or_default()
    }

    pub fn is_bundled_runtime(&self) -> bool {
        self.runtime.is_none()
    }

    /// argv of the runtime.
    pub fn program(&self) -> Vec<OsString> {
        let prefix = self.runtime.clone().unwrap_or_else(|| vec!["self".into(), "run".into()]);
        prefix.into_iter().chain([self.id.clone()]).map(OsString::from).collect()
    }
}

impl StopSpec {
    pub fn signal_number(&self) -> Result<i32> {
        signal_number(&self.signal)
    }

    /// None: however long it takes.
    pub fn timeout(&self) -> Option<Duration> {
        timeout(self.timeout_ms)
    }
}

pub fn timeout(ms: i64) -> Option<Duration> {
    u64::try_from(ms).ok().map(Duration::from_millis)
}

pub fn signal_number(name: &str) -> Result<i32> {
    let detail = || NativeError::new(CONFIG, "read the signal").detail(format!("invalid signal: {name}"));
    signals::number(name).filter(|number| *number > 0).ok_or_else(detail)
}

/// What the container's root is made of. What is written stays when the container does, and is synced when its programs ask for it.
/// `size`: of a terminal.
pub fn read_root(directory: &Directory, size: Option<Size>) -> Result<RootSpec> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Whole {
        root: RootSpec,
        runtime: Option<IgnoredAny>,
        network: Option<IgnoredAny>,
        remove_at_end: bool,
    }
    let mut whole: Whole = parse(&text(directory)?)?;
    if let Some(Upper::Directory { lasts, .. }) = &mut whole.root.upper {
        *lasts = !whole.remove_at_end;
    }
    if whole.network.is_some() && whole.runtime.is_some() {
        whole.root.config = without_network_namespace(&whole.root.config)?;
    }
    if let Some(Size { rows, columns }) = size {
        let mut config: Value = parse(whole.root.config.get())?;
        config["process"]["consoleSize"] = json!({ "height": rows, "width": columns });
        whole.root.config = to_raw_value(&config).map_err(std::io::Error::from).during(CONFIG, "write the configuration")?;
    }
    Ok(whole.root)
}

/// Another runtime begins in the container's already.
fn without_network_namespace(config: &RawValue) -> Result<Box<RawValue>> {
    let mut config: Value = parse(config.get())?;
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
    }
    RawValue::from_string(config.to_string()).map_err(std::io::Error::from).during(CONFIG, "write the configuration")
}

fn text(directory: &Directory) -> Result<String> {
    let read = || {
        let file = rustix::fs::openat(directory, FILE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut text = String::new();
        std::fs::File::from(file).read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    };
    read().at(CONFIG, "read", directory.path().join(FILE))
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    let detail = |error: serde_json::Error| {
        NativeError::new(CONFIG, "read the configuration").detail(format!("{FILE} is not as docs/native.md describes it: {error}"))
    };
    serde_json::from_str(text).map_err(detail)
}
