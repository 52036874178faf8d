//! Keeps a container from writing to this very program. Its first process is a fork of ours until it executes the command, and an image
//! whose command is (or is interpreted by) /proc/self/exe would open our file for writing (CVE-2019-5736). So we execute ourselves once
//! more from a read-only mount of our own file, which is what /proc/self/exe then names.

use crate::container::explain_clone;
use crate::error::{Context, PROCESS, Result};
use crate::{mount_attributes, mounts, sys};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, fcntl_get_seals, fstatvfs, memfd_create, open};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Returns when it is done, in the second execution.
pub fn protect() -> Result<()> {
    let own = open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).at(PROCESS, "open", "/proc/self/exe")?;
    if fstatvfs(&own).is_ok_and(|at| at.f_flag.contains(StatVfsMountFlags::RDONLY)) || is_sealed() {
        return Ok(());
    }
    if !mount_attributes::can_be_first() {
        return execute_again(&sealed_copy().at(PROCESS, "copy", "/proc/self/exe")?);
    }
    let copy = match mounts::detached_copy(&own, Path::new(""), false) {
        Err(Errno::PERM) => return execute_again(&sealed_copy().at(PROCESS, "copy", "/proc/self/exe")?),
        // A copy of a mount takes what a mount namespace takes, and asking for one says more exactly what is in the way (a limit, say).
        copy => copy.map_err(|errno| explain_clone(sys::unshare(libc::CLONE_NEWNS).err().unwrap_or(errno)))?,
    };
    mounts::set_attributes(&copy, MountAttrFlags::MOUNT_ATTR_RDONLY, false).at(PROCESS, "make read-only", "/proc/self/exe")?;
    execute_again(&copy)
}

fn execute_again(copy: &OwnedFd) -> Result<()> {
    let arguments = std::env::args_os().map(|argument| CString::new(argument.into_vec()).unwrap_or_default());
    Err(sys::execute_again(copy.as_fd(), &arguments.collect::<Vec<_>>())).at(PROCESS, "execute", "/proc/self/exe")
}

const SEALS: SealFlags = SealFlags::SEAL.union(SealFlags::WRITE).union(SealFlags::GROW).union(SealFlags::SHRINK);

/// Who may mount nothing, or cannot change a mount that is attached nowhere (before Linux 5.12), takes a copy in memory that nobody can write
/// to any more (runc: libcontainer/dmz).
fn sealed_copy() -> std::io::Result<OwnedFd> {
    let memory = memfd_create("tbuild-runner", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut copy = File::from(memory);
    std::io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
    fcntl_add_seals(&copy, SEALS)?;
    Ok(copy.into())
}

fn is_sealed() -> bool {
    File::open("/proc/self/exe").is_ok_and(|own| fcntl_get_seals(own).is_ok_and(|seals| seals.contains(SEALS)))
}
