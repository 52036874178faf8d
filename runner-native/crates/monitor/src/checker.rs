//! The child that checks a container's health, as the monitor has it: started with the container, ended before it is frozen, and heard of by a pipe.

use crate::exec::Target;
use crate::health::{self, Health, HealthSpec};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use std::time::Instant;
use tbuild_runtime::error::{Context, PROCESS, Result};
use tbuild_runtime::sys::{self, Clone};

pub struct Checker {
    pidfd: OwnedFd,
    from: OwnedFd,
    /// A line that has only begun.
    begun: Vec<u8>,
}

impl Checker {
    /// Also the child's number, to wait for. `target` is found out by the child.
    pub fn start(spec: &HealthSpec, health: &Health, started: Instant, target: impl FnOnce() -> Result<Target>) -> Result<(Self, Pid)> {
        let (from, to) = pipe_with(PipeFlags::CLOEXEC).during(PROCESS, "make a pipe")?;
        rustix::io::ioctl_fionbio(&from, true).during(PROCESS, "make a pipe")?;
        match sys::clone(0).during(PROCESS, "start the health checks")? {
            Clone::Child => {
                let _ = target().and_then(|target| health::keep_checking(&target, spec, health.clone(), started, to));
                sys::exit_now(0)
            }
            Clone::Parent { pid, pidfd } => Ok((Self { pidfd, from, begun: Vec::new() }, pid)),
        }
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.from.as_fd()
    }

    /// The latest that it has said; Err: it says no more.
    pub fn hear(&mut self) -> std::result::Result<Option<Health>, ()> {
        let mut bytes = [0; 8192];
        match rustix::io::read(&self.from, &mut bytes) {
            Ok(0) => return Err(()),
            Ok(count) => self.begun.extend_from_slice(&bytes[..count]),
            Err(_) => return Ok(None),
        }
        let mut latest = None;
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            latest = serde_json::from_slice(&self.begun[..end]).ok().or(latest);
            self.begun.drain(..=end);
        }
        Ok(latest)
    }
}

impl Drop for Checker {
    fn drop(&mut self) {
        let _ = sys::pidfd_send_signal(self.pidfd.as_fd(), libc::SIGTERM);
    }
}
