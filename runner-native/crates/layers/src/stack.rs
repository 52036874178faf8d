//! What stacks of layers show, as overlayfs would show it: one tree, and for each of its entries where the content is.
//! Made from indexes alone; nothing is mounted. Several stacks, one for each platform of a build, stand in directories of their own or in one.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;

use serde::Deserialize;

use crate::data_reader::Data;
use crate::entry::{Entry, Kind, Mtime, Names, Tree, as_path, check_path, join_path};
use crate::error::{NativeError, Result};
use crate::index::Index;

/// The layers of one root file system, bottom first.
#[derive(Debug, Deserialize)]
pub struct Stack {
    /// What messages call it.
    pub name: String,
    /// The directory of the result that it fills; empty: the result itself.
    pub directory: String,
    pub layers: Vec<StackLayer>,
    /// Only what this directory holds; the result, where it is filled whole, has its attributes. No link is followed on the way.
    #[serde(default)]
    pub subtree: String,
}

#[derive(Debug, Deserialize)]
pub struct StackLayer {
    pub index: PathBuf,
    pub data: PathBuf,
}

pub struct Merged {
    pub tree: Tree,
    /// For each entry of `tree` its layer's position in `data`.
    sources: Vec<u32>,
    data: Vec<Data>,
}

/// The layer of what is in none: the directories that stacks stand in.
const NO_LAYER: u32 = u32::MAX;

/// By path, which is the order of a `Tree`.
type Paths = BTreeMap<Box<[u8]>, (u32, Entry)>;

impl Merged {
    /// `mtime`: seconds, for every entry in place of its own.
    pub fn read(stacks: &[Stack], mtime: Option<i64>) -> Result<Self> {
        let mut data = Vec::new();
        let mut all = Paths::from([(Box::default(), (NO_LAYER, Entry::implied_directory(b"")))]);
        let mut owners: BTreeMap<Box<[u8]>, &str> = BTreeMap::new();
        for stack in stacks {
            let shown = show(stack, &mut data)?;
            let shown = if stack.subtree.is_empty() { shown } else { below(shown, stack, &mut all)? };
            add_stack(&mut all, stack, shown, (stacks.len() > 1).then_some(&mut owners))?;
        }
        let (mut sources, mut entries) = (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
        for (source, mut entry) in all.into_values() {
            // Numbers are a layer's own.
            entry.inode |= u64::from(source) << 32;
            entry.mtime = mtime.map_or(entry.mtime, |seconds| Mtime { seconds, nanos: 0 });
            sources.push(source);
            entries.push(entry);
        }
        Ok(Self { tree: Tree::new(entries, Names::Any)?, sources, data })
    }

    /// Where the content of an entry is, which is a regular file.
    pub fn data(&self, index: usize) -> &Data {
        &self.data[self.sources[index] as usize]
    }
}

/// Without the root, which is no part of an export.
fn show(stack: &Stack, data: &mut Vec<Data>) -> Result<Paths> {
    let mut paths = Paths::new();
    for layer in &stack.layers {
        let source = data.len() as u32;
        let own = join_path(stack.directory.as_bytes(), b"").len();
        data.push(Data::open(&layer.data)?.below(own, join_path(stack.subtree.as_bytes(), b"")));
        for entry in Index::read(&layer.index)?.tree.entries() {
            let is_directory = entry.kind == Kind::Directory;
            let hides = !is_directory || entry.opaque;
            if entry.path.is_empty() {
                if hides {
                    paths.clear();
                }
                continue;
            }
            if hides {
                remove_below(&mut paths, &entry.path);
            }
            if entry.kind == Kind::Whiteout {
                paths.remove(&entry.path);
            } else {
                let plain = Entry { implied: false, opaque: false, holds_whiteouts: false, ..entry.clone() };
                paths.insert(entry.path.clone(), (source, plain));
            }
        }
    }
    Ok(paths)
}

/// What is in the stack's subtree, by its path there.
fn below(mut shown: Paths, stack: &Stack, all: &mut Paths) -> Result<Paths> {
    let subtree = stack.subtree.as_bytes();
    check_path(subtree, Names::Any)?;
    let root = shown.remove(subtree).filter(|(_, entry)| entry.kind == Kind::Directory);
    let (source, root) = root.ok_or_else(|| {
        NativeError::new("native/bad-request", "merge").path(as_path(subtree)).detail("there is no such directory in the layers")
    })?;
    if stack.directory.is_empty() {
        all.insert(Box::default(), (source, Entry { path: Box::default(), ..root }));
    }
    let prefix = [subtree, b"/"].concat();
    let inside = shown.into_iter().filter_map(|(path, (source, entry))| {
        let path: Box<[u8]> = path.strip_prefix(prefix.as_slice())?.into();
        Some((path.clone(), (source, Entry { path, ..entry })))
    });
    Ok(inside.collect())
}

/// Whatever is below `path` belongs to lower layers: a layer has nothing below what it hides before the entry that hides it.
pub fn remove_below<V>(paths: &mut BTreeMap<Box<[u8]>, V>, path: &[u8]) {
    let (first, end) = ([path, b"/"].concat(), [path, b"0"].concat()); // '0' follows '/'
    let bounds = (Bound::Included(first.as_slice()), Bound::Excluded(end.as_slice()));
    let below: Vec<Box<[u8]>> = paths.range::<[u8], _>(bounds).map(|(path, _)| path.clone()).collect();
    for path in below {
        paths.remove(&path);
    }
}

/// `owners`, with several stacks: who put what is no directory, which no other may do again (BuildKit's exporter/local).
fn add_stack<'a>(all: &mut Paths, stack: &'a Stack, shown: Paths, mut owners: Option<&mut BTreeMap<Box<[u8]>, &'a str>>) -> Result<()> {
    let directory = stack.directory.as_bytes();
    check_path(directory, Names::Any)?;
    if !directory.is_empty() {
        all.insert(directory.into(), (NO_LAYER, Entry { inode: all.len() as u64, mode: 0o755, ..Entry::new(directory, Kind::Directory) }));
    }
    for (path, (source, entry)) in shown {
        let path = join_path(directory, &path);
        if let Some(owners) = &mut owners {
            let before = all.get(&path).filter(|(_, old)| old.kind != Kind::Directory || entry.kind != Kind::Directory);
            if before.is_some() {
                let other = owners.get(&path).copied().unwrap_or_default();
                return Err(NativeError::new("image/clash", "merge").path(as_path(&path)).detail(format!(
                    "cannot overwrite {} from {other} with {} when split option is disabled",
                    path.escape_ascii(),
                    stack.name
                )));
            }
            owners.insert(path.clone(), &stack.name);
        }
        all.insert(path.clone(), (source, Entry { path, ..entry }));
    }
    Ok(())
}
