//! The caller's side of `exec`: gives its streams to the command, or shows the command's terminal, and ends as the command did. Where a stream of ours
//! is a terminal and the command has none, or is a socket, there is a pipe between: it is no terminal to the command, and can be opened by name.

use crate::detach_keys::DetachKeys;
use crate::directory::Directory;
use crate::exec::ExecRequest;
use crate::packets::{Kind, Packet, Packets};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::net::SendFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{isatty, tcgetwinsize};
use std::path::Path;
use tbuild_runtime::container;
use tbuild_runtime::error::{Context, NativeError, PROCESS, Result, USAGE};
use tbuild_runtime::relay::Relay;
use tbuild_runtime::sys;
use tbuild_runtime::terminal::{self, OurTerminal};

pub struct Exec<'a> {
    pub directory: &'a Path,
    /// ExecRequest, in JSON.
    pub request: &'a str,
    pub flags: ExecFlags,
    pub detach_keys: DetachKeys,
}

#[derive(Clone, Copy, Default)]
pub struct ExecFlags {
    pub tty: bool,
    /// Our standard input is the command's.
    pub interactive: bool,
    /// Nobody waits for it.
    pub detach: bool,
}

/// The command's exit status; 0 of one that was left to itself.
pub fn exec(arguments: &Exec) -> Result<i32> {
    let request = read_request(arguments)?;
    let directory = Directory::open(arguments.directory)?;
    let monitor = directory.connect()?;
    let Streams { given, mut relays } = if request.tty || request.detach { Streams::default() } else { Streams::of(arguments)? };
    let signals = sys::signals().during(PROCESS, "block signals")?;
    ask(&monitor, &request, &given)?;
    drop(given);
    let master = match hear(&monitor)? {
        Heard::Started(master) => master,
        Heard::Ended(status) => return Ok(status),
    };
    if request.detach {
        return Ok(0);
    }
    let _restored = Raw::enter(arguments, master.as_ref())?;
    let mut keyboard = Keyboard::of(arguments, master.as_ref())?;
    if let Some(master) = &master {
        relays.push(Relay::output(copy(master.as_fd())?, copy(stdout())?));
    }
    loop {
        let mut fds = vec![monitor.poll_fd(PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        fds.extend(relays.iter().map(Relay::poll_fd));
        fds.extend(keyboard.as_ref().map(Keyboard::poll_fd));
        let _ = poll(&mut fds, None);
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready[0] {
            let heard = hear(&monitor)?;
            container::drain(&mut relays);
            return match heard {
                Heard::Ended(status) => Ok(status),
                Heard::Started(_) => Err(misunderstood()),
            };
        }
        if ready[1]
            && let Some(signal) = deadly_signal(&signals, master.as_ref())
        {
            return Ok(128 + signal);
        }
        let count = relays.len();
        relays.iter_mut().zip(&ready[2..]).filter(|(_, ready)| **ready).for_each(|(relay, _)| relay.step());
        relays.retain(|relay| !relay.is_over());
        if ready.get(2 + count) == Some(&true)
            && let Some(typed) = &mut keyboard
        {
            match typed.step() {
                Step::Detached => {
                    let _ = monitor.send(Kind::Detach, b"");
                    return Ok(0);
                }
                Step::Over => keyboard = None,
                Step::GoOn => {}
            }
        }
    }
}

fn read_request(arguments: &Exec) -> Result<ExecRequest> {
    let wrong = |error: serde_json::Error| {
        NativeError::new(USAGE, "execute in the container").detail(format!("the request is not as docs/native.md describes it: {error}"))
    };
    let mut request: ExecRequest = serde_json::from_str(arguments.request).map_err(wrong)?;
    (request.tty, request.detach) = (arguments.flags.tty, arguments.flags.detach);
    if request.tty && !request.detach {
        let size = tcgetwinsize(stdin()).or_else(|_| tcgetwinsize(stdout())).ok();
        request.size = size.filter(|size| size.ws_row > 0 && size.ws_col > 0).map(|size| (size.ws_row, size.ws_col));
    }
    Ok(request)
}

fn ask(monitor: &Packets, request: &ExecRequest, given: &[OwnedFd]) -> Result<()> {
    let mut value = serde_json::to_value(request).map_err(std::io::Error::from).during(PROCESS, "ask the container's monitor")?;
    value["op"] = "exec".into();
    let fds: Vec<BorrowedFd> = given.iter().map(AsFd::as_fd).collect();
    monitor.send_with(Kind::Request, value.to_string().as_bytes(), &fds, SendFlags::NOSIGNAL).during(PROCESS, "ask the container's monitor")
}

enum Heard {
    Started(Option<OwnedFd>),
    Ended(i32),
}

/// The status of what is killed: who says nothing went with the container.
const KILLED: i32 = 128 + libc::SIGKILL;

fn hear(monitor: &Packets) -> Result<Heard> {
    match monitor.receive().during(PROCESS, "hear from the container's monitor")? {
        None => Ok(Heard::Ended(KILLED)),
        Some(Packet { kind: Kind::Started, fds, .. }) => Ok(Heard::Started(fds.into_iter().next())),
        Some(Packet { kind: Kind::Answer, bytes, .. }) => {
            let answer: serde_json::Value = serde_json::from_slice(&bytes).map_err(|_| misunderstood())?;
            answer["exitCode"].as_i64().map(|code| Heard::Ended(code as i32)).ok_or_else(misunderstood)
        }
        Some(Packet { kind: Kind::Failed, bytes, .. }) => Err(serde_json::from_slice(&bytes).unwrap_or_else(|_| misunderstood())),
        Some(_) => Err(misunderstood()),
    }
}

fn misunderstood() -> NativeError {
    NativeError::new(PROCESS, "hear from the container's monitor").detail("the container's monitor says what cannot be understood")
}

/// A signal that ends us: the command goes on, as docker's does. A terminal of a new size has it told to the command's.
fn deadly_signal(signals: &OwnedFd, master: Option<&OwnedFd>) -> Option<i32> {
    while let Some(signal) = sys::next_signal(signals.as_fd()) {
        match (signal, master) {
            (libc::SIGWINCH, Some(master)) => terminal::copy_size(master),
            (libc::SIGHUP | libc::SIGINT | libc::SIGQUIT | libc::SIGTERM, _) => return Some(signal),
            _ => {}
        }
    }
    None
}

fn copy(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, 3).during(PROCESS, "copy a descriptor")
}

/// What the command is given as 0, 1 and 2, and what we copy for it.
#[derive(Default)]
struct Streams {
    given: Vec<OwnedFd>,
    relays: Vec<Relay>,
}

impl Streams {
    fn of(arguments: &Exec) -> Result<Self> {
        let mut streams = Self::default();
        let input = if arguments.flags.interactive { streams.input()? } else { null()? };
        let output = streams.output(stdout())?;
        let errors = match is_same(stdout(), stderr()) {
            true => copy(output.as_fd())?, // else lines would change places
            false => streams.output(stderr())?,
        };
        streams.given = vec![input, output, errors];
        Ok(streams)
    }

    /// A file is the command's own. What others write ends for the command when we do.
    fn input(&mut self) -> Result<OwnedFd> {
        let is_file = fstat(stdin()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        if is_file {
            return copy(stdin());
        }
        let (from, to) = pipe_with(PipeFlags::CLOEXEC).during(PROCESS, "make a pipe")?;
        self.relays.push(Relay::piped_input(copy(stdin())?, to));
        Ok(from)
    }

    fn output(&mut self, ours: BorrowedFd<'_>) -> Result<OwnedFd> {
        let is_socket = fstat(ours).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket);
        if !is_socket && !isatty(ours) {
            return copy(ours);
        }
        let (from, to) = pipe_with(PipeFlags::CLOEXEC).during(PROCESS, "make a pipe")?;
        self.relays.push(Relay::output(from, copy(ours)?));
        Ok(to)
    }
}

fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let identity = |fd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino, stat.st_rdev)).ok();
    identity(one).is_some_and(|of_one| identity(other) == Some(of_one))
}

