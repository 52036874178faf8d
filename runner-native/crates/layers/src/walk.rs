//! Walks a directory tree with several threads: attributes, extended attributes and, if wanted, BLAKE3 of the contents. Never follows a symlink
//! below the root and never leaves it. The order of what it finds is not defined.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Condvar, Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

use crate::beneath;
use crate::contents::{changed, read_small, thread_count, unreadable};
use crate::entry::{Content, Entry, Kind, Mtime, Place, as_path, join_path, split_path};
use crate::error::{NativeError, Result};
use crate::remove::list_names;
use crate::stat_cache::{Identity, StatCache};
use crate::xattrs;

/// A directory is dealt out in pieces of so many names, for a flat one to keep all threads busy.
const NAMES_PER_TASK: usize = 128;
const WHOLE_MAX_BYTES: u64 = 1 << 20;

pub struct Found {
    pub entry: Entry,
    /// Device and inode number when the file has further links.
    pub linked: Option<(u64, u64)>,
    /// Of a regular file that was hashed and has no extended attribute to be kept: for the next scan.
    pub stat: Option<Stat>,
}

pub struct Walk<'a> {
    pub root: &'a OwnedFd,
    /// Whether to read regular files for their digests.
    pub hash: bool,
    /// Digests from an earlier walk, of files that have not changed since.
    pub known: Option<&'a StatCache>,
    pub keep_xattr: fn(&[u8]) -> bool,
    /// Somebody works in it meanwhile: what goes while it is looked at is left out, and no error.
    pub lenient: bool,
}

struct Task {
    directory: Box<[u8]>,
    /// All that it holds, and what is below, or just these, and nothing below.
    names: Option<Vec<(Box<[u8]>, FileType)>>,
    recurse: bool,
}

#[derive(Default)]
struct Queue {
    tasks: Vec<Task>,
    working: usize,
    failed: bool,
}

