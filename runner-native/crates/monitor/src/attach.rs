//! Who is attached to a container: our terminal or streams on one side, the monitor on the other. Keys that are pressed, the terminal's size and
//! signals go there, output and the exit status come from there. Whatever happens, our terminal is put back as it was.

use crate::connections::Streams;
use crate::control::{self, ask};
use crate::detach_keys::DetachKeys;
use crate::directory::{Directory, not_running};
use crate::packets::{CHUNK_BYTES, Kind, Packets};
use crate::spec::{Size, Spec};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, fstat};
use rustix::io::{Errno, read, write};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::tcgetwinsize;
use serde_json::json;
use std::path::Path;
use tbuild_runtime::error::{Context, PROCESS, Result, STATE};
use tbuild_runtime::sys;
use tbuild_runtime::terminal::OurTerminal;

pub struct Attach {
    pub streams: Streams,
    pub detach_keys: DetachKeys,
    /// Signals that we get are the container's.
    pub proxies_signals: bool,
}

/// `attach DIR`: returns the container's exit status, 0 when detached.
pub fn attach(path: &Path, options: &Attach) -> Result<i32> {
    let directory = Directory::open(path)?;
    let monitor = directory.connect()?;
    let Streams { stdin, stdout, stderr } = options.streams;
    let request = json!({ "op": "attach", "stdin": stdin, "stdout": stdout, "stderr": stderr });
    monitor.send(Kind::Request, request.to_string().as_bytes()).during(STATE, "ask the container's monitor")?;
    follow(&directory, monitor, options)
}

/// On a connection that is attached.
pub fn follow(directory: &Directory, monitor: Packets, options: &Attach) -> Result<i32> {
    let spec = Spec::read(directory)?;
    let signals = sys::signals().during(PROCESS, "block signals")?;
    let has_terminal = spec.has_terminal();
    let takes_input = options.streams.stdin && spec.open_stdin;
    let ours = if has_terminal && takes_input { OurTerminal::find() } else { None };
    let mut client = Client {
        directory,
        monitor,
        signals,
        proxies_signals: options.proxies_signals,
        keys: if has_terminal { options.detach_keys.clone() } else { DetachKeys::none() },
        reads_input: takes_input,
        to_send: None,
        to_show: Shown::default(),
    };
    let _restored = Raw::enter(ours.as_ref())?;
    if has_terminal {
        client.tell_size();
    }
    client.run()
}

/// Of the terminal that we have.
pub fn own_size() -> Option<Size> {
    let size = tcgetwinsize(stdin()).or_else(|_| tcgetwinsize(stdout())).ok()?;
    (size.ws_row > 0).then_some(Size { rows: size.ws_row, columns: size.ws_col })
}

struct Client<'a> {
    directory: &'a Directory,
    monitor: Packets,
    signals: OwnedFd,
    proxies_signals: bool,
    keys: DetachKeys,
    reads_input: bool,
    /// What was typed and not taken yet.
    to_send: Option<(Kind, Vec<u8>)>,
    to_show: Shown,
}

/// What the container has written and our reader has not taken yet.
#[derive(Default)]
struct Shown {
    bytes: Vec<u8>,
    written: usize,
    is_error: bool,
}

struct Raw<'a>(Option<&'a OurTerminal>);

impl<'a> Raw<'a> {
    fn enter(ours: Option<&'a OurTerminal>) -> Result<Self> {
        let raw = Self(ours);
        ours.map_or(Ok(()), OurTerminal::make_raw)?;
        Ok(raw)
    }
}

impl Drop for Raw<'_> {
    fn drop(&mut self) {
        self.0.inspect(|terminal| terminal.restore());
    }
}

