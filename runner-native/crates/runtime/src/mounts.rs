//! Mounts inside a container's root, by the kernel's descriptor-based mount API: every mount is made detached, gets its attributes, and
//! is then moved to a target that was opened below the root. Runs in the container's own mount namespace, before pivot_root.

use crate::error::{Context, MOUNT, NativeError, Result};
use crate::from_outside::{HostSysfs, Sources};
use crate::inside_root::{self, Kind};
use crate::mount_attributes;
use crate::mount_options::MountOptions;
use crate::sys::MountAttributes;
use crate::tmpfs_copy;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};
use rustix::mount::{fsconfig_create, fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, fspick};
use rustix::mount::{move_mount, open_tree, unmount};
use std::path::{Path, PathBuf};

pub struct PlannedMount {
    pub destination: PathBuf,
    pub kind: String,
    pub source: PathBuf,
    pub options: MountOptions,
}

/// A new file system that is mounted nowhere yet.
pub fn detached(kind: &str, source: &str, values: &[(&str, &str)], attributes: MountAttrFlags) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", source)?;
    for (key, value) in values {
        fsconfig_set_string(context.as_fd(), *key, *value)?;
    }
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// A copy of what is visible at a path, mounted nowhere yet.
pub fn detached_copy(directory: impl AsFd, path: &Path, recursive: bool) -> rustix::io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(directory, path, flags)
}

pub fn attach(mount: impl AsFd, target: impl AsFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", target, "", flags)
}

