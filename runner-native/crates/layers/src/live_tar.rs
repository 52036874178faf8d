//! A tar of what is at a path of a root that somebody may be changing: each entry is what it is when it is looked at, what goes meanwhile is left out, a file
//! has as many bytes as its header says. FIFOs and devices are never opened for reading; no link is followed.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::beneath;
use crate::contents::unreadable;
use crate::entry::{Entry, Kind, as_path, join_path, split_path};
use crate::error::{NativeError, Result};
use crate::remove::list_names;
use crate::scan::is_host_label;
use crate::tar_writer::{Sink, pad, write_entry};
use crate::tree_tar::Output;
use crate::walk::found;
use crate::xattrs;

const COPY_BYTES: usize = 1 << 18;

/// `path` has no links in it (`in_root::resolve`); it is called `name` in the tar, and a directory called nothing has no entry of its own.
/// `stays`: other file systems that are mounted below are left out, and their mount points are empty.
pub fn write_live_tar(root: &OwnedFd, path: &[u8], name: &[u8], stays: bool, out: impl AsFd) -> Result<()> {
    let mut output = Output::new(out);
    let mut tar = LiveTar { root, stays_on: None, seen: HashMap::new(), parent: None, buffer: vec![0; COPY_BYTES] };
    let mut waiting = vec![(path.to_vec(), Box::<[u8]>::from(name))];
    let mut is_top = true;
    while let Some((path, name)) = waiting.pop() {
        let stat = match tar.stat(&path) {
            Err(error) if !is_top && is_gone(error) => continue,
            stat => stat.map_err(|error| unreadable("stat", error.into(), &path))?,
        };
        if is_top && stays {
            tar.stays_on = Some(stat.st_dev);
        }
        let is_elsewhere = tar.stays_on.is_some_and(|device| device != stat.st_dev);
        match tar.add(&path, &name, &stat, &mut |bytes| output.write(bytes)) {
            Err(error) if !is_top && error.code == "context/changed" => continue,
            added => added?,
        }
        is_top = false;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory && !is_elsewhere {
            tar.list(&path, &name, &mut waiting)?;
        }
    }
    output.write(&[0; 1024])?;
    output.end()
}

fn is_gone(error: Errno) -> bool {
    [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::STALE].contains(&error)
}

struct LiveTar<'a> {
    root: &'a OwnedFd,
    stays_on: Option<u64>,
    /// Of files with several names the first.
    seen: HashMap<(u64, u64), Box<[u8]>>,
    /// The directory of the entry before: the next one is mostly in it too.
    parent: Option<(Vec<u8>, OwnedFd)>,
    buffer: Vec<u8>,
}

impl LiveTar<'_> {
    fn stat(&mut self, path: &[u8]) -> rustix::io::Result<Stat> {
        if path.is_empty() {
            return rustix::fs::fstat(self.root);
        }
        let name = split_path(path).1.to_vec();
        rustix::fs::statat(self.directory_of(path)?, as_path(&name), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn directory_of(&mut self, path: &[u8]) -> rustix::io::Result<&OwnedFd> {
        let parent = split_path(path).0;
        if self.parent.as_ref().is_none_or(|(open, _)| open != parent) {
            self.parent = Some((parent.to_vec(), beneath::open_parent(self.root, parent)?));
        }
        Ok(self.parent.as_ref().map_or(self.root, |(_, directory)| directory))
    }

    fn add(&mut self, path: &[u8], name: &[u8], stat: &Stat, sink: &mut Sink) -> Result<()> {
        let mut entry = found(name, stat)?.entry;
        match entry.kind {
            Kind::Directory if name.is_empty() => return Ok(()),
            Kind::Socket => return Ok(()),
            Kind::File => return self.add_file(path, entry, sink),
            _ => {}
        }
        self.describe(path, &mut entry).map_err(|error| unreadable("read", error.into(), path))?;
        write_entry(&entry, None, sink)
    }

    fn describe(&mut self, path: &[u8], entry: &mut Entry) -> rustix::io::Result<()> {
        let last = split_path(path).1.to_vec();
        let name: &[u8] = if last.is_empty() { b"." } else { &last };
        let directory = self.directory_of(path)?;
        if entry.kind == Kind::Symlink {
            entry.target = rustix::fs::readlinkat(directory, as_path(name), Vec::new())?.into_bytes().into();
        }
        entry.xattrs = xattrs::of_name(directory, name, keep_xattr)?;
        Ok(())
    }

    fn add_file(&mut self, path: &[u8], looked_at: Entry, sink: &mut Sink) -> Result<()> {
        let failed = |error: Errno| unreadable("open", error.into(), path);
        let last = split_path(path).1.to_vec();
        let file = File::from(beneath::open_file(self.directory_of(path).map_err(failed)?, &last).map_err(failed)?);
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        let mut entry = found(&looked_at.path, &stat)?.entry;
        if entry.kind != Kind::File {
            return Err(crate::contents::changed(path, "it is no regular file any more"));
        }
        if stat.st_nlink > 1 {
            let own = entry.path.clone();
            let first = self.seen.entry((stat.st_dev, stat.st_ino)).or_insert_with(|| own.clone());
            if *first != own {
                let first = first.clone();
                return write_entry(&entry, Some(&first), sink);
            }
        }
        entry.xattrs = xattrs::of_file(&file, keep_xattr).map_err(failed)?;
        write_entry(&entry, None, sink)?;
        self.copy(&file, entry.content.size, sink)
    }

    /// Exactly `size` bytes: what a file has lost since its header was written is zeros.
    fn copy(&mut self, file: &File, size: u64, sink: &mut Sink) -> Result<()> {
        let mut at = 0;
        while at < size {
            let step = self.buffer.len().min((size - at) as usize);
            // A read error in the middle of an archive can be no shorter member any more: as tar, zeros.
            let count = file.read_at(&mut self.buffer[..step], at).unwrap_or(0);
            if count == 0 {
                self.buffer[..step].fill(0);
            }
            let count = if count == 0 { step } else { count };
            sink(&self.buffer[..count])?;
            at += count as u64;
        }
        pad(size, sink)
    }

    fn list(&mut self, path: &[u8], name: &[u8], waiting: &mut Vec<(Vec<u8>, Box<[u8]>)>) -> Result<()> {
        let names = beneath::open_directory(self.root, path).and_then(|directory| list_names(directory.as_fd()));
        let mut names = match names {
            Err(error) if is_gone(error) => return Ok(()),
            names => names.map_err(|error| NativeError::io("read", error).or_code("context/unreadable").path(as_path(path)))?,
        };
        names.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        waiting.extend(names.into_iter().map(|(child, _)| (join_path(path, &child).into_vec(), join_path(name, &child))));
        Ok(())
    }
}

/// What means something elsewhere: neither the host's labels nor what overlayfs and other holders of rights wrote.
fn keep_xattr(name: &[u8]) -> bool {
    !name.starts_with(b"trusted.") && !is_host_label(name)
}
