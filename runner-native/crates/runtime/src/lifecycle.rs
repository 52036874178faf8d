//! The runtime-spec's operations, as runc and crun have them: create, start, run, kill, delete, pause, resume. What is made is written down before it
//! is made, so that `delete --force` undoes whatever a killed command left. The calling process has one thread and the bundle as its
//! working directory where a container is made.

use crate::cgroup_owner;
use crate::cgroups::Cgroup;
use crate::channel;
use crate::config_file;
use crate::container::{self, Container, First, Forked};
use crate::error::{Context, NativeError, PROCESS, Result, STATE};
use crate::from_outside::{self, Sources};
use crate::hooks::{self, Hooks, Told};
use crate::init::{self, Start, Ways};
use crate::plan::{self, Plan};
use crate::record::{self, Folder, InitProcess, NO_CONTAINER, Record, Status};
use crate::resources::Resources;
use crate::streams::Streams;
use crate::sys;
use crate::terminal;
use rustix::fd::OwnedFd;
use rustix::process::{Pid, Signal};
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What a bundle says, read to the end.
pub struct Bundle {
    pub path: PathBuf,
    /// config.json as it is, to be kept.
    text: String,
    plan: Plan,
}

impl Bundle {
    /// Of the working directory.
    pub fn read(config_file: &Path) -> Result<Self> {
        let text = config_file::read(config_file)?;
        let plan = plan::read(config_file::parse(&text)?)?;
        let path = std::env::current_dir().during(STATE, "find the bundle")?;
        Ok(Self { path, text, plan })
    }

    /// For the first process, in place of what is there under the same names.
    pub fn set_environment(&mut self, variables: &[String]) {
        let environment = &mut self.plan.process.environment;
        for variable in variables {
            let name = &variable.as_bytes()[..=variable.find('=').unwrap_or(variable.len() - 1)];
            environment.retain(|known| !known.to_bytes().starts_with(name));
            environment.extend(CString::new(variable.as_str()));
        }
    }

    /// What of it cannot be had, and is done without.
    pub fn warnings(&self) -> Vec<String> {
        self.plan.warnings()
    }
}

#[derive(Default)]
pub struct CreateOptions {
    /// A socket that gets the terminal's descriptor.
    pub console_socket: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
    pub ways: Ways,
    /// It stays where we are, and nothing limits it.
    pub without_cgroup: bool,
}

/// What `run` leaves.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum RunEnd {
    /// Nothing: it waits for the end and deletes the container.
    #[default]
    Deleted,
    /// The ended container.
    Kept,
    /// The running container, as `create` and `start` leave it.
    Detached,
}

pub fn create(root: &Path, id: &str, bundle: &Bundle, options: &CreateOptions) -> Result<()> {
    if bundle.plan.process.terminal && options.console_socket.is_none() {
        return Err(no_console_socket());
    }
    let folder = Folder::make(root, id)?;
    let made = make(&folder, id, bundle, options)?;
    made.container.release();
    Ok(())
}

fn no_console_socket() -> NativeError {
    NativeError::new(crate::error::USAGE, "create the container").detail("a container with a terminal needs --console-socket here")
}

pub fn start(root: &Path, id: &str) -> Result<()> {
    let folder = Folder::open(root, id)?;
    let record = known(&folder, id)?;
    let status = folder.status(&record);
    if status != Status::Created {
        return Err(wrong_status("start", id, status));
    }
    folder.tell_to_start(id)?;
    after_start(&folder, &record)
}

/// Returns the container's exit status, 0 when detached.
pub fn run(root: &Path, id: &str, bundle: &Bundle, options: &CreateOptions, end: RunEnd) -> Result<i32> {
    let plan = &bundle.plan;
    let detached = end == RunEnd::Detached;
    if detached && plan.process.terminal && options.console_socket.is_none() {
        return Err(no_console_socket());
    }
    let signals = sys::signals().during(PROCESS, "block signals")?;
    let has_pid_namespace = plan.namespaces.is_own(libc::CLONE_NEWPID);
    if !detached && !has_pid_namespace {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).during(PROCESS, "adopt orphans")?;
    }
    let folder = Folder::make(root, id)?;
    let made = make(&folder, id, bundle, options)?;
    let started = folder.tell_to_start(id).and_then(|()| after_start(&folder, &made.record));
    if detached && started.is_ok() {
        made.container.release();
        return Ok(0);
    }
    drop(folder); // others may look at it, and change it, while it runs
    let ended = started.and_then(|()| container::attend(&made.container, &signals, made.master.as_ref()));
    if end == RunEnd::Kept && ended.is_ok() {
        return ended;
    }
    match delete(root, id, true) {
        Err(error) if ended.is_ok() && error.code != NO_CONTAINER => Err(error),
        _ => ended,
    }
}

