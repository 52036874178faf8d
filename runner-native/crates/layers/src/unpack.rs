//! A tar as a layer, read once from beginning to end: contents go straight into the data file, everything else into memory.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::archive::{Archive, Bounds};
use crate::contents::changed;
use crate::data_writer::DataWriter;
use crate::entry::{Content, Digest, Entry, Kind, Names, Place, Tree, Xattrs};
use crate::error::{NativeError, Result, over_limit, too_large};
use crate::framing::{FramingWriter, keep_lost};
use crate::layer_tree::{LayerTree, Spot};
use crate::like::take_like;
use crate::scan;
use crate::summary::{Driver, LayerSummary};
use crate::tar_reader::{Member, MemberKind, TarReader};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnpackSummary {
    #[serde(flatten)]
    pub layer: LayerSummary,
    /// sha256 of the plain tar.
    pub diff_id: String,
    /// Of the plain tar.
    pub tar_size: u64,
    /// sha256 of the bytes read.
    pub blob_digest: String,
    pub blob_size: u64,
    pub split: Option<PathBuf>,
}

/// A content whose place in the framing is a name in the layer.
struct Framed {
    path: Box<[u8]>,
    content: Content,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct UnpackOptions<'a> {
    /// It is an image's layer, where `.wh.` names have their OCI meaning. Else it is any tar: such names are refused, what is said of the root is
    /// ignored, a directory may be reached by a link (as BuildKit's ADD has it), and what does not even begin as a tar is `native/no-archive`.
    pub whiteouts: bool,
    /// The framing is kept in `<out>.split`.
    pub split: bool,
    /// Of the plain tar, and again of its holes; more is `native/over-limit`.
    pub max_bytes: Option<u64>,
    /// A copy of the archive's bytes goes there: whole, whatever becomes of the layer.
    pub keep: Option<&'a Path>,
    /// What the archive's bytes must have: it is a file that someone may be changing, and others are `context/changed`.
    pub digest: Option<Digest>,
    /// The layer's index is here already, in this file: a tar that holds anything else is `native/bad-archive`.
    pub like: Option<&'a Path>,
}

pub fn unpack(driver: Driver, out: &Path, archive: &Path, options: UnpackOptions<'_>) -> Result<UnpackSummary> {
    let split_path = options.split.then(|| out.with_added_extension("split"));
    let result = unpack_into(driver, out, archive, options, split_path.as_deref());
    if let (Err(_), Some(path)) = (&result, &split_path) {
        // The first failure is what counts.
        let _ = crate::remove::remove(path);
        let _ = crate::remove::remove(&path.with_added_extension("new"));
    }
    result
}

fn unpack_into(driver: Driver, out: &Path, archive: &Path, options: UnpackOptions<'_>, split: Option<&Path>) -> Result<UnpackSummary> {
    let UnpackOptions { whiteouts, max_bytes, digest, keep, .. } = options;
    let failed = |error: crate::error::NativeError| if error.path.is_none() { error.path(archive) } else { error };
    let input = Archive::open(archive, Bounds { max_bytes, is_steady_file: digest.is_some(), keep })?;
    let framing = split.map(FramingWriter::create).transpose()?;
    let mut unpacking = Unpacking {
        reader: TarReader::new(input, framing),
        writer: DataWriter::create(driver, out)?,
        tree: LayerTree::new(whiteouts)?,
        framed: Vec::new(),
        hole_bytes: 0,
        max_bytes,
        is_layer: whiteouts,
    };
    let mut next = unpacking.reader.next_member();
    let begins = match &next {
        Ok(member) => member.is_some(),
        // The system's failure says nothing about the archive.
        Err(error) => error.code != "native/bad-archive",
    };
    if !whiteouts && !begins {
        // Docker's ADD takes for an archive what begins with a header, and whatever is wrong behind that for an error (archive.IsArchivePath).
        return Err(NativeError::new("native/no-archive", "read archive").path(archive).detail("it does not begin as a tar does"));
    }
    while let Some(member) = next.map_err(failed)? {
        unpacking.add(member).map_err(failed)?;
        next = unpacking.reader.next_member();
    }
    let Unpacking { reader, mut writer, tree, framed, .. } = unpacking;
    let (input, framing) = reader.finish().map_err(failed)?;
    let (plain, raw) = input.finish()?;
    if digest.is_some() && raw.blake3 != digest {
        return Err(changed(archive.as_os_str().as_bytes(), "its content changed while it was read"));
    }
    let split = framing.map(FramingWriter::finish).transpose()?;
    if let Some(path) = &split {
        frame_lost(path, &framed, &tree, &mut writer)?;
    }
    let tree = Tree::new(tree.into_entries(), Names::Layer).map_err(failed)?;
    let tree = options.like.map(|index| take_like(index, &tree)).transpose()?.unwrap_or(tree);
    let layer = writer.finish_as(tree, split.as_ref().map(|_| &*plain.digest))?;
    Ok(UnpackSummary { layer, diff_id: plain.digest, tar_size: plain.size, blob_digest: raw.digest, blob_size: raw.size, split })
}

