//! One gap and the kernel's connection to it: requests are read, answered from the gap, and noted.
//! Nodes are entries: the root's number is 1, as FUSE has it, any other's one more than its position. Each path is a node of its own, hard links too, so
//! that what is learnt by one name is not kept for another.

use std::sync::{Arc, Mutex, PoisonError};

use rustix::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use rustix::io::Errno;
use tbuild_layers::{Entry, Gap, Kind};

use crate::attributes::{Attributes, FOR_EVER_SECONDS, file_type};
use crate::log::{Log, Question};
use crate::owners::Owners;
use crate::protocol::{self, Answer, Operation, REQUEST_BYTES_MAX, Request};

/// What one request may read at most: 256 pages, as many as FUSE has.
const READ_BYTES_MAX: u32 = 1 << 20;

/// Its position in the gap.
const ROOT: usize = 0;

pub struct Connection {
    gap: Arc<Gap>,
    owners: Owners,
    /// What overlayfs's own attributes begin with: `trusted.overlay.`, or `user.overlay.` where nobody is trusted.
    marks: &'static [u8],
    /// What would be answered to any question about extended attributes is that there is none: then the kernel need ask but once, and overlayfs asks for each
    /// file that is looked up.
    has_attributes: bool,
    device: OwnedFd,
    log: Log,
    /// Why nothing that was noted counts.
    failed: Mutex<Option<String>>,
}

type Answered = Result<(), Errno>;

impl Connection {
    pub fn new(gap: Arc<Gap>, device: OwnedFd, owners: Owners, has_user_marks: bool) -> Self {
        let marks: &[u8] = if has_user_marks { b"user.overlay." } else { b"trusted.overlay." };
        let has_attributes = !gap.is_plain() || gap.has_opaque();
        Self { log: Log::new(gap.count()), gap, owners, marks, has_attributes, device, failed: Mutex::default() }
    }

