//! What the tests share: layers made from lists of entries, and trees observed through a mount. A test that cannot run where it is says so.

mod exports;
mod gaps;
mod hostile;
mod images;
mod layers;
mod stat_cache;
mod tars;
mod trees;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::beneath::open_root;
use crate::data_writer::DataWriter;
use crate::entry::{Content, Entry, Kind, Names, Place, Tree};
use crate::index::Index;
use crate::pack::{is_whiteout, take_overlay_marks};
use crate::summary::{Driver, LayerSummary};
use crate::walk::{Walk, number_inodes};

/// Entries with the contents of the regular files among them.
pub type Listed = Vec<(Entry, Vec<u8>)>;

pub fn file(path: &str, content: &[u8]) -> (Entry, Vec<u8>) {
    (Entry { mode: 0o644, ..Entry::new(path.as_bytes(), Kind::File) }, content.to_vec())
}

pub fn directory(path: &str) -> (Entry, Vec<u8>) {
    (Entry { mode: 0o755, ..Entry::new(path.as_bytes(), Kind::Directory) }, Vec::new())
}

/// Entries keep the inode numbers they have when those are shared; the rest get their own.
pub fn number(mut listed: Listed) -> Listed {
    for (number, (entry, _)) in listed.iter_mut().enumerate() {
        if entry.inode == 0 {
            entry.inode = number as u64 + 1_000_000;
        }
    }
    listed
}

pub fn write(driver: Driver, out: &Path, listed: Listed) -> LayerSummary {
    let listed = number(listed);
    let entries = listed.iter().map(|(entry, _)| entry.clone()).collect();
    let mut tree = Tree::new(entries, Names::Layer).unwrap();
    let mut writer = DataWriter::create(driver, out).unwrap();
    tree.set_contents(|_, entry| {
        let (_, content) = listed.iter().find(|(listed, _)| listed.path == entry.path).unwrap();
        writer.put(content, blake3::hash(content)).unwrap()
    });
    writer.finish(tree).unwrap()
}

pub fn read_index(summary: &LayerSummary) -> Index {
    Index::read(Path::new(&summary.index)).unwrap()
}

/// What a tree on disk looks like, as the entries of an index would say it. Places and implied marks are not to be seen there.
pub fn observe(dir: &Path) -> Vec<Entry> {
    let root = open_root(dir).unwrap();
    let mut found = Walk { root: &root, hash: true, known: None, keep_xattr: |_| true, lenient: false }.all().unwrap();
    for found in &mut found {
        if is_whiteout(&found.entry) {
            found.linked = None;
            found.entry = Entry::whiteout(&found.entry.path);
        }
        take_overlay_marks(&mut found.entry, true).unwrap();
    }
    visible(Tree::new(number_inodes(found), Names::Any).unwrap().entries())
}

/// Entries without what cannot be seen on disk.
pub fn visible(entries: &[Entry]) -> Vec<Entry> {
    let seen = |entry: &Entry| Entry { implied: false, content: Content { place: Place::Nowhere, ..entry.content }, ..entry.clone() };
    entries.iter().map(seen).collect()
}

pub fn is_root() -> bool {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !root {
        eprintln!("skipped: mounting and owners need root");
    }
    root
}

pub fn has_tool(tool: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: {tool} is not installed");
    }
    found
}

pub fn run(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A mount that ends with its owner.
pub struct Mounted {
    pub at: PathBuf,
    _dir: tempfile::TempDir,
}

impl Mounted {
    pub fn image(image: &str) -> Self {
        Self::new("erofs", &["-o", "ro", image])
    }

    pub fn bind(dir: &str) -> Self {
        Self::new("none", &["-o", "bind", dir])
    }

    pub fn overlay(lowers: &[&Path]) -> Self {
        let lowers: Vec<String> = lowers.iter().map(|lower| lower.display().to_string()).collect();
        Self::new("overlay", &["-o", &format!("ro,lowerdir={}", lowers.join(":")), "overlay"])
    }

    fn new(kind: &str, arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        run(Command::new("mount").args(["-t", kind]).args(arguments).arg(dir.path()));
        Self { at: dir.path().into(), _dir: dir }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: a process that another test is just starting holds our fds until it executes.
        run(Command::new("umount").arg("-l").arg(&self.at));
    }
}
