//! `init-process -- COMMAND [ARG…]`: the first process of a container that asks for an init (docker's is tini). Starts the command, passes on every
//! signal to it, reaps whoever is left to it, and ends with the command, as it ended. Mounted into the container as /sbin/docker-init.

use crate::error::{Context, PROCESS, Result};
use crate::relay::readable;
use crate::sys;
use rustix::event::poll;
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, set_child_subreaper, wait};
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::process::Command;

/// As a shell has it.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;

/// The command's exit status, as a shell's `$?`.
pub fn main(command: &[OsString]) -> Result<i32> {
    let [program, arguments @ ..] = command else { return Ok(NOT_FOUND) };
    // In another container's pid namespace, or the machine's, it is not the one that orphans come to.
    let _ = set_child_subreaper(Some(rustix::process::getpid()));
    let signals = sys::signals().during(PROCESS, "block signals")?;
    let mut starting = Command::new(program);
    sys::start_in_foreground(starting.args(arguments));
    let child = match starting.spawn() {
        Ok(child) => Pid::from_child(&child),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "docker-init: exec {} failed: {error}", program.display());
            return Ok(if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE });
        }
    };
    loop {
        match poll(&mut [readable(signals.as_fd())], None) {
            Err(errno) if errno != Errno::INTR => return Err(errno).during(PROCESS, "wait for signals"),
            _ => {}
        }
        while let Some(signal) = sys::next_signal(signals.as_fd()) {
            if signal != libc::SIGCHLD {
                // One that is just ending needs it no more.
                let _ = sys::kill(child, signal);
            }
        }
        if let Some(status) = reap(child) {
            return Ok(status);
        }
    }
}

/// Whoever has ended; of the command its status.
fn reap(child: Pid) -> Option<i32> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid == child => return Some(code(status)),
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) | Err(_) => return None,
        }
    }
}

fn code(status: WaitStatus) -> i32 {
    const OF_SIGNALS: i32 = 128;
    status.exit_status().or_else(|| status.terminating_signal().map(|signal| OF_SIGNALS + signal)).unwrap_or(NOT_EXECUTABLE)
}
