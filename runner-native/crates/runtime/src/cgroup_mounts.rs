//! A mount of type `cgroup`, which is no file system type: version 2's tree, or a tmpfs with a mount for each controller of version 1, of which
//! the container's own cgroup is all that shows. Assumes that this process is in it, and has entered the cgroup namespace, if there is one.

use crate::cgroups;
use crate::error::{Context, MOUNT, Result};
use crate::inside_root::{self, Kind};
use crate::mounts::{self, PlannedMount};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat, statfs, symlinkat};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen};
use std::path::Path;

const HOST: &str = "/sys/fs/cgroup";
pub const CGROUP2_MAGIC: u64 = 0x6367_7270;

pub fn mount(root: &OwnedFd, mount: &PlannedMount) -> Result<()> {
    let target = mounts::target(root, mount, Kind::Directory)?;
    let made = if is_unified() { version_2() } else { version_1() };
    let made = made.at(MOUNT, "mount cgroups at", &mount.destination)?;
    // Version 1's hierarchies are mounts below: they are read-only with it.
    mounts::place((&made, &target), mount, true, MountAttrFlags::empty())
}

fn is_unified() -> bool {
    statfs(HOST).is_ok_and(|at| at.f_type as u64 == CGROUP2_MAGIC)
}

fn version_2() -> rustix::io::Result<OwnedFd> {
    mounts::detached("cgroup2", "cgroup", &[], MountAttrFlags::empty()).or_else(|errno| seen_on_the_host("", errno))
}

/// Who is in a user namespace and in the host's cgroup namespace may mount none: he gets what the host shows of his own cgroup.
fn seen_on_the_host(controller: &str, errno: Errno) -> rustix::io::Result<OwnedFd> {
    match cgroups::own_directory(controller) {
        Some(directory) if errno == Errno::PERM => mounts::detached_copy(CWD, &directory, false),
        _ => Err(errno),
    }
}

fn version_1() -> rustix::io::Result<OwnedFd> {
    let cgroups = std::fs::read_to_string("/proc/self/cgroup").map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let tmpfs = mounts::detached("tmpfs", "cgroup", &[("mode", "755"), ("size", "64k")], MountAttrFlags::MOUNT_ATTR_NODEV)?;
    mounts::while_attached(&tmpfs, || {
        for line in cgroups.lines() {
            // number:controllers:path; version 2's has no controllers
            let mut parts = line.splitn(3, ':').skip(1);
            match (parts.next(), parts.next()) {
                (None | Some(""), _) | (_, None) => {}
                (Some(controllers), Some(path)) => hierarchy(&tmpfs, controllers, Path::new(path))?,
            }
        }
        mounts::detached_copy(&tmpfs, Path::new(""), true)
    })
}

/// One hierarchy, with a link for each of several controllers: `cpu -> cpu,cpuacct`. `path`: the cgroup, `/` in a namespace of its own.
fn hierarchy(tmpfs: &OwnedFd, controllers: &str, path: &Path) -> rustix::io::Result<()> {
    let name = controllers.strip_prefix("name=").unwrap_or(controllers);
    mkdirat(tmpfs, name, Mode::from_raw_mode(0o755))?;
    let first = controllers.split(',').next().unwrap_or_default();
    let made = own_hierarchy(controllers, path).or_else(|errno| seen_on_the_host(first, errno))?;
    let target = openat(tmpfs, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    mounts::attach(made, target)?;
    if name.contains(',') {
        name.split(',').try_for_each(|controller| symlinkat(name, tmpfs, controller))?;
    }
    Ok(())
}

fn own_hierarchy(controllers: &str, path: &Path) -> rustix::io::Result<OwnedFd> {
    let context = fsopen("cgroup", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "cgroup")?;
    match controllers.strip_prefix("name=") {
        Some(name) => {
            fsconfig_set_flag(&context, "none")?;
            fsconfig_set_string(&context, "name", name)?;
        }
        None => controllers.split(',').try_for_each(|controller| fsconfig_set_flag(&context, controller))?,
    }
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let whole = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    match inside_root::relative(path) {
        own if own.as_os_str().is_empty() => Ok(whole),
        own => mounts::while_attached(&whole, || mounts::detached_copy(&whole, own, false)),
    }
}
