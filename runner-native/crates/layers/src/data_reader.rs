//! Reads contents out of a finished layer: ranges of an image, or files of a directory driver's tree.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::beneath;
use crate::entry::{Entry, Place, as_path};
use crate::error::{NativeError, Result};

enum Kept {
    Image(File),
    Directory(OwnedFd),
}

/// An open file: the image itself, or the file of a directory driver's tree.
pub enum Located<'a> {
    Image(&'a File),
    Own(File),
}

impl std::ops::Deref for Located<'_> {
    type Target = File;

    fn deref(&self) -> &File {
        match self {
            Located::Image(file) => file,
            Located::Own(file) => file,
        }
    }
}

pub struct Data {
    path: PathBuf,
    kept: Kept,
    /// So many bytes of an entry's path say where the layer stands, and are no part of its own paths.
    prefix: usize,
    /// What those begin with before the rest of it.
    subtree: Box<[u8]>,
}

impl Data {
    /// A directory is the directory driver's, any other file an image.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error| NativeError::io("open", error).path(path);
        let file = File::open(path).map_err(failed)?;
        let kept = if file.metadata().map_err(failed)?.is_dir() { Kept::Directory(file.into()) } else { Kept::Image(file) };
        Ok(Self { path: path.into(), kept, prefix: 0, subtree: Box::default() })
    }

    /// For entries whose paths begin with `prefix` more bytes than the layer's own, which begin with `subtree` (and its slash) in their place.
    pub fn below(self, prefix: usize, subtree: Box<[u8]>) -> Self {
        Self { prefix, subtree, ..self }
    }

    pub fn image(&self) -> Option<&File> {
        match &self.kept {
            Kept::Image(file) => Some(file),
            Kept::Directory(_) => None,
        }
    }

    pub fn descriptor(&self) -> RawFd {
        match &self.kept {
            Kept::Image(file) => file.as_raw_fd(),
            Kept::Directory(root) => root.as_raw_fd(),
        }
    }

    /// The file that a regular file's content is in, and where it begins. Not for one of 0 bytes.
    pub fn locate(&self, entry: &Entry) -> Result<(Located<'_>, u64)> {
        match (&self.kept, entry.content.place) {
            (Kept::Image(file), Place::At(offset)) => Ok((Located::Image(file), offset)),
            (Kept::Directory(root), _) => {
                let own = [&self.subtree, &entry.path[self.prefix..]].concat();
                let file = beneath::open_file(root, &own).map_err(|error| unread(entry, error.into()))?;
                Ok((Located::Own(file.into()), 0))
            }
            _ => Err(NativeError::new("store/damaged", "read").path(&self.path).detail("the index and the data are of different drivers")),
        }
    }

    /// Hands a regular file's content to `sink`, in pieces that fit `buffer`. Less on disk than the index says is `store/damaged`.
    pub fn read(&self, entry: &Entry, buffer: &mut [u8], mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if entry.content.size == 0 {
            return Ok(());
        }
        let (file, start) = self.locate(entry)?;
        let mut at = 0;
        while at < entry.content.size {
            let step = buffer.len().min((entry.content.size - at) as usize);
            file.read_exact_at(&mut buffer[..step], start + at).map_err(|error| unread(entry, error))?;
            sink(&buffer[..step])?;
            at += step as u64;
        }
        Ok(())
    }

    /// Reads a part of a regular file's content; short only at its end.
    pub fn read_at(&self, entry: &Entry, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let left = entry.content.size.saturating_sub(offset);
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if length > 0 {
            let (file, start) = self.locate(entry)?;
            file.read_exact_at(&mut buffer[..length], start + offset).map_err(|error| unread(entry, error))?;
        }
        Ok(length)
    }
}

fn unread(entry: &Entry, error: std::io::Error) -> NativeError {
    NativeError::io("read", error).or_code("store/damaged").path(as_path(&entry.path))
}

/// A part of a file, or what there is of it. No link is followed, no FIFO waited for.
pub fn read_range(path: &Path, offset: u64, length: u64, mut to: impl std::io::Write) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file: std::io::Result<File> = rustix::fs::open(path, flags, Mode::empty()).map(File::from).map_err(Into::into);
    let copied = file.and_then(|mut file| {
        file.seek(SeekFrom::Start(offset))?;
        std::io::copy(&mut file.take(length), &mut to)
    });
    copied.map(drop).map_err(|error| NativeError::io("read", error).path(path))
}
