//! The monitor itself: one loop over the container, its streams, and those who are connected. Never waits for anybody else in it.

use crate::checker::Checker;
use crate::connections::{Attached, Connection, Role};
use crate::container::{Container, Message};
use crate::control::{self, Request};
use crate::directory::{Directory, not_running};
use crate::exec::{self, ExecRequest, Target};
use crate::health::{Health, HealthStatus, OnFailure};
use crate::log::{Log, Stream};
use crate::network::Network;
use crate::packets::{CHUNK_BYTES, Kind, Packets};
use crate::restart::Restarts;
use crate::spec::{self, Size, Spec};
use crate::state::{State, Status, now_ms};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{SocketFlags, accept_with};
use rustix::process::{Pid, WaitOptions, waitpid};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tbuild_runtime::cgroups::Cgroup;
use tbuild_runtime::error::{Context, FEATURE, NativeError, PROCESS, Result, STATE, exit_status};
use tbuild_runtime::record::InitProcess;
use tbuild_runtime::sys::{self, Clone};

/// When the state could not be written (a full disk).
const STATE_AGAIN: Duration = Duration::from_secs(1);
/// What is typed and nobody reads.
const INPUT_BYTES_MAX: usize = 64 << 10;

/// Others wait until one of them has gone: descriptors are few.
const CONNECTIONS_MAX: usize = 500;

pub struct Daemon {
    directory: Directory,
    /// Held for life, and a moment less: who is slow to read does not hold up the next start.
    lock: Option<OwnedFd>,
    listener: Option<OwnedFd>,
    signals: OwnedFd,
    spec: Spec,
    state: State,
    unwritten_since: Option<Instant>,
    log: Log,
    container: Option<Container>,
    connections: Vec<Connection>,
    input: Input,
    size: Option<Size>,
    checker: Option<Checker>,
    /// Children that are to be waited for when they have ended: of `exec` and of health checks.
    helpers: Vec<Pid>,
    restarts: Restarts,
    started_at: Instant,
    restart_at: Option<Instant>,
    kill_at: Option<Instant>,
    then: Then,
    is_over: bool,
}

/// What is typed, on its way to the container.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
    written: usize,
    /// Nothing comes after it.
    ends: bool,
}

/// What comes after the container's end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    AsPolicySays,
    StartAgain,
    End,
}

#[derive(Clone, Copy)]
enum Source {
    Listener,
    Signals,
    Channel,
    Health,
    Output(usize),
    Input,
    Connection(usize),
}

impl Daemon {
    pub fn new(directory: Directory, lock: OwnedFd, listener: OwnedFd, spec: Spec) -> Result<Self> {
        let signals = sys::signals().during(PROCESS, "block signals")?;
        let log = Log::open(spec.log.as_ref())?;
        let before = State::read(&directory);
        let state = State::new(before.as_ref());
        Ok(Self {
            directory,
            lock: Some(lock),
            listener: Some(listener),
            signals,
            spec,
            state,
            unwritten_since: None,
            log,
            container: None,
            connections: Vec::new(),
            input: Input::default(),
            size: None,
            checker: None,
            helpers: Vec::new(),
            restarts: Restarts::default(),
            started_at: Instant::now(),
            restart_at: None,
            kill_at: None,
            then: Then::AsPolicySays,
            is_over: false,
        })
    }

    /// Returns when the container has ended for good, and everybody has heard of it.
    /// `size`: of the starter's terminal.
    pub fn run(&mut self, starter: Connection, size: Option<Size>) {
        self.size = size;
        self.connections.push(starter);
        self.begin();
        while !(self.is_over && self.connections.is_empty()) {
            let ready = self.wait();
            self.see_to_time();
            for source in ready {
                self.serve(source);
            }
            self.connections.retain(|connection| !connection.is_over());
        }
    }

    // --- waiting

