//! Whether a layer on disk is still what its index says: every content, and of an image also the metadata, which is made anew and compared.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use crate::contents::thread_count;
use crate::data_reader::Data;
use crate::entry::{Entry, Kind, Place, as_path};
use crate::erofs::{self, BLOCK, Metadata};
use crate::error::{NativeError, Result};
use crate::index::{GROUP, INLINE_MAX_BYTES, Index, PASSWD};

const READ_BYTES: usize = 1 << 20;
const PROBLEMS_MAX: usize = 1000;

/// A list of sentences, `path: what`; empty when all is well. An index that cannot be read is one of them.
pub fn verify(index: &Path, data: &Path) -> Result<Vec<String>> {
    let path = index;
    let index = match Index::read(path) {
        Ok(index) => index,
        Err(error) => return Ok(vec![error.to_string()]),
    };
    let data = match Data::open(data) {
        Ok(data) => data,
        Err(error) => return Ok(vec![error.to_string()]),
    };
    let mut problems = verify_contents(&index, &data);
    problems.extend(verify_names(&index, path));
    if let Some(image) = data.image() {
        match verify_image(&index, image) {
            Ok(Some(problem)) => problems.push(problem),
            Ok(None) => {}
            Err(error) => problems.push(error.to_string()),
        }
    }
    problems.sort_unstable();
    problems.truncate(PROBLEMS_MAX);
    Ok(problems)
}

#[derive(Debug, Serialize)]
pub struct IndexSummary {
    pub id: String,
    pub tree: String,
    /// Of file contents.
    pub bytes: u64,
    pub entries: u64,
}

/// An index alone, which may come from anywhere: that it is well-formed and agrees with itself. Anything else is `store/damaged`.
pub fn verify_index(path: &Path) -> Result<IndexSummary> {
    let index = Index::read(path)?;
    if let Some(problem) = verify_names(&index, path).into_iter().next() {
        return Err(NativeError::new("store/damaged", "verify index").path(path).detail(problem));
    }
    Ok(IndexSummary {
        id: index.id.to_string(),
        tree: index.tree_digest.to_string(),
        bytes: index.tree.content_bytes(),
        entries: index.tree.entries().len() as u64,
    })
}

/// A layer's file is named by its id, and the inlined files are copies.
fn verify_names(index: &Index, path: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    if blake3::Hash::from_hex(&stem).is_ok_and(|named| named != index.id) {
        problems.push(format!("index: its content is that of layer {}", index.id));
    }
    for (copy, path) in index.inlined.iter().zip([PASSWD, GROUP]) {
        let entry = index.tree.find(path).map(|found| &index.tree.entries()[found]).filter(|entry| entry.kind == Kind::File);
        let is_same = match (copy, entry) {
            (Some(copy), Some(entry)) => *blake3::hash(copy).as_bytes() == entry.content.digest,
            (Some(_), None) => false,
            (None, entry) => entry.is_none_or(|entry| entry.content.size > INLINE_MAX_BYTES),
        };
        if !is_same {
            problems.push(format!("{}: its copy in the index is not the layer's file", as_path(path).display()));
        }
    }
    problems
}

fn verify_contents(index: &Index, data: &Data) -> Vec<String> {
    let entries = index.tree.entries();
    let problems = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = entries.get(number) else { return };
            if entry.kind == Kind::File
                && index.tree.leads(number)
                && let Some(problem) = verify_content(entry, data, &mut buffer)
                && let Ok(mut problems) = problems.lock()
            {
                problems.push(format!("{}: {problem}", as_path(&entry.path).display()));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..thread_count() {
            scope.spawn(work);
        }
    });
    problems.into_inner().unwrap_or_default()
}

fn verify_content(entry: &Entry, data: &Data, buffer: &mut [u8]) -> Option<String> {
    let mut hasher = blake3::Hasher::new();
    let read = data.read(entry, buffer, |piece| {
        hasher.update(piece);
        Ok(())
    });
    match read {
        Err(error) => Some(format!("content cannot be read: {}", error.detail)),
        Ok(()) if *hasher.finalize().as_bytes() != entry.content.digest => Some("content is not what the index says".into()),
        Ok(()) => None,
    }
}

fn verify_image(index: &Index, image: &File) -> Result<Option<String>> {
    let failed = |error| NativeError::io("read image", error);
    let mut first = [0; BLOCK as usize];
    image.read_exact_at(&mut first, 0).map_err(failed)?;
    let size = image.metadata().map_err(failed)?.len();
    let Some(start) = erofs::metadata_start(&first) else { return Ok(Some("image: it is not EROFS".into())) };
    let inline = |index_of: usize| matches!(index.tree.entries()[index_of].content.place, Place::At(offset) if offset >= start);
    let plan = Metadata::plan(&index.tree, start, inline)?;
    if size != index.data_bytes || plan.image_bytes() != size {
        return Ok(Some("image: its size is not what the index says".into()));
    }
    let mut comparing = Comparing { image, at: start };
    plan.write(&mut comparing, |number, buffer| {
        let content = index.tree.entries()[number].content;
        let begin = buffer.len();
        buffer.resize(begin + content.size as usize, 0);
        image.read_exact_at(&mut buffer[begin..], plan.inline_at(number)).map_err(failed)
    })
    .map(|()| (first != plan.first_block()).then(|| "image: its superblock is not that of the index".into()))
    .or_else(|error| {
        if error.op == "write image" { Ok(Some("image: its inodes or directories are not those of the index".into())) } else { Err(error) }
    })
}

/// Takes what is written and compares it with what is there.
struct Comparing<'a> {
    image: &'a File,
    at: u64,
}

impl Write for Comparing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut there = vec![0; bytes.len()];
        self.image.read_exact_at(&mut there, self.at)?;
        if there != bytes {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
