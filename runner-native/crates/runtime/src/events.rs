//! `events`: what a container takes, now and then, and when the kernel kills in it for want of memory. Ends with the container.

use crate::error::{NativeError, Result, STATE};
use crate::record::{self, InitProcess, Record, Status};
use crate::relay::readable;
use crate::resources::stats;
use rustix::event::Timespec;
use rustix::fd::{AsFd, OwnedFd};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Neither version tells of kills without being asked in a way of its own: both count them.
const LOOK: Duration = Duration::from_millis(200);

pub fn stats(root: &Path, id: &str) -> Result<Value> {
    let (record, _) = open(root, id)?;
    Ok(stats_event(&record))
}

/// `say` gets one event after the other; an error of it ends this.
pub fn follow(root: &Path, id: &str, interval: Duration, mut say: impl FnMut(&Value) -> Result<()>) -> Result<()> {
    let (record, pidfd) = open(root, id)?;
    let mut kills = stats::memory_kills(&record.cgroup);
    let mut next = Instant::now();
    loop {
        let now = stats::memory_kills(&record.cgroup);
        if now > kills {
            kills = now;
            say(&json!({ "type": "oom", "id": record.id }))?;
        }
        if Instant::now() >= next {
            say(&stats_event(&record))?;
            next = Instant::now() + interval;
        }
        let pause = LOOK.min(next.saturating_duration_since(Instant::now()));
        let pause = Timespec { tv_sec: 0, tv_nsec: pause.subsec_nanos().into() };
        let mut fds = [readable(pidfd.as_fd())];
        if matches!(rustix::event::poll(&mut fds, Some(&pause)), Ok(1..)) {
            // Whatever was killed last.
            return if stats::memory_kills(&record.cgroup) > kills { say(&json!({ "type": "oom", "id": record.id })) } else { Ok(()) };
        }
    }
}

fn open(root: &Path, id: &str) -> Result<(Record, OwnedFd)> {
    let (record, status) = record::look(root, id)?;
    let pidfd = record.process.filter(|_| matches!(status, Status::Created | Status::Running | Status::Paused)).and_then(InitProcess::open);
    match pidfd {
        Some(pidfd) => Ok((record, pidfd)),
        None => Err(NativeError::new(STATE, "look at the container").detail(format!("container {id:?} is not running"))),
    }
}

fn stats_event(record: &Record) -> Value {
    json!({ "type": "stats", "id": record.id, "data": stats::read(&record.cgroup) })
}
