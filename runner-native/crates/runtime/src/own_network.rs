//! A network of its own for the container of an account that is not root: a network namespace whose one device leads to pasta or slirp4netns,
//! which ask the host's network for it as the account itself may. The host's loopback cannot be reached through either. The program is in a
//! pid namespace whose first process dies with us, so it ends as we do, however that is. Assumes one thread, and a user namespace of our own.

use crate::channel::{self, Child, Message};
use crate::error::{Context, NAMESPACE, NativeError, PROCESS, Result};
use crate::relay::readable;
use crate::sys::{self, Clone};
use rustix::event::{Timespec, poll};
use rustix::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create, open};
use rustix::io::FdFlags;
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, wait, waitpid};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek};
use std::process::{Command, Stdio};

/// Where names are asked for inside: slirp4netns's own address for it, which pasta is told to have too (docs/native.md).
const DNS: &str = "10.0.2.3";
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Until it is dropped, or we die.
pub struct OwnNetwork {
    keeper: Pid,
    keeper_fd: OwnedFd,
}

/// We are in the new network then, and so is whoever is forked later. Else we stay where we are, for the reason that comes back.
pub fn enter() -> Result<std::result::Result<OwnNetwork, String>> {
    let namespace = match make_namespace() {
        Ok(namespace) => namespace,
        Err(error) => return Ok(Err(error.detail)),
    };
    let (parent, child) = channel::pair()?;
    let network = match sys::clone(libc::CLONE_NEWPID as u64).during(PROCESS, "start a process for the network")? {
        Clone::Child => {
            drop(parent);
            sys::exit_now(keep(&namespace, &child))
        }
        Clone::Parent { pid, pidfd } => OwnNetwork { keeper: pid, keeper_fd: pidfd },
    };
    drop(child);
    parent.go()?;
    match parent.receive()? {
        Message::Ready => {
            sys::set_namespace(namespace.as_fd(), libc::CLONE_NEWNET).during(NAMESPACE, "enter the container's network namespace")?;
            Ok(Ok(network))
        }
        Message::Failed(error) => Ok(Err(error.detail)),
        _ => Ok(Err("the process that was to keep pasta or slirp4netns was ended".to_owned())),
    }
}

impl Drop for OwnNetwork {
    fn drop(&mut self) {
        let _ = sys::pidfd_send_signal(self.keeper_fd.as_fd(), libc::SIGKILL);
        let _ = rustix::io::retry_on_intr(|| waitpid(Some(self.keeper), WaitOptions::empty()));
    }
}

/// Made by a child: who leaves the host's network cannot come back, and so could not do without.
pub fn make_namespace() -> Result<OwnedFd> {
    let (parent, child) = channel::pair()?;
    match sys::clone(libc::CLONE_NEWNET as u64).during(NAMESPACE, "make a network namespace")? {
        Clone::Child => {
            drop(parent);
            let _ = child.wait_for_go();
            sys::exit_now(0)
        }
        Clone::Parent { pid, .. } => {
            drop(child);
            let path = format!("/proc/{}/ns/net", pid.as_raw_nonzero());
            let namespace = open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(NAMESPACE, "open", &path);
            drop(parent);
            let _ = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
            namespace
        }
    }
}

/// The first process of the pid namespace. Stays as long as the program does.
fn keep(namespace: &OwnedFd, channel: &Child) -> i32 {
    match prepare(namespace, channel).and_then(|()| start_one(namespace.as_raw_fd())) {
        Ok(()) => drop(channel.say_ready()),
        Err(error) => {
            channel.send_error(error);
            return 1;
        }
    }
    while rustix::io::retry_on_intr(|| wait(WaitOptions::empty())).is_ok() {}
    0
}

/// Nothing of ours is left open in programs that live as long as the container, but the namespace that they are for.
fn prepare(namespace: &OwnedFd, channel: &Child) -> Result<()> {
    sys::die_with_parent().during(PROCESS, "tie the process to its parent")?;
    channel.wait_for_go()?;
    let null = open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).at(PROCESS, "open", "/dev/null")?;
    sys::replace_stdio(&null).during(PROCESS, "replace standard streams")?;
    drop(null);
    sys::close_all_but(&mut [0, 1, 2, namespace.as_raw_fd(), channel.as_fd().as_raw_fd()]).during(PROCESS, "close descriptors")?;
    rustix::io::fcntl_setfd(namespace, FdFlags::empty()).during(PROCESS, "hand on the namespace")
}

/// None: it is not installed.
type Started = std::result::Result<(), Option<String>>;

