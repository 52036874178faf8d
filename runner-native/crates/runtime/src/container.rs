//! `run`: starts a container in the foreground and stays its parent until it has ended. The calling process has one thread, and the
//! bundle as its working directory.

use crate::cgroups::Cgroup;
use crate::channel::{self, Message};
use crate::error::{Context, NAMESPACE, NO_NAMESPACE, NativeError, PROCESS, Result};
use crate::from_outside::{self, EnteredRoot, Sources};
use crate::hooks::{self, Told};
use crate::init::{self, Start, Ways};
use crate::limits::{Limited, Limits};
use crate::plan::{Namespaces, Plan, PlannedProcess};
use crate::record::Status;
use crate::relay::{Relay, is_ready, readable};
use crate::streams::Streams;
use crate::sys::{self, Clone};
use crate::terminal::{self, OurTerminal};
use crate::time_namespace;
use crate::watcher::Watcher;
use rustix::event::Timespec;
use rustix::event::poll;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};
use std::path::{Path, PathBuf};

#[derive(Default)]
pub struct RunOptions<'a> {
    pub pid_file: Option<PathBuf>,
    /// The container ends when the other end of this pipe closes.
    pub lifeline: Option<BorrowedFd<'a>>,
    /// Called about ten times a second.
    pub tick: Option<Box<dyn FnMut() + 'a>>,
    pub limits: Option<Limits<'a>>,
    /// A child of ours that is neither the container's nor the watcher: it outlives both.
    pub other_child: Option<Pid>,
    /// Told of the first process when its namespaces are there and it still waits: whoever makes its network does that now.
    pub network: Option<&'a dyn Fn(Pid) -> Result<()>>,
    pub on_start: Option<OnStart<'a>>,
}

/// Called as soon as the command runs, by who has somebody else attend to it; an error ends the container.
pub type OnStart<'a> = Box<dyn FnOnce(Started) -> Result<()> + 'a>;

pub struct Started<'a> {
    pub pid: Pid,
    pub pidfd: BorrowedFd<'a>,
    /// From now on that one's alone.
    pub terminal: Option<OwnedFd>,
    /// None: the container is where its parent is.
    pub cgroup: Option<&'a Cgroup>,
}

pub struct Ended {
    /// As a shell would say it.
    pub status: i32,
    /// The kernel killed in it, for its limit of memory.
    pub killed_for_memory: bool,
    /// Dropped when there is nothing better to do than to wait for its end.
    pub watcher: Watcher,
}

/// When the runtime's hooks have their turn.
#[derive(Clone, Copy)]
pub enum Moment {
    /// All is there but the change of the root.
    SetUp,
    Started,
}

/// A container that nothing is kept of.
pub fn run(plan: &Plan, told: &Told, options: RunOptions) -> Result<Ended> {
    let sources = Sources::open(plan)?;
    let first_process = |channel, streams| init::main(plan, &sources, told, Ways::default(), channel, streams, Start::AtOnce);
    let hooks = |moment: Moment, pid: Pid| match moment {
        Moment::SetUp => hooks::run(plan.hooks.before_pivot(), &told.state(Status::Creating, Some(pid))),
        Moment::Started => {
            hooks::run_all(&plan.hooks.poststart, &told.state(Status::Running, Some(pid)));
            Ok(())
        }
    };
    let ended = start_and_wait(&First::of(plan), options, first_process, hooks)?;
    hooks::run_all(&plan.hooks.poststop, &told.state(Status::Stopped, None));
    Ok(ended)
}

/// What is to be known of a first process before it exists.
pub struct First<'a> {
    pub namespaces: &'a Namespaces,
    /// Where it begins, when that is not here.
    pub root: Option<&'a Path>,
    /// None: it is no container's, and cares for itself.
    pub process: Option<&'a PlannedProcess>,
}

impl<'a> First<'a> {
    pub fn of(plan: &'a Plan) -> Self {
        Self { namespaces: &plan.namespaces, root: plan.first_directory(), process: Some(&plan.process) }
    }
}

