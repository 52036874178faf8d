//! Writes what stacks of layers show into a new directory. It all belongs to the user who runs, unless owners are asked for. Files are written by
//! several threads.
//! Every call is relative to a directory that was made here: no name of a layer is ever resolved through what stood there before.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use serde::Serialize;

use crate::beneath;
use crate::contents::thread_count;
use crate::entry::{Entry, Kind, Xattrs, as_path, split_path};
use crate::error::{NativeError, Result};
use crate::owner::set_owner_at;
use crate::stack::{Merged, Stack};
use crate::xattrs;

const BATCH_FILES: usize = 64;
const BUFFER_BYTES: usize = 1 << 20;
/// Smaller files are copied through memory, in one read and one write.
const RANGE_MIN_BYTES: u64 = 128 << 10;

#[derive(Debug, Serialize)]
pub struct CopySummary {
    pub entries: usize,
    /// Of file contents, each hard-link group once.
    pub bytes: u64,
}

/// `out` must not exist; it is there with all that belongs in it, or not at all. `owners`: as the layers have them, as far as ids go here.
pub fn copy_tree(stacks: &[Stack], out: &Path, mtime: Option<i64>, owners: bool) -> Result<CopySummary> {
    let merged = Merged::read(stacks, mtime)?;
    let root = make_root(out).map_err(|error| NativeError::io("create", error).path(out))?;
    let copy = Copy { merged: &merged, root: &root, owners };
    match copy.all() {
        Ok(()) => Ok(CopySummary { entries: merged.tree.entries().len() - 1, bytes: merged.tree.content_bytes() }),
        Err(error) => {
            // The first failure is what counts.
            let _ = crate::remove::remove(out);
            Err(error)
        }
    }
}

/// BuildKit's mode (session/filesync). A parent's set-group-id bit would give everything below its group.
fn make_root(out: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::mkdirat(CWD, out, Mode::RWXU)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, out, flags, Mode::empty())?;
    let (uid, gid) = own_ids();
    rustix::fs::fchown(&root, Some(uid), Some(gid))?;
    rustix::fs::fchmod(&root, Mode::RWXU)?;
    Ok(root)
}

fn own_ids() -> (Uid, Gid) {
    (rustix::process::geteuid(), rustix::process::getegid())
}

struct Copy<'a> {
    merged: &'a Merged,
    root: &'a OwnedFd,
    owners: bool,
}

