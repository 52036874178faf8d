//! The metadata of an EROFS image: superblock, inodes, directories. Format: the kernel's Documentation/filesystems/erofs.rst and fs/erofs/erofs_fs.h.
//! Contents stand first in the image and metadata last, so an image can be written while its tree is still arriving. Uncompressed, 4096-byte
//! blocks, extended inodes, inline xattrs only; no UUID and no build time, so the same tree at the same offsets gives the same bytes.

use std::io::Write;

use crate::entry::{Entry, Kind, Tree, split_path};
use crate::error::{NativeError, Result};

pub const BLOCK: u64 = 4096;
const SUPERBLOCK_AT: usize = 1024;
const MAGIC: u32 = 0xe0f5_e1e2;
const FEATURE_COMPAT_CHECKSUM: u32 = 1;
const SLOT: u64 = 32;
const INODE_BYTES: u64 = 64;
const DIRENT_BYTES: usize = 12;
/// The first slots stay empty: an inode number of 0 means "deleted" to readers of directories.
const ROOT_SLOT: u64 = 2;
const LAYOUT_FLAT_PLAIN: u16 = 0;
const LAYOUT_FLAT_INLINE: u16 = 2;
const OPAQUE_XATTR: (&[u8], &[u8]) = (b"trusted.overlay.opaque", b"y");
/// As on a directory that overlayfs has copied up from it does not say where. Without it a whiteout over nothing is listed, for in a directory
/// that only one lower has overlayfs looks for none (fs/overlayfs/inode.c, "Check for non-merge dir that may have whiteouts").
const HOLDS_WHITEOUTS_XATTR: (&[u8], &[u8]) = (b"trusted.overlay.origin", b"");

/// Where everything behind the contents goes.
pub struct Metadata<'a> {
    tree: &'a Tree,
    start: u64,
    inodes: Vec<Inode>,
    /// Entries of each directory in order, by the directory's index.
    children: Vec<Vec<u32>>,
    links: Vec<u32>,
    /// Of the inodes with their xattrs and inline contents, whole blocks.
    inodes_bytes: u64,
    end: u64,
}

#[derive(Clone, Copy, Default)]
struct Inode {
    /// From the start of the metadata.
    at: u64,
    xattr_bytes: u32,
    /// Of a directory, symlink or regular file.
    size: u64,
    /// Where the content begins, from the start of the image; meaningless when there is none.
    data_at: u64,
    inline: bool,
}

impl<'a> Metadata<'a> {
    /// `start`: where the contents end, a whole number of blocks. `inline(i)`: the content of file `i` stands beside its inode, if `fits_inline`.
    pub fn plan(tree: &'a Tree, start: u64, inline: impl Fn(usize) -> bool) -> Result<Self> {
        let mut plan = Self {
            tree,
            start,
            inodes: Vec::with_capacity(tree.entries().len()),
            children: Vec::new(),
            links: vec![0; tree.entries().len()],
            inodes_bytes: 0,
            end: 0,
        };
        plan.list_children();
        let mut at = ROOT_SLOT * SLOT;
        for index in 0..tree.entries().len() {
            let inode = if tree.leads(index) {
                plan.place_inode(index, &mut at, &inline)
            } else {
                plan.inodes[tree.entries()[index].inode as usize]
            };
            plan.inodes.push(inode);
        }
        // fsck.erofs reads an xattr header behind every inode, the last one too, whether it has xattrs or not.
        plan.inodes_bytes = (at + SLOT).next_multiple_of(BLOCK);
        plan.place_blocks();
        if plan.end / BLOCK > u64::from(u32::MAX) {
            return Err(NativeError::new("native/too-large", "write image").detail("a layer holds at most 16 TiB"));
        }
        Ok(plan)
    }

    /// Where the content of a file planned inline is, from the start of the image.
    pub fn inline_at(&self, index: usize) -> u64 {
        self.inodes[index].data_at
    }

    fn list_children(&mut self) {
        self.children = vec![Vec::new(); self.tree.entries().len()];
        for (index, entry) in self.tree.entries().iter().enumerate() {
            self.links[entry.inode as usize] += 1;
            if entry.kind == Kind::Directory {
                self.links[index] += 1;
                self.links[self.tree.parent(index)] += u32::from(index > 0);
            }
            // Sorted paths below one directory are sorted names: what EROFS's binary search needs.
            if index > 0 {
                self.children[self.tree.parent(index)].push(index as u32);
            }
        }
    }

