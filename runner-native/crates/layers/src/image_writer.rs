//! Writes a layer's data file as an EROFS image. Contents are appended as they come; what is smaller than 1 KiB is held to stand beside
//! its inode. `finish` writes the metadata behind the contents, syncs, and tells where each content is.

use std::fs::File;
use std::io::Write;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::Advice;

use crate::entry::{Content, Kind, Place, Tree};
use crate::erofs::{self, BLOCK, Metadata};
use crate::error::{NativeError, Result};

/// Contents below this stand beside their inodes: they would waste most of a block.
const HELD_MAX_BYTES: u64 = 1024;
/// So many bytes of them are held in memory; the rest takes blocks.
const HELD_TOTAL_BYTES: u64 = 64 << 20;
const BUFFER_BYTES: usize = 1 << 20;
/// After so much the disk begins to write, so that syncing at the end waits for little.
const WRITEBACK_BYTES: u64 = 8 << 20;

pub struct ImageWriter {
    path: PathBuf,
    file: File,
    /// Bytes before `buffer`.
    flushed: u64,
    /// The disk has begun to write what is before this.
    begun: u64,
    buffer: Vec<u8>,
    held: Vec<u8>,
    held_max: u64,
}

impl ImageWriter {
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
            .map_err(|error| NativeError::io("create", error).path(path))?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        buffer.resize(BLOCK as usize, 0);
        Ok(Self { path: path.into(), file, flushed: 0, begun: 0, buffer, held: Vec::new(), held_max: HELD_TOTAL_BYTES })
    }

    fn position(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    /// The place of a content of `size` bytes, which the caller now appends.
    pub fn begin(&mut self, size: u64) -> Result<Place> {
        if size == 0 {
            return Ok(Place::Nowhere);
        }
        if size < HELD_MAX_BYTES && self.held.len() as u64 + size <= self.held_max {
            return Ok(Place::Held(self.held.len() as u64));
        }
        let start = self.position().next_multiple_of(BLOCK);
        self.append_zeros(Place::At(start), start - self.position())?;
        Ok(Place::At(start))
    }

    pub fn append(&mut self, place: Place, bytes: &[u8]) -> Result<()> {
        match place {
            Place::Held(_) => self.held.extend_from_slice(bytes),
            _ if bytes.len() >= BUFFER_BYTES => {
                self.flush()?;
                self.write_out(bytes)?;
            }
            _ => {
                if self.buffer.len() + bytes.len() > BUFFER_BYTES {
                    self.flush()?;
                }
                self.buffer.extend_from_slice(bytes);
            }
        }
        Ok(())
    }

    /// Zeros; a long run becomes a hole of the image, so that a sparse file of an archive cannot fill the disk.
    pub fn append_zeros(&mut self, place: Place, count: u64) -> Result<()> {
        if count <= BUFFER_BYTES as u64 {
            return self.append(place, &vec![0; count as usize]);
        }
        self.flush()?;
        self.flushed += count;
        std::io::Seek::seek(&mut self.file, std::io::SeekFrom::Start(self.flushed)).map_err(|error| self.failed("seek", error))?;
        Ok(())
    }

    /// Reads back what was appended.
    pub fn read_back(&mut self, place: Place, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.flush()?;
        match place {
            Place::Held(start) => buffer.copy_from_slice(&self.held[(start + offset) as usize..][..buffer.len()]),
            Place::At(start) => self.file.read_exact_at(buffer, start + offset).map_err(|error| self.failed("read", error))?,
            _ => {}
        }
        Ok(())
    }

    /// Writes the metadata and syncs; every content in `tree` has its final place then. Returns the image's size.
    pub fn finish(&mut self, tree: &mut Tree) -> Result<u64> {
        erofs::check_xattr_room(tree)?;
        self.release_misfits(tree)?;
        let end = self.position();
        self.append_zeros(Place::Nowhere, end.next_multiple_of(BLOCK) - end)?;
        self.flush()?;
        let plan = Metadata::plan(tree, self.flushed, |index| matches!(tree.entries()[index].content.place, Place::Held(_)))?;
        let held = std::mem::take(&mut self.held);
        let mut out = std::io::BufWriter::with_capacity(BUFFER_BYTES, &self.file);
        let written = plan.write(&mut out, |index, buffer| {
            let content = tree.entries()[index].content;
            if let Place::Held(start) = content.place {
                buffer.extend_from_slice(&held[start as usize..][..content.size as usize]);
            }
            Ok(())
        });
        written.and_then(|()| out.flush().map_err(|error| NativeError::io("write", error))).map_err(|error| error.path(&self.path))?;
        self.file.write_all_at(&plan.first_block(), 0).map_err(|error| self.failed("write", error))?;
        rustix::fs::fdatasync(&self.file).map_err(|error| self.failed("sync", error.into()))?;
        let size = plan.image_bytes();
        let places: Vec<Place> = (0..tree.entries().len()).map(|index| final_place(tree, &plan, index)).collect();
        tree.set_contents(|index, entry| Content { place: places[index], ..entry.content });
        Ok(size)
    }

    /// Held contents whose inode has too many xattrs for company get blocks after all.
    fn release_misfits(&mut self, tree: &mut Tree) -> Result<()> {
        self.held_max = 0;
        let misfit =
            |entry: &crate::entry::Entry| matches!(entry.content.place, Place::Held(_)) && !erofs::fits_inline(entry, entry.content.size);
        if !tree.entries().iter().any(misfit) {
            return Ok(());
        }
        let mut failure = None;
        tree.set_contents(|_, entry| {
            if !misfit(entry) || failure.is_some() {
                return entry.content;
            }
            let mut content = vec![0; entry.content.size as usize];
            let moved = self.read_back(entry.content.place, 0, &mut content).and_then(|()| {
                let place = self.begin(content.len() as u64)?;
                self.append(place, &content)?;
                Ok(place)
            });
            match moved {
                Ok(place) => Content { place, ..entry.content },
                Err(error) => {
                    failure = Some(error);
                    entry.content
                }
            }
        });
        failure.map_or(Ok(()), Err)
    }

    fn flush(&mut self) -> Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        self.write_out(&buffer)?;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    fn write_out(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| self.failed("write", error))?;
        self.flushed += bytes.len() as u64;
        self.begin_writeback();
        Ok(())
    }

    /// Linux begins to write what it is told is not needed (mm/fadvise.c); pages that are still being written stay cached.
    fn begin_writeback(&mut self) {
        let Some(length) = NonZeroU64::new(self.flushed - self.begun).filter(|length| length.get() >= WRITEBACK_BYTES) else { return };
        // Advice: what does not take it writes later.
        let _ = rustix::fs::fadvise(&self.file, self.begun, Some(length), Advice::DontNeed);
        self.begun = self.flushed;
    }

    fn failed(&self, op: &str, error: std::io::Error) -> NativeError {
        NativeError::io(op, error).path(&self.path)
    }
}

fn final_place(tree: &Tree, plan: &Metadata, index: usize) -> Place {
    match tree.entries()[index].content.place {
        Place::Held(_) if tree.entries()[index].kind == Kind::File => Place::At(plan.inline_at(index)),
        other => other,
    }
}
