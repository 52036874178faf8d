//! One run of the container: a forked child makes the root and waits for the container's end, as `with-root` does, and says on a socket what becomes
//! of it. Its streams are the monitor's, and so is the terminal. It ends with the monitor, and takes along what runs in it.

use crate::directory::Directory;
use crate::log::Stream;
use crate::network::Network;
use crate::packets::{self, Kind, Packet, Packets};
use crate::spec::{self, Size, Spec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::SendFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tbuild_runtime::cgroups::Cgroup;
use tbuild_runtime::container::Started;
use tbuild_runtime::error::{Context, NativeError, PROCESS, Result};
use tbuild_runtime::sys::{self, Clone};
use tbuild_runtime::{resources, with_root};

/// As long as the kernel may take to end a process that was killed.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

pub struct Container {
    child: OwnedFd,
    /// Open as long as we live.
    _lifeline: OwnedFd,
    pub channel: Packets,
    pub stdin: Option<OwnedFd>,
    pub outputs: Vec<(OwnedFd, Stream)>,
    /// The terminal of another runtime is ours; of the bundled one it is the container's, and comes when it has started.
    terminal: Option<OwnedFd>,
    pub running: Option<Running>,
    pub network: Option<Network>,
}

/// A container whose command runs.
pub struct Running {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    /// Its own.
    pub cgroup: Option<Cgroup>,
}

pub enum Message {
    /// For people.
    Notice(Vec<u8>),
    /// Its network is to be set up now.
    Network(Pid),
    Started,
    Ended {
        exit_code: i32,
        oom_killed: bool,
    },
    Failed(NativeError),
}

#[derive(Serialize, Deserialize)]
struct StartedMessage {
    pid: i32,
    cgroup: Option<Cgroup>,
}

#[derive(Serialize, Deserialize)]
struct EndedMessage {
    status: i32,
    oom: bool,
}

/// What becomes the child's 0, 1 and 2, and our ends of it.
struct Streams {
    theirs: [OwnedFd; 3],
    stdin: Option<OwnedFd>,
    outputs: Vec<(OwnedFd, Stream)>,
    terminal: Option<OwnedFd>,
}

impl Streams {
    fn make(spec: &Spec) -> rustix::io::Result<Self> {
        let nothing = || openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
        match (spec.has_terminal(), spec.is_bundled_runtime()) {
            (true, true) => Ok(Self { theirs: [nothing()?, nothing()?, nothing()?], stdin: None, outputs: Vec::new(), terminal: None }),
            (true, false) => Self::of_own_terminal(),
            (false, _) => {
                let (stdin, ours) = match spec.open_stdin {
                    true => pipe_with(PipeFlags::CLOEXEC).map(|(from, to)| (from, Some(to)))?,
                    false => (nothing()?, None),
                };
                let ((out, stdout), (err, stderr)) = (pipe_with(PipeFlags::CLOEXEC)?, pipe_with(PipeFlags::CLOEXEC)?);
                let outputs = vec![(out, Stream::Stdout), (err, Stream::Stderr)];
                Ok(Self { theirs: [stdin, stdout, stderr], stdin: ours, outputs, terminal: None })
            }
        }
    }

    /// Other runtimes copy between the container's terminal and that which they are started on.
    fn of_own_terminal() -> rustix::io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let slave = || ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
        let theirs = [slave()?, slave()?, slave()?];
        let outputs = vec![(master.try_clone().map_err(|_| Errno::MFILE)?, Stream::Stdout)];
        Ok(Self { theirs, stdin: None, outputs, terminal: Some(master) })
    }
}

impl Streams {
    /// Our ends: what was ready a moment ago may be another container's by now.
    fn never_block(&self, channel: &Packets) -> rustix::io::Result<()> {
        let all = self.stdin.iter().chain(self.outputs.iter().map(|(output, _)| output)).map(AsFd::as_fd);
        all.chain([channel.as_fd()]).try_for_each(|fd| ioctl_fionbio(fd, true))
    }
}

