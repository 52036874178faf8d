//! The container's first process, from the moment it exists until it is the command. Single-threaded, in the container's new namespaces,
//! with the bundle as working directory; tells its parent by the channel what went wrong. After `create` it waits for `start`, without a
//! parent; what goes wrong then is a line on its standard error.

use crate::channel::Child;
use crate::container::explain_clone;
use crate::error::{self, Context, MOUNT, NAMESPACE, NOT_EXECUTABLE, NOT_FOUND, NativeError, PROCESS, Result, TOO_LONG, WORKDIR};
use crate::from_outside::Sources;
use crate::hooks::{self, Told};
use crate::identity;
use crate::inside_root::{self, Kind};
use crate::plan::{Namespaces, Plan, PlannedProcess};
use crate::record::Status;
use crate::resources::Resources;
use crate::seccomp_agent::Guard;
use crate::streams::Streams;
use crate::{devices, home, mount_attributes, mounts, sys, terminal, user_namespace};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What a runtime's caller may want otherwise than it is by default.
#[derive(Clone, Copy, Default)]
pub struct Ways {
    /// How many descriptors from 3 on the command gets.
    pub preserved: u32,
    /// chroot in place of pivot_root, which an initramfs cannot do.
    pub keeps_old_root: bool,
    pub keeps_keyring: bool,
}

pub enum Start {
    AtOnce,
    /// When there is something to read here.
    WhenTold(OwnedFd),
}

/// Returns only when it failed, with an exit status.
pub fn main(plan: &Plan, sources: &Sources, told: &Told, ways: Ways, channel: Child, streams: Streams, start: Start) -> i32 {
    let filter = match Guard::new(plan.seccomp.as_ref(), sources.agent.as_ref(), told, None) {
        Ok(filter) => filter,
        Err(error) => return fail(&channel, error),
    };
    let ready = get_ready(plan, sources, told, ways, &channel, streams, &start).and_then(|has_entered| match start {
        Start::AtOnce => Ok((has_entered, None)),
        Start::WhenTold(told_by) => find_command(&plan.process).map(|()| (has_entered, Some(told_by))),
    });
    let (has_entered, told_by) = match ready {
        Ok(ready) => ready,
        Err(error) => return fail(&channel, error),
    };
    let Some(told_by) = told_by else {
        let Err(error) = become_command(plan, told, ways, has_entered, filter.as_ref(), || die_with_parent(&channel));
        return fail(&channel, error);
    };
    let waited = live_without_parent(&channel).and_then(|()| wait_for_start(&told_by));
    if let Err(error) = waited {
        return fail(&channel, error);
    }
    let Err(error) = become_command(plan, told, ways, has_entered, filter.as_ref(), || Ok(()));
    // Nobody listens at the channel any more; who runs the container reads its standard error.
    let _ = writeln!(std::io::stderr(), "{}", error.detail);
    error::exit_status(&error)
}

fn fail(channel: &Child, error: NativeError) -> i32 {
    channel.send_error(error);
    1
}

