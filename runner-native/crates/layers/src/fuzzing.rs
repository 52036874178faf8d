//! What fuzz targets call: the parsers of hostile bytes without the files and threads around them. Only built by them.

use crate::entry::{Entry, Kind, Names, Tree};
use crate::error::Result;
use crate::index::{self, Index};
use crate::layer_tree::{LayerTree, Spot};
use crate::tar_reader::{Member, MemberKind, TarReader};

/// The tree that a tar makes; one that is accepted must come out of an index as it went in.
pub fn read_tar(bytes: &[u8], whiteouts: bool) {
    if let Ok(tree) = make_tree(bytes, whiteouts).and_then(|entries| Tree::new(entries, Names::Layer)) {
        let encoded = index::encode(&tree, 0, [None, None], None);
        let decoded = Index::decode(&encoded.bytes).expect("what was written can be read");
        assert!(decoded.tree.entries() == tree.entries(), "an index says something else than what was written");
    }
}

fn make_tree(bytes: &[u8], whiteouts: bool) -> Result<Vec<Entry>> {
    let mut reader = TarReader::new(bytes, None);
    let mut tree = LayerTree::new(whiteouts)?;
    while let Some(member) = reader.next_member()? {
        add(&mut tree, &mut reader, member)?;
    }
    reader.finish()?;
    Ok(tree.into_entries())
}

fn add(tree: &mut LayerTree, reader: &mut TarReader<&[u8]>, member: Member) -> Result<()> {
    let path = match tree.spot(&member.path, member.kind == MemberKind::Directory)? {
        Spot::Nowhere => return Ok(()),
        Spot::Opaque(path) => {
            tree.make_opaque(&path);
            return Ok(());
        }
        Spot::Whiteout(path) => return tree.insert_whiteout(&path),
        Spot::At(path) => path,
    };
    let kind = match member.kind {
        MemberKind::Ignored => return Ok(()),
        MemberKind::HardLink => return tree.link(&path, &member.link),
        MemberKind::Symlink => Kind::Symlink,
        MemberKind::CharDevice => Kind::CharDevice,
        MemberKind::BlockDevice => Kind::BlockDevice,
        MemberKind::Directory => Kind::Directory,
        MemberKind::Fifo => Kind::Fifo,
        MemberKind::File => Kind::File,
    };
    let mut entry = Entry {
        mode: member.mode,
        uid: member.uid,
        gid: member.gid,
        mtime: member.mtime,
        rdev: member.rdev,
        target: if kind == Kind::Symlink { member.link.into() } else { Box::default() },
        xattrs: member.xattrs,
        ..Entry::new(&path, kind)
    };
    if kind == Kind::File {
        entry.content.size = member.size;
        let mut at = 0;
        for (offset, length) in member.pieces.unwrap_or_default() {
            assert!(offset >= at && offset + length <= member.size, "pieces overlap, or lead out of the file");
            reader.read_piece(length, |_| Ok(()))?;
            at = offset + length;
        }
        reader.read_content(|_| Ok(()))?;
    }
    tree.insert(entry)
}

/// What is accepted must be written as it was read, but for what an index may leave out.
pub fn read_index(bytes: &[u8]) {
    if let Ok(found) = Index::decode(bytes) {
        for entry in found.tree.entries() {
            assert!(found.tree.find(&entry.path).is_some());
        }
    }
}