/// Holes cost no space, only time: this many bytes of them are some minutes.
const HOLES_MAX_BYTES: u64 = 1 << 40;

struct Unpacking {
    hole_bytes: u64,
    max_bytes: Option<u64>,
    reader: TarReader<Archive>,
    writer: DataWriter,
    tree: LayerTree,
    framed: Vec<Framed>,
    /// Not an archive to be extracted.
    is_layer: bool,
}

impl Unpacking {
    fn add(&mut self, member: Member) -> Result<()> {
        if member.kind == MemberKind::Ignored {
            return Ok(());
        }
        let path = match self.tree.spot(&member.path, member.kind == MemberKind::Directory)? {
            Spot::Nowhere => return Ok(()),
            Spot::Opaque(path) => {
                self.tree.make_opaque(&path);
                return Ok(());
            }
            Spot::Whiteout(path) => return self.tree.insert_whiteout(&path),
            Spot::At(path) => path,
        };
        let kind = match member.kind {
            MemberKind::HardLink => return self.tree.link(&path, &member.link),
            MemberKind::Symlink => Kind::Symlink,
            MemberKind::CharDevice => Kind::CharDevice,
            MemberKind::BlockDevice => Kind::BlockDevice,
            MemberKind::Directory => Kind::Directory,
            MemberKind::Fifo => Kind::Fifo,
            MemberKind::File | MemberKind::Ignored => Kind::File,
        };
        let content = if kind == Kind::File { self.add_content(&member, &path)? } else { Content::default() };
        self.tree.insert(Entry {
            // A link has no mode of its own on Linux, whatever an archiver wrote.
            mode: if kind == Kind::Symlink { 0o777 } else { member.mode },
            uid: member.uid,
            gid: member.gid,
            mtime: member.mtime,
            rdev: member.rdev,
            target: if kind == Kind::Symlink { member.link.into() } else { Box::default() },
            xattrs: self.xattrs_of(member.xattrs),
            content,
            ..Entry::new(&path, kind)
        })
    }

    /// An archive that ADD extracts is part of a context, and gives what a context's files would.
    fn xattrs_of(&self, xattrs: Xattrs) -> Xattrs {
        if self.is_layer { xattrs } else { xattrs.into_iter().filter(|(name, _)| scan::keep_xattr(name)).collect() }
    }

    fn add_content(&mut self, member: &Member, path: &[u8]) -> Result<Content> {
        let Self { reader, writer, .. } = self;
        writer.begin(member.size)?;
        if let Some(pieces) = &member.pieces {
            self.hole_bytes = self.hole_bytes.saturating_add(member.size - pieces.iter().map(|(_, length)| length).sum::<u64>());
            if self.hole_bytes > self.max_bytes.unwrap_or(u64::MAX) {
                return Err(over_limit());
            }
            if self.hole_bytes > HOLES_MAX_BYTES {
                return Err(too_large("the holes of its sparse files have more than 1 TiB"));
            }
            let mut at = 0;
            for &(offset, length) in pieces {
                writer.append_zeros(offset - at)?;
                reader.read_piece(length, |piece| writer.append(piece))?;
                at = offset + length;
            }
            writer.append_zeros(member.size - at)?;
            return Ok(writer.end());
        }
        let is_framed = match &mut reader.framing {
            Some(framing) if member.size > 0 => framing.content(path, member.size).map(|()| true)?,
            _ => false,
        };
        reader.read_content(|piece| writer.append(piece))?;
        let content = writer.end();
        if is_framed {
            self.framed.push(Framed { path: path.into(), content });
        }
        Ok(content)
    }
}

/// Contents that are not found under the name the framing has for them go into the framing.
fn frame_lost(split: &Path, framed: &[Framed], tree: &LayerTree, writer: &mut DataWriter) -> Result<()> {
    let same = |framed: &Framed| tree.get(&framed.path).is_some_and(|entry| entry.kind == Kind::File && entry.content == framed.content);
    let lost: HashMap<u64, Place> =
        (0..).zip(framed).filter(|(_, framed)| !same(framed)).map(|(number, framed)| (number, framed.content.place)).collect();
    if lost.is_empty() {
        return Ok(());
    }
    keep_lost(split, |number| lost.contains_key(&number), |number, at, buffer| writer.read_back(lost[&number], at, buffer))
}