/// Everything that can be done before `start`. False: only the container's user may enter the working directory.
fn get_ready(plan: &Plan, sources: &Sources, told: &Told, ways: Ways, channel: &Child, streams: Streams, start: &Start) -> Result<bool> {
    die_with_parent(channel)?;
    if !ways.keeps_keyring {
        leave_keyring()?;
    }
    if plan.namespaces.is_own(libc::CLONE_NEWUSER) {
        channel.wait_for_go()?; // only now is anyone mapped
        user_namespace::become_root()?;
        die_with_parent(channel)?;
    }
    // Nobody in a joined pid namespace may trace or open what we still hold.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).during(PROCESS, "protect the process")?;
    rustix::process::setsid().during(PROCESS, "start a session")?;
    if !ways.keeps_keyring {
        own_keyring()?;
    }
    enter_namespaces(plan, channel)?;
    write_sysctls(plan)?;
    let slave = set_up_root(plan, sources, channel)?;
    if plan.hooks.before_pivot().next().is_some() {
        channel.ask_for_hooks()?;
    }
    if !plan.hooks.create_container.is_empty() {
        hooks::run(&plan.hooks.create_container, &told.state(Status::Creating, Some(rustix::process::getpid())))?;
    }
    if let (Some(score), false) = (plan.process.oom_score_adj, plan.namespaces.is_own(libc::CLONE_NEWUSER)) {
        set_oom_score("self", score)?;
    }
    change_root(plan, ways)?;
    match slave {
        Some(slave) => terminal::take(slave)?,
        None => {
            streams.take()?;
            identity::give_streams(plan.process.user.uid);
        }
    }
    drop(streams);
    let fifo = if let Start::WhenTold(fifo) = start { Some(fifo) } else { None };
    close_ways_out(ways.preserved, [Some(channel.as_fd()), fifo.map(AsFd::as_fd), sources.agent.as_ref().map(AsFd::as_fd)])?;
    let has_entered = enter_cwd(&plan.process.cwd, false)?;
    if let Some(personality) = plan.personality {
        sys::set_personality(personality).during(PROCESS, "set the personality")?;
    }
    channel.wait_for_go()?; // so late that it was given long ago
    Ok(has_entered)
}

/// The keys of who started us are not the container's. Before a user namespace is entered: its root may have no quota left.
pub fn leave_keyring() -> Result<()> {
    join_new_keyring(&[Errno::NOSYS, Errno::PERM])
}

/// One that belongs to the container's root. Where its quota does not allow it, that of `leave_keyring` stays: all containers of the same ids
/// outside have 200 keys between them (keyrings(7): maxkeys).
pub fn own_keyring() -> Result<()> {
    join_new_keyring(&[Errno::NOSYS, Errno::PERM, Errno::DQUOT])
}

fn join_new_keyring(accepted: &[Errno]) -> Result<()> {
    match sys::join_new_session_keyring() {
        Err(errno) if accepted.contains(&errno) => Ok(()),
        result => result.during(PROCESS, "make a keyring"),
    }
}

/// From `create` on the container lives on its own.
fn live_without_parent(channel: &Child) -> Result<()> {
    set_parent_process_death_signal(None).during(PROCESS, "untie the process from its parent")?;
    channel.say_ready()
}

fn wait_for_start(told_by: &OwnedFd) -> Result<()> {
    let wait = || {
        loop {
            match rustix::event::poll(&mut [PollFd::new(told_by, PollFlags::IN)], None) {
                Err(Errno::INTR) => {}
                result => return result.map(drop),
            }
        }
    };
    wait().during(PROCESS, "wait for the start")
}

/// `tie`: to the parent, once more, for a change of user forgets it.
fn become_command(
    plan: &Plan,
    told: &Told,
    ways: Ways,
    has_entered: bool,
    filter: Option<&Guard>,
    tie: impl FnOnce() -> Result<()>,
) -> Result<Infallible> {
    if !plan.hooks.start_container.is_empty() {
        hooks::run(&plan.hooks.start_container, &told.state(Status::Created, Some(rustix::process::getpid())))?;
    }
    let environment = home::complete(&plan.process.environment, plan.process.user.uid);
    identity::set_rlimits(&plan.process); // so late that they are the command's alone
    identity::assume(&plan.process, filter)?;
    if !has_entered {
        enter_cwd(&plan.process.cwd, true)?;
    }
    tie()?;
    sys::close_on_exec_from(3 + ways.preserved).during(PROCESS, "close descriptors")?;
    sys::reset_signals().during(PROCESS, "reset signals")?;
    if plan.process.no_new_privileges
        && let Some(filter) = filter
    {
        filter.set()?;
    }
    Err(execute(&plan.process.arguments, &environment))
}