/// `first_process` is what the child does; its answer is an exit status.
pub fn start_and_wait(
    first: &First,
    mut options: RunOptions,
    first_process: impl FnOnce(channel::Child, Streams) -> i32,
    hooks: impl Fn(Moment, Pid) -> Result<()>,
) -> Result<Ended> {
    let namespaces = first.namespaces;
    let has_terminal = first.process.is_some_and(|process| process.terminal);
    let signals = sys::signals().during(PROCESS, "block signals")?;
    let ours = if has_terminal { OurTerminal::find() } else { None };
    let mut streams = if has_terminal { Streams::none() } else { Streams::of_this_process()? };
    let has_pid_namespace = namespaces.is_own(libc::CLONE_NEWPID);
    if !has_pid_namespace {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).during(PROCESS, "adopt orphans")?;
    }
    let (parent, child) = channel::pair()?;
    if let Some(process) = first.process.filter(|process| !process.terminal) {
        from_outside::give_streams(namespaces, process);
        streams.give_to(namespaces.maps.host_uid(process.user.uid));
    }
    let container = match fork_into(first)? {
        Forked::Child => {
            drop(parent);
            sys::exit_now(first_process(child, streams))
        }
        Forked::Parent(container) => container,
    };
    drop(child);
    // The watcher knows of the cgroup before there is one.
    let cgroup = options.limits.as_ref().map(|limits| &limits.cgroup);
    let watcher = Watcher::start(container.pidfd.as_fd(), options.lifeline, ours.as_ref(), cgroup)?;
    let limited = options.limits.take().map(|limits| limits.impose(container.pid)).transpose()?;
    first.process.map_or(Ok(()), |process| process.scheduling.give_to(container.pid))?;
    if let Some(path) = &options.pid_file {
        write_pid_file(path, container.pid)?;
    }
    options.network.map_or(Ok(()), |set_up| set_up(container.pid))?;
    parent.go()?;
    let master = wait_for_start(&parent, || hooks(Moment::SetUp, container.pid))?;
    hooks(Moment::Started, container.pid)?;
    if has_terminal && master.is_none() {
        return Err(terminal::expected());
    }
    let master = match options.on_start.take() {
        None => master,
        Some(tell) => {
            let cgroup = limited.as_ref().map(Limited::cgroup);
            tell(Started { pid: container.pid, pidfd: container.pidfd.as_fd(), terminal: master, cgroup })?;
            None
        }
    };
    let _restored = RawTerminal::enter(ours.as_ref())?;
    let mut relays = streams.relays();
    if let Some(master) = &master {
        terminal::copy_size(master);
        relays.extend(terminal_relays(master)?);
    }
    let status = supervise(&container, signals.as_fd(), master.as_ref(), &mut relays, options.tick.take())?;
    let killed_for_memory = limited.as_ref().is_some_and(Limited::was_killed_for_memory);
    drop(limited);
    watcher.end();
    if !has_pid_namespace {
        end_orphans(&[Some(watcher.pid()), options.other_child]);
    }
    drain(&mut relays);
    Ok(Ended { status, killed_for_memory, watcher })
}

pub fn write_pid_file(path: &Path, pid: Pid) -> Result<()> {
    std::fs::write(path, pid.as_raw_nonzero().to_string()).at(PROCESS, "write the pid file", path)
}

pub enum Forked {
    Child,
    Parent(Container),
}

/// A child in new and joined namespaces; those that are joined it enters itself, but for the pid and user namespaces. In a user namespace
/// it has its ids, and the limits that only we can give.
pub fn fork_into(first: &First) -> Result<Forked> {
    let namespaces = first.namespaces;
    let _pid_namespace = EnteredPidNamespace::enter(namespaces)?;
    let time_namespace = time_namespace::ForChildren::make(namespaces)?;
    let root = EnteredRoot::enter(first.root)?;
    // The cgroup namespace comes later: its root is the cgroup that the process is in then.
    let flags = namespaces.new & !((libc::CLONE_NEWCGROUP | libc::CLONE_NEWTIME) as u64);
    let forked = match namespaces.needs_passage() {
        true => from_outside::clone_through(namespaces, flags)?,
        false => match sys::clone(flags).map_err(explain_clone)? {
            Clone::Child => None,
            Clone::Parent { pid, pidfd } => Some((pid, pidfd)),
        },
    };
    let Some((pid, pidfd)) = forked else {
        // These take back in the parent what is the child's to keep.
        std::mem::forget((time_namespace, root));
        return Ok(Forked::Child);
    };
    let container = Container::of(pid, pidfd);
    if namespaces.is_new(libc::CLONE_NEWUSER) {
        namespaces.maps.give_to(pid)?;
    }
    if let Some(process) = first.process {
        from_outside::raise_limits(pid, namespaces, process)?;
    }
    Ok(Forked::Parent(container))
}