/// A container whose first process waits for its start.
struct Made {
    container: Container,
    record: Record,
    /// The terminal, when nobody else has got it.
    master: Option<OwnedFd>,
}

/// On an error nothing is left.
fn make(folder: &Folder, id: &str, bundle: &Bundle, options: &CreateOptions) -> Result<Made> {
    let plan = &bundle.plan;
    let made = || {
        let cgroup = if options.without_cgroup { Cgroup::default() } else { choose_cgroup(plan, id)? };
        folder.keep_config(&bundle.text)?;
        let record = Record {
            oci_version: plan.oci_version.clone(),
            id: id.into(),
            bundle: bundle.path.clone(),
            rootfs: bundle.path.join(&plan.root),
            created: record::timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()),
            owner_uid: rustix::process::getuid().as_raw(),
            process: None,
            annotations: plan.annotations.clone(),
            cgroup: cgroup.clone(),
        };
        folder.write(&record)?;
        make_processes(folder, plan, record, options).inspect_err(|_| {
            // The reason is what is told; what is left is found by `delete --force`.
            let _ = cgroup.kill_all().and_then(|()| cgroup.remove());
        })
    };
    made().inspect_err(|_| {
        let _ = folder.remove();
    })
}

/// Where cgroups are not ours to change, and none is asked for, the container stays where we are (runc: isIgnorableError).
fn choose_cgroup(plan: &Plan, id: &str) -> Result<Cgroup> {
    let cgroup = Cgroup::choose(&plan.cgroups_path, id)?;
    let is_asked_for = plan.resources.is_some() || !plan.cgroups_path.as_os_str().is_empty();
    Ok(if is_asked_for || cgroup.may_be_made() { cgroup } else { Cgroup::default() })
}

fn make_processes(folder: &Folder, plan: &Plan, mut record: Record, options: &CreateOptions) -> Result<Made> {
    record.cgroup.make()?;
    if let (Some(resources), false) = (&plan.resources, options.without_cgroup) {
        resources.apply(&record.cgroup)?;
    }
    if !options.without_cgroup {
        cgroup_owner::give(&record.cgroup, plan)?;
    }
    let told = Told::of(plan, &record.id, &record.bundle);
    let fifo = folder.make_start_fifo()?;
    let sources = Sources::open(plan)?;
    if !plan.process.terminal {
        from_outside::give_streams(&plan.namespaces, &plan.process);
    }
    let (parent, child) = channel::pair()?;
    let container = match container::fork_into(&First::of(plan))? {
        Forked::Child => {
            drop(parent);
            folder.close_lock();
            sys::exit_now(init::main(plan, &sources, &told, options.ways, child, Streams::none(), Start::WhenTold(fifo)))
        }
        Forked::Parent(container) => container,
    };
    drop(child);
    record.process = Some(InitProcess::of(container.pid)?);
    folder.write(&record)?;
    record.cgroup.add(container.pid)?;
    plan.process.scheduling.give_to(container.pid)?;
    parent.go()?;
    let run_hooks = || hooks::run(plan.hooks.before_pivot(), &told.state(Status::Creating, Some(container.pid)));
    let mut master = container::wait_for_start(&parent, run_hooks)?;
    if plan.process.terminal {
        let made = master.take().ok_or_else(terminal::expected)?;
        match &options.console_socket {
            Some(socket) => terminal::hand_over(&made, socket)?,
            None => master = Some(made),
        }
    }
    if let Some(path) = &options.pid_file {
        container::write_pid_file(path, container.pid)?;
    }
    Ok(Made { container, record, master })
}

fn after_start(folder: &Folder, record: &Record) -> Result<()> {
    let pid = record.process.and_then(|process| Pid::from_raw(process.pid));
    hooks::run_all(&hooks_of(folder)?.poststart, &told(record).state(Status::Running, pid));
    Ok(())
}

fn hooks_of(folder: &Folder) -> Result<Hooks> {
    Ok(config_file::parse(&folder.config()?)?.hooks)
}

pub fn told(record: &Record) -> Told {
    Told {
        oci_version: record.oci_version.clone(),
        id: record.id.clone(),
        bundle: record.bundle.clone(),
        annotations: record.annotations.clone(),
    }
}

