//! Who files of ours belong to: an id that a user namespace has not is nobody's, and the file stays whose it is.

use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Uid};
use rustix::io::Errno;

use crate::error::{NativeError, Result};

/// Follows no link.
pub fn set_owner(path: &Path, uid: u32, gid: u32) -> Result<()> {
    set_owner_at(CWD, path, uid, gid).map_err(|error| NativeError::io("set the owner of", error).path(path))
}

pub fn set_owner_at(directory: impl AsFd, name: &Path, uid: u32, gid: u32) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    match rustix::fs::chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::PERM | Errno::INVAL) => Ok(()),
        result => result,
    }
}