/// A container that is never left behind: dropped on an error, it is killed.
pub struct Container {
    pub pid: Pid,
    pub pidfd: OwnedFd,
    is_released: bool,
}

impl Container {
    pub fn of(pid: Pid, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd, is_released: false }
    }

    /// From now on it lives without us.
    pub fn release(mut self) {
        self.is_released = true;
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.is_released {
            return;
        }
        if sys::pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL).is_ok() {
            let _ = rustix::io::retry_on_intr(|| waitpid(Some(self.pid), WaitOptions::empty()));
        }
    }
}

struct RawTerminal<'a>(Option<&'a OurTerminal>);

impl<'a> RawTerminal<'a> {
    fn enter(ours: Option<&'a OurTerminal>) -> Result<Self> {
        let guard = Self(ours);
        ours.map_or(Ok(()), OurTerminal::make_raw)?;
        Ok(guard)
    }
}

impl Drop for RawTerminal<'_> {
    fn drop(&mut self) {
        if let Some(terminal) = self.0 {
            terminal.restore();
        }
    }
}

/// Only children are affected by entering a pid namespace; ours after the container (the watcher) belong to our own.
struct EnteredPidNamespace(Option<OwnedFd>);

impl EnteredPidNamespace {
    fn enter(namespaces: &Namespaces) -> Result<Self> {
        let Some((kind, path)) = namespaces.joined.iter().find(|(kind, _)| *kind == libc::CLONE_NEWPID) else { return Ok(Self(None)) };
        let open = |path: &std::path::Path| rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let own = open("/proc/self/ns/pid".as_ref()).during(NAMESPACE, "open our pid namespace")?;
        let theirs = open(path).at(NAMESPACE, "open the pid namespace", path)?;
        match sys::set_namespace(theirs.as_fd(), *kind) {
            // Who is not root has rights on it only in its user namespace (from_outside::enter_and_clone).
            Err(Errno::PERM) if namespaces.needs_passage() => Ok(Self(None)),
            result => result.map(|()| Self(Some(own))).at(NAMESPACE, "enter the pid namespace", path),
        }
    }
}

impl Drop for EnteredPidNamespace {
    fn drop(&mut self) {
        if let Some(own) = &self.0 {
            let _ = sys::set_namespace(own.as_fd(), libc::CLONE_NEWPID);
        }
    }
}

pub fn explain_clone(errno: Errno) -> NativeError {
    let error = NativeError::io("make namespaces", errno);
    match errno {
        Errno::PERM | Errno::ACCESS => NativeError { code: NO_NAMESPACE.into(), ..error }
            .detail("this process may not make namespaces: run tbuild as root (in a container: a privileged one, or with CAP_SYS_ADMIN)"),
        Errno::NOSPC => NativeError { code: NO_NAMESPACE.into(), ..error }
            .detail("no more namespaces are allowed here: raise the limits in /proc/sys/user (max_mnt_namespaces and the like)"),
        Errno::INVAL => {
            NativeError { code: NO_NAMESPACE.into(), ..error }.detail("this kernel lacks a namespace that the configuration asks for")
        }
        _ => {
            let detail = format!("cannot make namespaces: {}", error.detail);
            error.or_code(NAMESPACE).detail(detail)
        }
    }
}

/// `hooks`: what is done when the first process asks for it. Returns the terminal, if it made one.
pub fn wait_for_start(parent: &channel::Parent, hooks: impl Fn() -> Result<()>) -> Result<Option<OwnedFd>> {
    let mut master = None;
    loop {
        match parent.receive()? {
            Message::Started | Message::Ready => return Ok(master),
            Message::Hooks => {
                hooks()?;
                parent.go()?;
            }
            Message::Failed(error) => return Err(error),
            Message::Terminal(fd) => master = Some(fd),
        }
    }
}