impl Walk<'_> {
    /// The root and everything below it.
    pub fn all(&self) -> Result<Vec<Found>> {
        let mut found = self.run(vec![Task { directory: Box::default(), names: None, recurse: true }])?;
        found.push(self.visit_root()?);
        Ok(found)
    }

    /// The root and these paths, with nothing below them.
    pub fn only(&self, paths: &[Vec<u8>]) -> Result<Vec<Found>> {
        let mut sorted: Vec<(&[u8], &[u8])> = paths.iter().filter(|path| !path.is_empty()).map(|path| split_path(path)).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut tasks = Vec::new();
        for names in sorted.chunk_by(|a, b| a.0 == b.0).flat_map(|names| names.chunks(NAMES_PER_TASK)) {
            let directory = names[0].0.into();
            tasks.push(Task {
                directory,
                names: Some(names.iter().map(|(_, name)| ((*name).into(), FileType::Unknown)).collect()),
                recurse: false,
            });
        }
        let mut found = self.run(tasks)?;
        found.push(self.visit_root()?);
        Ok(found)
    }

    fn visit_root(&self) -> Result<Found> {
        let failed = |error: rustix::io::Errno| unreadable("stat", error.into(), b"");
        let stat = rustix::fs::fstat(self.root).map_err(failed)?;
        let mut found = found(b"", &stat)?;
        found.entry.xattrs = xattrs::of_file(self.root, self.keep_xattr).map_err(failed)?;
        Ok(found)
    }

    fn run(&self, tasks: Vec<Task>) -> Result<Vec<Found>> {
        let queue = (Mutex::new(Queue { tasks, ..Queue::default() }), Condvar::new());
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..thread_count()).map(|_| scope.spawn(|| self.work(&queue))).collect();
            let mut result = self.work(&queue);
            for other in others {
                let joined = other.join().unwrap_or_else(|_| Err(NativeError::new("internal/assertion", "walk")));
                result = result.and_then(|mut all| {
                    all.append(&mut joined?);
                    Ok(all)
                });
            }
            result
        })
    }

    fn work(&self, (queue, changed): &(Mutex<Queue>, Condvar)) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        let mut buffer = Vec::new();
        let lock = || queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = lock();
        loop {
            if state.failed {
                return Ok(found);
            }
            let Some(task) = state.tasks.pop() else {
                if state.working == 0 {
                    return Ok(found);
                }
                state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            state.working += 1;
            drop(state);
            let more = self.do_task(task, &mut found, &mut buffer);
            state = lock();
            state.working -= 1;
            match more {
                Ok(more) => state.tasks.extend(more),
                Err(error) => {
                    state.failed = true;
                    changed.notify_all();
                    return Err(error);
                }
            }
            changed.notify_all();
        }
    }

    fn do_task(&self, task: Task, found: &mut Vec<Found>, buffer: &mut Vec<u8>) -> Result<Vec<Task>> {
        let failed = |error: rustix::io::Errno| unreadable("open", error.into(), &task.directory);
        let directory = match beneath::open_directory(self.root, &task.directory).map_err(failed) {
            Err(error) if self.lenient && is_change(&error) => return Ok(Vec::new()),
            opened => opened?,
        };
        let mut more = Vec::new();
        let names = match task.names {
            Some(names) => names,
            None => {
                let mut names = list_names(directory.as_fd()).map_err(failed)?;
                while names.len() > NAMES_PER_TASK {
                    let names = Some(names.split_off(names.len() - NAMES_PER_TASK));
                    more.push(Task { directory: task.directory.clone(), names, recurse: true });
                }
                names
            }
        };
        for (name, file_type) in names {
            let path = join_path(&task.directory, &name);
            let visited = match self.visit(directory.as_fd(), &name, &path, file_type, buffer) {
                Err(error) if self.lenient && is_change(&error) => continue,
                visited => visited?,
            };
            if task.recurse && visited.entry.kind == Kind::Directory {
                more.push(Task { directory: path, names: None, recurse: true });
            }
            found.push(visited);
        }
        Ok(more)
    }

    fn visit(&self, directory: BorrowedFd, name: &[u8], path: &[u8], file_type: FileType, buffer: &mut Vec<u8>) -> Result<Found> {
        let failed = |error: rustix::io::Errno| unreadable("stat", error.into(), path);
        let file_type = match file_type {
            FileType::Unknown => {
                let stat = rustix::fs::statat(directory, as_path(name), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        if file_type == FileType::RegularFile && self.hash {
            return self.visit_file(directory, name, path, buffer);
        }
        let stat = rustix::fs::statat(directory, as_path(name), AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let mut found = found(path, &stat)?;
        if found.entry.kind == Kind::Symlink {
            found.entry.target = rustix::fs::readlinkat(directory, as_path(name), Vec::new()).map_err(failed)?.into_bytes().into();
        }
        found.entry.xattrs = xattrs::of_name(directory, name, self.keep_xattr).map_err(failed)?;
        Ok(found)
    }

    fn visit_file(&self, directory: BorrowedFd, name: &[u8], path: &[u8], buffer: &mut Vec<u8>) -> Result<Found> {
        let failed = |op: &str, error: rustix::io::Errno| unreadable(op, error.into(), path);
        if let Some(found) = self.recall(directory, name, path).map_err(|error| failed("stat", error))? {
            return Ok(found);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(directory, as_path(name), flags, Mode::empty()).map_err(|error| failed("open", error))?;
        let stat = rustix::fs::fstat(&fd).map_err(|error| failed("stat", error))?;
        let mut found = found(path, &stat)?;
        if found.entry.kind != Kind::File {
            return Err(changed(path, "it is no regular file any more"));
        }
        found.entry.xattrs = xattrs::of_file(&fd, self.keep_xattr).map_err(|error| failed("read attributes of", error))?;
        let (size, digest) = hash_file(fd.into(), stat.st_size as u64, buffer).map_err(|error| unreadable("read", error, path))?;
        if size != stat.st_size as u64 {
            return Err(changed(path, "its size changed while it was read"));
        }
        found.entry.content = Content { size, digest: digest.into(), place: Place::Nowhere };
        found.stat = found.entry.xattrs.is_empty().then_some(stat);
        Ok(found)
    }

    /// A file that an earlier walk read, as it still is. Extended attributes have no time of their own but the change time.
    fn recall(&self, directory: BorrowedFd, name: &[u8], path: &[u8]) -> rustix::io::Result<Option<Found>> {
        let Some(known) = self.known else { return Ok(None) };
        let stat = rustix::fs::statat(directory, as_path(name), AtFlags::SYMLINK_NOFOLLOW)?;
        let Some(digest) = known.find(path, Identity::of(&stat)) else { return Ok(None) };
        let Ok(mut found) = found(path, &stat) else { return Ok(None) };
        found.entry.content.digest = digest;
        found.stat = Some(stat);
        Ok((found.entry.kind == Kind::File).then_some(found))
    }
}

fn is_change(error: &NativeError) -> bool {
    error.code == "context/changed"
}

/// Small files in one read, which also sees the end; larger ones in pieces.
fn hash_file(mut file: File, size: u64, buffer: &mut Vec<u8>) -> std::io::Result<(u64, blake3::Hash)> {
    if size < WHOLE_MAX_BYTES {
        read_small(&file, size, buffer)?;
        return Ok((buffer.len() as u64, blake3::hash(buffer)));
    }
    buffer.resize(WHOLE_MAX_BYTES as usize, 0);
    let (mut hasher, mut total) = (blake3::Hasher::new(), 0);
    loop {
        let count = file.read(buffer)?;
        if count == 0 {
            return Ok((total, hasher.finalize()));
        }
        total += count as u64;
        hasher.update(&buffer[..count]);
    }
}

pub fn found(path: &[u8], stat: &Stat) -> Result<Found> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::Unknown => return Err(changed(path, "its type is unknown")),
    };
    let mut entry = Entry {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Mtime { seconds: stat.st_mtime, nanos: stat.st_mtime_nsec as u32 },
        ..Entry::new(path, kind)
    };
    if matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
        entry.rdev = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    }
    if kind == Kind::File {
        entry.content.size = stat.st_size as u64;
    }
    let linked = (kind != Kind::Directory && stat.st_nlink > 1).then_some((stat.st_dev, stat.st_ino));
    Ok(Found { entry, linked, stat: None })
}

/// Gives the entries inode numbers of their own, the same to those that are one file.
pub fn number_inodes(found: Vec<Found>) -> Vec<Entry> {
    let mut known = std::collections::HashMap::new();
    let numbered = found.into_iter().enumerate().map(|(index, Found { mut entry, linked, .. })| {
        entry.inode = linked.map_or(index as u64, |file| *known.entry(file).or_insert(index as u64));
        entry
    });
    numbered.collect()
}