impl Container {
    pub fn start(spec: &Spec, directory: &Directory, size: Option<Size>) -> Result<Self> {
        let streams = Streams::make(spec).during(PROCESS, "make the container's streams")?;
        let (channel, theirs) = packets::pair().during(PROCESS, "make a channel")?;
        let (lifeline, ours) = pipe_with(PipeFlags::CLOEXEC).during(PROCESS, "make a lifeline")?;
        match sys::clone(0).during(PROCESS, "start a process")? {
            Clone::Child => be_child(spec, directory, size, &streams.theirs, theirs, lifeline),
            Clone::Parent { pidfd, .. } => {
                streams.never_block(&channel).during(PROCESS, "prepare the container's streams")?;
                Ok(Self {
                    child: pidfd,
                    _lifeline: ours,
                    channel,
                    stdin: streams.stdin,
                    outputs: streams.outputs,
                    terminal: streams.terminal,
                    running: None,
                    network: None,
                })
            }
        }
    }

    /// What the child has said. One that ends without a word was killed, and the container with it.
    pub fn receive(&mut self) -> Option<Message> {
        let lost = || NativeError::new(PROCESS, "wait for the container").detail("the container's process said nothing that makes sense");
        Some(match self.channel.receive() {
            Err(Errno::AGAIN) => return None,
            Ok(Some(packet)) => self.understand(packet).unwrap_or_else(|| Message::Failed(lost())),
            Ok(None) | Err(_) => match self.running {
                Some(_) => Message::Ended { exit_code: 128 + libc::SIGKILL, oom_killed: false },
                None => Message::Failed(lost().detail("the container's process was killed before the container had started")),
            },
        })
    }

    fn understand(&mut self, packet: Packet) -> Option<Message> {
        match packet.kind {
            Kind::Notice => Some(Message::Notice(packet.bytes)),
            Kind::Failed => serde_json::from_slice(&packet.bytes).ok().map(Message::Failed),
            Kind::Network => Pid::from_raw(serde_json::from_slice(&packet.bytes).ok()?).map(Message::Network),
            Kind::Ended => {
                let EndedMessage { status, oom } = serde_json::from_slice(&packet.bytes).ok()?;
                Some(Message::Ended { exit_code: status, oom_killed: oom })
            }
            Kind::Started => {
                let StartedMessage { pid, cgroup } = serde_json::from_slice(&packet.bytes).ok()?;
                let mut fds = packet.fds.into_iter();
                self.running = Some(Running { pid: Pid::from_raw(pid)?, pidfd: fds.next()?, cgroup });
                if let Some(terminal) = fds.next() {
                    ioctl_fionbio(&terminal, true).ok()?;
                    self.outputs.push((terminal.try_clone().ok()?, Stream::Stdout));
                    self.terminal = Some(terminal);
                }
                Some(Message::Started)
            }
            _ => None,
        }
    }

    /// Where what others type goes.
    pub fn input(&self) -> Option<&OwnedFd> {
        self.stdin.as_ref().or(self.terminal.as_ref())
    }

    pub fn resize(&self, Size { rows, columns }: Size) {
        if let Some(terminal) = &self.terminal {
            let _ = tcsetwinsize(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 });
        }
    }

    /// Before the command runs the child keeps it for the container; SIGKILL ends both.
    pub fn signal(&self, signal: i32) -> Result<()> {
        let to = self.running.as_ref().map_or(self.child.as_fd(), |running| running.pidfd.as_fd());
        sys::pidfd_send_signal(to, signal).during(PROCESS, &format!("send the signal {signal} to the container"))
    }

    /// After its child's last word. Nothing of it is left then, even where the child was killed: no process, no mount, no cgroup.
    pub fn end(&self) {
        let _ = sys::pidfd_send_signal(self.child.as_fd(), libc::SIGKILL);
        let _ = rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(self.child.as_fd()), WaitIdOptions::EXITED));
        let Some(running) = &self.running else { return };
        let _ = sys::pidfd_send_signal(running.pidfd.as_fd(), libc::SIGKILL);
        if let Some(cgroup) = &running.cgroup {
            let _ = cgroup.kill_all().and_then(|()| cgroup.remove());
        }
        let _ = poll(&mut [PollFd::new(&running.pidfd, PollFlags::IN)], Some(&PATIENCE));
    }
}

