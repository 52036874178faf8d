//! Random trees, for properties: all kinds of entries, awkward names, contents around every limit of the formats.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::Listed;
use crate::entry::{Entry, Kind, Mtime, Xattrs, join_path};

const SIZES: [usize; 10] = [0, 1, 100, 1023, 1024, 4032, 4095, 4096, 4097, 20_000];

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[a-d]".prop_map(String::into_bytes),
        1 => "[!+,.~-][a-z]{1,3}".prop_map(String::into_bytes),
        1 => "[a-z]{90,255}".prop_map(String::into_bytes),
        1 => vec(128u8..=255, 1..6),
        1 => Just("größe".as_bytes().to_vec()),
    ]
}

fn xattrs() -> impl Strategy<Value = Xattrs> {
    let name = prop_oneof!["user\\.[a-z]{1,20}", "trusted\\.[a-z]{1,20}", "security\\.capability2", "user\\.[a-z]{100,249}"];
    let value = prop_oneof![4 => vec(any::<u8>(), 0..20), 1 => vec(any::<u8>(), 3000..3500)];
    proptest::collection::btree_map(name, value, 0..3)
        .prop_map(|xattrs| xattrs.into_iter().map(|(name, value)| (name.into_bytes().into(), value.into())).collect())
}

#[derive(Clone, Debug)]
struct Seed {
    path: Vec<Vec<u8>>,
    kind: u8,
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: (i64, u32),
    size: usize,
    xattrs: Xattrs,
    opaque: bool,
    target: Vec<u8>,
}

fn seed() -> impl Strategy<Value = Seed> {
    let id = prop_oneof![Just(0), 0..=70_000u32, Just(u32::MAX - 1)];
    let seconds = prop_oneof![Just(0), 0..2_000_000_000i64, -1000..0i64, Just(1 << 34)];
    let size = proptest::sample::select(&SIZES[..]);
    let target = prop_oneof![3 => "[a-z/.]{1,20}", 1 => "[a-z]{200,300}", 1 => Just("ziel-ü".to_string())].prop_map(String::into_bytes);
    let numbers = (0..10u8, 0..=0o7777u32, id.clone(), id, (seconds, 0..1_000_000_000u32));
    (vec(name(), 1..5), numbers, size, xattrs(), any::<bool>(), target).prop_map(
        |(path, (kind, mode, uid, gid, mtime), size, xattrs, opaque, target)| Seed {
            path,
            kind,
            mode,
            uid,
            gid,
            mtime,
            size,
            xattrs,
            opaque,
            target,
        },
    )
}

/// What proptest prints of a tree that fails a test.
#[derive(Clone)]
pub struct Planted(pub Listed);

impl std::fmt::Debug for Planted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(entry, content)| writeln!(f, "{entry:?} ({})", content.len()))
    }
}

/// Sorted, with every parent, sometimes with hard links.
pub fn tree() -> impl Strategy<Value = Planted> {
    vec(seed(), 0..40).prop_map(|seeds| {
        let mut tree: BTreeMap<Box<[u8]>, (Entry, Vec<u8>)> = BTreeMap::new();
        for (number, seed) in seeds.into_iter().enumerate() {
            plant(&mut tree, number, seed);
        }
        Planted(tree.into_values().collect())
    })
}

fn plant(tree: &mut BTreeMap<Box<[u8]>, (Entry, Vec<u8>)>, number: usize, seed: Seed) {
    let mut path: Box<[u8]> = Box::default();
    let (last, parents) = seed.path.split_last().unwrap();
    for name in parents {
        path = join_path(&path, name);
        let found = tree
            .entry(path.clone())
            .or_insert_with(|| (Entry { inode: 10_000 + path.len() as u64, ..Entry::implied_directory(&path) }, Vec::new()));
        if found.0.kind != Kind::Directory {
            return;
        }
        found.0.inode = 0;
    }
    path = join_path(&path, last);
    if tree.contains_key(&path) {
        return;
    }
    let linked = tree.values().find(|(entry, _)| !matches!(entry.kind, Kind::Directory | Kind::Whiteout)).cloned();
    let (entry, content) = match linked {
        Some((entry, content)) if seed.kind == 9 => {
            let inode = 1 + u64::from(entry.inode == 0) * (number as u64 + 1) + entry.inode;
            let inode = if entry.inode == 0 { inode } else { entry.inode };
            if let Some(lead) = tree.get_mut(&entry.path) {
                lead.0.inode = inode;
            }
            (Entry { path: path.clone(), inode, ..entry }, content)
        }
        _ => grow(&path, seed),
    };
    tree.insert(path, (entry, content));
}

fn grow(path: &[u8], seed: Seed) -> (Entry, Vec<u8>) {
    let kind = [
        Kind::File,
        Kind::File,
        Kind::Directory,
        Kind::Symlink,
        Kind::CharDevice,
        Kind::BlockDevice,
        Kind::Fifo,
        Kind::Whiteout,
        Kind::File,
        Kind::File,
    ][usize::from(seed.kind)];
    if kind == Kind::Whiteout {
        return (Entry::whiteout(path), Vec::new());
    }
    let entry = Entry {
        // The kernel makes every symlink 0777.
        mode: if kind == Kind::Symlink { 0o777 } else { seed.mode },
        uid: seed.uid,
        gid: seed.gid,
        mtime: Mtime { seconds: seed.mtime.0, nanos: seed.mtime.1 },
        opaque: kind == Kind::Directory && seed.opaque,
        target: if kind == Kind::Symlink { seed.target.into() } else { Box::default() },
        rdev: if matches!(kind, Kind::CharDevice | Kind::BlockDevice) { (seed.mode % 4096, seed.uid % (1 << 20) + 1) } else { (0, 0) },
        // The kernel allows user.* on regular files and directories alone.
        xattrs: if matches!(kind, Kind::File | Kind::Directory) { seed.xattrs } else { Xattrs::new() },
        ..Entry::new(path, kind)
    };
    let content = if kind == Kind::File { (0..seed.size).map(|at| (at * 7 + seed.size) as u8).collect() } else { Vec::new() };
    (entry, content)
}