/// `everyone`: each process of the container, not its first alone.
pub fn kill(root: &Path, id: &str, signal: i32, everyone: bool) -> Result<()> {
    let folder = Folder::open(root, id)?;
    let record = known(&folder, id)?;
    let status = folder.status(&record);
    if everyone && let Some(signal) = Signal::from_named_raw(signal) {
        record.cgroup.signal_all(signal);
        return Ok(());
    }
    match (status, record.process) {
        (Status::Created | Status::Running | Status::Paused, Some(process)) => {
            process.signal(signal).during(STATE, &format!("send the signal {signal} to container {id:?}"))?;
            // A frozen process takes no signal, not even this one.
            if status == Status::Paused && signal == libc::SIGKILL {
                record.cgroup.freeze(false)?;
            }
            Ok(())
        }
        _ => Err(NativeError::new(STATE, "kill the container").detail(format!("container {id:?} is not running"))),
    }
}

/// Nothing is left of it afterwards. `force`: of one that runs as well, and that there is none is no error.
pub fn delete(root: &Path, id: &str, force: bool) -> Result<()> {
    let folder = match Folder::open(root, id) {
        Err(error) if force && error.code == NO_CONTAINER => return Ok(()),
        result => result?,
    };
    let record = match folder.read() {
        Ok(Some(record)) => record,
        // A command was killed before it had said what it would make: it made nothing.
        Ok(None) => return folder.remove(),
        // Nothing can be known of it any more.
        Err(_) if force => return folder.remove(),
        Err(error) => return Err(error),
    };
    let status = folder.status(&record);
    let may_go = force || matches!(status, Status::Stopped | Status::Created | Status::Creating);
    if !may_go {
        return Err(wrong_status("delete", id, status));
    }
    end(&record)?;
    record.cgroup.remove()?;
    let hooks = hooks_of(&folder).map(|hooks| hooks.poststop).unwrap_or_default();
    folder.remove()?;
    hooks::run_all(&hooks, &told(&record).state(Status::Stopped, None));
    Ok(())
}

fn end(record: &Record) -> Result<()> {
    if let Some(process) = record.process {
        let _ = process.signal(libc::SIGKILL);
    }
    record.cgroup.kill_all()?;
    let until = Instant::now() + Duration::from_secs(10);
    while record.process.is_some_and(InitProcess::is_alive) {
        if Instant::now() > until {
            return Err(NativeError::new(STATE, "end the container").detail("the container's first process does not end"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

pub fn pause(root: &Path, id: &str) -> Result<()> {
    let folder = Folder::open(root, id)?;
    let record = known(&folder, id)?;
    match folder.status(&record) {
        Status::Running | Status::Created => record.cgroup.freeze(true),
        status => Err(wrong_status("pause", id, status)),
    }
}

pub fn resume(root: &Path, id: &str) -> Result<()> {
    let folder = Folder::open(root, id)?;
    let record = known(&folder, id)?;
    match folder.status(&record) {
        Status::Paused => record.cgroup.freeze(false),
        status => Err(wrong_status("resume", id, status)),
    }
}

/// New limits for those that are given; the others stay.
pub fn update(root: &Path, id: &str, resources: &Resources) -> Result<()> {
    resources.check()?;
    let folder = Folder::open(root, id)?;
    let record = known(&folder, id)?;
    match folder.status(&record) {
        Status::Created | Status::Running | Status::Paused => resources.apply_limits(&record.cgroup),
        status => Err(wrong_status("update", id, status)),
    }
}

/// The numbers, in this process's pid namespace, of the container's processes.
pub fn processes(root: &Path, id: &str) -> Result<Vec<i32>> {
    let (record, _) = record::look(root, id)?;
    Ok(record.cgroup.processes().into_iter().map(|pid| pid.as_raw_nonzero().get()).collect())
}

fn known(folder: &Folder, id: &str) -> Result<Record> {
    let unfinished = || NativeError::new(STATE, "look at the container").detail(format!("container {id:?} was never finished: delete it"));
    folder.read()?.ok_or_else(unfinished)
}

fn wrong_status(action: &str, id: &str, status: Status) -> NativeError {
    let hint = if action == "delete" { ": stop it first, or delete it with --force" } else { "" };
    NativeError::new(STATE, &format!("{action} the container"))
        .detail(format!("cannot {action} container {id:?}: it is {}{hint}", status.word()))
}