impl Copy<'_> {
    fn all(&self) -> Result<()> {
        let entries = self.merged.tree.entries();
        for entry in entries.iter().skip(1).filter(|entry| entry.kind == Kind::Directory) {
            rustix::fs::mkdirat(self.root, as_path(&entry.path), Mode::RWXU).map_err(|error| failed("create", error, entry))?;
        }
        self.write_files()?;
        // What is linked to may stand in a directory that comes later.
        for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.kind != Kind::Directory) {
            if !self.merged.tree.leads(index) {
                let lead = as_path(&entries[entry.inode as usize].path);
                let linked = rustix::fs::linkat(self.root, lead, self.root, as_path(&entry.path), AtFlags::empty());
                linked.map_err(|error| failed("link", error, entry))?;
            } else if entry.kind != Kind::File {
                self.make_special(entry).map_err(|error| failed("create", error, entry))?;
            }
        }
        // Innermost first: making a child changes its directory's time, and a directory may be without write permission.
        for entry in entries.iter().skip(1).rev().filter(|entry| entry.kind == Kind::Directory) {
            let directory = beneath::open_directory(self.root, &entry.path).map_err(|error| failed("open", error, entry))?;
            self.set_attributes(&directory, entry).map_err(|error| failed("set attributes", error, entry))?;
        }
        if self.owners {
            self.set_attributes(self.root, &entries[0]).map_err(|error| failed("set attributes", error, &entries[0]))?;
        }
        Ok(())
    }

    /// Of what is open: a regular file or a directory. The owner first, for a change of it takes setuid bits and capabilities away.
    fn set_attributes(&self, file: impl AsFd, entry: &Entry) -> rustix::io::Result<()> {
        let file = file.as_fd();
        if self.owners {
            match rustix::fs::fchown(file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid))) {
                // An id that the user namespace has not is nobody's.
                Err(Errno::PERM | Errno::INVAL) => {}
                other => other?,
            }
        }
        rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode))?;
        keep_possible(&entry.xattrs, |name, value| rustix::fs::fsetxattr(file, name, value, XattrFlags::empty()))?;
        rustix::fs::futimens(file, &times(entry))
    }

    fn write_files(&self) -> Result<()> {
        let tree = &self.merged.tree;
        let files: Vec<usize> =
            (0..tree.entries().len()).filter(|&index| tree.entries()[index].kind == Kind::File && tree.leads(index)).collect();
        let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
        let batches = files.len().div_ceil(BATCH_FILES);
        let work = || -> Result<()> {
            let mut writer = FileWriter { copy: self, buffer: vec![0; BUFFER_BYTES], parent: None };
            while !stopped.load(Ordering::Relaxed) {
                let start = next.fetch_add(1, Ordering::Relaxed) * BATCH_FILES;
                if start >= files.len() {
                    break;
                }
                for &index in &files[start..files.len().min(start + BATCH_FILES)] {
                    writer.write(index).inspect_err(|_| stopped.store(true, Ordering::Relaxed))?;
                }
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (1..thread_count().min(batches)).map(|_| scope.spawn(work)).collect();
            let own = work();
            let others = threads.into_iter().map(|thread| {
                thread.join().unwrap_or_else(|_| Err(NativeError::new("internal/assertion", "write").detail("a thread ended")))
            });
            others.fold(own, Result::and)
        })
    }

    fn make_special(&self, entry: &Entry) -> rustix::io::Result<()> {
        let path = as_path(&entry.path);
        if entry.kind == Kind::Symlink {
            rustix::fs::symlinkat(as_path(&entry.target), self.root, path)?;
        } else {
            let kind = match entry.kind {
                Kind::CharDevice => FileType::CharacterDevice,
                Kind::BlockDevice => FileType::BlockDevice,
                Kind::Socket => FileType::Socket,
                _ => FileType::Fifo,
            };
            let device = rustix::fs::makedev(entry.rdev.0, entry.rdev.1);
            match rustix::fs::mknodat(self.root, path, kind, Mode::RUSR | Mode::WUSR, device) {
                // Of a volume's devices nothing is lost: it is mounted nodev.
                Err(Errno::PERM) if self.owners && matches!(entry.kind, Kind::CharDevice | Kind::BlockDevice) => return Ok(()),
                made => made?,
            }
        }
        if self.owners {
            set_owner_at(self.root, path, entry.uid, entry.gid)?;
        }
        if entry.kind != Kind::Symlink {
            rustix::fs::chmodat(self.root, path, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
        }
        let by_name = xattrs::path_of(self.root, &entry.path);
        keep_possible(&entry.xattrs, |name, value| rustix::fs::lsetxattr(&*by_name, name, value, XattrFlags::empty()))?;
        rustix::fs::utimensat(self.root, path, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
    }
}

/// One thread's.
struct FileWriter<'a> {
    copy: &'a Copy<'a>,
    buffer: Vec<u8>,
    /// The directory of the file before: the next one is mostly in it too.
    parent: Option<(&'a [u8], OwnedFd)>,
}

impl<'a> FileWriter<'a> {
    fn write(&mut self, index: usize) -> Result<()> {
        let entry = &self.copy.merged.tree.entries()[index];
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (parent, name) = split_path(&entry.path);
        let directory = self.directory(parent).map_err(|error| failed("open", error, entry))?;
        let file = rustix::fs::openat(directory, as_path(name), flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(file.map_err(|error| failed("create", error, entry))?);
        let data = self.copy.merged.data(index);
        if entry.content.size < RANGE_MIN_BYTES || !copy_range(data.locate(entry)?, entry, &file)? {
            data.read(entry, &mut self.buffer, |bytes| {
                file.write_all(bytes).map_err(|error| NativeError::io("write", error).path(as_path(&entry.path)))
            })?;
        }
        self.copy.set_attributes(&file, entry).map_err(|error| failed("set attributes", error, entry))
    }

    fn directory(&mut self, path: &'a [u8]) -> rustix::io::Result<BorrowedFd<'_>> {
        if self.parent.as_ref().is_none_or(|(open, _)| *open != path) {
            self.parent = Some((path, beneath::open_directory(self.copy.root, path)?));
        }
        Ok(self.parent.as_ref().map_or(self.copy.root.as_fd(), |(_, directory)| directory.as_fd()))
    }
}

/// Lets the kernel copy, or share the blocks where the file system can; false where it does neither.
fn copy_range((file, start): (crate::data_reader::Located, u64), entry: &Entry, to: &File) -> Result<bool> {
    let (mut from, mut left) = (start, entry.content.size);
    while left > 0 {
        match rustix::fs::copy_file_range(&*file, Some(&mut from), to, None, left.min(1 << 30) as usize) {
            Ok(0) => {
                let short = NativeError::new("store/damaged", "read").path(as_path(&entry.path));
                return Err(short.detail("the layer's data is cut short"));
            }
            Ok(count) => left -= count as u64,
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) if left == entry.content.size => {
                return Ok(false);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(failed("write", error, entry)),
        }
    }
    Ok(true)
}

/// What this user or this file system cannot keep is left out, as fsutil does it.
fn keep_possible(xattrs: &Xattrs, mut set: impl FnMut(&[u8], &[u8]) -> rustix::io::Result<()>) -> rustix::io::Result<()> {
    for (name, value) in xattrs {
        match set(name, value) {
            Err(Errno::PERM | Errno::ACCESS | Errno::OPNOTSUPP | Errno::INVAL | Errno::TOOBIG | Errno::RANGE | Errno::NOSPC) => {}
            other => other?,
        }
    }
    Ok(())
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime.seconds, tv_nsec: entry.mtime.nanos.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn failed(op: &str, error: Errno, entry: &Entry) -> NativeError {
    NativeError::io(op, error).path(as_path(&entry.path))
}
