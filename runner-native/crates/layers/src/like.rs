//! A tar that is said to be a layer whose index is here already: it must hold what the index says, and the index says what a tar cannot
//! (implied directories, times finer than a second, sockets).

use std::path::Path;

use crate::entry::{Content, Entry, Kind, Tree, as_path};
use crate::error::{NativeError, Result};
use crate::index::Index;

/// The tree of `index`, with the places that the contents of the tar have got.
pub fn take_like(index: &Path, unpacked: &Tree) -> Result<Tree> {
    let mut tree = Index::read(index)?.tree;
    let mut places = Vec::new();
    let mut matched = 0;
    for (number, entry) in tree.entries().iter().enumerate() {
        if entry.kind == Kind::Socket {
            continue;
        }
        let found = unpacked.find(&entry.path).ok_or_else(|| differs(entry, "is not in the tar"))?;
        matched += 1;
        let there = &unpacked.entries()[found];
        if let Some(what) = difference(entry, there) {
            return Err(differs(entry, what));
        }
        if tree.entries()[entry.inode as usize].path != unpacked.entries()[there.inode as usize].path {
            return Err(differs(entry, "is linked to something else in the tar"));
        }
        if entry.kind == Kind::File && tree.leads(number) {
            places.push(there.content.place);
        }
    }
    if matched != unpacked.entries().len() {
        return Err(NativeError::new("native/bad-archive", "compare with index").detail("the tar holds more than the index says"));
    }
    let mut places = places.into_iter();
    tree.set_contents(|_, entry| Content { place: places.next().unwrap_or(entry.content.place), ..entry.content });
    Ok(tree)
}

/// Of what a tar can say. A directory that the tar does not name has its attributes from below; the root is never named by a tar of ours.
fn difference(entry: &Entry, there: &Entry) -> Option<&'static str> {
    if entry.kind != there.kind {
        return Some("is of another type in the tar");
    }
    if entry.kind == Kind::File && (entry.content.size, entry.content.digest) != (there.content.size, there.content.digest) {
        return Some("has another content in the tar");
    }
    if entry.opaque != there.opaque {
        return Some("hides what is below in one of the two alone");
    }
    if there.implied {
        return None;
    }
    let attributes = |entry: &Entry| (entry.mode, entry.uid, entry.gid, entry.rdev, entry.mtime.seconds);
    if attributes(entry) != attributes(there) || entry.target != there.target || entry.xattrs != there.xattrs {
        return Some("has other attributes in the tar");
    }
    None
}

fn differs(entry: &Entry, what: &str) -> NativeError {
    NativeError::new("native/bad-archive", "compare with index").path(as_path(&entry.path)).detail(what)
}
