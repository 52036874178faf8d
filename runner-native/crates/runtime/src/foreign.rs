//! Another OCI runtime (crun, runc …) in the root that was made: in a pid namespace of its own, whose first process this is, so that
//! whatever the runtime starts ends with us. Reaps, forwards signals, and exits as the runtime does; what a runtime called with
//! `--log runtime.log --log-format json` says there of a container that it could not start is an error, and no exit status.

use crate::cgroup_mounts::CGROUP2_MAGIC;
use crate::channel::Child;
use crate::container::{self, Ended, First, RunOptions};
use crate::error::{Context, NAMESPACE, NOT_EXECUTABLE, NOT_FOUND, NativeError, PROCESS, RUNTIME, Result, unsupported};
use crate::plan::Namespaces;
use crate::spec::Config;
use crate::streams::Streams;
use crate::{mounts, sys};
use rustix::fd::AsFd;
use rustix::fs::statfs;
use rustix::mount::MountAttrFlags;
use rustix::process::{Pid, Signal, WaitOptions, set_parent_process_death_signal, wait};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

pub fn run(runtime: &[OsString], config: &Config, options: RunOptions) -> Result<Ended> {
    if !config.linux.namespaces.iter().any(|namespace| namespace.kind == "pid" && namespace.path.as_os_str().is_empty()) {
        return Err(unsupported("a container without a pid namespace of its own, under another runtime,"));
    }
    // A network that somebody sets up must be there before the runtime is: the container has it from us then.
    let network = if options.network.is_some() { libc::CLONE_NEWNET } else { 0 };
    let namespaces = Namespaces { new: (libc::CLONE_NEWPID | libc::CLONE_NEWNS | network) as u64, ..Namespaces::default() };
    let first = First { namespaces: &namespaces, root: None, process: None };
    let ended = container::start_and_wait(&first, options, |channel, streams| be_first_process(runtime, channel, streams), |_, _| Ok(()))?;
    match said_in_log().filter(|_| ended.status != 0) {
        Some(message) => Err(explain(&runtime[0], &message)),
        None => Ok(ended),
    }
}

/// In the bundle, which is the working directory.
fn said_in_log() -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Line {
        level: String,
        msg: String,
    }
    let log = std::fs::read_to_string("runtime.log").ok()?;
    let mut lines = log.lines().rev().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines.find(|line| matches!(line.level.as_str(), "error" | "fatal")).map(|line| line.msg)
}

/// Their words for a command that cannot be executed: crun's "executable file `x` not found in $PATH" and "open executable", runc's "exec: \"x\": …".
fn explain(runtime: &OsStr, message: &str) -> NativeError {
    let is_about_command = message.contains("executable file") || message.contains("open executable") || message.contains("exec: \"");
    let code = match message.to_ascii_lowercase() {
        text if is_about_command && (text.contains("not found") || text.contains("no such file")) => NOT_FOUND,
        _ if is_about_command => NOT_EXECUTABLE,
        _ => RUNTIME,
    };
    let name = Path::new(runtime).file_name().unwrap_or(runtime).to_string_lossy().into_owned();
    NativeError::new(code, "start the container").detail(format!("{name} cannot start the container: {message}"))
}

fn be_first_process(runtime: &[OsString], channel: Child, streams: Streams) -> i32 {
    match start(runtime, &channel, streams) {
        Ok(pid) => {
            drop(channel);
            reap_until(pid).unwrap_or(255)
        }
        Err(error) => {
            channel.send_error(error);
            1
        }
    }
}

fn start(runtime: &[OsString], channel: &Child, streams: Streams) -> Result<Pid> {
    set_parent_process_death_signal(Some(Signal::KILL)).during(PROCESS, "tie the process to its parent")?;
    channel.wait_for_go()?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let proc = mounts::detached("proc", "proc", &[], attributes).during(NAMESPACE, "make a proc file system")?;
    mounts::attach_at(proc, Path::new("/proc")).at(NAMESPACE, "mount", "/proc")?;
    show_one_version_of_cgroups().during(NAMESPACE, "hide cgroups of version 2")?;
    streams.take()?;
    sys::close_on_exec_from(3).during(PROCESS, "close descriptors")?;
    let command = if runtime[0] == "self" { OsString::from("/proc/self/exe") } else { runtime[0].clone() };
    let started = Command::new(&command).args(&runtime[1..]).spawn();
    let child = started.at(PROCESS, "start the runtime", &command)?;
    Pid::from_raw(child.id() as i32).ok_or_else(|| NativeError::new(PROCESS, "start the runtime").detail("it has no process id"))
}

/// Debian's crun refuses version 2 beside version 1, though nothing of it is used then. In this mount namespace it is covered, by what takes
/// the directories that crun makes in everything below /sys/fs/cgroup.
fn show_one_version_of_cgroups() -> rustix::io::Result<()> {
    const HYBRID: &str = "/sys/fs/cgroup/unified";
    if !statfs(HYBRID).is_ok_and(|at| at.f_type as u64 == CGROUP2_MAGIC) {
        return Ok(());
    }
    let cover = mounts::detached("tmpfs", "tmpfs", &[("size", "1m")], MountAttrFlags::MOUNT_ATTR_NODEV)?;
    mounts::attach_at(cover, Path::new(HYBRID))
}

fn reap_until(runtime: Pid) -> Result<i32> {
    let signals = sys::signals().during(PROCESS, "block signals")?;
    loop {
        // One that ended before the descriptor was there is found here, too.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == runtime {
                return Ok(status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal)).unwrap_or(255));
            }
        }
        let mut fds = [crate::relay::readable(signals.as_fd())];
        let _ = rustix::event::poll(&mut fds, None);
        while let Some(signal) = sys::next_signal(signals.as_fd()) {
            if let (false, Some(signal)) = (signal == libc::SIGCHLD, Signal::from_named_raw(signal)) {
                let _ = rustix::process::kill_process(runtime, signal);
            }
        }
    }
}
