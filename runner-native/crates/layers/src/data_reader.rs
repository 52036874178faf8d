//! Reads contents out of a finished layer: ranges of an image, or files of a directory driver's tree.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::beneath;
use crate::entry::{Entry, Place, as_path};
use crate::error::{NativeError, Result};

enum Kept {
    Image(File),
    Directory(OwnedFd),
}

pub struct Data {
    path: PathBuf,
    kept: Kept,
}

impl Data {
    /// A directory is the directory driver's, any other file an image.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error| NativeError::io("open", error).path(path);
        let file = File::open(path).map_err(failed)?;
        let kept = if file.metadata().map_err(failed)?.is_dir() { Kept::Directory(file.into()) } else { Kept::Image(file) };
        Ok(Self { path: path.into(), kept })
    }

    pub fn image(&self) -> Option<&File> {
        match &self.kept {
            Kept::Image(file) => Some(file),
            Kept::Directory(_) => None,
        }
    }

    /// Hands a regular file's content to `sink`, in pieces that fit `buffer`. Less on disk than the index says is `store/damaged`.
    pub fn read(&self, entry: &Entry, buffer: &mut [u8], mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let failed = |error: std::io::Error| NativeError::io("read", error).or_code("store/damaged").path(as_path(&entry.path));
        if entry.content.size == 0 {
            return Ok(());
        }
        let opened;
        let (file, start) = match (&self.kept, entry.content.place) {
            (Kept::Image(file), Place::At(offset)) => (file, offset),
            (Kept::Directory(root), _) => {
                opened = File::from(beneath::open_file(root, &entry.path).map_err(|error| failed(error.into()))?);
                (&opened, 0)
            }
            _ => {
                return Err(NativeError::new("store/damaged", "read")
                    .path(&self.path)
                    .detail("the index and the data are of different drivers"));
            }
        };
        let mut at = 0;
        while at < entry.content.size {
            let step = buffer.len().min((entry.content.size - at) as usize);
            file.read_exact_at(&mut buffer[..step], start + at).map_err(failed)?;
            sink(&buffer[..step])?;
            at += step as u64;
        }
        Ok(())
    }
}
