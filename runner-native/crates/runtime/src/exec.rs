//! `exec`: one more process in a container that runs: in its namespaces, its cgroup and its root, held back by the same capabilities, limits
//! and filter. The calling process has one thread.

use crate::cgroups::Cgroup;
use crate::channel;
use crate::config_file;
use crate::container::{self, Container, First, Forked};
use crate::error::{Context, NAMESPACE, NativeError, PROCESS, Result, STATE, USAGE};
use crate::hooks::Told;
use crate::init;
use crate::lifecycle;
use crate::plan::{self, Namespaces, PlannedProcess};
use crate::record::{self, InitProcess, Status};
use crate::seccomp::Filter;
use crate::seccomp_agent::{self, Guard};
use crate::spec::{Config, Process};
use crate::terminal;
use crate::user_namespace::{self, IdMaps};
use crate::{home, identity, sys};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use std::convert::Infallible;
use std::path::{Path, PathBuf};

#[derive(Default)]
pub struct ExecOptions {
    pub detached: bool,
    pub console_socket: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    /// How many descriptors from 3 on the command gets.
    pub preserved: u32,
    pub may_be_paused: bool,
}

/// A container that runs, as far as another process in it needs to know.
pub struct Place {
    pub first: InitProcess,
    /// config.json as it was given.
    pub config: String,
    pub cgroup: Cgroup,
    pub told: Told,
}

impl Place {
    /// Of a container that `with_root` runs, of which no record is kept.
    pub fn without_record(first: InitProcess, cgroup: Cgroup, id: &str, config: &str) -> Result<Self> {
        let Config { oci_version, annotations, .. } = config_file::parse(config)?;
        let told = Told { oci_version, id: id.into(), bundle: PathBuf::new(), annotations };
        Ok(Self { first, config: config.into(), cgroup, told })
    }
}

/// A process that runs in a container, and a descriptor that tells of signals that we get: they are blocked.
pub struct Executed {
    pub container: Container,
    pub signals: OwnedFd,
    /// Its terminal, when it wanted one and nobody else has got it.
    pub master: Option<OwnedFd>,
}

/// `change` turns config.json's process into the one that is wanted. Returns the exit status, 0 when detached.
pub fn exec(root: &Path, id: &str, change: impl FnOnce(Process) -> Result<Process>, options: &ExecOptions) -> Result<i32> {
    let (record, status) = record::look(root, id)?;
    let first = match (status, record.process) {
        (Status::Running | Status::Created, Some(first)) => first,
        (Status::Paused, Some(first)) if options.may_be_paused => first,
        _ => {
            let detail = format!("cannot execute in container {id:?}: it is {}", status.word());
            return Err(NativeError::new(STATE, "execute in the container").detail(detail));
        }
    };
    let config = std::fs::read_to_string(root.join(id).join("config.json")).at(STATE, "read the configuration of", id)?;
    let told = lifecycle::told(&record);
    let executed = execute(&Place { first, config, cgroup: record.cgroup, told }, change, options)?;
    if options.detached {
        executed.container.release();
        return Ok(0);
    }
    container::attend(&executed.container, &executed.signals, executed.master.as_ref())
}

/// It has begun when this returns. Who drops it ends it.
pub fn execute(place: &Place, change: impl FnOnce(Process) -> Result<Process>, options: &ExecOptions) -> Result<Executed> {
    let mut config = config_file::parse(&place.config)?;
    let process = change(config.process.take().unwrap_or_default())?;
    let seccomp = config.linux.seccomp.as_ref().map(crate::seccomp::compile).transpose()?;
    let has_user_namespace = config.linux.namespaces.iter().any(|namespace| namespace.kind == "user");
    let maps = IdMaps::read("linux.", config.linux.uid_mappings, config.linux.gid_mappings)?;
    plan::check_user(&process.user, &maps)?;
    let process = plan::plan_process(process, has_user_namespace)?;
    if options.detached && process.terminal && options.console_socket.is_none() {
        return Err(NativeError::new(USAGE, "execute in the container").detail("a detached process with a terminal needs --console-socket"));
    }
    let signals = sys::signals().during(PROCESS, "block signals")?;
    if !process.terminal {
        identity::give_streams(maps.host_uid(process.user.uid).unwrap_or(process.user.uid));
    }
    if let Some(personality) = &config.linux.personality {
        sys::set_personality(plan::personality(personality)?).during(PROCESS, "set the personality")?; // the child has it from us
    }
    let (container, parent) = fork(place.first, &process, seccomp.as_ref(), &place.told, options.preserved)?;
    process.affinity.around(container.pid, || place.cgroup.add(container.pid))?;
    process.scheduling.give_to(container.pid)?;
    parent.go()?;
    let mut master = container::wait_for_start(&parent, || Ok(()))?;
    if process.terminal {
        let made = master.take().ok_or_else(terminal::expected)?;
        match &options.console_socket {
            Some(socket) => terminal::hand_over(&made, socket)?,
            None => master = Some(made),
        }
    }
    if let Some(path) = &options.pid_file {
        container::write_pid_file(path, container.pid)?;
    }
    Ok(Executed { container, signals, master })
}

