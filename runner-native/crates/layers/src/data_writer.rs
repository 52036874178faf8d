//! The two ways of writing a layer's data behind one face, and what every finished layer ends with: its index and its summary.
//! Nothing half-written stays: a writer that is dropped unfinished removes what it made.

use std::path::{Path, PathBuf};

use crate::directory_writer::{self, DirectoryWriter};
use crate::entry::{Content, Kind, Place, Tree};
use crate::error::{NativeError, Result};
use crate::image_writer::ImageWriter;
use crate::index::{self, GROUP, INLINE_MAX_BYTES, PASSWD};
use crate::summary::{Driver, LayerSummary};

enum Kept {
    Image(ImageWriter),
    Directory(DirectoryWriter),
}

/// Contents go in one after the other: `begin`, `append` until the size is reached, `end`.
pub struct DataWriter {
    kept: Option<Kept>,
    data: PathBuf,
    /// What is removed of a layer that is not finished, its index aside.
    made: PathBuf,
    index: PathBuf,
    current: Content,
    hasher: blake3::Hasher,
}

impl DataWriter {
    pub fn create(driver: Driver, out: &Path) -> Result<Self> {
        let (data, made, kept) = match driver {
            Driver::Erofs => {
                let path = out.with_added_extension("erofs");
                (path.clone(), path.clone(), Kept::Image(ImageWriter::create(&path)?))
            }
            Driver::Directory => (out.join(directory_writer::ROOT), out.into(), Kept::Directory(DirectoryWriter::create(out)?)),
        };
        let index = out.with_added_extension("index");
        Ok(Self { kept: Some(kept), data, made, index, current: Content::default(), hasher: blake3::Hasher::new() })
    }

    fn kept(&mut self) -> Result<&mut Kept> {
        self.kept.as_mut().ok_or_else(|| NativeError::new("internal/assertion", "write").detail("the layer is finished already"))
    }

    /// A content that is here whole, with its digest.
    pub fn put(&mut self, bytes: &[u8], digest: blake3::Hash) -> Result<Content> {
        let place = self.start(bytes.len() as u64)?;
        self.write(place, bytes)?;
        Ok(Content { size: bytes.len() as u64, digest: digest.into(), place })
    }

    pub fn begin(&mut self, size: u64) -> Result<()> {
        self.hasher.reset();
        self.current = Content { size, place: self.start(size)?, ..Content::default() };
        Ok(())
    }

    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.write(self.current.place, bytes)
    }

    pub fn append_zeros(&mut self, count: u64) -> Result<()> {
        let zeros = [0; 64 << 10];
        let mut left = count;
        while left > 0 {
            let step = left.min(zeros.len() as u64);
            self.hasher.update(&zeros[..step as usize]);
            left -= step;
        }
        let place = self.current.place;
        match self.kept()? {
            Kept::Image(image) => image.append_zeros(place, count),
            Kept::Directory(directory) => directory.append_zeros(count),
        }
    }

    pub fn end(&mut self) -> Content {
        Content { digest: self.hasher.finalize().into(), ..self.current }
    }

    fn start(&mut self, size: u64) -> Result<Place> {
        match self.kept()? {
            Kept::Image(image) => image.begin(size),
            Kept::Directory(directory) => directory.begin(size),
        }
    }

    fn write(&mut self, place: Place, bytes: &[u8]) -> Result<()> {
        match self.kept()? {
            Kept::Image(image) => image.append(place, bytes),
            Kept::Directory(directory) => directory.append(bytes),
        }
    }

    /// Reads from a content that was written before.
    pub fn read_back(&mut self, place: Place, offset: u64, buffer: &mut [u8]) -> Result<()> {
        match self.kept()? {
            Kept::Image(image) => image.read_back(place, offset, buffer),
            Kept::Directory(directory) => directory.read_back(place, offset, buffer),
        }
    }

    pub fn finish(self, tree: Tree) -> Result<LayerSummary> {
        self.finish_as(tree, None)
    }

    /// The data first, synced, then the index: an index never names data that is not there. `diff_id`: of a layer that others made.
    pub fn finish_as(mut self, mut tree: Tree, diff_id: Option<&str>) -> Result<LayerSummary> {
        let mut inlined = [None, None];
        for (slot, path) in inlined.iter_mut().zip([PASSWD, GROUP]) {
            *slot = self.read_small(&tree, path)?;
        }
        let data_bytes = match self.kept.as_mut() {
            Some(Kept::Image(image)) => image.finish(&mut tree)?,
            Some(Kept::Directory(directory)) => directory.finish(&mut tree)?,
            None => 0,
        };
        let encoded = index::encode(&tree, data_bytes, inlined, diff_id);
        std::fs::write(&self.index, &encoded.bytes).map_err(|error| NativeError::io("write", error).path(&self.index))?;
        self.kept = None;
        Ok(LayerSummary {
            id: encoded.id.to_string(),
            tree: encoded.tree.to_string(),
            index: self.index.to_string_lossy().into_owned(),
            data: self.data.to_string_lossy().into_owned(),
            bytes: tree.content_bytes(),
            entries: tree.entries().len() as u64,
            data_bytes,
        })
    }

    fn read_small(&mut self, tree: &Tree, path: &[u8]) -> Result<Option<Vec<u8>>> {
        let found = tree.find(path).map(|index| &tree.entries()[index]);
        let Some(entry) = found.filter(|entry| entry.kind == Kind::File && entry.content.size <= INLINE_MAX_BYTES) else { return Ok(None) };
        let mut content = vec![0; entry.content.size as usize];
        self.read_back(entry.content.place, 0, &mut content)?;
        Ok(Some(content))
    }
}

impl Drop for DataWriter {
    fn drop(&mut self) {
        if self.kept.take().is_some() {
            // The first failure is on its way to the caller; what cannot be removed lies in a lease directory and goes with it.
            let _ = crate::remove::remove(&self.made);
            let _ = crate::remove::remove(&self.index);
        }
    }
}
