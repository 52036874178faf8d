//! A second, tiny process beside the container's parent: ends the container when the parent dies or the lifeline's other end closes.
//! PDEATHSIG alone does not do: a setuid program loses it, and nobody restores the terminal. Uses nothing but poll, kill, and files of cgroups.

use crate::cgroups::Cgroup;
use crate::error::{Context, PROCESS, Result};
use crate::relay::{is_ready, readable};
use crate::sys::{self, Clone};
use crate::terminal::OurTerminal;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, WaitOptions, getpid, pidfd_open, waitpid};

pub struct Watcher {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Watcher {
    /// `cgroup`: goes with the container, then.
    pub fn start(
        container: BorrowedFd<'_>,
        lifeline: Option<BorrowedFd<'_>>,
        terminal: Option<&OurTerminal>,
        cgroup: Option<&Cgroup>,
    ) -> Result<Self> {
        let parent = pidfd_open(getpid(), PidfdFlags::empty()).during(PROCESS, "open ourselves")?;
        match sys::clone(0).during(PROCESS, "start the watcher")? {
            Clone::Parent { pid, pidfd } => Ok(Self { pid, pidfd }),
            Clone::Child => {
                watch(container, parent.as_fd(), lifeline, terminal);
                if let Some(cgroup) = cgroup {
                    let _ = cgroup.kill_all().and_then(|()| cgroup.remove());
                }
                sys::exit_now(0)
            }
        }
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }
}

impl Watcher {
    /// It is no longer needed. It has ended when this is dropped: on a busy machine that takes a while, which is used otherwise.
    pub fn end(&self) {
        let _ = sys::pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.end();
        let _ = rustix::io::retry_on_intr(|| waitpid(Some(self.pid), WaitOptions::empty()));
    }
}

fn watch(container: BorrowedFd<'_>, parent: BorrowedFd<'_>, lifeline: Option<BorrowedFd<'_>>, terminal: Option<&OurTerminal>) {
    let mut keep = vec![container.as_raw_fd(), parent.as_raw_fd()];
    keep.extend(lifeline.map(|fd| fd.as_raw_fd()));
    if terminal.is_some() {
        keep.push(0);
    }
    // Else a pipe that our parent's caller reads would stay open for a moment longer than our parent.
    let _ = sys::close_all_but(&mut keep);
    let _ = sys::block_signals();
    let mut fds = vec![readable(parent)];
    fds.extend(lifeline.map(readable));
    while rustix::event::poll(&mut fds, None).is_err() {}
    let _ = sys::pidfd_send_signal(container, libc::SIGKILL);
    if !is_ready(&fds[0]) {
        let _ = sys::pidfd_send_signal(parent, libc::SIGKILL);
        let _ = rustix::event::poll(&mut fds[..1], None);
    }
    if let Some(terminal) = terminal {
        terminal.restore();
    }
}
