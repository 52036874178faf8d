//! Moves what `copy_tree` made into a directory that has files already. Each entry appears whole, by a rename; links that stand in the target are
//! replaced, never followed. What could not be moved stays where it was.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, RenameFlags, Stat, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use crate::beneath;
use crate::entry::{as_path, join_path};
use crate::error::{NativeError, Result};
use crate::remove::{list_names, remove_at};
use crate::xattrs;

/// `from` is on the file system of `to`, perhaps below it, and loses what it holds. With `delete` all goes that `from` does not have.
pub fn place_tree(from: &Path, to: &Path, delete: bool) -> Result<()> {
    let placing = Placing { from: beneath::open_root(from)?, to: beneath::open_root(to)?, delete };
    let mut waiting = vec![Box::<[u8]>::default()];
    let mut attributes = Vec::new();
    while let Some(path) = waiting.pop() {
        let found = placing.directory(&path, &mut waiting).map_err(|(error, name)| NativeError::io("write", error).path(as_path(&name)))?;
        attributes.push((path, found));
    }
    // Children before their parents, whose times they change. The target itself stays as it is.
    for (path, stat) in attributes.iter().skip(1).rev() {
        placing.set_attributes(path, stat).map_err(|error| NativeError::io("set attributes", error).path(as_path(path)))?;
    }
    Ok(())
}

struct Placing {
    from: OwnedFd,
    to: OwnedFd,
    delete: bool,
}

type Failure = (Errno, Box<[u8]>);

impl Placing {
    /// Places what is in one directory; directories that are on both sides are left to wait. Returns what the source's was like.
    fn directory(&self, path: &[u8], waiting: &mut Vec<Box<[u8]>>) -> std::result::Result<Stat, Failure> {
        let at = |error| (error, path.into());
        let stat = open_up(self.from.as_fd(), path).map_err(at)?;
        let from = beneath::open_directory(&self.from, path).map_err(at)?;
        let to = beneath::open_directory(&self.to, path).map_err(at)?;
        let names = list_names(from.as_fd()).map_err(at)?;
        if self.delete {
            self.remove_others(&to, &names).map_err(at)?;
        }
        for (name, _) in &names {
            let path = join_path(path, name);
            match Self::place(from.as_fd(), to.as_fd(), as_path(name)) {
                Ok(true) => {}
                Ok(false) => waiting.push(path),
                Err(error) => return Err((error, path)),
            }
        }
        Ok(stat)
    }

    /// False: it is a directory on both sides.
    fn place(from: BorrowedFd, to: BorrowedFd, name: &Path) -> rustix::io::Result<bool> {
        let new = is_directory(&rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?);
        let old = match rustix::fs::statat(to, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => None,
            other => Some(is_directory(&other?)),
        };
        match (new, old) {
            (true, Some(true)) => return Ok(false),
            (true, None) => move_directory(from, to, name)?,
            (false, None | Some(false)) => rustix::fs::renameat(from, name, to, name)?,
            // One for the other, so that there is never nothing; what was there goes with the source.
            _ => match rustix::fs::renameat_with(from, name, to, name, RenameFlags::EXCHANGE) {
                Err(Errno::INVAL | Errno::NOSYS | Errno::ACCESS) => {
                    remove_at(to, name)?;
                    if new { move_directory(from, to, name)? } else { rustix::fs::renameat(from, name, to, name)? }
                }
                other => other?,
            },
        }
        Ok(true)
    }

    fn remove_others(&self, to: &OwnedFd, names: &[(Box<[u8]>, FileType)]) -> rustix::io::Result<()> {
        let source = rustix::fs::fstat(&self.from)?;
        let kept: std::collections::HashSet<&[u8]> = names.iter().map(|(name, _)| &**name).collect();
        for (name, _) in list_names(to.as_fd())?.iter().filter(|(name, _)| !kept.contains(&**name)) {
            let stat = rustix::fs::statat(to, as_path(name), AtFlags::SYMLINK_NOFOLLOW)?;
            if (stat.st_dev, stat.st_ino) != (source.st_dev, source.st_ino) {
                remove_at(to.as_fd(), as_path(name))?;
            }
        }
        Ok(())
    }

    fn set_attributes(&self, path: &[u8], stat: &Stat) -> rustix::io::Result<()> {
        let from = beneath::open_directory(&self.from, path)?;
        let to = beneath::open_directory(&self.to, path)?;
        rustix::fs::fchmod(&to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
        for (name, value) in xattrs::of_file(&from, |_| true)? {
            // As `copy_tree`: what cannot be kept is left out.
            let _ = rustix::fs::fsetxattr(&to, &*name, &value, XattrFlags::empty());
        }
        let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
        rustix::fs::futimens(&to, &Timestamps { last_access: time, last_modification: time })
    }
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// A directory of the source that its owner may not enter or write is opened up; returns what it was like.
fn open_up(root: BorrowedFd, path: &[u8]) -> rustix::io::Result<Stat> {
    let name = as_path(if path.is_empty() { b"." } else { path });
    let stat = rustix::fs::statat(root, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if stat.st_mode & 0o700 != 0o700 {
        rustix::fs::chmodat(root, name, Mode::from_raw_mode(stat.st_mode & 0o7777 | 0o700), AtFlags::empty())?;
    }
    Ok(stat)
}

/// To another parent: its `..` is written to, which its own mode may forbid to all but root.
fn move_directory(from: BorrowedFd, to: BorrowedFd, name: &Path) -> rustix::io::Result<()> {
    match rustix::fs::renameat(from, name, to, name) {
        Err(Errno::ACCESS) => {
            let stat = open_up(from, std::os::unix::ffi::OsStrExt::as_bytes(name.as_os_str()))?;
            rustix::fs::renameat(from, name, to, name)?;
            rustix::fs::chmodat(to, name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())
        }
        other => other,
    }
}
