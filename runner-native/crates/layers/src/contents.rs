//! Brings contents into a layer: files are read and hashed by several threads, ahead of the one that writes in order. What waits in between is
//! bounded: a batch holds at most 1 MiB, a thread is at most eight batches ahead. Large files go through the writer's hands in pieces.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rustix::io::Errno;

use crate::beneath;
use crate::data_writer::DataWriter;
use crate::entry::{Content, Digest, as_path};
use crate::error::{NativeError, Result};

const BATCH_FILES: usize = 64;
const BATCH_BYTES: u64 = 1 << 20;
const BATCHES_AHEAD: usize = 8;
const THREADS_MAX: usize = 8;
const PIECE_BYTES: usize = 1 << 20;

pub enum Source<'a> {
    /// A regular file below a directory, reached through no symlink.
    File {
        root: &'a OwnedFd,
        path: &'a [u8],
    },
    /// A range of another layer's data file.
    Range {
        file: &'a File,
        offset: u64,
    },
    Text(&'a [u8]),
}

pub struct Job<'a> {
    pub source: Source<'a>,
    /// Of a range exactly; of a file the size that is expected.
    pub size: u64,
    /// Another content is `context/changed`.
    pub digest: Option<Digest>,
}

/// What a reading thread hands over.
enum Loaded {
    Whole(Vec<u8>, blake3::Hash),
    Large(File),
    Range,
}

/// Threads for work on many files: at least two, since one always waits for the disk.
pub fn thread_count() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, THREADS_MAX)
}

/// Writes all contents in the order of `jobs`.
pub fn write_contents(jobs: &[Job], writer: &mut DataWriter) -> Result<Vec<Content>> {
    let batches = make_batches(jobs);
    let mut contents = Vec::with_capacity(jobs.len());
    if batches.len() < 2 {
        for job in jobs {
            contents.push(write_content(job, load(job)?, writer)?);
        }
        return Ok(contents);
    }
    std::thread::scope(|scope| {
        let threads = thread_count().min(batches.len());
        let batches = &batches;
        let queues: Vec<Receiver<Vec<Result<Loaded>>>> = (0..threads)
            .map(|thread| {
                let (sender, receiver) = sync_channel(BATCHES_AHEAD);
                scope.spawn(move || load_batches(batches.iter().skip(thread).step_by(threads), &sender));
                receiver
            })
            .collect();
        for (number, batch) in batches.iter().enumerate() {
            let loaded = queues[number % threads]
                .recv()
                .map_err(|_| NativeError::new("internal/assertion", "read").detail("a reading thread ended"))?;
            for (job, loaded) in batch.iter().zip(loaded) {
                contents.push(write_content(job, loaded?, writer)?);
            }
        }
        Ok(contents)
    })
}

fn make_batches<'a, 'b>(jobs: &'b [Job<'a>]) -> Vec<&'b [Job<'a>]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, job) in jobs.iter().enumerate() {
        if index - start == BATCH_FILES || bytes + job.size > BATCH_BYTES && index > start {
            batches.push(&jobs[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += job.size;
    }
    if start < jobs.len() {
        batches.push(&jobs[start..]);
    }
    batches
}

/// Ends early when nobody listens any more: the writer has failed.
fn load_batches<'a, 'b: 'a>(batches: impl Iterator<Item = &'a &'a [Job<'b>]>, sender: &SyncSender<Vec<Result<Loaded>>>) {
    for batch in batches {
        if sender.send(batch.iter().map(load).collect()).is_err() {
            return;
        }
    }
}

fn load(job: &Job) -> Result<Loaded> {
    let bytes = match &job.source {
        Source::Text(text) => text.to_vec(),
        Source::Range { .. } if job.size > BATCH_BYTES => return Ok(Loaded::Range),
        Source::Range { file, offset } => {
            let mut bytes = vec![0; job.size as usize];
            file.read_exact_at(&mut bytes, *offset).map_err(|error| NativeError::io("read layer", error))?;
            bytes
        }
        Source::File { root, path } => {
            let file = open_regular(root, path)?;
            if job.size > BATCH_BYTES {
                return Ok(Loaded::Large(file));
            }
            let mut bytes = Vec::new();
            read_small(&file, job.size, &mut bytes).map_err(|error| unreadable("read", error, path))?;
            bytes
        }
    };
    let digest = blake3::hash(&bytes);
    check(job, bytes.len() as u64, digest)?;
    Ok(Loaded::Whole(bytes, digest))
}

/// A regular file of `size` bytes, or the one byte more that says it has grown. Asking for that byte too makes one call of two: a short read is the end.
pub fn read_small(mut file: &File, size: u64, bytes: &mut Vec<u8>) -> std::io::Result<()> {
    bytes.resize(size as usize + 1, 0);
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if filled as u64 == size {
            break;
        }
    }
    bytes.truncate(filled);
    Ok(())
}

fn open_regular(root: &OwnedFd, path: &[u8]) -> Result<File> {
    let file = File::from(beneath::open_file(root, path).map_err(|error| unreadable("open", error.into(), path))?);
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        Ok(_) => Err(changed(path, "it is no regular file any more")),
        Err(error) => Err(unreadable("stat", error, path)),
    }
}

fn write_content(job: &Job, loaded: Loaded, writer: &mut DataWriter) -> Result<Content> {
    let read: &dyn Fn(&mut [u8], u64) -> std::io::Result<usize> = match (&loaded, &job.source) {
        (Loaded::Whole(bytes, digest), _) => return writer.put(bytes, *digest),
        (Loaded::Large(file), _) => &|buffer, at| file.read_at(buffer, at),
        (Loaded::Range, Source::Range { file, offset }) => &move |buffer, at| file.read_at(buffer, offset + at),
        (Loaded::Range, _) => return Err(NativeError::new("internal/assertion", "read")),
    };
    let mut buffer = vec![0; PIECE_BYTES];
    let mut at = 0;
    writer.begin(job.size)?;
    while at < job.size {
        let step = buffer.len().min((job.size - at) as usize);
        let count = read(&mut buffer[..step], at).map_err(|error| unreadable("read", error, job.path()))?;
        if count == 0 {
            return Err(changed(job.path(), "it is shorter than it was"));
        }
        writer.append(&buffer[..count])?;
        at += count as u64;
    }
    if matches!(loaded, Loaded::Large(_)) && read(&mut buffer[..1], at).is_ok_and(|count| count > 0) {
        return Err(changed(job.path(), "it is longer than it was"));
    }
    let content = writer.end();
    check(job, content.size, content.digest.into())?;
    Ok(content)
}

impl Job<'_> {
    fn path(&self) -> &[u8] {
        match self.source {
            Source::File { path, .. } => path,
            _ => b"",
        }
    }
}

fn check(job: &Job, size: u64, digest: blake3::Hash) -> Result<()> {
    if size != job.size {
        return Err(changed(job.path(), "its size is not what it was"));
    }
    if job.digest.is_some_and(|expected| expected != *digest.as_bytes()) {
        return Err(changed(job.path(), "its content is not what it was"));
    }
    Ok(())
}

pub fn changed(path: &[u8], how: &str) -> NativeError {
    NativeError::new("context/changed", "read").path(as_path(path)).detail(how)
}

/// What was there when it was looked at, and cannot be opened any more as what it was, has changed.
pub fn unreadable(op: &str, error: std::io::Error, path: &[u8]) -> NativeError {
    let gone = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::NXIO, Errno::STALE];
    if gone.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
        return changed(path, "it is gone, or something else by now");
    }
    NativeError::io(op, error).or_code("context/unreadable").path(as_path(path))
}
