//! `monitor start`: takes the container's lock, and leaves a process behind that is its monitor. Returns when the container runs, or stays as the first
//! that is attached to it.

use crate::attach::{self, Attach};
use crate::connections::{Attached, Connection, Role};
use crate::control;
use crate::daemon::Daemon;
use crate::directory::Directory;
use crate::packets;
use crate::spec::{Size, Spec};
use crate::state::{State, Status};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use std::path::Path;
use std::time::{Duration, Instant};
use tbuild_runtime::error::{Context, NativeError, PROCESS, Result, STATE};
use tbuild_runtime::sys::{self, Clone};

/// As long as a monitor whose container has ended may take to go.
const PATIENCE: Duration = Duration::from_secs(10);

/// Returns the exit status.
pub fn start(path: &Path, attached: Option<&Attach>) -> Result<i32> {
    let directory = Directory::open(path)?;
    let lock = take_lock(&directory)?;
    let spec = Spec::read(&directory)?;
    let listener = directory.listen()?;
    let (ours, theirs) = packets::pair().during(PROCESS, "make a channel")?;
    let role = attached
        .map_or(Role::AwaitsStart, |attach| Role::Attached(Attached { streams: attach.streams, is_only_input: attach.streams.stdin }));
    let size = attached.and_then(|_| attach::own_size());
    match sys::clone(0).during(PROCESS, "start the monitor")? {
        Clone::Child => {
            drop(ours);
            be_monitor(directory, lock, listener, spec, Connection::new(theirs, role), size)
        }
        Clone::Parent { .. } => {
            drop((theirs, listener, lock));
            match attached {
                None => control::answer(&ours).map(|_| 0),
                Some(options) => attach::follow(&directory, ours, options),
            }
        }
    }
}

fn take_lock(directory: &Directory) -> Result<OwnedFd> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(lock) = directory.lock()? {
            return Ok(lock);
        }
        let is_ending = State::read(directory).is_some_and(|state| state.status == Status::Exited);
        if !is_ending || Instant::now() > until {
            return Err(NativeError::new(STATE, "start the container").detail("the container is running already"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn be_monitor(directory: Directory, lock: OwnedFd, listener: OwnedFd, spec: Spec, mut starter: Connection, size: Option<Size>) -> ! {
    let kept = [directory.as_fd(), lock.as_fd(), listener.as_fd(), starter.packets.as_fd()].map(|fd| fd.as_raw_fd());
    match leave_caller(&kept).and_then(|()| Daemon::new(directory, lock, listener, spec)) {
        Ok(mut daemon) => daemon.run(starter, size),
        Err(error) => starter.fail(&error),
    }
    sys::exit_now(0)
}

/// Nothing of ours is the caller's any more: neither its session, nor its streams and pipes, nor its directory.
fn leave_caller(kept: &[i32]) -> Result<()> {
    let leave = || {
        rustix::process::setsid()?;
        let nothing = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        sys::replace_stdio(&nothing)?;
        sys::close_all_but(&mut [&[0, 1, 2], kept].concat())?;
        std::mem::forget(nothing);
        rustix::process::chdir("/")
    };
    leave().during(PROCESS, "become a process of its own")
}