/// PDEATHSIG tells only of a death after it was set: so the parent is looked for, too.
fn die_with_parent(channel: &Child) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).during(PROCESS, "tie the process to its parent")?;
    if channel.parent_is_gone() { sys::exit_now(1) } else { Ok(()) }
}

fn enter_namespaces(plan: &Plan, channel: &Child) -> Result<()> {
    if plan.namespaces.is_new(libc::CLONE_NEWCGROUP) {
        channel.wait_for_go()?; // only now are we in the cgroup that is to be its root
        sys::unshare(libc::CLONE_NEWCGROUP).map_err(explain_clone)?;
    }
    enter_joined(&plan.namespaces)?;
    if plan.namespaces.is_new(libc::CLONE_NEWNET) {
        sys::bring_loopback_up().during(NAMESPACE, "bring the loopback interface up")?;
    }
    if !plan.hostname.is_empty() {
        rustix::system::sethostname(plan.hostname.as_bytes()).during(NAMESPACE, "set the host name")?;
    }
    if !plan.domainname.is_empty() {
        rustix::system::setdomainname(plan.domainname.as_bytes()).during(NAMESPACE, "set the domain name")?;
    }
    Ok(())
}

fn enter_joined(namespaces: &Namespaces) -> Result<()> {
    let others = namespaces.joined.iter().filter(|(kind, _)| !matches!(*kind, libc::CLONE_NEWPID | libc::CLONE_NEWUSER));
    for (kind, path) in others {
        let namespace =
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(NAMESPACE, "open the namespace", path)?;
        match sys::set_namespace(namespace.as_fd(), *kind) {
            // One of the host's was entered on the way into the user namespace; nobody may enter it again from there.
            Err(Errno::PERM) if namespaces.needs_passage() && is_in(&namespace, *kind) => {}
            result => result.at(NAMESPACE, "enter the namespace", path)?,
        }
    }
    Ok(())
}

fn is_in(namespace: &OwnedFd, kind: i32) -> bool {
    let name = match kind {
        libc::CLONE_NEWNS => "mnt",
        libc::CLONE_NEWIPC => "ipc",
        libc::CLONE_NEWNET => "net",
        libc::CLONE_NEWUTS => "uts",
        libc::CLONE_NEWTIME => "time",
        _ => "cgroup",
    };
    let own = rustix::fs::stat(format!("/proc/self/ns/{name}"));
    matches!((own, rustix::fs::fstat(namespace)), (Ok(own), Ok(other)) if own.st_ino == other.st_ino && own.st_dev == other.st_dev)
}

/// By the host's /proc, which the image cannot have touched; what these files say is about the namespaces we are in.
fn write_sysctls(plan: &Plan) -> Result<()> {
    plan.sysctls.iter().try_for_each(|(path, value)| std::fs::write(path, value).at(NAMESPACE, "set", path))
}

/// `process`: its number, or `self`.
pub fn set_oom_score(process: &str, score: i32) -> Result<()> {
    let file = format!("/proc/{process}/oom_score_adj");
    match std::fs::write(&file, score.to_string()) {
        // Lowering it needs CAP_SYS_RESOURCE, which containers that tbuild itself runs in often lack.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        result => result.at(PROCESS, "write", &file),
    }
}

