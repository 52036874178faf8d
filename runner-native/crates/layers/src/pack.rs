//! A directory as a layer. An overlayfs upper has whiteouts and opaque marks in overlayfs's two forms, `trusted.` and `user.`
//! (Documentation/filesystems/overlayfs.rst); here they become type 8 and flag 2 of the index.

use std::path::Path;

use crate::beneath;
use crate::contents::{Job, Source, write_contents};
use crate::data_writer::DataWriter;
use crate::entry::{Entry, Kind, Names, Tree, as_path, is_overlay_xattr};
use crate::error::{NativeError, Result};
use crate::index;
use crate::measure::Measure;
use crate::scan::is_host_label;
use crate::summary::{Driver, LayerSummary};
use crate::walk::{Walk, number_inodes};

/// A directory as a layer: `<out>.index` with `<out>.erofs` or the tree `<out>/`. With `overlay_upper` the directory is what overlayfs wrote.
pub fn pack_dir(driver: Driver, out: &Path, dir: &Path, overlay_upper: bool) -> Result<LayerSummary> {
    pack(driver, out, dir, overlay_upper, None).map_err(as_own)
}

/// What overlayfs wrote. With `seconds` all of it is as old as that, whatever its inodes say.
pub fn pack_upper(driver: Driver, out: &Path, dir: &Path, seconds: Option<i64>) -> Result<LayerSummary> {
    pack(driver, out, dir, true, seconds).map_err(as_own)
}

/// The walk takes what it reads for a context, which somebody may be changing; this is nobody's but ours.
fn as_own(error: NativeError) -> NativeError {
    if error.code.starts_with("context/") { NativeError { code: "native/io".into(), ..error } } else { error }
}

fn pack(driver: Driver, out: &Path, dir: &Path, overlay_upper: bool, seconds: Option<i64>) -> Result<LayerSummary> {
    let root = beneath::open_root(dir)?;
    let mut tree = Tree::new(look_at(&root, overlay_upper, false)?, Names::Layer)?;
    let mut writer = DataWriter::create(driver, out)?;
    write_files(&mut tree, &root, &mut writer)?;
    if let Some(seconds) = seconds {
        tree.set_times(seconds);
    }
    writer.finish(tree)
}

/// The index of what overlayfs has written so far, contents unread: neither their digests nor a data file. It may go on writing.
pub fn index_upper(dir: &Path, out: &Path) -> Result<Measure> {
    let root = beneath::open_root(dir)?;
    let tree = look_at(&root, true, true).and_then(|entries| Tree::new(entries, Names::Any)).map_err(as_own)?;
    let encoded = index::encode(&tree, 0, [None, None], None);
    std::fs::write(out, &encoded.bytes).map_err(|error| NativeError::io("write", error).path(out))?;
    Ok(Measure { bytes: tree.content_bytes(), entries: tree.entries().len() as u64 })
}

/// What is there, as a layer would have it; no content is read.
fn look_at(root: &std::os::fd::OwnedFd, overlay_upper: bool, lenient: bool) -> Result<Vec<Entry>> {
    let mut found = Walk { root, hash: false, known: None, keep_xattr: |name| !is_host_label(name), lenient }.all()?;
    for found in &mut found {
        if overlay_upper && is_whiteout(&found.entry) {
            // Hard links of each other in an upper, never in a layer.
            found.linked = None;
            found.entry = Entry::whiteout(&found.entry.path);
        }
        take_overlay_marks(&mut found.entry, overlay_upper)?;
    }
    Ok(number_inodes(found))
}

fn write_files(tree: &mut Tree, root: &std::os::fd::OwnedFd, writer: &mut DataWriter) -> Result<()> {
    let files = tree.entries().iter().enumerate().filter(|(index, entry)| entry.kind == Kind::File && tree.leads(*index));
    let jobs: Vec<Job> =
        files.map(|(_, entry)| Job { source: Source::File { root, path: &entry.path }, size: entry.content.size, digest: None }).collect();
    let mut contents = write_contents(&jobs, writer)?.into_iter();
    tree.set_contents(|_, entry| contents.next().unwrap_or(entry.content));
    Ok(())
}

pub fn is_whiteout(entry: &Entry) -> bool {
    let marked = |mark: &[u8]| entry.xattrs.iter().any(|(name, _)| **name == *mark);
    match entry.kind {
        Kind::CharDevice => entry.rdev == (0, 0),
        Kind::File => entry.content.size == 0 && (marked(b"trusted.overlay.whiteout") || marked(b"user.overlay.whiteout")),
        _ => false,
    }
}

/// Removes overlayfs's xattrs; in an upper an opaque mark becomes the flag, and what would need the layers below is refused.
pub fn take_overlay_marks(entry: &mut Entry, overlay_upper: bool) -> Result<()> {
    for (name, value) in entry.xattrs.iter().filter(|(name, _)| overlay_upper && is_overlay_xattr(name)) {
        let mark = name.splitn(3, |&byte| byte == b'.').last();
        match mark {
            Some(b"opaque") if **value == *b"y" && entry.kind == Kind::Directory => entry.opaque = true,
            Some(b"redirect" | b"metacopy") => {
                return Err(NativeError::new("native/bad-upper", "pack")
                    .path(as_path(&entry.path))
                    .detail("overlayfs was not mounted with redirect_dir=nofollow and metacopy=off"));
            }
            _ => {}
        }
    }
    entry.xattrs.retain(|(name, _)| !is_overlay_xattr(name));
    Ok(())
}
