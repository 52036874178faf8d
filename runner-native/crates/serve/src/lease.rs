//! A process's place in the store for what is not finished: `tmp/<lease>/`, its own as long as it holds the flock on `lock` in it.
//! What a killed process left is found by its lock being free, and removed by the next one that opens the store.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tbuild_layers::NativeError;

use crate::locks::lock_file;

/// Names that are no leases: the lock under which leases begin and end, and what is on its way out.
const GATE: &str = ".gate";
const DEAD_PREFIX: &str = ".dead-";

pub struct Lease {
    dir: PathBuf,
    _lock: OwnedFd,
}

impl Lease {
    /// Makes a lease below `root/tmp`, and counts the dead ones; their removal goes on behind the caller's back.
    pub fn open(root: &Path) -> Result<(Self, usize), NativeError> {
        let tmp = root.join("tmp");
        fs::create_dir_all(&tmp).map_err(|error| NativeError::io("create", error).path(&tmp))?;
        // Without the gate a new lease could be taken for dead between its making and its locking.
        let gate = lock_wait(&tmp.join(GATE))?;
        let dead = bury_dead(&tmp).map_err(|error| NativeError::io("read", error).path(&tmp))?;
        let dir = create_dir(&tmp)?;
        let lock = lock_wait(&dir.join("lock"))?;
        drop(gate);
        let count = dead.len();
        if count > 0 {
            // A failure leaves it to the next process that opens the store.
            std::thread::spawn(move || dead.iter().for_each(|path| drop(tbuild_layers::remove(path))));
        }
        Ok((Self { dir, _lock: lock }, count))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn end(self) {
        // What stays is found dead by the next process.
        let _ = tbuild_layers::remove(&self.dir);
    }
}

fn lock_wait(path: &Path) -> Result<OwnedFd, NativeError> {
    let locked = lock_file(path, false, true).map_err(|error| NativeError::io("lock", error).path(path))?;
    locked.ok_or_else(|| NativeError::new("internal/assertion", "lock").path(path))
}

/// Renames dead leases, so that their names are gone at once, and lists them with those that an earlier process did not get to.
fn bury_dead(tmp: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut dead = Vec::new();
    for entry in fs::read_dir(tmp)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if name.to_string_lossy().starts_with(DEAD_PREFIX) {
            dead.push(path);
        } else if entry.file_type()?.is_dir() && is_dead(&path) {
            let grave = tmp.join(format!("{DEAD_PREFIX}{}", name.to_string_lossy()));
            if fs::rename(&path, &grave).is_ok() {
                dead.push(grave);
            }
        }
    }
    Ok(dead)
}

/// A directory without a lock was made by a process that died before it could lock: under the gate no other is that young.
fn is_dead(dir: &Path) -> bool {
    matches!(lock_file(&dir.join("lock"), false, false), Ok(Some(_)))
}

fn create_dir(tmp: &Path) -> Result<PathBuf, NativeError> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    // The gate is ours: nobody else chooses a name now.
    let names = (0..).map(|try_number: u32| tmp.join(format!("{:x}-{:x}-{try_number}", std::process::id(), now & 0xffff_ffff)));
    for dir in names {
        match fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(NativeError::io("create", error).path(&dir)),
        }
    }
    Err(NativeError::new("internal/assertion", "create").path(tmp))
}