/// Everything inside the root while the host's tree can still be reached. Returns the terminal, if one is wanted.
fn set_up_root(plan: &Plan, sources: &Sources, channel: &Child) -> Result<Option<OwnedFd>> {
    if !plan.namespaces.is_new(libc::CLONE_NEWNS) {
        return Ok(None);
    }
    if plan.mounts.iter().any(|mount| mount.kind == "cgroup") {
        channel.wait_for_go()?; // only now are we in the cgroup that is to be seen
    }
    let root = mounts::open_root(plan.root(), plan.propagation)?;
    let guards_devices = plan.resources.as_ref().is_some_and(Resources::guards_devices);
    mounts::mount_all(&root, &plan.mounts, sources, guards_devices)?;
    if devices::are_wanted(&plan.mounts) {
        let can_make = !plan.namespaces.is_own(libc::CLONE_NEWUSER) && user_namespace::is_initial();
        devices::set_up(&root, &plan.devices, can_make)?;
    }
    let slave = match plan.process.terminal {
        false => None,
        true => {
            let pty = terminal::make(&root, plan.process.console_size.as_ref(), plan.process.user.uid)?;
            terminal::make_console(&root, &pty)?;
            channel.send_terminal(&pty.master)?;
            Some(pty.slave)
        }
    };
    inside_root::open_or_make(&root, inside_root::relative(&plan.process.cwd), Kind::Directory, &mut |_, _| {})?;
    mounts::make_read_only(&root, &plan.read_only_paths)?;
    mounts::mask(&root, &plan.masked)?;
    if plan.read_only {
        mounts::set_attributes(&root, MountAttrFlags::MOUNT_ATTR_RDONLY, false).during(MOUNT, "make the root read-only")?;
    }
    rustix::process::fchdir(&root).during(MOUNT, "enter the root")?;
    Ok(slave)
}

fn change_root(plan: &Plan, ways: Ways) -> Result<()> {
    if !plan.namespaces.is_new(libc::CLONE_NEWNS) {
        rustix::process::chroot(plan.root()).at(MOUNT, "change the root to", &plan.root)?;
        return rustix::process::chdir("/").during(MOUNT, "enter the root");
    }
    if ways.keeps_old_root {
        mounts::move_to_root()?;
    } else {
        mounts::pivot()?;
    }
    match plan.propagation {
        Some((propagation, recursive)) => {
            mount_attributes::propagate(CWD, Path::new("/"), propagation, recursive).during(MOUNT, "set the propagation of /")
        }
        None => Ok(()),
    }
}

/// A directory of the host's that is still open is a way out of the root: as a working directory, or as the beginning of the command's
/// path, below /proc/self/fd (CVE-2024-21626). To close them with execve is too late. Nobody must own what is closed here and act again.
pub fn close_ways_out(preserved: u32, keep: [Option<BorrowedFd<'_>>; 3]) -> Result<()> {
    let mut keep: Vec<i32> = keep.iter().flatten().map(AsRawFd::as_raw_fd).chain(0..3 + preserved.cast_signed()).collect();
    sys::close_all_but(&mut keep).during(PROCESS, "close descriptors")
}

/// False when only the container's user may enter it (a network file system that trusts no root).
pub fn enter_cwd(cwd: &Path, is_last_try: bool) -> Result<bool> {
    match rustix::process::chdir(cwd) {
        Err(Errno::ACCESS) if !is_last_try => return Ok(false),
        Err(Errno::NOTDIR) => {
            let detail = format!("the working directory {} is no directory in the container", cwd.display());
            return Err(NativeError::new(WORKDIR, "enter the working directory").path(cwd).detail(detail));
        }
        result => result.at(WORKDIR, "enter the working directory", cwd)?,
    }
    // What was handed on by the caller may still be one outside of the root.
    let real = rustix::process::getcwd(Vec::new()).at(PROCESS, "find the working directory", cwd)?;
    if !real.as_bytes().starts_with(b"/") {
        return Err(NativeError::new(PROCESS, "enter the working directory")
            .path(cwd)
            .detail("the working directory is outside of the root"));
    }
    Ok(true)
}

/// As far as that can be known before the container's user is assumed: that there is such a file, and that it is not one for nobody.
fn find_command(process: &PlannedProcess) -> Result<()> {
    let command = process.arguments[0].as_c_str();
    let files: Vec<CString> = match command.to_bytes().contains(&b'/') {
        true => vec![command.to_owned()],
        false => candidates(command, &process.environment).filter(|candidate| exists(candidate)).collect(),
    };
    let mut refused = explain(command, command, Errno::NOENT);
    for file in files {
        match rustix::fs::stat(&file) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_file() && stat.st_mode & 0o111 != 0 => return Ok(()),
            Ok(_) => refused = explain(command, &file, Errno::ACCESS),
            Err(errno) => refused = explain(command, &file, errno),
        }
    }
    Err(refused)
}

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// As execvp does, with the container's PATH. Returns only with the reason why not.
pub fn execute(arguments: &[CString], environment: &[CString]) -> NativeError {
    let command = arguments[0].as_c_str();
    if command.to_bytes().contains(&b'/') {
        let errno = sys::execve(command, arguments, environment);
        return explain(command, command, errno);
    }
    let mut refused: Option<NativeError> = None;
    for candidate in candidates(command, environment) {
        match sys::execve(&candidate, arguments, environment) {
            Errno::NOENT | Errno::NOTDIR if !exists(&candidate) => {}
            errno => {
                let error = explain(command, &candidate, errno);
                if errno != Errno::ACCESS {
                    return error;
                }
                refused.get_or_insert(error);
            }
        }
    }
    refused.unwrap_or_else(|| explain(command, command, Errno::NOENT))
}