fn terminal_relays(master: &OwnedFd) -> Result<[Relay; 2]> {
    let copy = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 3).during(PROCESS, "copy a descriptor");
    Ok([
        Relay::input(copy(rustix::stdio::stdin())?, copy(master.as_fd())?),
        Relay::output(copy(master.as_fd())?, copy(rustix::stdio::stdout())?),
    ])
}

/// Stays with a container that has our streams, or whose terminal this is, until its end. Returns its exit status.
pub fn attend(container: &Container, signals: &OwnedFd, master: Option<&OwnedFd>) -> Result<i32> {
    let ours = master.and_then(|_| OurTerminal::find());
    let _restored = RawTerminal::enter(ours.as_ref())?;
    let mut relays = Vec::new();
    if let Some(master) = master {
        terminal::copy_size(master);
        relays.extend(terminal_relays(master)?);
    }
    let status = supervise(container, signals.as_fd(), master, &mut relays, None)?;
    drain(&mut relays);
    Ok(status)
}

/// Returns the exit status, as a shell says it.
fn supervise(
    container: &Container,
    signals: BorrowedFd<'_>,
    master: Option<&OwnedFd>,
    relays: &mut Vec<Relay>,
    mut tick: Option<Box<dyn FnMut() + '_>>,
) -> Result<i32> {
    const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    loop {
        let mut fds = vec![readable(container.pidfd.as_fd()), readable(signals)];
        fds.extend(relays.iter().map(Relay::poll_fd));
        match poll(&mut fds, tick.is_some().then_some(&TICK)) {
            Ok(_) | Err(Errno::INTR) => {}
            result => return result.map(|_| 0).during(PROCESS, "wait for the container"),
        }
        let ready: Vec<bool> = fds.iter().map(is_ready).collect();
        if ready[0] {
            return exit_status(container);
        }
        if ready[1] {
            forward_signals(container, signals, master);
        }
        relays.iter_mut().zip(&ready[2..]).filter(|(_, ready)| **ready).for_each(|(relay, _)| relay.step());
        relays.retain(|relay| !relay.is_over());
        if let Some(tick) = &mut tick {
            tick();
        }
    }
}

fn forward_signals(container: &Container, signals: BorrowedFd<'_>, master: Option<&OwnedFd>) {
    while let Some(signal) = sys::next_signal(signals) {
        match (signal, master) {
            (libc::SIGCHLD | libc::SIGPIPE, _) => {}
            (libc::SIGWINCH, Some(master)) => terminal::copy_size(master),
            _ => drop(sys::pidfd_send_signal(container.pidfd.as_fd(), signal)),
        }
    }
}

/// As a shell says it. Waits for the end.
pub fn exit_status(container: &Container) -> Result<i32> {
    let waited = rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(container.pidfd.as_fd()), WaitIdOptions::EXITED));
    let status = waited.during(PROCESS, "wait for the container")?;
    Ok(status.and_then(|status| status.exit_status().or(status.terminating_signal().map(|signal| 128 + signal))).unwrap_or(255))
}

/// Without a pid namespace the container's other processes outlive its first; they are our children then, as we are a subreaper.
fn end_orphans(spared: &[Option<Pid>]) {
    while let Ok(children) = std::fs::read_to_string("/proc/thread-self/children") {
        let children =
            children.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).filter(|pid| !spared.contains(&Some(*pid)));
        let ended = children.map(|pid| {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::empty());
        });
        if ended.count() == 0 {
            break;
        }
    }
}

/// What the container wrote last. Nobody writes any more: what is not there now never comes.
pub fn drain(relays: &mut [Relay]) {
    const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    for relay in relays.iter_mut().filter(|relay| !relay.is_input()) {
        while !relay.is_over() {
            let timeout = if relay.has_buffered() { None } else { Some(&NOW) };
            match poll(&mut [relay.poll_fd()], timeout) {
                Ok(0) | Err(_) => break,
                Ok(_) => relay.step(),
            }
        }
    }
}
