//! What a container in a user namespace cannot do for itself, for it has lost the host's rights before it begins: done by the parent.
//! Sources of mounts are opened where its root may not go, ids of mounts mapped, limits raised, streams handed over.

use crate::error::{Context, NAMESPACE, PROCESS, Result};
use crate::mounts::{self, PlannedMount};
use crate::plan::{Namespaces, Plan, PlannedProcess};
use crate::user_namespace::{self, IdMaps};
use crate::{identity, seccomp_agent, sys};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit};
use std::path::Path;

/// Detached mounts, made before the container's first process, which inherits them.
#[derive(Default)]
pub struct Sources {
    /// In the places of the plan's mounts.
    binds: Vec<Option<OwnedFd>>,
    /// The host's /sys, for who may not mount one.
    pub sysfs: Option<HostSysfs>,
    /// Who is asked about system calls.
    pub agent: Option<OwnedFd>,
}

pub struct HostSysfs {
    pub mount: OwnedFd,
    /// With what is mounted below it: in a mount namespace that was copied for less rights nobody can take that away.
    pub is_whole: bool,
}

impl HostSysfs {
    fn open() -> Option<Self> {
        [false, true].into_iter().find_map(|is_whole| {
            let mount = mounts::detached_copy(CWD, Path::new("/sys"), is_whole).ok()?;
            Some(Self { mount, is_whole })
        })
    }
}

impl Sources {
    pub fn open(plan: &Plan) -> Result<Self> {
        let namespaces = &plan.namespaces;
        let agent = seccomp_agent::connect_to(plan.seccomp.as_ref())?;
        let has_user_namespace = namespaces.is_own(libc::CLONE_NEWUSER);
        let is_restricted = has_user_namespace || !user_namespace::is_initial();
        if !is_restricted && plan.mounts.iter().all(|mount| mount.options.idmap.is_none()) {
            return Ok(Self { agent, ..Self::default() });
        }
        let mut maps = MapNamespaces::of(namespaces);
        let binds = plan.mounts.iter().map(|mount| match mount.options.bind {
            Some(recursive) if !mount.options.is_remount && (has_user_namespace || mount.options.idmap.is_some()) => {
                source(mount, recursive, &mut maps)
            }
            _ => Ok(None),
        });
        let binds = binds.collect::<Result<_>>()?;
        let wants_sysfs = is_restricted && !namespaces.is_new(libc::CLONE_NEWNET) && plan.mounts.iter().any(|mount| mount.kind == "sysfs");
        let sysfs = if wants_sysfs { HostSysfs::open() } else { None };
        Ok(Self { binds, sysfs, agent })
    }

    /// What was opened for the mount at this place.
    pub fn bind(&self, place: usize) -> Option<&OwnedFd> {
        self.binds.get(place)?.as_ref()
    }
}

/// None: who has no rights on the host has no more than the container, which may try itself.
fn source(mount: &PlannedMount, recursive: bool, maps: &mut MapNamespaces) -> Result<Option<OwnedFd>> {
    let copy = match mounts::detached_copy(CWD, &mount.source, recursive) {
        Err(Errno::PERM) if mount.options.idmap.is_none() => return Ok(None),
        result => result.at(crate::error::MOUNT, "bind", &mount.source)?,
    };
    if let Some(idmap) = &mount.options.idmap {
        user_namespace::map_mount(&copy, maps.get(&idmap.maps)?, idmap.recursive, &mount.source)?;
    }
    Ok(Some(copy))
}

/// One namespace for all mounts with the same maps.
struct MapNamespaces<'a> {
    container: &'a Namespaces,
    made: Vec<(IdMaps, OwnedFd)>,
}

impl<'a> MapNamespaces<'a> {
    fn of(container: &'a Namespaces) -> Self {
        Self { container, made: Vec::new() }
    }

    /// Of no maps: those of the container.
    fn get(&mut self, maps: &IdMaps) -> Result<&OwnedFd> {
        let place = match self.made.iter().position(|(known, _)| known == maps) {
            Some(place) => place,
            None => {
                let joined = self.container.joined.iter().find(|(kind, _)| *kind == libc::CLONE_NEWUSER);
                let made = match joined {
                    Some((_, path)) if maps.is_empty() => user_namespace::open(path)?,
                    _ => user_namespace::make(if maps.is_empty() { &self.container.maps } else { maps })?,
                };
                self.made.push((maps.clone(), made));
                self.made.len() - 1
            }
        };
        Ok(&self.made[place].1)
    }
}

/// Before the fork: a pipe belongs to who it is for, so that /dev/stdout can be opened.
pub fn give_streams(namespaces: &Namespaces, process: &PlannedProcess) {
    if namespaces.is_own(libc::CLONE_NEWUSER)
        && let Some(uid) = namespaces.maps.host_uid(process.user.uid)
    {
        identity::give_streams(uid);
    }
}