    fn place_inode(&self, index: usize, at: &mut u64, inline: impl Fn(usize) -> bool) -> Inode {
        let entry = &self.tree.entries()[index];
        let xattr_bytes = xattr_area_bytes(entry);
        let (size, wants_inline) = match entry.kind {
            Kind::Directory => {
                let size = directory_bytes(&self.dirents(index));
                (size, size < BLOCK / 2)
            }
            Kind::Symlink => (entry.size(), true),
            Kind::File => (entry.size(), entry.size() > 0 && inline(index)),
            _ => (0, false),
        };
        let head = INODE_BYTES + u64::from(xattr_bytes);
        let inline = wants_inline && head + size <= BLOCK;
        // Inline content must not cross a block boundary; the inode before it may.
        if inline && (*at + head) / BLOCK != (*at + head + size - 1) / BLOCK {
            *at = at.next_multiple_of(BLOCK);
        }
        let mut inode = Inode { at: *at, xattr_bytes, size, data_at: 0, inline };
        *at += head;
        if inline {
            inode.data_at = self.start + *at;
            *at += size;
        } else if let (Kind::File, crate::entry::Place::At(offset)) = (entry.kind, entry.content.place) {
            inode.data_at = offset;
        }
        *at = at.next_multiple_of(SLOT);
        inode
    }

    /// Directories and symlinks too large to stand beside their inodes come behind all inodes, in blocks of their own.
    fn place_blocks(&mut self) {
        let mut at = self.start + self.inodes_bytes;
        for (index, inode) in self.inodes.iter_mut().enumerate() {
            if !inode.inline && matches!(self.tree.entries()[index].kind, Kind::Directory | Kind::Symlink) {
                inode.data_at = at;
                at += inode.size.next_multiple_of(BLOCK);
            }
        }
        self.end = at;
    }

    /// Size of the whole image.
    pub fn image_bytes(&self) -> u64 {
        self.end
    }