/// Where the container's PATH says that a command may be.
fn candidates<'a>(command: &'a CStr, environment: &'a [CString]) -> impl Iterator<Item = CString> + 'a {
    let path = environment.iter().find_map(|entry| entry.to_bytes().strip_prefix(b"PATH=")).unwrap_or(DEFAULT_PATH.as_bytes());
    path.split(|byte| *byte == b':').filter_map(|directory| {
        // An empty part is the working directory; so said POSIX, and so do shells.
        let directory = if directory.is_empty() { b".".as_slice() } else { directory };
        CString::new([directory, b"/", command.to_bytes()].concat()).ok()
    })
}

fn exists(path: &CStr) -> bool {
    rustix::fs::accessat(CWD, path, Access::EXISTS, AtFlags::EACCESS).is_ok()
}

fn explain(command: &CStr, candidate: &CStr, errno: Errno) -> NativeError {
    let name = Path::new(OsStr::from_bytes(command.to_bytes()));
    let file = Path::new(OsStr::from_bytes(candidate.to_bytes()));
    let error =
        |code: &str, detail: String| NativeError { code: code.into(), ..NativeError::io("execute", errno) }.path(name).detail(detail);
    match errno {
        Errno::NOENT | Errno::NOTDIR if candidate.to_bytes().contains(&b'/') && exists(candidate) => error(
            NOT_FOUND,
            format!("{} cannot be executed: the interpreter that it names (#! line or ELF loader) is not in the container", file.display()),
        ),
        Errno::NOENT | Errno::NOTDIR if command.to_bytes().contains(&b'/') => {
            error(NOT_FOUND, format!("{} does not exist in the container", name.display()))
        }
        Errno::NOENT | Errno::NOTDIR => error(NOT_FOUND, format!("{} is not in the container's PATH", name.display())),
        Errno::ACCESS if file.is_dir() => {
            let detail = format!("{} is a directory", file.display());
            NativeError { code: NOT_EXECUTABLE.into(), ..NativeError::io("execute", Errno::ISDIR) }.path(name).detail(detail)
        }
        Errno::ACCESS => error(NOT_EXECUTABLE, format!("{} is not executable for the container's user", file.display())),
        Errno::TOOBIG => error(TOO_LONG, format!("cannot execute {}: its arguments and variables are too long", file.display())),
        Errno::NOEXEC => error(
            NOT_EXECUTABLE,
            format!("{} is neither a program for this machine's processor nor a script with a #! line", file.display()),
        ),
        _ => {
            let said = NativeError::io("execute", errno).detail;
            error(NOT_EXECUTABLE, format!("cannot execute {}: {said}", file.display()))
        }
    }
}