fn fork(
    first: InitProcess,
    process: &PlannedProcess,
    filter: Option<&Filter>,
    told: &Told,
    preserved: u32,
) -> Result<(Container, channel::Parent)> {
    let mut target = Target::open(first)?;
    let agent = seccomp_agent::connect_to(filter)?;
    let (parent, child) = channel::pair()?;
    let namespace = |name: &str| PathBuf::from(format!("/proc/{}/ns/{name}", first.pid));
    let mut joined = vec![(libc::CLONE_NEWPID, namespace("pid"))];
    if target.has_user_namespace() && !rustix::process::geteuid().is_root() {
        // Who is not root has rights on the container's namespaces in its user namespace alone.
        joined.push((libc::CLONE_NEWUSER, namespace("user")));
        target.others &= !libc::CLONE_NEWUSER;
    }
    let namespaces = Namespaces { joined, ..Namespaces::default() };
    match container::fork_into(&First { namespaces: &namespaces, root: None, process: None })? {
        Forked::Child => {
            drop(parent);
            let filter = Guard::new(filter, agent.as_ref(), told, rustix::process::Pid::from_raw(first.pid));
            let Err(error) = filter.and_then(|filter| become_command(&target, process, filter.as_ref(), preserved, &child));
            child.send_error(error);
            sys::exit_now(1)
        }
        Forked::Parent(container) => Ok((container, parent)),
    }
}

/// Of a container; all but the pid namespace, which only children enter.
const NAMESPACES: [(&str, i32); 7] = [
    ("user", libc::CLONE_NEWUSER),
    ("mnt", libc::CLONE_NEWNS),
    ("ipc", libc::CLONE_NEWIPC),
    ("net", libc::CLONE_NEWNET),
    ("uts", libc::CLONE_NEWUTS),
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("time", libc::CLONE_NEWTIME),
];

/// CLONE_NEW… of those of a process that are not ours already.
pub fn other_namespaces(pid: i32) -> i32 {
    let identity = |process: &str, name: &str| {
        let stat = rustix::fs::stat(format!("/proc/{process}/ns/{name}"));
        stat.map(|stat| (stat.st_dev, stat.st_ino)).ok()
    };
    let pid = pid.to_string();
    let others = NAMESPACES.iter().filter(|(name, _)| identity(&pid, name) != identity("self", name));
    others.fold(0, |all, (_, kind)| all | kind)
}

/// The container's first process, held so that its number cannot come to mean another.
struct Target {
    pidfd: OwnedFd,
    root: OwnedFd,
    /// CLONE_NEW… of those that are not ours already: nobody may enter his own user namespace again, nor who is not root any of his own.
    others: i32,
}

impl Target {
    fn open(first: InitProcess) -> Result<Self> {
        let gone = || NativeError::new(STATE, "execute in the container").detail("the container has ended");
        let pidfd = first.open().ok_or_else(gone)?;
        let root = format!("/proc/{}/root", first.pid);
        let root =
            rustix::fs::open(&root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at(NAMESPACE, "open", &root)?;
        let others = other_namespaces(first.pid);
        if !first.is_alive() {
            return Err(gone());
        }
        Ok(Self { pidfd, root, others })
    }

    fn has_user_namespace(&self) -> bool {
        self.others & libc::CLONE_NEWUSER != 0
    }

    fn enter(&self) -> Result<()> {
        if self.others != 0 {
            sys::set_namespace(self.pidfd.as_fd(), self.others).during(NAMESPACE, "enter the container's namespaces")?;
        }
        if self.has_user_namespace() {
            user_namespace::become_root()?;
        }
        // Without a mount namespace of its own the container has a root all the same.
        rustix::process::fchdir(&self.root).during(NAMESPACE, "enter the container's root")?;
        rustix::process::chroot(".").during(NAMESPACE, "enter the container's root")
    }
}

fn become_command(
    target: &Target,
    process: &PlannedProcess,
    filter: Option<&Guard>,
    preserved: u32,
    channel: &channel::Child,
) -> Result<Infallible> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).during(PROCESS, "protect the process")?;
    rustix::process::setsid().during(PROCESS, "start a session")?;
    channel.wait_for_go()?; // in the container's cgroup
    if let Some(score) = process.oom_score_adj {
        init::set_oom_score("self", score)?;
    }
    identity::set_rlimits(process);
    init::leave_keyring()?;
    target.enter()?;
    init::own_keyring()?;
    if process.terminal {
        let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at(PROCESS, "open", "/")?;
        let pty = terminal::make(&root, process.console_size.as_ref(), process.user.uid)?;
        channel.send_terminal(&pty.master)?;
        terminal::take(pty.slave)?;
    }
    init::close_ways_out(preserved, [Some(channel.as_fd()), filter.and_then(Guard::agent), None])?;
    let has_entered = init::enter_cwd(&process.cwd, false)?;
    let environment = home::complete(&process.environment, process.user.uid);
    identity::assume(process, filter)?;
    if !has_entered {
        init::enter_cwd(&process.cwd, true)?;
    }
    sys::close_on_exec_from(3 + preserved).during(PROCESS, "close descriptors")?;
    sys::reset_signals().during(PROCESS, "reset signals")?;
    if process.no_new_privileges
        && let Some(filter) = filter
    {
        filter.set()?;
    }
    Err(init::execute(&process.arguments, &environment))
}