/// After the fork, while the child waits: what only who has the host's rights may raise. What may not be raised stays (identity::set_rlimits).
pub fn raise_limits(child: Pid, namespaces: &Namespaces, process: &PlannedProcess) -> Result<()> {
    if !namespaces.is_own(libc::CLONE_NEWUSER) {
        return Ok(());
    }
    for (resource, wanted) in &process.rlimits {
        let _ = raise_limit(child, *resource, wanted);
    }
    match process.oom_score_adj {
        Some(score) => crate::init::set_oom_score(&child.as_raw_nonzero().to_string(), score),
        None => Ok(()),
    }
}

/// The hard limit alone: the child sets the rest when it has got ready under the limits of now.
fn raise_limit(child: Pid, resource: Resource, wanted: &Rlimit) -> rustix::io::Result<()> {
    let now = rustix::process::getrlimit(resource);
    let number = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    if number(wanted.maximum) > number(now.maximum) {
        rustix::process::prlimit(Some(child), resource, Rlimit { maximum: wanted.maximum, ..now })?;
    }
    Ok(())
}

/// While it lives this process is in the root, so that a child is there, whatever its user namespace may pass through.
pub struct EnteredRoot(Option<OwnedFd>);

impl EnteredRoot {
    pub fn enter(root: Option<&Path>) -> Result<Self> {
        let Some(root) = root else { return Ok(Self(None)) };
        let open = rustix::fs::open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let before = open.during(PROCESS, "open the working directory")?;
        rustix::process::chdir(root).at(crate::error::MOUNT, "open the root", root)?;
        Ok(Self(Some(before)))
    }
}

impl Drop for EnteredRoot {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = rustix::process::fchdir(before);
        }
    }
}

/// A process of the host's that enters what it can of the joined namespaces with the host's rights, then the user namespace, and leaves
/// a sibling in all of them: new ones belong to the user namespace. The kernel lets nobody back.
pub fn clone_through(namespaces: &Namespaces, flags: u64) -> Result<Option<(Pid, OwnedFd)>> {
    use crate::channel::{self, Message};
    let (parent, child) = channel::pair()?;
    match sys::clone(0).during(PROCESS, "start a process")? {
        sys::Clone::Child => {
            drop(parent);
            match enter_and_clone(namespaces, flags) {
                Ok(None) => return Ok(None),
                Ok(Some(pidfd)) => drop(child.send_terminal(&pidfd)),
                Err(error) => child.send_error(error),
            }
            sys::exit_now(0)
        }
        sys::Clone::Parent { pid, .. } => {
            drop(child);
            let said = parent.receive();
            let _ = rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()));
            match said? {
                Message::Terminal(pidfd) => Ok(Some((number_of(&pidfd)?, pidfd))),
                Message::Failed(error) => Err(error),
                _ => Err(crate::error::NativeError::new(PROCESS, "start a process").detail("it ended before it had started the container")),
            }
        }
    }
}

fn enter_and_clone(namespaces: &Namespaces, flags: u64) -> Result<Option<OwnedFd>> {
    for (kind, namespace) in namespaces.open_joined()? {
        // One that belongs to the user namespace can only be entered from there: the container will.
        let entered = sys::set_namespace(namespace.as_fd(), kind);
        if kind == libc::CLONE_NEWUSER {
            entered.during(crate::error::NAMESPACE, "enter the user namespace")?;
            user_namespace::become_root()?;
        }
    }
    enter_pid_namespace(namespaces)?;
    sys::clone_sibling(flags).map_err(crate::container::explain_clone)
}

/// Unless it was entered before.
fn enter_pid_namespace(namespaces: &Namespaces) -> Result<()> {
    let Some((kind, path)) = namespaces.joined.iter().find(|(kind, _)| *kind == libc::CLONE_NEWPID) else { return Ok(()) };
    let identity = |path: &Path| rustix::fs::stat(path).map(|stat| (stat.st_dev, stat.st_ino)).at(NAMESPACE, "look at", path);
    if identity(path)? == identity(Path::new("/proc/self/ns/pid_for_children"))? {
        return Ok(());
    }
    let namespace =
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(NAMESPACE, "open the pid namespace", path)?;
    sys::set_namespace(namespace.as_fd(), *kind).at(NAMESPACE, "enter the pid namespace", path)
}

fn number_of(pidfd: &OwnedFd) -> Result<Pid> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = std::fs::read_to_string(&path).at(PROCESS, "read", &path)?;
    let number = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    number
        .and_then(Pid::from_raw)
        .ok_or_else(|| crate::error::NativeError::new(PROCESS, "read").path(&path).detail("the container has ended"))
}