fn null() -> Result<OwnedFd> {
    rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(PROCESS, "open", "/dev/null")
}

/// Our terminal, raw until this is dropped.
struct Raw(Option<OurTerminal>);

impl Raw {
    fn enter(arguments: &Exec, master: Option<&OwnedFd>) -> Result<Self> {
        let ours = if arguments.flags.interactive && master.is_some() { OurTerminal::find() } else { None };
        let guard = Self(ours);
        guard.0.as_ref().map_or(Ok(()), OurTerminal::make_raw)?;
        Ok(guard)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(terminal) = &self.0 {
            terminal.restore();
        }
    }
}

/// From our standard input to the command's terminal, but for the keys that detach.
struct Keyboard {
    to: OwnedFd,
    keys: DetachKeys,
    waiting: Vec<u8>,
    is_over: bool,
}

enum Step {
    GoOn,
    Over,
    Detached,
}

impl Keyboard {
    fn of(arguments: &Exec, master: Option<&OwnedFd>) -> Result<Option<Self>> {
        let Some(master) = master.filter(|_| arguments.flags.interactive) else { return Ok(None) };
        Ok(Some(Self { to: copy(master.as_fd())?, keys: arguments.detach_keys.clone(), waiting: Vec::new(), is_over: false }))
    }

    fn poll_fd(&self) -> PollFd<'_> {
        if self.waiting.is_empty() { PollFd::from_borrowed_fd(stdin(), PollFlags::IN) } else { PollFd::new(&self.to, PollFlags::OUT) }
    }

    fn step(&mut self) -> Step {
        let result = if self.waiting.is_empty() { self.read() } else { self.write() };
        match result {
            Ok(is_detached) if is_detached => Step::Detached,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Step::GoOn,
            Ok(_) if !(self.is_over && self.waiting.is_empty()) => Step::GoOn,
            _ => Step::Over,
        }
    }

    /// Whether it was the end of the keys that detach.
    fn read(&mut self) -> rustix::io::Result<bool> {
        const END_OF_TRANSMISSION: u8 = 4;
        let mut bytes = [0; 4096];
        let count = rustix::io::read(stdin(), &mut bytes)?;
        if count == 0 {
            self.is_over = true;
            self.waiting.push(END_OF_TRANSMISSION);
        }
        let Some(typed) = self.keys.pass(&bytes[..count]) else { return Ok(true) };
        self.waiting.extend(typed);
        Ok(false)
    }

    fn write(&mut self) -> rustix::io::Result<bool> {
        let count = rustix::io::write(&self.to, &self.waiting)?;
        self.waiting.drain(..count);
        Ok(false)
    }
}
