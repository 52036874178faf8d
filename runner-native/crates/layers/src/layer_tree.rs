//! The tree that an archive's members make, as they arrive: the last one of a path wins, parents that nobody names are implied, `.wh.` names are
//! whiteouts. Nothing here touches a disk: links inside an archive are resolved in this tree alone, with the layer's root as the root.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::entry::{Entry, Kind, Names, check_path, join_path, split_path};
use crate::error::{Result, too_large};
use crate::tar_header::bad_archive;

const SYMLINKS_MAX: usize = 40;
const PATHS_MAX: usize = 4 << 20;
const PATH_BYTES_MAX: usize = 512 << 20;
const WHITEOUT: &[u8] = b".wh.";
/// What aufs kept in its branches, and what it became in OCI layers (image-spec layer.md, "Whiteouts").
const WHITEOUT_META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Where a member goes.
pub enum Spot {
    At(Box<[u8]>),
    Whiteout(Box<[u8]>),
    Opaque(Box<[u8]>),
    Nowhere,
}

#[derive(Default)]
pub struct LayerTree {
    paths: BTreeMap<Box<[u8]>, u32>,
    /// Entries without their paths; hard links share one.
    inodes: Vec<Entry>,
    path_bytes: usize,
    /// Whether `.wh.` names have their OCI meaning.
    whiteouts: bool,
}

impl LayerTree {
    pub fn new(whiteouts: bool) -> Result<Self> {
        let mut tree = Self { whiteouts, ..Self::default() };
        tree.set(b"", Entry::implied_directory(b""))?;
        Ok(tree)
    }

    /// Finds the place of a member's name; directories on the way that nobody has named yet come into being, implied.
    pub fn spot(&mut self, name: &[u8], is_directory: bool) -> Result<Spot> {
        let path = clean(name)?;
        if path.is_empty() && !self.whiteouts {
            return Ok(Spot::Nowhere);
        }
        let (parent, last) = split_path(&path);
        if !self.whiteouts || !path.split(|&byte| byte == b'/').any(|name| name.starts_with(WHITEOUT)) {
            check_path(&path, Names::Layer)?;
            if is_directory && !self.whiteouts && self.get(&path).is_some_and(|entry| entry.kind == Kind::Symlink) {
                return Ok(Spot::At(self.resolve(&path)?));
            }
            return Ok(Spot::At(join_if_named(&self.resolve(parent)?, last)));
        }
        if last != OPAQUE && path.split(|&byte| byte == b'/').any(|name| name.starts_with(WHITEOUT_META)) {
            return Ok(Spot::Nowhere);
        }
        check_path(parent, Names::Layer)?;
        if self.is_covered(parent) {
            return Ok(Spot::Nowhere);
        }
        let parent = self.resolve(parent)?;
        if last == OPAQUE {
            return Ok(Spot::Opaque(parent));
        }
        // `.wh.` alone and `.wh..` would hide a directory's own name or what is above it.
        let hidden = &last[WHITEOUT.len()..];
        if hidden.is_empty() {
            return Err(bad_archive(&format!("the whiteout {} hides nothing", name.escape_ascii())));
        }
        let hidden = join_path(&parent, hidden);
        check_path(&hidden, Names::Layer)?;
        Ok(Spot::Whiteout(hidden))
    }

    /// `entry.path` is a spot. Returns the number that hard links of it share.
    pub fn insert(&mut self, entry: Entry) -> Result<()> {
        let path = entry.path.clone();
        match self.get(&path) {
            Some(old) if old.kind == Kind::Directory && entry.kind == Kind::Directory => {
                let opaque = old.opaque;
                return self.set(&path, Entry { opaque, ..entry });
            }
            // Whiteout and directory of one name, in whatever order: what is below is hidden (image-spec layer.md).
            Some(old) if old.kind == Kind::Whiteout && entry.kind == Kind::Directory => {
                return self.set(&path, Entry { opaque: true, ..entry });
            }
            Some(old) if old.kind == Kind::Directory => self.remove_below(&path)?,
            _ => {}
        }
        self.set(&path, entry)
    }

    pub fn insert_whiteout(&mut self, path: &[u8]) -> Result<()> {
        match self.paths.get(path) {
            Some(&inode) if self.inodes[inode as usize].kind == Kind::Directory => self.inodes[inode as usize].opaque = true,
            Some(_) => {}
            None => self.set(path, Entry::whiteout(path))?,
        }
        Ok(())
    }

    pub fn make_opaque(&mut self, path: &[u8]) {
        if let Some(&inode) = self.paths.get(path) {
            self.inodes[inode as usize].opaque = true;
        }
    }

