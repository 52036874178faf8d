//! Writes a layer's data as a real tree, where EROFS cannot be mounted. Contents first go to numbered files in a staging directory; the tree is made
//! from the finished, checked `Tree` by calls relative to directory fds, and the contents are renamed into it. No path from outside is ever resolved.
//! What this system refuses to put on disk (devices and ids that a user namespace has not, some xattrs) stands in the index alone.
//! The tree is `root` in a directory that belongs to us and that nobody else may enter: it can be renamed whatever its root is like.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dev, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use crate::beneath;
use crate::entry::{Content, Entry, Kind, Mtime, Place, Tree, as_path, split_path};
use crate::error::{NativeError, Result};
use crate::owner::set_owner_at;
use crate::xattrs;

pub struct DirectoryWriter {
    path: PathBuf,
    root: OwnedFd,
    staging_path: PathBuf,
    staging: OwnedFd,
    parts: u64,
    /// The one part being appended to.
    open: Option<(u64, File)>,
}

/// Of the layer's directory: what is in the layer.
pub const ROOT: &str = "root";

impl DirectoryWriter {
    pub fn create(path: &Path) -> Result<Self> {
        let (root_path, staging_path) = (path.join(ROOT), path.join("parts"));
        let make = |path: &Path| -> Result<OwnedFd> {
            rustix::fs::mkdirat(CWD, path, Mode::RWXU).map_err(|error| NativeError::io("create", error).path(path))?;
            beneath::open_root(path)
        };
        make(path)?;
        Ok(Self { root: make(&root_path)?, path: root_path, staging: make(&staging_path)?, staging_path, parts: 0, open: None })
    }

