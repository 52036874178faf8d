//! What is known of a container between two commands: one folder each, with `state.json` and a copy of config.json, under a root that is
//! the user's. Written beside and renamed. A folder is taken before anything else of the container is made and goes when everything else
//! has gone, so that `delete --force` finds whatever a killed command left.

use crate::cgroups::Cgroup;
use crate::error::{Context, NativeError, Result, STATE, USAGE, invalid};
use crate::sys;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, FileType, FlockOperation, Mode, OFlags, mknodat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getuid, pidfd_open};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

#[derive(Serialize, Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub oci_version: String,
    pub id: String,
    pub bundle: PathBuf,
    pub rootfs: PathBuf,
    /// RFC 3339.
    pub created: String,
    pub owner_uid: u32,
    /// None while it is being made.
    pub process: Option<InitProcess>,
    pub annotations: BTreeMap<String, String>,
    pub cgroup: Cgroup,
}

/// A process that its number alone does not name for ever: with the time of its start it does.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase")]
pub struct InitProcess {
    pub pid: i32,
    /// Field 22 of /proc/PID/stat, in clock ticks since the boot.
    pub start_ticks: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    /// The runtime-spec's word for it (`paused` is runc's).
    pub fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// `--root`, else a folder that goes with the boot.
pub fn default_root() -> PathBuf {
    if getuid().is_root() {
        return PathBuf::from("/run/tbuild-runner");
    }
    let runtime =
        std::env::var_os("XDG_RUNTIME_DIR").map_or_else(|| PathBuf::from(format!("/tmp/run-{}", getuid().as_raw())), PathBuf::from);
    runtime.join("tbuild-runner")
}

/// A container's folder.
pub struct Folder {
    path: PathBuf,
    /// Held while a command changes the container.
    lock: Cell<Option<OwnedFd>>,
}

const STATE_FILE: &str = "state.json";
const CONFIG_FILE: &str = "config.json";
/// Exists from `create` to `start`.
const START_FIFO: &str = "start.fifo";

impl Folder {
    /// The container must not exist.
    pub fn make(root: &Path, id: &str) -> Result<Self> {
        let path = root.join(check_id(id)?);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root).at(STATE, "make the folder for states", root)?;
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(NativeError::new(STATE, "create the container").detail(format!("a container {id:?} exists already")))
            }
            result => {
                result.at(STATE, "make the folder", &path)?;
                let lock = lock(&path, FlockOperation::LockExclusive)?;
                Ok(Self { path, lock: Cell::new(Some(lock)) })
            }
        }
    }

    pub fn open(root: &Path, id: &str) -> Result<Self> {
        let path = root.join(check_id(id)?);
        if !path.is_dir() {
            return Err(NativeError::new(NO_CONTAINER, "find the container").detail(format!("container {id:?} does not exist")));
        }
        let lock = lock(&path, FlockOperation::LockExclusive)?;
        Ok(Self { path, lock: Cell::new(Some(lock)) })
    }

    /// For a forked child, which would hold the lock as long as it lives.
    pub fn close_lock(&self) {
        drop(self.lock.take());
    }

    /// None where the command that made it was killed before it had said anything.
    pub fn read(&self) -> Result<Option<Record>> {
        read(&self.path)
    }

    pub fn write(&self, record: &Record) -> Result<()> {
        let text = serde_json::to_vec(record).map_err(std::io::Error::from).at(STATE, "write", &self.path)?;
        let new = self.path.join("state.json.new");
        std::fs::write(&new, text).at(STATE, "write", &new)?;
        std::fs::rename(&new, self.path.join(STATE_FILE)).at(STATE, "rename", &new)
    }

    pub fn keep_config(&self, text: &str) -> Result<()> {
        let path = self.path.join(CONFIG_FILE);
        std::fs::write(&path, text).at(STATE, "write", &path)
    }

    pub fn config(&self) -> Result<String> {
        let path = self.path.join(CONFIG_FILE);
        std::fs::read_to_string(&path).at(STATE, "read", &path)
    }

    /// What the first process waits at. Opened for reading at once, which does not wait for a writer.
    pub fn make_start_fifo(&self) -> Result<OwnedFd> {
        let path = self.path.join(START_FIFO);
        let make = || {
            mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
            rustix::fs::open(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
        };
        make().at(STATE, "make", &path)
    }

    /// Tells the first process to go on. Fails when nobody waits.
    pub fn tell_to_start(&self, id: &str) -> Result<()> {
        let path = self.path.join(START_FIFO);
        let tell = || {
            let fifo = rustix::fs::open(&path, OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
            rustix::io::write(&fifo, b"s")?;
            rustix::fs::unlink(&path)
        };
        match tell() {
            Err(Errno::NXIO | Errno::NOENT) => {
                let detail = format!("container {id:?} is not waiting to be started");
                Err(NativeError::new(STATE, "start the container").detail(detail))
            }
            result => result.at(STATE, "write to", &path),
        }
    }

    pub fn waits_for_start(&self) -> bool {
        self.path.join(START_FIFO).exists()
    }

    pub fn status(&self, record: &Record) -> Status {
        status(&self.path, record)
    }

    pub fn remove(&self) -> Result<()> {
        std::fs::remove_dir_all(&self.path).at(STATE, "remove", &self.path)
    }
}

/// Says nothing of a container that another command changes right now.
pub fn list(root: &Path) -> Result<Vec<(Record, Status)>> {
    let entries = match std::fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.at(STATE, "list", root)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.at(STATE, "list", root)?.path();
        if let Ok(Some(record)) = read(&path) {
            let status = status(&path, &record);
            found.push((record, status));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.id.cmp(&other.id));
    Ok(found)
}

/// The state without waiting for who changes it, as `state` and `list` want it.
pub fn look(root: &Path, id: &str) -> Result<(Record, Status)> {
    let path = root.join(check_id(id)?);
    match read(&path)? {
        Some(record) => {
            let status = status(&path, &record);
            Ok((record, status))
        }
        None => Err(NativeError::new(NO_CONTAINER, "find the container").detail(format!("container {id:?} does not exist"))),
    }
}

fn read(folder: &Path) -> Result<Option<Record>> {
    let path = folder.join(STATE_FILE);
    match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        result => {
            let record = serde_json::from_slice(&result.at(STATE, "read", &path)?);
            record.map(Some).map_err(|error| NativeError::new(STATE, "read").path(&path).detail(format!("{}: {error}", path.display())))
        }
    }
}

