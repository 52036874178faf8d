//! The container's first process, from the moment it exists until it is the command. Single-threaded, in the container's new namespaces,
//! with the bundle as working directory; tells its parent by the channel what went wrong.

use crate::channel::Child;
use crate::error::{Context, MOUNT, NAMESPACE, NOT_EXECUTABLE, NOT_FOUND, NativeError, PROCESS, Result, TOO_LONG, WORKDIR};
use crate::identity;
use crate::inside_root::{self, Kind};
use crate::plan::Plan;
use crate::streams::Streams;
use crate::{devices, mounts, sys, terminal};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Returns only when it failed.
pub fn main(plan: &Plan, channel: Child, streams: Streams) -> i32 {
    let Err(error) = become_command(plan, &channel, streams);
    channel.send_error(error);
    1
}

fn become_command(plan: &Plan, channel: &Child, streams: Streams) -> Result<Infallible> {
    die_with_parent(channel)?;
    // Nobody in a joined pid namespace may trace or open what we still hold.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).during(PROCESS, "protect the process")?;
    rustix::process::setsid().during(PROCESS, "start a session")?;
    match sys::join_new_session_keyring() {
        Ok(()) | Err(Errno::NOSYS | Errno::PERM | Errno::DQUOT) => {}
        result => return result.during(PROCESS, "make a keyring").map(|()| unreachable!()),
    }
    enter_namespaces(plan)?;
    write_sysctls(plan)?;
    let slave = set_up_root(plan, channel)?;
    if let Some(score) = plan.process.oom_score_adj {
        set_oom_score(score)?;
    }
    identity::set_rlimits(&plan.process);
    change_root(plan)?;
    match slave {
        Some(slave) => terminal::take(slave)?,
        None => {
            streams.take()?;
            identity::give_streams(plan.process.user.uid);
        }
    }
    let has_entered = enter_cwd(&plan.process.cwd, false)?;
    if let Some(personality) = plan.personality {
        sys::set_personality(personality).during(PROCESS, "set the personality")?;
    }
    channel.wait_for_go()?; // so late that it was given long ago
    identity::assume(&plan.process, plan.seccomp.as_ref())?;
    if !has_entered {
        enter_cwd(&plan.process.cwd, true)?;
    }
    die_with_parent(channel)?; // a change of user forgets it
    sys::close_on_exec_from(3).during(PROCESS, "close descriptors")?;
    sys::reset_signals().during(PROCESS, "reset signals")?;
    if plan.process.no_new_privileges
        && let Some(filter) = &plan.seccomp
    {
        identity::set_filter(filter)?; // the later, the fewer of our own calls it must allow
    }
    Err(execute(&plan.process.arguments, &plan.process.environment))
}

/// PDEATHSIG tells only of a death after it was set: so the parent is looked for, too.
fn die_with_parent(channel: &Child) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).during(PROCESS, "tie the process to its parent")?;
    if channel.parent_is_gone() { sys::exit_now(1) } else { Ok(()) }
}

fn enter_namespaces(plan: &Plan) -> Result<()> {
    for (kind, path) in plan.namespaces.joined.iter().filter(|(kind, _)| *kind != libc::CLONE_NEWPID) {
        let namespace =
            rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(NAMESPACE, "open the namespace", path)?;
        sys::set_namespace(namespace.as_fd(), *kind).at(NAMESPACE, "enter the namespace", path)?;
    }
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

/// By the host's /proc, which the image cannot have touched; what these files say is about the namespaces we are in.
fn write_sysctls(plan: &Plan) -> Result<()> {
    plan.sysctls.iter().try_for_each(|(path, value)| std::fs::write(path, value).at(NAMESPACE, "set", path))
}

fn set_oom_score(score: i32) -> Result<()> {
    match std::fs::write("/proc/self/oom_score_adj", score.to_string()) {
        // Lowering it needs CAP_SYS_RESOURCE, which containers that tbuild itself runs in often lack.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        result => result.at(PROCESS, "write", "/proc/self/oom_score_adj"),
    }
}

/// Everything inside the root while the host's tree can still be reached. Returns the terminal, if one is wanted.
fn set_up_root(plan: &Plan, channel: &Child) -> Result<Option<OwnedFd>> {
    if !plan.namespaces.is_new(libc::CLONE_NEWNS) {
        return Ok(None);
    }
    let root = mounts::open_root(&plan.root, plan.propagation)?;
    mounts::mount_all(&root, &plan.mounts)?;
    if devices::are_wanted(&plan.mounts) {
        devices::set_up(&root, &plan.devices)?;
    }
    let slave = match plan.process.terminal {
        false => None,
        true => {
            let pty = terminal::make(&root, plan.process.console_size.as_ref(), plan.process.user.uid)?;
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

fn change_root(plan: &Plan) -> Result<()> {
    if !plan.namespaces.is_new(libc::CLONE_NEWNS) {
        rustix::process::chroot(&plan.root).at(MOUNT, "change the root to", &plan.root)?;
        return rustix::process::chdir("/").during(MOUNT, "enter the root");
    }
    mounts::pivot()?;
    match plan.propagation {
        Some((propagation, recursive)) => {
            mounts::set_propagation(CWD, Path::new("/"), propagation, recursive).during(MOUNT, "set the propagation of /")
        }
        None => Ok(()),
    }
}

/// False when only the container's user may enter it (a network file system that trusts no root).
fn enter_cwd(cwd: &Path, is_last_try: bool) -> Result<bool> {
    match rustix::process::chdir(cwd) {
        Err(Errno::ACCESS) if !is_last_try => return Ok(false),
        Err(Errno::NOTDIR) => {
            let detail = format!("the working directory {} is no directory in the container", cwd.display());
            return Err(NativeError::new(WORKDIR, "enter the working directory").path(cwd).detail(detail));
        }
        result => result.at(WORKDIR, "enter the working directory", cwd)?,
    }
    // A working directory outside of the root would be a way out (CVE-2024-21626).
    let real = rustix::process::getcwd(Vec::new()).at(PROCESS, "find the working directory", cwd)?;
    if !real.as_bytes().starts_with(b"/") {
        return Err(NativeError::new(PROCESS, "enter the working directory")
            .path(cwd)
            .detail("the working directory is outside of the root"));
    }
    Ok(true)
}

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// As execvp does, with the container's PATH. Returns only with the reason why not.
fn execute(arguments: &[CString], environment: &[CString]) -> NativeError {
    let command = arguments[0].as_c_str();
    if command.to_bytes().contains(&b'/') {
        let errno = sys::execve(command, arguments, environment);
        return explain(command, command, errno);
    }
    let path = environment.iter().find_map(|entry| entry.to_bytes().strip_prefix(b"PATH=")).unwrap_or(DEFAULT_PATH.as_bytes());
    let mut refused: Option<NativeError> = None;
    for directory in path.split(|byte| *byte == b':') {
        // An empty part is the working directory; so said POSIX, and so do shells.
        let directory = if directory.is_empty() { b".".as_slice() } else { directory };
        let Ok(candidate) = CString::new([directory, b"/", command.to_bytes()].concat()) else { continue };
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