    fn wait(&self) -> Vec<(Source, PollFlags)> {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let mut sources = vec![Source::Signals];
        if let Some(listener) = self.listener.as_ref().filter(|_| self.connections.len() < CONNECTIONS_MAX) {
            fds.push(PollFd::new(listener, PollFlags::IN));
            sources.push(Source::Listener);
        }
        if let Some(container) = &self.container {
            fds.push(container.channel.poll_fd(PollFlags::IN));
            sources.push(Source::Channel);
            let is_held_back = self.connections.iter().any(|connection| connection.outbox.holds_back_until().is_some());
            for (number, (output, _)) in container.outputs.iter().enumerate().filter(|_| !is_held_back) {
                fds.push(PollFd::new(output, PollFlags::IN));
                sources.push(Source::Output(number));
            }
            if let Some(input) = container.input().filter(|_| !self.input.bytes.is_empty()) {
                fds.push(PollFd::new(input, PollFlags::OUT));
                sources.push(Source::Input);
            }
        }
        if let Some(checker) = &self.checker {
            fds.push(PollFd::from_borrowed_fd(checker.as_fd(), PollFlags::IN));
            sources.push(Source::Health);
        }
        let takes_input = self.input.bytes.len() < INPUT_BYTES_MAX;
        for (number, connection) in self.connections.iter().enumerate() {
            fds.push(connection.packets.poll_fd(connection.wants(takes_input)));
            sources.push(Source::Connection(number));
        }
        let timeout = self.next_time().map(|at| {
            let left = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(1..) => sources.into_iter().zip(fds.iter().map(PollFd::revents)).filter(|(_, ready)| !ready.is_empty()).collect(),
            _ => Vec::new(),
        }
    }

    fn next_time(&self) -> Option<Instant> {
        let patience = self.connections.iter().filter_map(|connection| connection.outbox.holds_back_until());
        patience.chain([self.restart_at, self.kill_at, self.unwritten_since.map(|since| since + STATE_AGAIN)].into_iter().flatten()).min()
    }

    fn see_to_time(&mut self) {
        let now = Instant::now();
        let is_due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if is_due(&mut self.kill_at) {
            let _ = self.signal(libc::SIGKILL);
        }
        if is_due(&mut self.restart_at) {
            self.state.restart_count += 1;
            self.begin();
        }
        if self.unwritten_since.is_some_and(|since| since + STATE_AGAIN <= now) {
            self.write_state();
        }
        for connection in &mut self.connections {
            connection.outbox.give_up_waiting(&self.directory);
        }
    }

    fn serve(&mut self, (source, ready): (Source, PollFlags)) {
        match source {
            Source::Listener => self.accept(),
            Source::Signals => self.take_signals(),
            Source::Channel => self.hear_container(),
            Source::Health => self.hear_checker(),
            Source::Output(number) => drop(self.take_output(number)),
            Source::Input => self.give_input(),
            Source::Connection(number) => self.serve_connection(number, ready),
        }
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        if let Ok(socket) = accept_with(listener, SocketFlags::CLOEXEC) {
            self.connections.push(Connection::new(Packets::new(socket), Role::New));
        }
    }

    /// The machine goes down, say: an end that is nobody's wish.
    fn take_signals(&mut self) {
        while let Some(signal) = sys::next_signal(self.signals.as_fd()) {
            if signal == libc::SIGCHLD {
                self.helpers.retain(|helper| matches!(waitpid(Some(*helper), WaitOptions::NOHANG), Ok(None)));
            }
            if matches!(signal, libc::SIGTERM | libc::SIGINT | libc::SIGQUIT) {
                self.then = Then::End;
                self.stop(None, None);
            }
        }
    }

    // --- the container

    fn begin(&mut self) {
        let started = Spec::read(&self.directory).and_then(|spec| {
            self.spec = spec;
            self.state.oom_killed = false;
            self.then = Then::AsPolicySays;
            self.write_state();
            Container::start(&self.spec, &self.directory, self.size)
        });
        match started {
            Ok(container) => self.container = Some(container),
            Err(error) => self.fail(&error),
        }
    }

    fn hear_container(&mut self) {
        let Some(container) = &mut self.container else { return };
        let Some(message) = container.receive() else { return };
        match message {
            Message::Notice(notice) => {
                self.connections.iter_mut().for_each(|connection| connection.send(Kind::Notice, &notice));
            }
            Message::Network(first) => self.set_up_network(first),
            Message::Started => self.note_start(),
            Message::Ended { exit_code, oom_killed } => self.note_end(exit_code, oom_killed),
            Message::Failed(error) => {
                self.clear_container();
                self.fail(&error);
            }
        }
    }

    fn note_start(&mut self) {
        let Some(running) = self.container.as_ref().and_then(|container| container.running.as_ref()) else { return };
        self.state.pid = running.pid.as_raw_nonzero().get();
        self.state.status = Status::Running;
        self.state.started_at = now_ms();
        (self.state.exit_code, self.state.error) = (0, String::new());
        self.started_at = Instant::now();
        self.state.health = self.spec.health.as_ref().map(|_| self.state.health.take().unwrap_or_default().restarted());
        self.check_health();
        self.write_state();
        self.spec.note("start", &[]);
        // It may have changed since.
        if let (Some(size), Some(container)) = (self.size, &self.container) {
            container.resize(size);
        }
        self.tell(Role::AwaitsStart, |connection| connection.answer(&json!({})));
        for connection in self.connections.iter_mut().filter(|connection| connection.attached().is_some()) {
            connection.send(Kind::Started, b"");
        }
    }

    fn note_end(&mut self, exit_code: i32, oom_killed: bool) {
        let ran = self.started_at.elapsed();
        self.clear_container();
        self.state.exit_code = exit_code;
        self.state.oom_killed = oom_killed;
        self.state.finished_at = now_ms();
        self.state.pid = 0;
        if oom_killed {
            self.spec.note("oom", &[]);
        }
        self.spec.note("die", &[("exitCode", exit_code.to_string()), ("execDuration", ran.as_secs().to_string())]);
        let delay = match self.then {
            Then::End => None,
            Then::StartAgain => Some(Duration::ZERO),
            Then::AsPolicySays => self.restarts.after(self.spec.restart, exit_code, ran, self.state.restart_count),
        };
        let Some(delay) = delay else { return self.finish() };
        self.state.status = if self.then == Then::StartAgain { Status::Starting } else { Status::Restarting };
        self.write_state();
        self.say_ended();
        match self.then {
            Then::StartAgain => self.begin(),
            _ => self.restart_at = Some(Instant::now() + delay),
        }
    }

    /// It could not be started.
    fn fail(&mut self, error: &NativeError) {
        self.state.exit_code = exit_status(error);
        self.state.error.clone_from(&error.detail);
        let text = serde_json::to_vec(error).unwrap_or_default();
        self.tell(Role::AwaitsStart, |connection| connection.fail(error));
        for connection in self.connections.iter_mut().filter(|connection| connection.attached().is_some()) {
            connection.send(Kind::Failed, &text);
            connection.role = Role::Answered;
        }
        self.finish();
    }

    /// What it wrote last is taken, and its process has ended.
    fn clear_container(&mut self) {
        self.checker = None;
        while self.take_last_output() {}
        self.log.finish();
        if let Some(container) = self.container.take() {
            container.end();
            if let Some(network) = container.network {
                self.state.network = Value::Null;
                let _ = network.tear_down(&self.directory); // what is left is written down, for `clean`
            }
        }
        self.input = Input::default();
        self.kill_at = None;
    }

    /// For good.
    fn finish(&mut self) {
        self.state.status = Status::Exited;
        self.state.pid = 0;
        self.restart_at = None;
        self.listener = None;
        self.directory.remove_socket();
        if self.spec.remove_at_end {
            let _ = self.directory.remove();
            self.spec.note("destroy", &[]);
        } else {
            self.write_state();
        }
        self.lock = None;
        self.say_ended();
        self.connections.iter_mut().filter(|connection| connection.role == Role::New).for_each(Connection::leave);
        self.tell(Role::AwaitsStart, |connection| connection.fail(&not_running()));
        self.is_over = true;
        self.unwritten_since = None;
    }

    fn say_ended(&mut self) {
        let exit_code = self.state.exit_code;
        self.tell(Role::AwaitsEnd, |connection| connection.say_ended(exit_code));
        for connection in self.connections.iter_mut().filter(|connection| connection.attached().is_some()) {
            connection.say_ended(exit_code);
        }
    }

    fn tell(&mut self, role: Role, tell: impl Fn(&mut Connection)) {
        self.connections.iter_mut().filter(|connection| connection.role == role).for_each(tell);
    }

    /// A disk that is full now may not be later: it is tried again.
    fn write_state(&mut self) {
        self.unwritten_since = self.state.write(&self.directory).err().map(|_| Instant::now());
    }

    // --- what runs in it, and its health

    /// As a child of ours finds it out.
    fn target(&self) -> Result<Target> {
        let running = self.running()?;
        Ok(Target {
            id: self.spec.id.clone(),
            first: InitProcess::of(running.pid)?,
            cgroup: running.cgroup.clone().unwrap_or_default(),
            config: spec::read_root(&self.directory, None)?.config.get().to_owned(),
            runtime: self.spec.runtime.as_ref().map(|runtime| runtime.iter().map(Into::into).collect()),
        })
    }

    /// A child answers, and nobody hears of the caller here any more.
    fn execute(&mut self, number: usize, request: &ExecRequest, streams: Vec<OwnedFd>) {
        let can_be = match self.state.status {
            Status::Paused => Err(refused("execute in the container", "it is paused, unpause it before exec")),
            Status::Restarting => Err(refused("execute in the container", "it is restarting, wait until it is running")),
            _ => self.running().map(drop),
        };
        let forked = can_be.and_then(|()| sys::clone(0).during(PROCESS, "start a process"));
        match forked {
            Err(error) => self.connections[number].fail(&error),
            Ok(Clone::Parent { pid, .. }) => {
                self.helpers.push(pid);
                self.connections[number].leave();
            }
            Ok(Clone::Child) => sys::exit_now(exec::serve(self.target(), request, streams, &self.connections[number].packets)),
        }
    }

    fn check_health(&mut self) {
        if let (Some(spec), Some(health)) = (&self.spec.health, &self.state.health)
            && let Ok((checker, pid)) = Checker::start(spec, health, self.started_at, || self.target())
        {
            self.helpers.push(pid);
            self.checker = Some(checker);
        }
    }

    fn hear_checker(&mut self) {
        match self.checker.as_mut().map(Checker::hear) {
            Some(Ok(Some(health))) => self.note_health(health),
            Some(Err(())) => self.checker = None,
            _ => {}
        }
    }

    fn note_health(&mut self, health: Health) {
        let was = self.state.health.as_ref().map(|health| health.status);
        let has_failed = health.status == HealthStatus::Unhealthy && was != Some(HealthStatus::Unhealthy);
        if was != Some(health.status) {
            self.spec.note(&format!("health_status: {}", health.status), &[]);
        }
        self.state.health = Some(health);
        self.write_state();
        let wanted = self.spec.health.as_ref().map_or(OnFailure::None, |spec| spec.on_failure);
        let _ = match wanted {
            _ if !has_failed => Ok(None),
            OnFailure::None => Ok(None),
            OnFailure::Kill => self.signal(libc::SIGKILL).map(|()| None),
            OnFailure::Restart => self.act(&Request::Restart { signal: None, timeout_ms: None }),
            OnFailure::Stop => self.act(&Request::Stop { signal: None, timeout_ms: None }),
        };
    }

    // --- its network

    fn set_up_network(&mut self, first: Pid) {
        let (Some(container), Some(spec)) = (&mut self.container, &self.spec.network) else { return };
        let _ = match Network::set_up(spec.clone(), &self.directory, first) {
            Ok(network) => {
                self.state.network = network.answer.clone();
                container.network = Some(network);
                container.channel.send(Kind::Answer, b"{}")
            }
            Err(error) => container.channel.send(Kind::Failed, &serde_json::to_vec(&error).unwrap_or_default()),
        };
    }

    /// The answer is what there is of networks then.
    fn change_network(&mut self, change: impl FnOnce(&mut Network, &Directory) -> Result<()>) -> Result<Option<Value>> {
        self.running()?;
        let network = self.container.as_mut().and_then(|container| container.network.as_mut());
        let network = network.ok_or_else(|| refused("change the container's networks", "it has none of its own"))?;
        change(network, &self.directory)?;
        self.state.network = network.answer.clone();
        self.write_state();
        Ok(Some(self.state.network.clone()))
    }

    // --- its streams

    /// Whether there was any.
    fn take_output(&mut self, number: usize) -> bool {
        let Some((fd, stream)) = self.container.as_mut().and_then(|container| container.outputs.get(number)) else { return false };
        let stream = *stream;
        let mut buffer = vec![0; CHUNK_BYTES];
        match rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut buffer[..])) {
            Ok(count @ 1..) => {
                self.log.take(stream, &buffer[..count]);
                self.show(stream, &buffer[..count]);
                true
            }
            Err(rustix::io::Errno::AGAIN) => false,
            // The end; EIO is that of a terminal.
            _ => {
                if let Some(container) = &mut self.container {
                    container.outputs.remove(number);
                }
                false
            }
        }
    }

    fn show(&mut self, stream: Stream, bytes: &[u8]) {
        let (kind, wants): (Kind, fn(Attached) -> bool) = match stream {
            Stream::Stdout => (Kind::Stdout, |attached| attached.streams.stdout),
            Stream::Stderr => (Kind::Stderr, |attached| attached.streams.stderr),
        };
        let watching = self.connections.iter_mut().filter(|connection| connection.attached().is_some_and(wants));
        watching.for_each(|connection| connection.send(kind, bytes));
    }

    /// Nobody writes any more: what is not there now never comes. Returns whether there may be more.
    fn take_last_output(&mut self) -> bool {
        let Some(container) = &self.container else { return false };
        let ready = container.outputs.iter().position(|(output, _)| {
            let mut fds = [PollFd::new(output, PollFlags::IN)];
            matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1..))
        });
        ready.is_some_and(|number| {
            self.take_output(number);
            true
        })
    }

    fn give_input(&mut self) {
        let Some(input) = self.container.as_ref().and_then(Container::input) else { return };
        match rustix::io::write(input, &self.input.bytes[self.input.written..]) {
            Ok(count) => self.input.written += count,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            // Nobody reads any more.
            Err(_) => self.input.written = self.input.bytes.len(),
        }
        if self.input.written == self.input.bytes.len() {
            self.input.bytes.clear();
            self.input.written = 0;
            if self.input.ends {
                self.end_input();
            }
        }
    }

    fn end_input(&mut self) {
        self.input.ends = true;
        if self.input.bytes.is_empty()
            && let Some(container) = &mut self.container
        {
            container.stdin = None;
        }
    }

    // --- who is connected

    fn serve_connection(&mut self, number: usize, ready: PollFlags) {
        let connection = &mut self.connections[number];
        if ready.contains(PollFlags::OUT) {
            connection.outbox.flush(&connection.packets);
        }
        let has_more = ready.contains(PollFlags::IN);
        if !has_more && ready.intersects(PollFlags::HUP | PollFlags::ERR) {
            return self.lose(number);
        }
        if !has_more {
            return;
        }
        let Ok(Some(packet)) = connection.packets.receive() else { return self.lose(number) };
        match (packet.kind, connection.role) {
            (Kind::Request, Role::New) => match control::parse(&packet.bytes) {
                Ok(Request::Exec(request)) => self.execute(number, &request, packet.fds),
                Ok(request) => self.answer(number, request),
                Err(error) => connection.fail(&error),
            },
            (Kind::Input, Role::Attached(attached)) if attached.streams.stdin && !self.input.ends => self.input.bytes.extend(packet.bytes),
            (Kind::InputEnd, Role::Attached(attached)) if attached.is_only_input => self.end_input(),
            (Kind::Detach, Role::Attached(_)) => connection.leave(),
            _ => {}
        }
    }

    /// Whoever was the container's input takes it along, unless it has said that it means to come back.
    fn lose(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        connection.leave();
        if connection.attached().is_some_and(|attached| attached.is_only_input) {
            self.end_input();
        }
    }

    fn answer(&mut self, number: usize, request: Request) {
        match self.act(&request) {
            Ok(Some(answer)) => self.connections[number].answer(&answer),
            Ok(None) => {
                self.connections[number].role = crate::connections::role_after(&request);
                // What was to end had ended, or what was to run runs.
                if self.is_over {
                    self.say_ended();
                }
            }
            Err(error) => self.connections[number].fail(&error),
        }
    }

    /// The answer, if there is one already.
    fn act(&mut self, request: &Request) -> Result<Option<Value>> {
        match request {
            Request::Wait => Ok(None),
            Request::Exec(_) => Ok(None),
            Request::Netconnect { options } => self.change_network(|network, directory| network.connect(directory, options)),
            Request::Netdisconnect { options } => self.change_network(|network, directory| network.disconnect(directory, options)),
            Request::Attach(_) => match self.state.status {
                Status::Restarting => Err(refused("attach to the container", "it is restarting, wait until it is running")),
                _ => Ok(None),
            },
            Request::Stop { signal, timeout_ms } => {
                let signal = signal.as_deref().map(spec::signal_number).transpose()?;
                self.then = Then::End;
                self.state.stopped_by_user = true;
                self.stop(signal, *timeout_ms);
                Ok(None)
            }
            Request::Restart { signal, timeout_ms } => {
                let signal = signal.as_deref().map(spec::signal_number).transpose()?;
                self.then = Then::StartAgain;
                self.restarts = Restarts::default();
                self.state.restart_count = 0;
                if self.restart_at.take().is_some() {
                    self.begin();
                } else {
                    self.stop(signal, *timeout_ms);
                }
                Ok(None)
            }
            Request::Kill { signal } => self.kill(spec::signal_number(signal)?).map(|()| Some(json!({}))),
            Request::Pause => self.freeze(true).map(|()| Some(json!({}))),
            Request::Unpause => self.freeze(false).map(|()| Some(json!({}))),
            Request::Update { resources, restart } => {
                if let Some(resources) = resources {
                    resources.check()?;
                    let cgroup = self.running()?.cgroup.as_ref().ok_or_else(|| without_cgroup("change the limits of"))?;
                    resources.apply_limits(cgroup)?;
                }
                self.spec.restart = restart.unwrap_or(self.spec.restart);
                Ok(Some(json!({})))
            }
            Request::Processes => {
                let running = self.running()?;
                let pids = running.cgroup.as_ref().map_or_else(|| vec![running.pid], Cgroup::processes);
                Ok(Some(json!({ "pids": pids.iter().map(|pid| pid.as_raw_nonzero().get()).collect::<Vec<_>>() })))
            }
            Request::Stats => {
                let stats = self.running()?.stats(&self.spec.id);
                stats.map(Some).ok_or_else(|| without_cgroup("count what is taken by"))
            }
            Request::Resize(size) => {
                self.size = Some(*size);
                self.container.iter().for_each(|container| container.resize(*size));
                Ok(Some(json!({})))
            }
        }
    }

    fn running(&self) -> Result<&crate::container::Running> {
        self.container.as_ref().and_then(|container| container.running.as_ref()).ok_or_else(not_running)
    }

    /// The container's end is noted when it comes. `signal`, `timeout_ms`: as its configuration has them.
    fn stop(&mut self, signal: Option<i32>, timeout_ms: Option<i64>) {
        if self.container.is_none() {
            // Between two runs.
            return self.finish();
        }
        let signal = signal.or(self.spec.stop.signal_number().ok()).unwrap_or(libc::SIGTERM);
        let timeout = timeout_ms.map_or_else(|| self.spec.stop.timeout(), spec::timeout);
        let kill_at = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.kill_at = [self.kill_at, kill_at].into_iter().flatten().min();
        let _ = self.signal(signal);
        let _ = self.freeze(false);
    }

    /// By a user. What ends a container for good is its stop signal, and the one that nobody can refuse.
    fn kill(&mut self, signal: i32) -> Result<()> {
        if self.container.is_none() {
            return Err(not_running());
        }
        if signal == libc::SIGKILL || Ok(signal) == self.spec.stop.signal_number().map_err(drop) {
            self.then = Then::End;
            self.state.stopped_by_user = true;
        }
        self.signal(signal)?;
        if signal == libc::SIGKILL {
            let _ = self.freeze(false);
        }
        Ok(())
    }

    fn signal(&self, signal: i32) -> Result<()> {
        self.container.as_ref().ok_or_else(not_running)?.signal(signal)
    }

    fn freeze(&mut self, frozen: bool) -> Result<()> {
        let (from, to) = if frozen { (Status::Running, Status::Paused) } else { (Status::Paused, Status::Running) };
        let cgroup = self.running()?.cgroup.as_ref().ok_or_else(|| without_cgroup("pause"))?;
        if self.state.status != from {
            return Err(refused("pause the container", if frozen { "it is already paused" } else { "it is not paused" }));
        }
        cgroup.freeze(frozen)?;
        self.state.status = to;
        self.write_state();
        if frozen {
            self.checker = None;
        } else {
            self.check_health();
        }
        Ok(())
    }
}

fn refused(what: &str, why: &str) -> NativeError {
    NativeError::new(STATE, what).detail(format!("cannot {what}: {why}"))
}

fn without_cgroup(what: &str) -> NativeError {
    let detail = format!(
        "cannot {what} the container: it has no cgroup of its own here, which takes root or a cgroup that is delegated to this account"
    );
    NativeError::new(FEATURE, "use the container's cgroup").detail(detail)
}
