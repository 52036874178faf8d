//! Adjacent layers merged into one, as overlayfs would show them to the layers around: whiteouts are still entries, and a directory is opaque that
//! hides what lies below the lowest of them. What it answers to a path is what `gapTree` of src/snapshots/tree.ts answers.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::os::fd::RawFd;
use std::path::PathBuf;

use crate::data_reader::Data;
use crate::entry::{Entry, Kind, Names, Tree, split_path};
use crate::error::Result;
use crate::index::Index;
use crate::stack::remove_below;

/// A layer by its index, and where its contents are: an image, or a directory of the directory driver.
pub struct GapLayer {
    pub index: PathBuf,
    pub data: PathBuf,
}

pub struct Gap {
    tree: Tree,
    /// For each entry of `tree`.
    origins: Vec<Origin>,
    data: Vec<Data>,
    is_plain: bool,
    /// Entries of a directory, in the order of their names: a range of `listed`.
    ranges: Vec<Range<u32>>,
    listed: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Origin {
    /// Position of the layer in the gap, from the bottom.
    layer: u32,
    /// Names that the file has in its layer, those that others hide included.
    links: u32,
    /// Where there are several: their number.
    group: Option<u64>,
}

impl Gap {
    /// Bottom to top.
    pub fn read(layers: &[GapLayer]) -> Result<Self> {
        let data = layers.iter().map(|layer| Data::open(&layer.data)).collect::<Result<_>>()?;
        let mut trees = layers.iter().map(|layer| Ok(Index::read(&layer.index)?.tree)).collect::<Result<Vec<_>>>()?;
        let is_plain = trees.iter().all(|tree| tree.entries().iter().all(Entry::is_plain));
        // Most gaps are one layer, which is the tree that it makes.
        let (tree, origins) = match (trees.pop(), trees.is_empty()) {
            (Some(tree), true) => {
                let origins = origins(&tree, 0);
                (tree, origins)
            }
            (last, _) => merge(trees.into_iter().chain(last))?,
        };
        let (ranges, listed) = list_children(&tree);
        Ok(Self { tree, origins, data, is_plain, ranges, listed })
    }

    pub fn count(&self) -> usize {
        self.tree.entries().len()
    }

    /// No layer has an extended attribute, a whiteout or an opaque directory, as `isPlain` of src/snapshots/layer-index.ts says it. A directory may be opaque
    /// all the same, that lies over something else.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    pub fn has_opaque(&self) -> bool {
        self.tree.entries().iter().any(|entry| entry.opaque)
    }

    pub fn entry(&self, position: usize) -> Option<&Entry> {
        self.tree.entries().get(position)
    }

    /// Of a directory, in the order of their names.
    pub fn children(&self, directory: usize) -> &[u32] {
        let Range { start, end } = self.ranges[directory];
        &self.listed[start as usize..end as usize]
    }

    pub fn child(&self, directory: usize, name: &[u8]) -> Option<usize> {
        let children = self.children(directory);
        let found = children.binary_search_by(|&child| self.name(child as usize).cmp(name));
        found.ok().map(|at| children[at] as usize)
    }

    pub fn parent(&self, position: usize) -> usize {
        self.tree.parent(position)
    }

    pub fn name(&self, position: usize) -> &[u8] {
        split_path(&self.tree.entries()[position].path).1
    }

    pub fn links(&self, position: usize) -> u32 {
        self.origins[position].links
    }

    /// The number of an inode: of its path, or for hard links of their group, which is known by its first path and its layer.
    pub fn number(&self, position: usize) -> u64 {
        self.origins[position].group.unwrap_or_else(|| number(None, &self.tree.entries()[position].path))
    }

    /// Reads a part of a regular file's content; short only at its end.
    pub fn read_at(&self, position: usize, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let entry = &self.tree.entries()[position];
        self.data[self.origins[position].layer as usize].read_at(entry, buffer, offset)
    }

    /// The descriptors that contents are read by.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        self.data.iter().map(Data::descriptor)
    }
}

fn merge(trees: impl Iterator<Item = Tree>) -> Result<(Tree, Vec<Origin>)> {
    let mut paths = BTreeMap::new();
    for (layer, tree) in trees.enumerate() {
        let found = origins(&tree, layer as u32).into_iter().zip(tree.into_entries());
        match layer {
            0 => paths = found.map(|(origin, entry)| (entry.path.clone(), (origin, entry))).collect(),
            _ => found.for_each(|(origin, entry)| put(&mut paths, origin, entry)),
        }
    }
    let (origins, mut entries): (Vec<Origin>, Vec<_>) = paths.into_values().unzip();
    for (entry, origin) in entries.iter_mut().zip(&origins) {
        // Numbers are a layer's own.
        entry.inode |= u64::from(origin.layer) << 32;
    }
    Ok((Tree::new(entries, Names::Any)?, origins))
}

fn origins(tree: &Tree, layer: u32) -> Vec<Origin> {
    let entries = tree.entries();
    let mut groups: HashMap<u64, (u32, u64)> = HashMap::new();
    for (position, entry) in entries.iter().enumerate().filter(|(position, _)| !tree.leads(*position)) {
        debug_assert!(entry.inode < position as u64, "a group is numbered by its first entry");
        let lead = || (1, number(Some(layer), &entries[entry.inode as usize].path));
        groups.entry(entry.inode).or_insert_with(lead).0 += 1;
    }
    let origin = |entry: &Entry| match groups.get(&entry.inode) {
        Some(&(links, number)) => Origin { layer, links, group: Some(number) },
        None => Origin { layer, links: 1, group: None },
    };
    entries.iter().map(origin).collect()
}

/// The same on every machine; of two paths never the same by chance.
fn number(layer: Option<u32>, path: &[u8]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    if let Some(layer) = layer {
        hasher.update(&layer.to_le_bytes()).update(b"/");
    }
    let digest = hasher.update(path).finalize();
    let first = digest.as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
    // Some programs keep inode numbers as signed ones, and 0 is none.
    (first >> 1).max(1)
}

/// What the entry of a higher layer makes of those below.
fn put(paths: &mut BTreeMap<Box<[u8]>, (Origin, Entry)>, origin: Origin, mut entry: Entry) {
    if entry.kind == Kind::Directory {
        let below = paths.get(&entry.path).map(|(_, below)| below.opaque || below.kind != Kind::Directory);
        if entry.opaque {
            remove_below(paths, &entry.path);
        }
        entry.opaque |= below.unwrap_or(false);
    } else {
        remove_below(paths, &entry.path);
    }
    paths.insert(entry.path.clone(), (origin, entry));
}

fn list_children(tree: &Tree) -> (Vec<Range<u32>>, Vec<u32>) {
    let count = tree.entries().len();
    let mut sizes = vec![0_u32; count];
    (1..count).for_each(|position| sizes[tree.parent(position)] += 1);
    let mut next = 0;
    let mut ranges: Vec<Range<u32>> = Vec::with_capacity(count);
    for size in sizes {
        ranges.push(next..next);
        next += size;
    }
    let mut listed = vec![0; next as usize];
    // Of one directory's entries the order of their paths is that of their names.
    for position in 1..count {
        let range = &mut ranges[tree.parent(position)];
        listed[range.end as usize] = position as u32;
        range.end += 1;
    }
    (ranges, listed)
}