    pub fn begin(&mut self, size: u64) -> Result<Place> {
        if size == 0 {
            return Ok(Place::Nowhere);
        }
        self.parts += 1;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.staging, self.parts.to_string(), flags, Mode::RUSR | Mode::WUSR);
        self.open = Some((self.parts, file.map_err(|error| self.failed("create", error))?.into()));
        Ok(Place::Part(self.parts))
    }

    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.open {
            Some((_, file)) => file.write_all(bytes).map_err(|error| NativeError::io("write", error).path(&self.path)),
            None => Ok(()),
        }
    }

    /// Zeros as a hole.
    pub fn append_zeros(&mut self, count: u64) -> Result<()> {
        let Some((_, file)) = &mut self.open else { return Ok(()) };
        let grown = std::io::Seek::seek(file, std::io::SeekFrom::Current(count as i64)).and_then(|end| file.set_len(end));
        grown.map_err(|error| NativeError::io("write", error).path(&self.path))
    }

    pub fn read_back(&mut self, place: Place, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let Place::Part(part) = place else { return Ok(()) };
        let file = rustix::fs::openat(&self.staging, part.to_string(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let file = File::from(file.map_err(|error| self.failed("open", error))?);
        file.read_exact_at(buffer, offset).map_err(|error| NativeError::io("read", error).path(&self.path))
    }

    /// Makes the tree and syncs its file system.
    pub fn finish(&mut self, tree: &mut Tree) -> Result<u64> {
        self.open = None;
        let mut children = vec![Vec::new(); tree.entries().len()];
        // Below an opaque directory there is nothing to hide.
        let mut hides_all: Vec<bool> = tree.entries().iter().map(|entry| entry.opaque).collect();
        for index in 1..tree.entries().len() {
            let parent = tree.parent(index);
            hides_all[index] |= hides_all[parent];
            if !hides_all[parent] || tree.entries()[index].kind != Kind::Whiteout {
                children[parent].push(index);
            }
        }
        let mut fallback_whiteouts = vec![false; tree.entries().len()];
        // What a hard link is to may stand in a directory that comes later: links are a second pass.
        for links in [false, true] {
            for (index, entry) in tree.entries().iter().enumerate().filter(|(index, _)| !children[*index].is_empty()) {
                let directory = beneath::open_directory(&self.root, &entry.path).map_err(|error| self.failed("open", error))?;
                for &child in children[index].iter().filter(|child| tree.leads(**child) != links) {
                    let is_fallback = self.make(tree, child, directory.as_fd());
                    fallback_whiteouts[index] |= is_fallback.map_err(|error| error.path(as_path(&tree.entries()[child].path)))?;
                }
            }
        }
        // Innermost first: making a child changes its directory's time, and a directory may be without write permission.
        for (index, entry) in tree.entries().iter().enumerate().rev().filter(|(_, entry)| entry.kind == Kind::Directory) {
            self.finish_directory(entry, fallback_whiteouts[index]).map_err(|error| self.failed("set attributes", error))?;
        }
        tree.set_contents(|_, entry| Content { place: Place::Nowhere, ..entry.content });
        rustix::fs::syncfs(&self.root).map_err(|error| self.failed("sync", error))?;
        crate::remove::remove(&self.staging_path)?;
        Ok(0)
    }

    /// Makes one entry; true when it is a whiteout in overlayfs's xattr form.
    fn make(&self, tree: &Tree, index: usize, directory: BorrowedFd) -> Result<bool> {
        let entry = &tree.entries()[index];
        let name = as_path(split_path(&entry.path).1);
        let failed = |error: Errno| NativeError::io("create", error);
        if !tree.leads(index) {
            let lead = as_path(&tree.entries()[entry.inode as usize].path);
            match rustix::fs::linkat(&self.root, lead, directory, name, AtFlags::empty()) {
                Ok(()) => return Ok(false),
                // The first one is a device that could not be made.
                Err(Errno::NOENT) if is_device(entry.kind) => return Ok(false),
                Err(error) => return Err(failed(error)),
            }
        }
        match entry.kind {
            Kind::Directory => rustix::fs::mkdirat(directory, name, Mode::RWXU).map_err(failed)?,
            Kind::File => self.make_file(entry, directory, name).map_err(failed)?,
            Kind::Symlink => rustix::fs::symlinkat(as_path(&entry.target), directory, name).map_err(failed)?,
            Kind::Whiteout => return make_whiteout(directory, name).map_err(failed),
            Kind::CharDevice | Kind::BlockDevice | Kind::Fifo | Kind::Socket => match make_node(entry, directory, name) {
                Err(Errno::PERM) if is_device(entry.kind) => return Ok(false),
                made => made.map_err(failed)?,
            },
        }
        if entry.kind != Kind::Directory {
            set_attributes(entry, directory, name).map_err(|error| NativeError::io("set attributes", error))?;
        }
        Ok(false)
    }

    fn make_file(&self, entry: &Entry, directory: BorrowedFd, name: &Path) -> rustix::io::Result<()> {
        if let Place::Part(part) = entry.content.place {
            return rustix::fs::renameat(&self.staging, part.to_string(), directory, name);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR).map(drop)
    }

    fn finish_directory(&self, entry: &Entry, has_fallback_whiteouts: bool) -> rustix::io::Result<()> {
        let (parent, name) = split_path(&entry.path);
        let parent = beneath::open_directory(&self.root, parent)?;
        let name = if name.is_empty() { b"." } else { name };
        if entry.opaque || has_fallback_whiteouts {
            set_overlay_mark(&parent, name, "opaque", if entry.opaque { b"y" } else { b"x" })?;
        }
        // Why: erofs.rs, HOLDS_WHITEOUTS_XATTR.
        if entry.holds_whiteouts {
            set_overlay_mark(&parent, name, "origin", b"")?;
        }
        set_attributes(entry, parent.as_fd(), as_path(name))
    }

    fn failed(&self, op: &str, error: Errno) -> NativeError {
        NativeError::io(op, error).path(&self.path)
    }
}

fn is_device(kind: Kind) -> bool {
    matches!(kind, Kind::CharDevice | Kind::BlockDevice)
}

fn make_node(entry: &Entry, directory: BorrowedFd, name: &Path) -> rustix::io::Result<()> {
    let kind = match entry.kind {
        Kind::CharDevice => FileType::CharacterDevice,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::Fifo => FileType::Fifo,
        _ => FileType::Socket,
    };
    let device: Dev = rustix::fs::makedev(entry.rdev.0, entry.rdev.1);
    rustix::fs::mknodat(directory, name, kind, Mode::RUSR | Mode::WUSR, device)
}

fn make_whiteout(directory: BorrowedFd, name: &Path) -> rustix::io::Result<bool> {
    match rustix::fs::mknodat(directory, name, FileType::CharacterDevice, Mode::empty(), 0) {
        Ok(()) => return Ok(false),
        Err(Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    rustix::fs::openat(directory, name, flags, Mode::empty())?;
    set_overlay_mark(directory, std::os::unix::ffi::OsStrExt::as_bytes(name.as_os_str()), "whiteout", b"")?;
    Ok(true)
}

/// Without privilege overlayfs is mounted with `userxattr` and reads its marks there.
fn set_overlay_mark(directory: impl AsFd, name: &[u8], mark: &str, value: &[u8]) -> rustix::io::Result<()> {
    let path = xattrs::path_of(directory, name);
    match rustix::fs::lsetxattr(&*path, format!("trusted.overlay.{mark}"), value, XattrFlags::empty()) {
        Err(Errno::PERM) => rustix::fs::lsetxattr(&*path, format!("user.overlay.{mark}"), value, XattrFlags::empty()),
        other => other,
    }
}

/// Owner before mode (chown clears setuid) before xattrs (both clear capabilities) before the time.
fn set_attributes(entry: &Entry, directory: BorrowedFd, name: &Path) -> rustix::io::Result<()> {
    set_owner_at(directory, name, entry.uid, entry.gid)?;
    if entry.kind != Kind::Symlink {
        rustix::fs::chmodat(directory, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
    }
    let path = xattrs::path_of(directory, std::os::unix::ffi::OsStrExt::as_bytes(name.as_os_str()));
    for (key, value) in &entry.xattrs {
        match rustix::fs::lsetxattr(&*path, &**key, value, XattrFlags::empty()) {
            // Not permitted, not supported, too large for this file system's inodes.
            Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::INVAL | Errno::TOOBIG | Errno::RANGE | Errno::NOSPC) => {}
            other => other?,
        }
    }
    let Mtime { seconds, nanos } = entry.mtime;
    let time = Timespec { tv_sec: seconds, tv_nsec: nanos.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}