    /// `path` becomes another name of `target`, which an earlier member has made.
    pub fn link(&mut self, path: &[u8], target: &[u8]) -> Result<()> {
        let target = clean(target)?;
        let (parent, last) = split_path(&target);
        let target = join_if_named(&self.resolve(parent)?, last);
        let found = self.paths.get(&target).copied();
        let inode = found.filter(|inode| !matches!(self.inodes[*inode as usize].kind, Kind::Directory | Kind::Whiteout));
        let inode = inode.ok_or_else(|| bad_archive(&format!("the hard link {} is to nothing of this archive", path.escape_ascii())))?;
        if target[..] == *path {
            return Ok(());
        }
        if self.get(path).is_some_and(|old| old.kind == Kind::Directory) {
            if target.starts_with(path) && target[path.len()] == b'/' {
                return Err(bad_archive(&format!("the hard link {} is in the way of what it is to", path.escape_ascii())));
            }
            self.remove_below(path)?;
        }
        self.count(path.len())?;
        self.paths.insert(path.into(), inode);
        Ok(())
    }

    pub fn get(&self, path: &[u8]) -> Option<&Entry> {
        self.paths.get(path).map(|inode| &self.inodes[*inode as usize])
    }

    pub fn into_entries(self) -> Vec<Entry> {
        let entry = |(path, inode): (Box<[u8]>, u32)| Entry { path, inode: inode.into(), ..self.inodes[inode as usize].clone() };
        self.paths.into_iter().map(entry).collect()
    }

    fn set(&mut self, path: &[u8], entry: Entry) -> Result<()> {
        self.count(path.len() + entry.target.len() + entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>())?;
        self.paths.insert(path.into(), self.inodes.len() as u32);
        self.inodes.push(Entry { path: Box::default(), ..entry });
        Ok(())
    }

    /// Small archives can name enormous trees.
    fn count(&mut self, bytes: usize) -> Result<()> {
        self.path_bytes += bytes;
        if self.path_bytes > PATH_BYTES_MAX || self.inodes.len().max(self.paths.len()) >= PATHS_MAX {
            return Err(too_large("it has more than 4 million members, or more than 512 MiB of names and attributes"));
        }
        Ok(())
    }

    fn remove_below(&mut self, path: &[u8]) -> Result<()> {
        if path.is_empty() {
            return Err(bad_archive("the root is not a directory"));
        }
        let below: (Box<[u8]>, Box<[u8]>) = ([path, b"/"].concat().into(), [path, b"0"].concat().into());
        let range = (Bound::Included(below.0), Bound::Excluded(below.1));
        let gone: Vec<Box<[u8]>> = self.paths.range(range).map(|(path, _)| path.clone()).collect();
        for path in gone {
            self.paths.remove(&path);
        }
        Ok(())
    }

    /// A file in the place of a directory hides what was below it by itself. umoci writes whiteouts of that as well.
    fn is_covered(&self, path: &[u8]) -> bool {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end).chain([path.len()]);
        let covers = |entry: &Entry| !matches!(entry.kind, Kind::Directory | Kind::Symlink | Kind::Whiteout);
        ends.map(|end| &path[..end]).any(|above| self.get(above).is_some_and(covers))
    }

    /// The directory that `path` means, through the archive's own symlinks, as an extraction inside a chroot would find it.
    fn resolve(&mut self, path: &[u8]) -> Result<Box<[u8]>> {
        // Parents of what is here are directories, so a directory here needs no resolving.
        if self.get(path).is_some_and(|entry| entry.kind == Kind::Directory) {
            return Ok(path.into());
        }
        let mut names: Vec<Box<[u8]>> = path.split(|&byte| byte == b'/').rev().map(Into::into).collect();
        let mut at: Box<[u8]> = Box::default();
        let mut symlinks = 0;
        while let Some(name) = names.pop() {
            match &*name {
                b"" | b"." => continue,
                b".." => {
                    at = split_path(&at).0.into();
                    continue;
                }
                _ => {}
            }
            let next = join_path(&at, &name);
            match self.get(&next) {
                Some(entry) if entry.kind == Kind::Directory => at = next,
                Some(entry) if entry.kind == Kind::Symlink => {
                    symlinks += 1;
                    if symlinks > SYMLINKS_MAX {
                        return Err(bad_archive(&format!("{} goes through too many symlinks", path.escape_ascii())));
                    }
                    if entry.target.starts_with(b"/") {
                        at = Box::default();
                    }
                    names.extend(entry.target.split(|&byte| byte == b'/').rev().map(Into::into));
                }
                Some(entry) if entry.kind != Kind::Whiteout => {
                    return Err(bad_archive(&format!("{} is in the way: it is no directory", next.escape_ascii())));
                }
                other => {
                    let opaque = other.is_some();
                    check_path(&next, Names::Layer)?;
                    self.set(&next, Entry { opaque, ..Entry::implied_directory(&next) })?;
                    at = next;
                }
            }
        }
        Ok(at)
    }
}

/// A member's name as a path of the layer: leading slashes mean nothing, and nothing is above the root.
fn clean(name: &[u8]) -> Result<Box<[u8]>> {
    let mut names: Vec<&[u8]> = Vec::new();
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if names.pop().is_none() {
                    return Err(bad_archive(&format!("the name {} leads out of the archive", name.escape_ascii())));
                }
            }
            _ => names.push(part),
        }
    }
    Ok(names.join(&b'/').into())
}

fn join_if_named(parent: &[u8], name: &[u8]) -> Box<[u8]> {
    if name.is_empty() { parent.into() } else { join_path(parent, name) }
}