    /// Those that it cannot do without.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.gap.descriptors().chain([self.device.as_raw_fd()])
    }

    pub fn is_lost(&self) -> bool {
        self.log.is_lost()
    }

    pub fn failed(&self) -> Option<String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn each_question(&self, visit: impl FnMut(Question, &[u8])) {
        self.log.each(&self.gap, visit);
    }

    /// Until nobody has it mounted any more. An error is the connection's end: without an answer those who asked would wait for ever.
    pub fn run(&self) -> Answered {
        let mut request = vec![0; REQUEST_BYTES_MAX];
        let mut answer = Answer::default();
        loop {
            let count = match rustix::io::read(&self.device, &mut request) {
                Ok(count) => count,
                // NOENT: the request was taken back meanwhile.
                Err(Errno::NOENT | Errno::INTR | Errno::AGAIN) => continue,
                Err(Errno::NODEV) => return Ok(()),
                Err(errno) => return Err(errno),
            };
            let request = Request::parse(&request[..count]).ok_or(Errno::PROTO)?;
            if request.operation == Operation::Forget {
                continue;
            }
            let answered = self.answer(&request, &mut answer).map(|()| answer.0.as_slice());
            match protocol::send(self.device.as_fd(), request.unique, answered) {
                Err(Errno::NODEV) => return Ok(()),
                result => result?,
            }
        }
    }

    fn fail(&self, why: String) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    pub fn answer(&self, request: &Request, answer: &mut Answer) -> Answered {
        answer.0.clear();
        match request.operation {
            Operation::Init { major, readahead, flags } => return init(answer, major, readahead, flags),
            Operation::FileSystem => {
                file_system(answer);
                return Ok(());
            }
            Operation::Destroy => return Ok(()),
            Operation::Change => return Err(Errno::ROFS),
            Operation::Control => return Err(Errno::NOTTY),
            Operation::Unknown | Operation::Forget => return Err(Errno::NOSYS),
            _ => {}
        }
        let position = usize::try_from(request.node).ok().and_then(|node| node.checked_sub(1)).ok_or(Errno::STALE)?;
        let entry = self.gap.entry(position).ok_or(Errno::STALE)?;
        match request.operation {
            Operation::Lookup { name } => self.look_up(position, name, answer),
            Operation::Status => {
                self.log.note(Question::Status, position);
                answer.u64(FOR_EVER_SECONDS).u32(0).u32(0);
                self.attributes(position, entry).put(answer);
                Ok(())
            }
            Operation::ExtendedStatus => {
                self.log.note(Question::Status, position);
                answer.u64(FOR_EVER_SECONDS).u32(0).u32(0).zeros(16);
                self.attributes(position, entry).put_extended(answer);
                Ok(())
            }
            Operation::Link => {
                self.log.note(Question::Link, position);
                answer.bytes(&entry.target);
                Ok(())
            }
            Operation::Read { offset, size } => self.read(position, entry, (offset, size), answer),
            Operation::Seek { offset, whence } => self.seek(position, entry, (offset, whence), answer),
            Operation::List { offset, size } => self.list(position, entry, (offset, size), answer),
            Operation::Attribute { name, size } => self.attribute(position, entry, (name, size), answer),
            Operation::AttributeNames { size } => self.attribute_names(position, entry, size, answer),
            _ => Err(Errno::NOSYS),
        }
    }

    fn attributes(&self, position: usize, entry: &Entry) -> Attributes {
        Attributes::of(&self.gap, position, entry, self.owners)
    }

    /// The kernel keeps the name for ever, that there is none too. What stat says of files and links, which is more than their look, it must ask for, so
    /// that one who only passes is told from one who looks.
    fn look_up(&self, directory: usize, name: &[u8], answer: &mut Answer) -> Answered {
        let Some(position) = self.gap.child(directory, name) else {
            let directory = self.gap.entry(directory).map_or(&b""[..], |entry| &entry.path);
            let separator: &[u8] = if directory.is_empty() { b"" } else { b"/" };
            self.log.note_name(Question::Look, [directory, separator, name].concat());
            // Node 0: there is none, and that may be kept.
            answer.u64(0).u64(0).u64(FOR_EVER_SECONDS).zeros(16 + 88);
            return Ok(());
        };
        self.log.note(Question::Look, position);
        let entry = self.gap.entry(position).ok_or(Errno::STALE)?;
        if !self.has_attributes && entry.kind == Kind::Directory {
            // Overlayfs would ask, and elsewhere it may be so.
            self.log.note(Question::Opaque, position);
        }
        let says_more = matches!(entry.kind, Kind::File | Kind::Symlink);
        let status_seconds = if says_more { 0 } else { FOR_EVER_SECONDS };
        answer.u64(position as u64 + 1).u64(0).u64(FOR_EVER_SECONDS).u64(status_seconds).u32(0).u32(0);
        self.attributes(position, entry).put(answer);
        Ok(())
    }

    fn read(&self, position: usize, entry: &Entry, (offset, size): (u64, u32), answer: &mut Answer) -> Answered {
        if entry.kind != Kind::File {
            return Err(Errno::INVAL);
        }
        self.log.note(Question::Content, position);
        let left = entry.size().saturating_sub(offset).min(size.min(READ_BYTES_MAX).into());
        answer.zeros(left as usize);
        match self.gap.read_at(position, &mut answer.0, offset) {
            Ok(count) => answer.0.truncate(count),
            Err(error) => {
                self.fail(format!("cannot read {}: {}", entry.path.escape_ascii(), error.detail));
                return Err(Errno::IO);
            }
        }
        Ok(())
    }

    /// No file of a layer has holes.
    fn seek(&self, position: usize, entry: &Entry, (offset, whence): (u64, u32), answer: &mut Answer) -> Answered {
        const SEEK_DATA: u32 = 3;
        const SEEK_HOLE: u32 = 4;
        self.log.note(Question::Size, position);
        match whence {
            _ if offset >= entry.size() => return Err(Errno::NXIO),
            SEEK_DATA => answer.u64(offset),
            SEEK_HOLE => answer.u64(entry.size()),
            _ => return Err(Errno::INVAL),
        };
        Ok(())
    }

    /// An offset is how many entries come before: itself, its parent, its children.
    fn list(&self, position: usize, entry: &Entry, (offset, size): (u64, u32), answer: &mut Answer) -> Answered {
        if entry.kind != Kind::Directory {
            return Err(Errno::NOTDIR);
        }
        self.log.note(Question::List, position);
        let children = self.gap.children(position);
        for at in usize::try_from(offset).unwrap_or(usize::MAX)..children.len() + 2 {
            let (child, name) = match at {
                0 => (position, &b"."[..]),
                1 => (self.gap.parent(position), &b".."[..]),
                _ => (children[at - 2] as usize, self.gap.name(children[at - 2] as usize)),
            };
            let kind = self.gap.entry(child).map_or(Kind::Directory, |entry| entry.kind);
            let padded = (24 + name.len()).next_multiple_of(8);
            if answer.0.len() + padded > size as usize {
                break;
            }
            answer.u64(self.gap.number(child)).u64(at as u64 + 1).u32(name.len() as u32).u32(file_type(kind));
            answer.bytes(name).zeros(padded - 24 - name.len());
        }
        Ok(())
    }

    /// Of a plain gap it is one observation that there are none, and by another error, as the kernel has it that was told once.
    fn attribute(&self, position: usize, entry: &Entry, (name, size): (&[u8], u32), answer: &mut Answer) -> Answered {
        self.log.note(Question::Plain, ROOT);
        if !self.has_attributes {
            return Err(Errno::NOSYS);
        }
        if let Some(mark) = name.strip_prefix(self.marks) {
            return match mark {
                b"opaque" => {
                    self.log.note(Question::Opaque, position);
                    if entry.opaque { put_sized(b"y", size, answer) } else { Err(Errno::NODATA) }
                }
                // Overlayfs lists a directory that has this mark itself, so that whiteouts in it are not seen (erofs.rs, HOLDS_WHITEOUTS_XATTR), and has
                // another lseek for it: had only those the mark that hold whiteouts, that would tell of them.
                b"origin" if entry.kind == Kind::Directory && !self.gap.is_plain() => put_sized(b"", size, answer),
                _ => Err(Errno::NODATA),
            };
        }
        if self.gap.is_plain() {
            return Err(if name.starts_with(b"system.posix_acl_") { Errno::NODATA } else { Errno::OPNOTSUPP });
        }
        self.log.note_name(Question::Attribute, [&*entry.path, b"\0", name].concat());
        match entry.xattrs.iter().find(|(own, _)| **own == *name) {
            Some((_, value)) => put_sized(&self.owners.attribute(name, value), size, answer),
            None => Err(Errno::NODATA),
        }
    }

    fn attribute_names(&self, position: usize, entry: &Entry, size: u32, answer: &mut Answer) -> Answered {
        self.log.note(Question::Attributes, position);
        let names: Vec<u8> = entry.xattrs.iter().flat_map(|(name, _)| [&**name, b"\0"].concat()).collect();
        put_sized(&names, size, answer)
    }
}