    /// Everything from `start` to the end of the image; `content` appends the content of an inline file.
    pub fn write(&self, out: &mut impl Write, mut content: impl FnMut(usize, &mut Vec<u8>) -> Result<()>) -> Result<()> {
        let failed = |error| NativeError::io("write image", error);
        let mut written = 0;
        let mut buffer = Vec::new();
        for index in (0..self.inodes.len()).filter(|index| self.tree.leads(*index)) {
            let inode = &self.inodes[index];
            buffer.clear();
            buffer.resize((inode.at - written) as usize, 0);
            self.encode_inode(index, &mut buffer);
            encode_xattrs(&self.tree.entries()[index], &mut buffer);
            if inode.inline {
                self.encode_content(index, &mut buffer, &mut content)?;
            }
            out.write_all(&buffer).map_err(failed)?;
            written += buffer.len() as u64;
        }
        out.write_all(&vec![0; (self.inodes_bytes - written) as usize]).map_err(failed)?;
        for index in 0..self.inodes.len() {
            if !self.inodes[index].inline && matches!(self.tree.entries()[index].kind, Kind::Directory | Kind::Symlink) {
                buffer.clear();
                self.encode_content(index, &mut buffer, &mut content)?;
                buffer.resize(buffer.len().next_multiple_of(BLOCK as usize), 0);
                out.write_all(&buffer).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn encode_content(
        &self,
        index: usize,
        buffer: &mut Vec<u8>,
        content: &mut impl FnMut(usize, &mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let entry = &self.tree.entries()[index];
        match entry.kind {
            Kind::Directory => self.encode_directory(index, buffer),
            Kind::Symlink => buffer.extend_from_slice(&entry.target),
            _ => content(index, buffer)?,
        }
        Ok(())
    }

    fn encode_inode(&self, index: usize, buffer: &mut Vec<u8>) {
        let (entry, inode) = (&self.tree.entries()[index], &self.inodes[index]);
        let layout = if inode.inline { LAYOUT_FLAT_INLINE } else { LAYOUT_FLAT_PLAIN };
        // The count of 4-byte units behind a 12-byte header, plus one.
        let xattr_units = if inode.xattr_bytes == 0 { 0 } else { (inode.xattr_bytes - 12) / 4 + 1 };
        let union = match entry.kind {
            Kind::CharDevice | Kind::BlockDevice => encode_device(entry.rdev),
            _ if inode.inline => 0,
            _ => (inode.data_at / BLOCK) as u32,
        };
        for short in [1 | layout << 1, xattr_units as u16, file_mode(entry), 0] {
            buffer.extend_from_slice(&short.to_le_bytes());
        }
        buffer.extend_from_slice(&inode.size.to_le_bytes());
        for word in [union, index as u32 + 1, entry.uid, entry.gid] {
            buffer.extend_from_slice(&word.to_le_bytes());
        }
        buffer.extend_from_slice(&entry.mtime.seconds.to_le_bytes());
        for word in [entry.mtime.nanos, self.links[index]] {
            buffer.extend_from_slice(&word.to_le_bytes());
        }
        buffer.extend_from_slice(&[0; 16]);
    }

    /// A directory's names with their entries' indexes, sorted by bytes with `.` and `..` among them.
    fn dirents(&self, index: usize) -> Vec<(&'a [u8], u32)> {
        let tree = self.tree;
        let mut dirents: Vec<(&[u8], u32)> =
            self.children[index].iter().map(|&child| (split_path(&tree.entries()[child as usize].path).1, child)).collect();
        for (name, target) in [(b".".as_slice(), index as u32), (b"..", tree.parent(index) as u32)] {
            let at = dirents.partition_point(|(other, _)| *other < name);
            dirents.insert(at, (name, target));
        }
        dirents
    }

    fn encode_directory(&self, index: usize, buffer: &mut Vec<u8>) {
        let dirents = self.dirents(index);
        let mut rest = dirents.as_slice();
        while !rest.is_empty() {
            let (block, after) = rest.split_at(block_fill(rest).0);
            rest = after;
            let begin = buffer.len();
            let mut name_at = block.len() * DIRENT_BYTES;
            for (name, target) in block {
                buffer.extend_from_slice(&((self.inodes[*target as usize].at) / SLOT).to_le_bytes());
                buffer.extend_from_slice(&(name_at as u16).to_le_bytes());
                buffer.extend_from_slice(&[dirent_type(self.tree.entries()[*target as usize].kind), 0]);
                name_at += name.len();
            }
            for (name, _) in block {
                buffer.extend_from_slice(name);
            }
            if !rest.is_empty() {
                buffer.resize(begin + BLOCK as usize, 0);
            }
        }
    }

    /// The image's first block.
    pub fn first_block(&self) -> [u8; BLOCK as usize] {
        let mut block = [0; BLOCK as usize];
        let superblock = &mut block[SUPERBLOCK_AT..];
        let inodes = (0..self.inodes.len()).filter(|index| self.tree.leads(*index)).count() as u64;
        superblock[..4].copy_from_slice(&MAGIC.to_le_bytes());
        superblock[8..12].copy_from_slice(&FEATURE_COMPAT_CHECKSUM.to_le_bytes());
        superblock[12] = BLOCK.trailing_zeros() as u8;
        superblock[14..16].copy_from_slice(&(ROOT_SLOT as u16).to_le_bytes());
        superblock[16..24].copy_from_slice(&inodes.to_le_bytes());
        superblock[36..40].copy_from_slice(&((self.end / BLOCK) as u32).to_le_bytes());
        superblock[40..44].copy_from_slice(&((self.start / BLOCK) as u32).to_le_bytes());
        let checksum = crc32c(superblock);
        superblock[4..8].copy_from_slice(&checksum.to_le_bytes());
        block
    }
}

/// The start of the metadata, as an image's first block has it.
pub fn metadata_start(first_block: &[u8]) -> Option<u64> {
    let superblock = first_block.get(SUPERBLOCK_AT..SUPERBLOCK_AT + 128)?;
    let word = |at: usize| u32::from_le_bytes([superblock[at], superblock[at + 1], superblock[at + 2], superblock[at + 3]]);
    (word(0) == MAGIC).then(|| u64::from(word(40)) * BLOCK)
}

/// Whether a content of `size` bytes can stand beside this entry's inode at all.
pub fn fits_inline(entry: &Entry, size: u64) -> bool {
    INODE_BYTES + u64::from(xattr_area_bytes(entry)) + size <= BLOCK
}

/// How many of `dirents` fit into one block, and the bytes they take.
fn block_fill(dirents: &[(&[u8], u32)]) -> (usize, usize) {
    let mut bytes = 0;
    for (count, (name, _)) in dirents.iter().enumerate() {
        if bytes + DIRENT_BYTES + name.len() > BLOCK as usize {
            return (count, bytes);
        }
        bytes += DIRENT_BYTES + name.len();
    }
    (dirents.len(), bytes)
}

fn directory_bytes(dirents: &[(&[u8], u32)]) -> u64 {
    let (mut rest, mut size) = (dirents, 0);
    loop {
        let (count, bytes) = block_fill(rest);
        rest = &rest[count..];
        if rest.is_empty() {
            return size + bytes as u64;
        }
        size += BLOCK;
    }
}

/// EROFS stores a prefix as a number. A name under none of them cannot be read through EROFS; it is kept in the index alone.
fn xattr_prefix(name: &[u8]) -> Option<(u8, &[u8])> {
    let exact: [(u8, &[u8]); 2] = [(2, b"system.posix_acl_access"), (3, b"system.posix_acl_default")];
    let open: [(u8, &[u8]); 3] = [(1, b"user."), (4, b"trusted."), (6, b"security.")];
    let exact = exact.into_iter().find(|(_, whole)| *whole == name).map(|(number, _)| (number, &name[name.len()..]));
    exact.or_else(|| open.into_iter().find_map(|(number, prefix)| Some((number, name.strip_prefix(prefix)?))))
}

/// The xattrs that the image can say, in order.
fn image_xattrs(entry: &Entry) -> impl Iterator<Item = (u8, &[u8], &[u8])> {
    let marks = entry.opaque.then_some(OPAQUE_XATTR).into_iter().chain(entry.holds_whiteouts.then_some(HOLDS_WHITEOUTS_XATTR));
    let own = entry.xattrs.iter().map(|(name, value)| (&**name, &**value));
    marks.chain(own).filter_map(|(name, value)| xattr_prefix(name).map(|(number, rest)| (number, rest, value)))
}

fn xattr_area_bytes(entry: &Entry) -> u32 {
    let bytes: usize = image_xattrs(entry).map(|(_, name, value)| (4 + name.len() + value.len()).next_multiple_of(4)).sum();
    if bytes == 0 { 0 } else { 12 + bytes as u32 }
}

fn encode_xattrs(entry: &Entry, buffer: &mut Vec<u8>) {
    if xattr_area_bytes(entry) == 0 {
        return;
    }
    buffer.extend_from_slice(&[0; 12]);
    for (number, name, value) in image_xattrs(entry) {
        buffer.extend_from_slice(&[name.len() as u8, number]);
        buffer.extend_from_slice(&(value.len() as u16).to_le_bytes());
        buffer.extend_from_slice(name);
        buffer.extend_from_slice(value);
        let padding = (4 + name.len() + value.len()).next_multiple_of(4) - (4 + name.len() + value.len());
        buffer.extend_from_slice(&[0; 3][..padding]);
    }
}

/// The most that one inode's xattrs may take: the count is 16 bits wide.
pub fn check_xattr_room(tree: &Tree) -> Result<()> {
    let most = 12 + 4 * (u32::from(u16::MAX) - 1);
    match tree.entries().iter().find(|entry| xattr_area_bytes(entry) > most) {
        Some(entry) => Err(NativeError::new("native/too-large", "write image")
            .path(crate::entry::as_path(&entry.path))
            .detail("the extended attributes of one file take more than 256 KiB")),
        None => Ok(()),
    }
}

fn file_mode(entry: &Entry) -> u16 {
    let format = match entry.kind {
        Kind::File => 0o100_000,
        Kind::Directory => 0o040_000,
        Kind::Symlink => 0o120_000,
        Kind::CharDevice | Kind::Whiteout => 0o020_000,
        Kind::BlockDevice => 0o060_000,
        Kind::Fifo => 0o010_000,
        Kind::Socket => 0o140_000,
    };
    format | entry.mode as u16
}

fn dirent_type(kind: Kind) -> u8 {
    match kind {
        Kind::File => 1,
        Kind::Directory => 2,
        Kind::CharDevice | Kind::Whiteout => 3,
        Kind::BlockDevice => 4,
        Kind::Fifo => 5,
        Kind::Socket => 6,
        Kind::Symlink => 7,
    }
}

/// The kernel's new_encode_dev.
fn encode_device((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// CRC-32C as the kernel's crc32c() gives it: begun with all ones and not inverted at the end. One block per layer, so bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}