impl Running {
    pub fn stats(&self, id: &str) -> Option<serde_json::Value> {
        self.cgroup.as_ref().map(|cgroup| json!({ "type": "stats", "id": id, "data": resources::stats::read(cgroup) }))
    }
}

/// Never returns: what the parent owns is left as it is.
fn be_child(spec: &Spec, directory: &Directory, size: Option<Size>, streams: &[OwnedFd; 3], channel: Packets, lifeline: OwnedFd) -> ! {
    let outcome = take_streams(streams, &channel, &lifeline, directory).and_then(|()| run(spec, directory, size, &channel, lifeline));
    let _ = match outcome {
        Ok(ended) => channel.send(Kind::Ended, &serde_json::to_vec(&ended).unwrap_or_default()),
        Err(error) => channel.send(Kind::Failed, &serde_json::to_vec(&error).unwrap_or_default()),
    };
    sys::exit_now(0)
}

fn take_streams(streams: &[OwnedFd; 3], channel: &Packets, lifeline: &OwnedFd, directory: &Directory) -> Result<()> {
    sys::die_with_parent().during(PROCESS, "tie the process to its parent")?;
    for (number, stream) in (0..).zip(streams) {
        sys::replace_descriptor(stream.as_raw_fd(), number).during(PROCESS, "take the streams")?;
    }
    // The lock above all: it would be held a moment longer than our parent lives.
    let mut kept = [0, 1, 2, channel.as_fd().as_raw_fd(), lifeline.as_raw_fd(), directory.as_fd().as_raw_fd()];
    sys::close_all_but(&mut kept).during(PROCESS, "close descriptors")
}

fn run(spec: &Spec, directory: &Directory, size: Option<Size>, channel: &Packets, lifeline: OwnedFd) -> Result<EndedMessage> {
    let say_host_network = |why: &str| {
        // The words of src/sandbox/network.ts.
        let reach = "and what listens on its loopback can be reached";
        let _ = channel.send(Kind::Notice, format!("network: the host's, {reach} ({why}; --network=none has none)").as_bytes());
    };
    let tell = |started: Started| {
        let message = StartedMessage { pid: started.pid.as_raw_nonzero().get(), cgroup: started.cgroup.cloned() };
        let mut fds = vec![started.pidfd];
        fds.extend(started.terminal.as_ref().map(AsFd::as_fd));
        let sent = channel.send_with(Kind::Started, &serde_json::to_vec(&message).unwrap_or_default(), &fds, SendFlags::NOSIGNAL);
        sent.during(PROCESS, "tell the monitor")
    };
    let ask_for_network = |first: Pid| ask_for_network(channel, first);
    let outcome = with_root::run(with_root::Arguments {
        lifeline: Some(lifeline),
        spec: spec::read_root(directory, size.filter(|_| spec.has_terminal()))?,
        runtime: spec.program(),
        say_host_network: &say_host_network,
        network: spec.network.as_ref().map(|_| &ask_for_network as &dyn Fn(Pid) -> Result<()>),
        on_start: Some(Box::new(tell)),
    })?;
    Ok(EndedMessage { status: outcome.status, oom: outcome.killed_for_memory })
}

/// The monitor does it, in whose mount namespace aardvark-dns may stay.
fn ask_for_network(channel: &Packets, first: Pid) -> Result<()> {
    let lost = || NativeError::new(PROCESS, "ask for the container's network").detail("the monitor is gone");
    let pid = first.as_raw_nonzero().to_string();
    channel.send(Kind::Network, pid.as_bytes()).during(PROCESS, "ask for the container's network")?;
    match channel.receive().during(PROCESS, "ask for the container's network")? {
        Some(Packet { kind: Kind::Answer, .. }) => Ok(()),
        Some(packet) => Err(serde_json::from_slice(&packet.bytes).unwrap_or_else(|_| lost())),
        None => Err(lost()),
    }
}