/// Size 0 asks how long it is.
fn put_sized(value: &[u8], size: u32, answer: &mut Answer) -> Answered {
    match size as usize {
        0 => answer.u32(value.len() as u32).u32(0),
        room if room < value.len() => return Err(Errno::RANGE),
        _ => answer.bytes(value),
    };
    Ok(())
}

/// struct fuse_init_out
fn init(answer: &mut Answer, major: u32, readahead: u32, flags: u32) -> Answered {
    const REQUESTS_MAX: u16 = 64;
    let (our_major, minor) = protocol::VERSION;
    if major < our_major {
        return Err(Errno::PROTO);
    }
    let flags = flags & (protocol::ASYNC_READ | protocol::PARALLEL_DIROPS | protocol::MAX_PAGES | protocol::CACHE_SYMLINKS);
    let pages = (READ_BYTES_MAX / 4096) as u16;
    answer.u32(our_major).u32(minor).u32(readahead).u32(flags).u16(REQUESTS_MAX).u16(REQUESTS_MAX);
    answer.u32(4096).u32(1).u16(pages).u16(0).u32(0).u32(0).zeros(24);
    Ok(())
}

/// struct fuse_statfs_out: names have 255 bytes, and of all the rest there is nothing.
fn file_system(answer: &mut Answer) {
    answer.zeros(40).u32(4096).u32(255).u32(4096).zeros(28);
}