impl Client<'_> {
    fn run(&mut self) -> Result<i32> {
        loop {
            let [signal, message, typed, shown] = self.wait()?;
            if signal && let Some(status) = self.take_signals() {
                return Ok(status);
            }
            if shown {
                self.show();
            }
            if message && let Some(status) = self.hear()? {
                return Ok(status);
            }
            if typed && !self.type_in() {
                let _ = self.monitor.send(Kind::Detach, b"");
                return Ok(0);
            }
        }
    }

    fn wait(&self) -> Result<[bool; 4]> {
        let has_shown_all = self.to_show.bytes.is_empty();
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, has_shown_all);
        flags.set(PollFlags::OUT, self.to_send.is_some());
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        // Its end alone must not wake us while there is something to show.
        let (mut at_monitor, mut at_stdin, mut at_output) = (None, None, None);
        if !flags.is_empty() {
            at_monitor = Some(fds.len());
            fds.push(self.monitor.poll_fd(flags));
        }
        if self.reads_input && self.to_send.is_none() {
            at_stdin = Some(fds.len());
            fds.push(PollFd::from_borrowed_fd(stdin(), PollFlags::IN));
        }
        if !has_shown_all {
            at_output = Some(fds.len());
            fds.push(PollFd::from_borrowed_fd(self.to_show.target(), PollFlags::OUT));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).during(PROCESS, "wait for the container"),
        }
        let is_ready = |at: Option<usize>| at.is_some_and(|at| !fds[at].revents().is_empty());
        let monitor = at_monitor.map_or(PollFlags::empty(), |at| fds[at].revents());
        let may_send = monitor.contains(PollFlags::OUT) && self.to_send.is_some();
        let heard = has_shown_all && monitor.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR);
        Ok([is_ready(Some(0)), heard, is_ready(at_stdin) || may_send, is_ready(at_output)])
    }

    /// Some: we end by it.
    fn take_signals(&mut self) -> Option<i32> {
        while let Some(signal) = sys::next_signal(self.signals.as_fd()) {
            match signal {
                libc::SIGCHLD | libc::SIGPIPE | libc::SIGURG => {}
                libc::SIGWINCH => self.tell_size(),
                _ if self.proxies_signals => {
                    let _ = ask(self.directory, &json!({ "op": "kill", "signal": signal.to_string() }).to_string());
                }
                libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT => return Some(128 + signal),
                _ => {}
            }
        }
        None
    }

    /// By a connection of its own: what is typed may wait for a container that does not read.
    fn tell_size(&self) {
        if let Some(Size { rows, columns }) = own_size() {
            let request = json!({ "op": "resize", "rows": rows, "columns": columns });
            let _ = ask(self.directory, &request.to_string());
        }
    }

    /// Some: the container's exit status.
    fn hear(&mut self) -> Result<Option<i32>> {
        let Some(packet) = self.monitor.receive().during(STATE, "hear from the container's monitor")? else { return Err(not_running()) };
        match packet.kind {
            Kind::Stdout => self.to_show = Shown { bytes: packet.bytes, written: 0, is_error: false },
            Kind::Stderr => self.to_show = Shown { bytes: packet.bytes, written: 0, is_error: true },
            Kind::Answer => return Ok(Some(control::exit_code(&packet.bytes))),
            Kind::Failed => return Err(control::failure(&packet.bytes)),
            Kind::Notice => control::say(&packet.bytes),
            _ => {}
        }
        Ok(None)
    }

    /// One step. Who does not read any more is not written to.
    fn show(&mut self) {
        let shown = &mut self.to_show;
        match write(shown.target(), shown.next()) {
            Ok(count) => shown.written += count,
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => shown.written = shown.bytes.len(),
        }
        if shown.written == shown.bytes.len() {
            *shown = Shown::default();
        }
    }

    /// False: the keys for it were pressed.
    fn type_in(&mut self) -> bool {
        if self.to_send.is_none() && self.reads_input {
            let mut bytes = vec![0; CHUNK_BYTES];
            match read(stdin(), &mut bytes[..]) {
                Err(Errno::INTR | Errno::AGAIN) => return true,
                Ok(count @ 1..) => {
                    let Some(typed) = self.keys.pass(&bytes[..count]) else { return false };
                    self.to_send = Some((Kind::Input, typed)).filter(|(_, typed)| !typed.is_empty());
                }
                _ => {
                    self.reads_input = false;
                    self.to_send = Some((Kind::InputEnd, Vec::new()));
                }
            }
        }
        if let Some((kind, bytes)) = &self.to_send
            && self.monitor.try_send(*kind, bytes) != Err(Errno::AGAIN)
        {
            self.to_send = None;
        }
        true
    }
}

impl Shown {
    fn target(&self) -> BorrowedFd<'static> {
        if self.is_error { stderr() } else { stdout() }
    }

    /// A file takes all of it; a pipe or a terminal that is ready only so much without blocking.
    fn next(&self) -> &[u8] {
        const AT_ONCE: usize = 4096;
        let rest = &self.bytes[self.written..];
        let is_file = fstat(self.target()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
        if is_file { rest } else { &rest[..rest.len().min(AT_ONCE)] }
    }
}
