//! The container's /dev as the runtime-spec describes it: default devices, those of config.json, and the usual links.
//! Default nodes are bind mounts of the host's, so that the /dev they are in can be nodev. Runs before pivot_root.

use crate::error::{Context, MOUNT, NativeError, Result, invalid};
use crate::inside_root::{self, Kind};
use crate::mounts::{self, PlannedMount};
use crate::spec::Device;
use rustix::fd::OwnedFd;
use rustix::fs::{self, AtFlags, CWD, FileType, Gid, Mode, Uid};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use std::path::Path;

const DEFAULT: [&str; 6] = ["dev/null", "dev/zero", "dev/full", "dev/random", "dev/urandom", "dev/tty"];
const LINKS: [(&str, &str); 4] =
    [("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")];

/// A container that has the host's /dev bound over its own gets nothing (runc: needsSetupDev).
pub fn are_wanted(mounts: &[PlannedMount]) -> bool {
    !mounts.iter().any(|mount| mount.options.bind.is_some() && is_dev(&mount.destination))
}

pub fn is_dev(destination: &Path) -> bool {
    destination.components().eq(Path::new("/dev").components())
}

/// `can_make`: nodes can be made; in a user namespace the host's are all there is.
pub fn set_up(root: &OwnedFd, devices: &[Device], can_make: bool) -> Result<()> {
    let dev = inside_root::open_or_make(root, Path::new("dev"), Kind::Directory, &mut |_, _| {})?;
    for path in DEFAULT {
        if !devices.iter().any(|device| inside_root::relative(&device.path) == Path::new(path)) {
            let copy = mounts::detached_copy(CWD, &Path::new("/").join(path), false).at(MOUNT, "bind", Path::new("/").join(path))?;
            place(root, Path::new(path), copy, None)?;
        }
    }
    for device in devices {
        place(root, inside_root::relative(&device.path), node(device, can_make)?, Some(device))?;
    }
    for (name, target) in LINKS {
        link(&dev, name, target)?;
    }
    let _ = fs::unlinkat(&dev, "ptmx", AtFlags::empty()); // a file that the image has there
    link(&dev, "ptmx", "pts/ptmx")
}

fn link(dev: &OwnedFd, name: &str, target: &str) -> Result<()> {
    match fs::symlinkat(target, dev, name) {
        Err(Errno::EXIST) => Ok(()),
        result => result.at(MOUNT, "make the link", Path::new("/dev").join(name)),
    }
}

/// `wanted`: what may be there already; something else is an error (runtime-spec, config-linux.md: Devices), but for an empty file to mount on.
fn place(root: &OwnedFd, path: &Path, node: OwnedFd, wanted: Option<&Device>) -> Result<()> {
    let target = inside_root::open_or_make(root, path, Kind::File, &mut |_, _| {})?;
    if let Some(device) = wanted {
        let stat = fs::statat(&target, c"", AtFlags::EMPTY_PATH).at(MOUNT, "look at", &device.path)?;
        let is_mount_point = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size == 0;
        if !is_mount_point && !is_same(&target, device, false)? {
            let detail = format!("{} is in the image already, and not the device that linux.devices asks for", device.path.display());
            return Err(NativeError::new(MOUNT, "make the device").path(&device.path).detail(detail));
        }
    }
    mounts::attach(node, target).at(MOUNT, "mount the device", path)
}

/// A device of config.json: the host's node where it is the same in everything that is asked for, else a new one.
fn node(device: &Device, can_make: bool) -> Result<OwnedFd> {
    match mounts::detached_copy(CWD, &device.path, false) {
        Ok(host) if is_same(&host, device, can_make)? => Ok(host),
        Err(errno) if !can_make => Err(errno).at(MOUNT, "bind the host's device", &device.path),
        Ok(_) if !can_make => {
            let detail =
                format!("{} is another device on the host: in a user namespace only the host's own can be had", device.path.display());
            Err(NativeError::new(MOUNT, "bind the device").path(&device.path).detail(detail))
        }
        _ => make(device).at(MOUNT, "make the device", &device.path),
    }
}

/// `in_full`: with its mode and owner, which otherwise stay those of the host.
fn is_same(host: &OwnedFd, device: &Device, in_full: bool) -> Result<bool> {
    let stat = fs::statat(host, c"", AtFlags::EMPTY_PATH).at(MOUNT, "look at", &device.path)?;
    let numbers = i64::from(fs::major(stat.st_rdev)) == device.major && i64::from(fs::minor(stat.st_rdev)) == device.minor;
    let is_same_device = FileType::from_raw_mode(stat.st_mode) == file_type(device)? && (numbers || device.kind == "p");
    if !in_full {
        return Ok(is_same_device);
    }
    Ok(is_same_device
        && device.file_mode.is_none_or(|mode| mode & 0o7777 == stat.st_mode & 0o7777)
        && device.uid.is_none_or(|uid| uid == stat.st_uid)
        && device.gid.is_none_or(|gid| gid == stat.st_gid))
}

pub fn file_type(device: &Device) -> Result<FileType> {
    match device.kind.as_str() {
        "c" | "u" => Ok(FileType::CharacterDevice),
        "b" => Ok(FileType::BlockDevice),
        "p" => Ok(FileType::Fifo),
        other => Err(invalid("linux.devices", format!("unknown type {other:?} of {}", device.path.display()))),
    }
}

/// Made in a tmpfs of its own, which nobody sees and whose mount allows devices.
fn make(device: &Device) -> rustix::io::Result<OwnedFd> {
    let place = mounts::detached("tmpfs", "device", &[("mode", "700"), ("size", "4k")], MountAttrFlags::empty())?;
    let mode = Mode::from_raw_mode(device.file_mode.unwrap_or(0o666) & 0o7777);
    let file_type = file_type(device).map_err(|_| Errno::INVAL)?;
    fs::mknodat(&place, "node", file_type, mode, fs::makedev(device.major as u32, device.minor as u32))?;
    let (uid, gid) = (Uid::from_raw(device.uid.unwrap_or(0)), Gid::from_raw(device.gid.unwrap_or(0)));
    fs::chownat(&place, "node", Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    fs::chmodat(&place, "node", mode, AtFlags::empty())?;
    mounts::while_attached(&place, || mounts::detached_copy(&place, Path::new("node"), false))
}