pub fn attach_at(mount: impl AsFd, target: &Path) -> rustix::io::Result<()> {
    move_mount(mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Some things cannot be done to a detached mount before Linux 6.15. For the time of `work` it lies over the working directory, where
/// nobody sees it: relative paths start below.
pub fn while_attached<T>(mount: &OwnedFd, work: impl FnOnce() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    attach_at(mount, Path::new("."))?;
    let done = work();
    unmount(format!("/proc/self/fd/{}", mount.as_raw_fd()), UnmountFlags::DETACH)?;
    done
}

pub fn set_attributes(mount: impl AsFd, set: MountAttrFlags, recursive: bool) -> rustix::io::Result<()> {
    let attributes = MountAttributes { set: set.bits().into(), ..Default::default() };
    mount_attributes::change(mount, recursive, attributes)
}

/// `guards_devices`: a devices cgroup says what may be opened, so that nodes in /dev may be of use.
pub fn mount_all(root: &OwnedFd, mounts: &[PlannedMount], sources: &Sources, guards_devices: bool) -> Result<()> {
    mounts.iter().enumerate().try_for_each(|(place, mount)| match (mount.options.bind, mount.kind.as_str()) {
        _ if mount.options.is_remount => remount(root, mount),
        (Some(recursive), _) => bind(root, mount, recursive, sources.bind(place)),
        (None, "cgroup") => crate::cgroup_mounts::mount(root, mount),
        (None, _) => file_system(root, mount, sources, guards_devices),
    })
}

fn bind(root: &OwnedFd, mount: &PlannedMount, recursive: bool, opened: Option<&OwnedFd>) -> Result<()> {
    let copy = match opened {
        Some(opened) => opened.try_clone().during(MOUNT, "copy a descriptor")?,
        None => detached_copy(CWD, &mount.source, recursive).at(MOUNT, "bind", &mount.source)?,
    };
    let kind = inside_root::kind_of(&copy).at(MOUNT, "bind", &mount.source)?;
    let target = target(root, mount, kind)?;
    place((&copy, &target), mount, false, MountAttrFlags::empty()).map_err(|error| explain_mismatch(error, kind))
}

fn explain_mismatch(error: NativeError, kind: Kind) -> NativeError {
    if error.errno.as_deref() != Some("ENOTDIR") {
        return error;
    }
    let what = if kind == Kind::File { "a file cannot be mounted on a directory" } else { "a directory cannot be mounted on a file" };
    let detail = format!("{}: {what}", error.detail);
    error.detail(detail)
}

fn file_system(root: &OwnedFd, mount: &PlannedMount, sources: &Sources, guards_devices: bool) -> Result<()> {
    let (target, is_new) = target_or_new(root, mount, Kind::Directory)?;
    let mode = if is_new { None } else { mode_to_keep(mount, &target).at(MOUNT, "look at", &mount.destination)? };
    let made = match (new_file_system(mount, mode.as_deref()), &sources.sysfs) {
        // It belongs to the network namespace: who has the host's network may only look at the host's.
        (Err(Errno::PERM), Some(host)) if mount.kind == "sysfs" => return host_sysfs(root, mount, &target, host),
        (made, _) => made.at(MOUNT, &format!("mount {} at", mount.kind), &mount.destination)?,
    };
    if mount.options.copies_up {
        let has_mode = mount.options.values.iter().any(|(key, _)| key == "mode");
        tmpfs_copy::copy_up(&target, &made, has_mode).at(MOUNT, "copy what a tmpfs covers at", &mount.destination)?;
    }
    // A container that may mknod must not reach the host's devices by it. Our own nodes are mounts: they work all the same.
    let is_dev = mount.kind == "tmpfs" && crate::devices::is_dev(&mount.destination);
    let besides = if is_dev && !guards_devices { MountAttrFlags::MOUNT_ATTR_NODEV } else { MountAttrFlags::empty() };
    place((&made, &target), mount, false, besides)
}

/// Options of the mount are the mount's alone; the file system, which may be the host's, gets what is meant for it.
fn remount(root: &OwnedFd, mount: &PlannedMount) -> Result<()> {
    let target = inside_root::open(root, inside_root::relative(&mount.destination), OFlags::PATH);
    let target = target.at(MOUNT, "remount", &mount.destination)?;
    if !(mount.options.flags.is_empty() && mount.options.values.is_empty()) {
        let reconfigure = || {
            let context = fspick(&target, "", FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH)?;
            set_options(&context, &mount.options, |_| true)?;
            fsconfig_reconfigure(&context)
        };
        reconfigure().at(MOUNT, "remount", &mount.destination)?;
    }
    finish(&target, mount, false)
}

fn host_sysfs(root: &OwnedFd, mount: &PlannedMount, target: &OwnedFd, host: &HostSysfs) -> Result<()> {
    place((&host.mount, target), mount, host.is_whole, MountAttrFlags::MOUNT_ATTR_RDONLY)?;
    match host.is_whole {
        true => mask(root, &[mount.destination.join("fs/cgroup")]),
        false => Ok(()),
    }
}

fn set_options(context: &OwnedFd, options: &MountOptions, takes: impl Fn(&str) -> bool) -> rustix::io::Result<()> {
    options.flags.iter().try_for_each(|flag| fsconfig_set_flag(context, flag.as_str()))?;
    let mut values = options.values.iter().filter(|(key, _)| takes(key));
    values.try_for_each(|(key, value)| fsconfig_set_string(context, key.as_str(), value.as_str()))
}

/// A tmpfs that says nothing of its mode has that of the directory which it covers (runc): nobody expects /root to be open to all.
fn mode_to_keep(mount: &PlannedMount, target: &OwnedFd) -> rustix::io::Result<Option<String>> {
    if mount.kind != "tmpfs" || mount.options.values.iter().any(|(key, _)| key == "mode") {
        return Ok(None);
    }
    rustix::fs::statat(target, c"", AtFlags::EMPTY_PATH).map(|stat| Some(format!("{:o}", stat.st_mode & 0o7777)))
}

fn new_file_system(mount: &PlannedMount, mode: Option<&str>) -> rustix::io::Result<OwnedFd> {
    match try_file_system(mount, mode, |_| true) {
        // The group of terminals, 5 by custom, is nobody in a user namespace of one id (crun: do_mount).
        Err(Errno::INVAL) if mount.kind == "devpts" => try_file_system(mount, mode, |key| key != "gid"),
        made => made,
    }
}

fn try_file_system(mount: &PlannedMount, mode: Option<&str>, takes: impl Fn(&str) -> bool) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(mount.kind.as_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", &mount.source)?;
    set_options(&context, &mount.options, takes)?;
    mode.map_or(Ok(()), |mode| fsconfig_set_string(context.as_fd(), "mode", mode))?;
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// Attaches a mount to its target with its attributes and its propagation; `besides` are attributes that it has whatever it asks for; `is_one`
/// when what is mounted below is part of the same thing.
pub fn place((made, target): (&OwnedFd, &OwnedFd), mount: &PlannedMount, is_one: bool, besides: MountAttrFlags) -> Result<()> {
    let attach = || attach(made, target).at(MOUNT, "mount", &mount.destination);
    let change = || {
        finish(made, mount, is_one)?;
        match besides.is_empty() {
            true => Ok(()),
            false => set_attributes(made, besides, is_one).at(MOUNT, "set the mount options of", &mount.destination),
        }
    };
    if mount_attributes::can_be_first() {
        change()?;
        attach()
    } else {
        attach()?;
        change()
    }
}

fn finish(made: &OwnedFd, mount: &PlannedMount, is_one: bool) -> Result<()> {
    let options = &mount.options;
    for (attributes, recursive) in [(options.attributes, is_one), (options.recursive_attributes, true)] {
        if attributes != MountAttributes::default() {
            mount_attributes::change(made, recursive, attributes).at(MOUNT, "set the mount options of", &mount.destination)?;
        }
    }
    if let Some((propagation, recursive)) = options.propagation {
        mount_attributes::propagate(made, Path::new(""), propagation, recursive).at(MOUNT, "set the propagation of", &mount.destination)?;
    }
    Ok(())
}

/// proc and sysfs go to a real directory only: through a link, an image could put them where masked paths do not reach (CVE-2019-19921).
pub fn target(root: &OwnedFd, mount: &PlannedMount, kind: Kind) -> Result<OwnedFd> {
    target_or_new(root, mount, kind).map(|(target, _)| target)
}

/// True: it was not there before.
fn target_or_new(root: &OwnedFd, mount: &PlannedMount, kind: Kind) -> Result<(OwnedFd, bool)> {
    let path = inside_root::relative(&mount.destination);
    if matches!(mount.kind.as_str(), "proc" | "sysfs") {
        match inside_root::open_without_links(root, path, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::LOOP) => {
                let what = format!("{} in the image is a symbolic link: {} is not mounted there", mount.destination.display(), mount.kind);
                return Err(NativeError::new(MOUNT, "mount").path(&mount.destination).detail(what));
            }
            Err(Errno::NOENT) => {}
            result => return result.at(MOUNT, "open the mount point", &mount.destination).map(|target| (target, false)),
        }
    }
    let mut is_new = false;
    let target = inside_root::open_or_make(root, path, kind, &mut |_, _| is_new = true)?;
    Ok((target, is_new))
}

/// Hides what must not be read: a file behind the null device, a directory behind an empty one.
pub fn mask(root: &OwnedFd, paths: &[PathBuf]) -> Result<()> {
    for path in paths {
        let target = match inside_root::open(root, inside_root::relative(path), OFlags::PATH) {
            Ok(target) => target,
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            Err(errno) => return Err(errno).at(MOUNT, "mask", path),
        };
        let cover = match inside_root::kind_of(&target).at(MOUNT, "mask", path)? {
            Kind::File => detached_copy(CWD, Path::new("/dev/null"), false),
            Kind::Directory => empty_directory(),
        };
        attach(cover.at(MOUNT, "mask", path)?, target).at(MOUNT, "mask", path)?;
    }
    Ok(())
}

fn empty_directory() -> rustix::io::Result<OwnedFd> {
    let values = [("size", "0"), ("nr_inodes", "2"), ("mode", "755")];
    detached("tmpfs", "tmpfs", &values, MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV)
}

pub fn make_read_only(root: &OwnedFd, paths: &[PathBuf]) -> Result<()> {
    for path in paths {
        let path_in_root = inside_root::relative(path);
        let target = match inside_root::open(root, path_in_root, OFlags::PATH) {
            Ok(target) => target,
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            Err(errno) => return Err(errno).at(MOUNT, "make read-only", path),
        };
        let made = || {
            let copy = detached_copy(&target, Path::new(""), true)?;
            let change = || set_attributes(&copy, MountAttrFlags::MOUNT_ATTR_RDONLY, false);
            if mount_attributes::can_be_first() {
                change()?;
                attach(&copy, &target)
            } else {
                attach(&copy, &target)?;
                change()
            }
        };
        made().at(MOUNT, "make read-only", path)?;
    }
    Ok(())
}

/// Puts the root on a mount of its own, as pivot_root wants it, and returns that.
pub fn open_root(path: &Path, propagation: Option<(MountPropagationFlags, bool)>) -> Result<OwnedFd> {
    // As runc: changes below "/" reach the host only when config.json asks for it.
    let (kind, recursive) = match propagation {
        // What may not be bound could not be copied either: it becomes so at the end (init::change_root).
        Some((MountPropagationFlags::UNBINDABLE, recursive)) => (MountPropagationFlags::PRIVATE, recursive),
        Some(wanted) => wanted,
        None => (MountPropagationFlags::DOWNSTREAM, true),
    };
    mount_attributes::propagate(CWD, Path::new("/"), kind, recursive).during(MOUNT, "set the propagation of /")?;
    if kind == MountPropagationFlags::SHARED || !recursive {
        make_parent_private(path)?;
    }
    let copy = detached_copy(CWD, path, true).at(MOUNT, "open the root", path)?;
    attach_at(&copy, path).at(MOUNT, "mount the root on itself", path)?;
    Ok(copy)
}

/// pivot_root refuses a root whose parent mount is shared; only the mount point itself, not a path on it, can be changed.
fn make_parent_private(path: &Path) -> Result<()> {
    let absolute = std::path::absolute(path).at(MOUNT, "resolve", path)?;
    for ancestor in absolute.ancestors() {
        match mount_attributes::propagate(CWD, ancestor, MountPropagationFlags::PRIVATE, false) {
            Err(Errno::INVAL) => {}
            result => return result.at(MOUNT, "make private the mount of", path),
        }
    }
    Ok(())
}

/// Where the root file system is the kernel's first, which cannot be pivoted: the working directory's mount comes to lie over it.
pub fn move_to_root() -> Result<()> {
    let moved = || {
        move_mount(CWD, ".", CWD, "/", MoveMountFlags::empty())?;
        rustix::process::chroot(".")?;
        rustix::process::chdir("/")
    };
    moved().during(MOUNT, "change the root")
}

/// Makes the working directory `/`, and the host's tree unreachable.
pub fn pivot() -> Result<()> {
    let pivoted = || {
        let old = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        // With "." twice the old root ends up on top of the new one (pivot_root(2)), which "." still is: with it the container's mounts would be meant.
        rustix::process::pivot_root(".", ".")?;
        rustix::process::fchdir(&old)?;
        // Where config.json shares the root, the host's own would go with these mounts.
        mount_attributes::propagate(CWD, Path::new("."), MountPropagationFlags::DOWNSTREAM, true)?;
        unmount(".", UnmountFlags::DETACH)?;
        rustix::process::chdir("/")
    };
    pivoted().during(MOUNT, "change the root")
}
