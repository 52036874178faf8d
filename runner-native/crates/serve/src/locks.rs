//! flock on files that tbuild processes agree on. A lock dies with the process that holds it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Mutex;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use tbuild_layers::NativeError;

#[derive(Default)]
pub struct Locks {
    held: Mutex<(u64, HashMap<u64, OwnedFd>)>,
}

impl Locks {
    /// The lock's number, or None when it is held elsewhere and `wait` is false.
    pub fn lock(&self, path: &Path, shared: bool, wait: bool) -> Result<Option<u64>, NativeError> {
        let Some(file) = lock_file(path, shared, wait).map_err(|error| NativeError::io("lock", error).path(path))? else { return Ok(None) };
        let mut held = crate::lock(&self.held);
        held.0 += 1;
        let number = held.0;
        held.1.insert(number, file);
        Ok(Some(number))
    }

    pub fn unlock(&self, number: u64) -> Result<(), NativeError> {
        match crate::lock(&self.held).1.remove(&number) {
            Some(_) => Ok(()),
            None => Err(NativeError::new("native/bad-request", "unlock").detail(format!("lock {number} is not held"))),
        }
    }
}

/// Creates the file where it is missing. One that was unlinked while we waited is nobody's lock: then again.
pub fn lock_file(path: &Path, shared: bool, wait: bool) -> rustix::io::Result<Option<OwnedFd>> {
    let operation = match (shared, wait) {
        (false, true) => FlockOperation::LockExclusive,
        (true, true) => FlockOperation::LockShared,
        (false, false) => FlockOperation::NonBlockingLockExclusive,
        (true, false) => FlockOperation::NonBlockingLockShared,
    };
    loop {
        let file = rustix::fs::openat(CWD, path, OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))?;
        loop {
            match rustix::fs::flock(&file, operation) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let ours = rustix::fs::fstat(&file)?;
        match rustix::fs::statat(CWD, path, AtFlags::empty()) {
            Ok(there) if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino) => return Ok(Some(file)),
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
}