fn status(folder: &Path, record: &Record) -> Status {
    match record.process {
        None => Status::Creating,
        Some(process) if !process.is_alive() => Status::Stopped,
        Some(_) if folder.join(START_FIFO).exists() => Status::Created,
        Some(_) if record.cgroup.is_frozen() => Status::Paused,
        Some(_) => Status::Running,
    }
}

impl InitProcess {
    pub fn of(pid: Pid) -> Result<Self> {
        let pid = pid.as_raw_nonzero().get();
        let start_ticks =
            start_ticks(pid).ok_or_else(|| NativeError::new(STATE, "look at the process").detail("the first process is gone"))?;
        Ok(Self { pid, start_ticks })
    }

    /// A zombie is dead: whoever is its parent has not looked yet.
    pub fn is_alive(self) -> bool {
        start_ticks(self.pid) == Some(self.start_ticks)
    }

    /// A descriptor that can only be this very process.
    pub fn open(self) -> Option<OwnedFd> {
        let pidfd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        self.is_alive().then_some(pidfd)
    }

    pub fn signal(self, signal: i32) -> rustix::io::Result<()> {
        let pidfd = self.open().ok_or(Errno::SRCH)?;
        sys::pidfd_send_signal(rustix::fd::AsFd::as_fd(&pidfd), signal)
    }
}

/// None for one that is gone or dead.
fn start_ticks(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X" | "x"))) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// As runc has them: a name that is safe as that of a folder.
fn check_id(id: &str) -> Result<&str> {
    const ID_BYTES_MAX: usize = 1024;
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '-' | '.');
    if id.is_empty() || id == "." || id == ".." || id.len() > ID_BYTES_MAX || !id.chars().all(is_good) {
        return Err(NativeError {
            code: USAGE.into(),
            ..invalid("id", format!("{id:?} is no container's id: letters, digits and _ + - . make one"))
        });
    }
    Ok(id)
}

fn lock(folder: &Path, operation: FlockOperation) -> Result<OwnedFd> {
    let open = || {
        let lock = rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::fs::flock(&lock, operation)?;
        Ok::<_, Errno>(lock)
    };
    open().at(STATE, "lock", folder)
}

/// RFC 3339 in UTC, to the nanosecond.
pub fn timestamp(since_epoch: std::time::Duration) -> String {
    let seconds = since_epoch.as_secs();
    let (days, rest) = ((seconds / 86400) as i64, seconds % 86400);
    // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": civil_from_days.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", since_epoch.subsec_nanos())
}

/// Code of errors about a container that is not there: `delete --force` minds it not.
pub const NO_CONTAINER: &str = "native/no-container";

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_dates() {
        assert_eq!(timestamp(Duration::ZERO), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(timestamp(Duration::new(951_782_400, 5)), "2000-02-29T00:00:00.000000005Z");
        assert_eq!(timestamp(Duration::from_secs(1_795_261_447)), "2026-11-21T11:44:07.000000000Z");
    }

    #[test]
    fn an_id_is_no_path() {
        for id in ["", ".", "..", "a/b", "a b", "a\0b", "ü"] {
            assert!(check_id(id).is_err(), "{id:?}");
        }
        for id in ["a", "A-1_2.3+x", "-"] {
            assert!(check_id(id).is_ok(), "{id:?}");
        }
    }

    #[test]
    fn a_process_is_itself_only_with_its_time() {
        let own = InitProcess::of(rustix::process::getpid()).unwrap();
        assert!(own.is_alive());
        assert!(!InitProcess { start_ticks: own.start_ticks + 1, ..own }.is_alive());
    }

    #[test]
    fn a_folder_is_taken_once() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::make(root.path(), "one").unwrap();
        assert!(Folder::make(root.path(), "one").is_err());
        assert!(folder.read().unwrap().is_none());
        folder.remove().unwrap();
        assert_eq!(Folder::open(root.path(), "one").err().unwrap().code, NO_CONTAINER);
    }
}