fn start_one(namespace: RawFd) -> Result<()> {
    let path = format!("/proc/self/fd/{namespace}");
    let Err(of_pasta) = pasta(&path) else { return Ok(()) };
    let Err(of_slirp) = slirp4netns(&path) else { return Ok(()) };
    let why = match (of_pasta, of_slirp) {
        (None, None) => "neither pasta nor slirp4netns is installed: Debian has them in passt and slirp4netns".to_owned(),
        (Some(why), None) => format!("pasta fails: {why}; slirp4netns, which may not, is not installed"),
        (None, Some(why)) => format!("slirp4netns fails: {why}; pasta, which may not, is not installed"),
        (Some(pasta), Some(slirp)) => format!("pasta fails: {pasta}; slirp4netns fails: {slirp}"),
    };
    Err(NativeError::new(NAMESPACE, "give the container a network").detail(why))
}

/// Gives the namespace the host's own addresses. No port is forwarded either way, and no address stands for the host (containers/common: pasta_linux.go).
/// Goes to the background, as our child, when all is set up; told not to look whether the namespace is still there, for by the name that it
/// is given it soon is not.
fn pasta(namespace: &str) -> Started {
    let ports = ["--tcp-ports", "none", "--udp-ports", "none", "--tcp-ns", "none", "--udp-ns", "none"];
    let mut command = Command::new("pasta");
    command.args(["--quiet", "--config-net", "--no-map-gw", "--dns-forward", DNS]).args(ports);
    command.args(["--no-netns-quit", "--netns", namespace]);
    Program::start(command)?.ends_well()
}

/// A network 10.0.2.0/24 with the container at .100 (containers/common: slirp4netns.go). Says when it is ready, and stays as it is.
fn slirp4netns(namespace: &str) -> Started {
    let (ready, written) = rustix::pipe::pipe().map_err(|errno| Some(errno.to_string()))?;
    let _ = rustix::io::fcntl_setfd(&ready, FdFlags::CLOEXEC);
    let number = written.as_raw_fd().to_string();
    let mut command = Command::new("slirp4netns");
    command.args(["--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox", "--enable-seccomp"]);
    command.args(["--ready-fd", &number, "--netns-type=path", namespace, "tap0"]);
    let program = Program::start(command)?;
    drop(written);
    let _ = poll(&mut [readable(ready.as_fd())], Some(&PATIENCE));
    let _ = rustix::io::ioctl_fionbio(&ready, true);
    match rustix::io::read(&ready, &mut [0]) {
        Ok(1) => Ok(()),
        _ => program.ends_well(),
    }
}

struct Program {
    pid: Pid,
    /// What it says of errors.
    said: File,
}

impl Program {
    fn start(mut command: Command) -> std::result::Result<Self, Option<String>> {
        let mut start = || {
            let said = File::from(memfd_create("said", MemfdFlags::CLOEXEC)?);
            let child = command.stderr(Stdio::from(said.try_clone()?)).spawn()?;
            Ok((Pid::from_raw(child.id() as i32).ok_or(ErrorKind::Other)?, said))
        };
        match start() {
            Ok((pid, said)) => Ok(Self { pid, said }),
            Err(error) if std::io::Error::kind(&error) == ErrorKind::NotFound => Err(None),
            Err(error) => Err(Some(error.to_string())),
        }
    }

    /// One that has not after some time does not any more.
    fn ends_well(mut self) -> Started {
        if let Ok(pidfd) = pidfd_open(self.pid, PidfdFlags::empty()) {
            let _ = poll(&mut [readable(pidfd.as_fd())], Some(&PATIENCE));
        }
        let Ok(Some((_, status))) = waitpid(Some(self.pid), WaitOptions::NOHANG) else {
            let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::KILL);
            let _ = waitpid(Some(self.pid), WaitOptions::empty());
            return Err(Some("it does not answer".to_owned()));
        };
        if status.exit_status() == Some(0) {
            return Ok(());
        }
        let mut text = String::new();
        let _ = self.said.rewind().and_then(|()| self.said.read_to_string(&mut text));
        Err(Some(what_matters(&text)))
    }
}

/// In one line, without what old versions of pasta say when there is no system log, and warnings.
fn what_matters(said: &str) -> String {
    let is_noise =
        |line: &str| line.is_empty() || line.starts_with("WARNING") || (line.starts_with("Failed to send") && line.ends_with("syslog"));
    let lines = said.lines().map(str::trim).filter(|line| !is_noise(line));
    let lines: Vec<&str> = lines.collect();
    let text: String = lines.join("; ").chars().take(400).collect();
    if text.is_empty() { "it says nothing".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::what_matters;

    #[test]
    fn what_a_program_says_is_one_line() {
        assert_eq!(what_matters("Failed to send 51 bytes to syslog\nCouldn't open\n  /dev/net/tun\n"), "Couldn't open; /dev/net/tun");
        assert_eq!(what_matters("WARNING: Support for seccomp is experimental\n"), "it says nothing");
    }
}
