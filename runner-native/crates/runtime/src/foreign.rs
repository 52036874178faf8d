//! Another OCI runtime (crun, runc …) in the root that was made: in a pid namespace of its own, whose first process this is, so that
//! whatever the runtime starts ends with us. Reaps, forwards signals, and exits as the runtime does; what a runtime called with
//! `--log runtime.log --log-format json` says there of a container that it could not start is an error, and no exit status.

use crate::cgroup_mounts::CGROUP2_MAGIC;
use crate::channel::Child;
use crate::container::{self, Container, Ended, First, RunOptions};
use crate::error::{Context, NAMESPACE, NOT_EXECUTABLE, NOT_FOUND, NativeError, PROCESS, RUNTIME, Result, unsupported};
use crate::exec::{self, Executed};
use crate::plan::Namespaces;
use crate::spec::Config;
use crate::streams::Streams;
use crate::sys::Clone;
use crate::{mounts, sys, terminal};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, statfs};
use rustix::mount::MountAttrFlags;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, set_parent_process_death_signal, wait};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// In the bundle.
const LOG: &str = "runtime.log";

pub fn run(runtime: &[OsString], config: &Config, options: RunOptions) -> Result<Ended> {
    if !config.linux.namespaces.iter().any(|namespace| namespace.kind == "pid" && namespace.path.as_os_str().is_empty()) {
        return Err(unsupported("a container without a pid namespace of its own, under another runtime,"));
    }
    // A network that somebody sets up must be there before the runtime is: the container has it from us then.
    let network = if options.network.is_some() { libc::CLONE_NEWNET } else { 0 };
    let namespaces = Namespaces { new: (libc::CLONE_NEWPID | libc::CLONE_NEWNS | network) as u64, ..Namespaces::default() };
    let first = First { namespaces: &namespaces, root: None, process: None };
    let ended = container::start_and_wait(&first, options, |channel, streams| be_first_process(runtime, channel, streams), |_, _| Ok(()))?;
    match said_in_log(0).filter(|_| ended.status != 0) {
        Some(message) => Err(explain(&runtime[0], &message)),
        None => Ok(ended),
    }
}

/// In the bundle, which is the working directory. `known`: how much of it is not news.
fn said_in_log(known: usize) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Line {
        level: String,
        msg: String,
    }
    let log = std::fs::read_to_string(LOG).ok()?;
    let mut lines = log.get(known..)?.lines().rev().filter_map(|line| serde_json::from_str::<Line>(line).ok());
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
    let command = program(runtime);
    let started = Command::new(&command).args(&runtime[1..]).spawn();
    let child = started.at(PROCESS, "start the runtime", &command)?;
    Pid::from_raw(child.id() as i32).ok_or_else(|| NativeError::new(PROCESS, "start the runtime").detail("it has no process id"))
}

fn program(runtime: &[OsString]) -> OsString {
    if runtime[0] == "self" { OsString::from("/proc/self/exe") } else { runtime[0].clone() }
}

/// `exec` of such a runtime, which is a child of ours in the first process's namespaces, where the container's state is.
pub struct ForeignExec {
    pub executed: Executed,
    name: OsString,
    log_bytes: usize,
    process_file: PathBuf,
}

/// `runtime`: as it ran the container, up to its `run`. `first`: the process that does so. `process`: config.json's. Our working directory is the
/// bundle then. A terminal is ours, and the runtime copies to and from it.
pub fn execute(runtime: &[OsString], id: &str, first: Pid, process: &serde_json::Value, detached: bool) -> Result<ForeignExec> {
    let signals = sys::signals().during(PROCESS, "block signals")?;
    let pty = if process["terminal"] == true { Some(terminal::of_ours(&process["consoleSize"])?) } else { None };
    enter_first_process(first)?;
    let process_file = PathBuf::from(format!("exec-{}.json", rustix::process::getpid().as_raw_nonzero()));
    std::fs::write(&process_file, process.to_string()).at(RUNTIME, "write", &process_file)?;
    let log_bytes = std::fs::metadata(LOG).map_or(0, |log| log.len() as usize);
    let mut command = Command::new(program(runtime));
    command.args(runtime[1..].iter().filter(|word| *word != "run")).arg("exec");
    command.args(detached.then_some("--detach")).arg("--process").arg(&process_file).arg(id);
    let container = match sys::clone(0).during(PROCESS, "start the runtime")? {
        Clone::Child => become_runtime(command, pty.map(|pty| pty.slave)),
        Clone::Parent { pid, pidfd } => Container::of(pid, pidfd),
    };
    let executed = Executed { container, signals, master: pty.map(|pty| pty.master) };
    Ok(ForeignExec { executed, name: runtime[0].clone(), log_bytes, process_file })
}

impl ForeignExec {
    /// What it says of a command that it could not start. Only when it has ended.
    pub fn check(&self, status: i32) -> Result<()> {
        let message = if status == 0 { None } else { said_in_log(self.log_bytes) };
        message.map_or(Ok(()), |message| Err(explain(&self.name, &message)))
    }
}

impl Drop for ForeignExec {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.process_file);
    }
}

fn enter_first_process(first: Pid) -> Result<()> {
    let enter = || {
        let bundle = format!("/proc/{}/cwd", first.as_raw_nonzero());
        let bundle = rustix::fs::open(&bundle, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let pidfd = pidfd_open(first, PidfdFlags::empty())?;
        let theirs = exec::other_namespaces(first.as_raw_nonzero().get()) & (libc::CLONE_NEWNS | libc::CLONE_NEWNET);
        sys::set_namespace(pidfd.as_fd(), theirs | libc::CLONE_NEWPID)?;
        rustix::process::fchdir(&bundle)
    };
    enter().during(NAMESPACE, "enter the namespaces of the container's runtime")
}

fn become_runtime(mut command: Command, terminal: Option<OwnedFd>) -> ! {
    let prepare = || {
        sys::die_with_parent().during(PROCESS, "tie the runtime to its parent")?;
        rustix::process::setsid().during(PROCESS, "start a session")?;
        terminal.map_or(Ok(()), terminal::take)?;
        sys::reset_signals().during(PROCESS, "reset signals")?;
        sys::close_on_exec_from(3).during(PROCESS, "close descriptors")
    };
    if prepare().is_ok() {
        let _ = command.exec();
    }
    sys::exit_now(126)
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
