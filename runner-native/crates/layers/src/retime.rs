//! A layer once more, with one time for all that it holds: what an image is made of that does not tell when it was built.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;

use crate::contents::{Job, Source, write_contents};
use crate::data_writer::DataWriter;
use crate::entry::{Entry, Kind, Place, Tree};
use crate::error::{NativeError, Result};
use crate::index::Index;
use crate::summary::{Driver, LayerSummary};

enum Opened {
    Image(File),
    Directory(OwnedFd),
}

/// `seconds` since the epoch. Contents are compared with the index on the way: a damaged layer has no copy.
pub fn retime(driver: Driver, out: &Path, index: &Path, data: &Path, seconds: i64) -> Result<LayerSummary> {
    let mut tree = Index::read(index)?.tree;
    let opened = open(data)?;
    let mut writer = DataWriter::create(driver, out)?;
    let mut contents = write_contents(&make_jobs(&tree, &opened, data)?, &mut writer).map_err(damaged)?.into_iter();
    tree.set_contents(|_, entry| contents.next().unwrap_or(entry.content));
    tree.set_times(seconds);
    writer.finish(tree)
}

fn open(data: &Path) -> Result<Opened> {
    let failed = |error| NativeError::io("open", error).path(data);
    let file = File::open(data).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() { Ok(Opened::Directory(file.into())) } else { Ok(Opened::Image(file)) }
}

fn make_jobs<'a>(tree: &'a Tree, opened: &'a Opened, data: &Path) -> Result<Vec<Job<'a>>> {
    let files = tree.entries().iter().enumerate().filter(|(number, entry)| entry.kind == Kind::File && tree.leads(*number));
    files
        .map(|(_, entry)| Ok(Job { source: source_of(entry, opened, data)?, size: entry.content.size, digest: Some(entry.content.digest) }))
        .collect()
}

fn source_of<'a>(entry: &'a Entry, opened: &'a Opened, data: &Path) -> Result<Source<'a>> {
    match (opened, entry.content.place) {
        _ if entry.content.size == 0 => Ok(Source::Text(b"")),
        (Opened::Directory(root), _) => Ok(Source::File { root, path: &entry.path }),
        (Opened::Image(file), Place::At(offset)) => Ok(Source::Range { file, offset }),
        _ => Err(NativeError::new("store/damaged", "read").path(data).detail("the index and the data are of different drivers")),
    }
}

fn damaged(error: NativeError) -> NativeError {
    if error.code.starts_with("context/") { NativeError { code: "store/damaged".into(), ..error } } else { error }
}
