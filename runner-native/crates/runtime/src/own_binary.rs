//! Keeps a container from writing to this very program. Its first process is a fork of ours until it executes the command, and an image
//! whose command is (or is interpreted by) /proc/self/exe would open our file for writing (CVE-2019-5736). So we execute ourselves once
//! more from a read-only mount of our own file, which is what /proc/self/exe then names.

use crate::container::explain_clone;
use crate::error::{Context, NativeError, PROCESS, Result};
use crate::{mounts, sys};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, StatVfsMountFlags, fstat, fstatvfs, open};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// Returns when it is done, in the second execution.
pub fn protect() -> Result<()> {
    let own = open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).at(PROCESS, "open", "/proc/self/exe")?;
    if fstatvfs(&own).is_ok_and(|at| at.f_flag.contains(StatVfsMountFlags::RDONLY)) {
        return Ok(());
    }
    let copy = match mounts::detached_copy(&own, Path::new(""), false) {
        Err(Errno::PERM) => copy_in_own_namespace(&own)?,
        // A copy of a mount takes what a mount namespace takes, and asking for one says more exactly what is in the way (a limit, say).
        copy => copy.map_err(|errno| explain_clone(sys::unshare(libc::CLONE_NEWNS).err().unwrap_or(errno)))?,
    };
    mounts::set_attributes(&copy, MountAttrFlags::MOUNT_ATTR_RDONLY, false).at(PROCESS, "make read-only", "/proc/self/exe")?;
    let arguments = std::env::args_os().map(|argument| CString::new(argument.into_vec()).unwrap_or_default());
    Err(sys::execute_again(copy.as_fd(), &arguments.collect::<Vec<_>>())).at(PROCESS, "execute", "/proc/self/exe")
}

/// Who is root in a user namespace alone has rights on the mounts of a mount namespace of his own, where our file must be found anew.
fn copy_in_own_namespace(own: &OwnedFd) -> Result<OwnedFd> {
    sys::unshare(libc::CLONE_NEWNS).map_err(explain_clone)?;
    let path = std::env::current_exe().at(PROCESS, "find", "/proc/self/exe")?;
    let found = open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).at(PROCESS, "open", &path)?;
    let identity = |file: &OwnedFd| fstat(file).map(|stat| (stat.st_dev, stat.st_ino)).at(PROCESS, "look at", &path);
    if identity(&found)? != identity(own)? {
        return Err(NativeError::new(PROCESS, "open")
            .path(&path)
            .detail(format!("{} is not the program that runs any more", path.display())));
    }
    mounts::detached_copy(&found, Path::new(""), false).at(PROCESS, "copy the mount of", &path)
}
