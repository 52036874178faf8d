//! A layer as a tar: ustar, with a pax header only where ustar cannot say it, byte for byte what Go's archive/tar would write for the same fields.
//! The same tree gives the same bytes, wherever and however often.

use std::collections::BTreeMap;

use crate::data_reader::Data;
use crate::entry::{Entry, Kind, Mtime, Tree, Xattrs, as_path, split_path};
use crate::error::{NativeError, Result};
use crate::framing::{FramingReader, Record};
use crate::index::Index;

const BLOCK: usize = 512;
const COPY_BYTES: usize = 64 << 10;
/// The largest numbers of seven and eleven octal digits.
const ID_MAX: u32 = 0o777_7777;
const SIZE_MAX: u64 = 0o777_7777_7777;

pub type Sink<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

/// What one header says.
#[derive(Default)]
struct Fields<'a> {
    path: Vec<u8>,
    type_flag: u8,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: i64,
    link: &'a [u8],
    rdev: (u32, u32),
    xattrs: Option<&'a Xattrs>,
}

/// Entries in the tree's order, without the root; a hard link refers to its group's first path, which comes before it.
pub fn write_tar<'a>(tree: &Tree, data: impl Fn(usize) -> &'a Data, sink: &mut Sink) -> Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    for (number, entry) in tree.entries().iter().enumerate() {
        if number > 0 && entry.kind != Kind::Socket {
            let lead = &tree.entries()[entry.inode as usize];
            write_entry(entry, (!tree.leads(number)).then_some(&lead.path), sink)?;
            if entry.kind == Kind::File && tree.leads(number) {
                data(number).read(entry, &mut buffer, &mut *sink)?;
                sink(&[0; BLOCK][..padding(entry.content.size)])?;
            }
        }
        if entry.opaque {
            let name = if entry.path.is_empty() { b".wh..wh..opq".to_vec() } else { [&entry.path, b"/.wh..wh..opq".as_slice()].concat() };
            write_whiteout(name, entry.mtime, sink)?;
        }
    }
    sink(&[0; 2 * BLOCK])
}

/// The tar that a layer was made of, from its framing.
pub fn rebuild_tar(index: &Index, data: &Data, framing: &mut FramingReader, sink: &mut Sink) -> Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    while let Some(record) = framing.next_record()? {
        match record {
            Record::Raw(bytes) => sink(&bytes)?,
            Record::Content { path, size } => {
                let entry = index.tree.find(&path).map(|found| &index.tree.entries()[found]);
                let entry = entry.filter(|entry| entry.kind == Kind::File && entry.content.size == size).ok_or_else(|| {
                    NativeError::new("store/damaged", "rebuild tar")
                        .path(as_path(&path))
                        .detail("the framing names a content that the layer does not have")
                })?;
                data.read(entry, &mut buffer, &mut *sink)?;
            }
        }
    }
    Ok(())
}

pub fn write_entry(entry: &Entry, lead: Option<&[u8]>, sink: &mut Sink) -> Result<()> {
    if entry.kind == Kind::Whiteout {
        let (parent, name) = split_path(&entry.path);
        let parent = if parent.is_empty() { Vec::new() } else { [parent, b"/"].concat() };
        return write_whiteout([parent.as_slice(), b".wh.", name].concat(), entry.mtime, sink);
    }
    let type_flag = match entry.kind {
        _ if lead.is_some() => b'1',
        Kind::File | Kind::Whiteout | Kind::Socket => b'0',
        Kind::Symlink => b'2',
        Kind::CharDevice => b'3',
        Kind::BlockDevice => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    };
    let slash: &[u8] = if entry.kind == Kind::Directory { b"/" } else { b"" };
    let fields = Fields {
        path: [&entry.path, slash].concat(),
        type_flag,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        size: if type_flag == b'0' { entry.content.size } else { 0 },
        mtime: entry.mtime.seconds,
        link: lead.unwrap_or(&entry.target),
        rdev: entry.rdev,
        xattrs: Some(&entry.xattrs),
    };
    fields.write(sink)
}

/// An empty file, as Docker writes it.
fn write_whiteout(path: Vec<u8>, mtime: Mtime, sink: &mut Sink) -> Result<()> {
    Fields { path, type_flag: b'0', mode: 0o600, mtime: mtime.seconds, ..Fields::default() }.write(sink)
}

impl Fields<'_> {
    fn write(&self, sink: &mut Sink) -> Result<()> {
        let records = self.pax_records()?;
        if !records.is_empty() {
            let (parent, name) = split_path(self.path.strip_suffix(b"/").unwrap_or(&self.path));
            let path = if parent.is_empty() { [b"PaxHeaders.0/", name].concat() } else { [parent, b"/PaxHeaders.0/", name].concat() };
            let path = ascii(&path).into_iter().take(100).collect();
            let header = Fields { path, type_flag: b'x', size: records.len() as u64, ..Fields::default() };
            sink(&header.block(split_ustar(&header.path)))?;
            sink(&records)?;
            sink(&[0; BLOCK][..padding(records.len() as u64)])?;
        }
        sink(&self.block(split_ustar(&self.path)))
    }

    /// Sorted by key, as Go writes them.
    fn pax_records(&self) -> Result<Vec<u8>> {
        let mut records: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let mut set = |key: &str, value: Vec<u8>| drop(records.insert(key.into(), value));
        if split_ustar(&self.path).is_none() {
            set("path", self.path.clone());
        }
        if self.link.len() > 100 || !self.link.is_ascii() {
            set("linkpath", self.link.to_vec());
        }
        if self.uid > ID_MAX {
            set("uid", self.uid.to_string().into());
        }
        if self.gid > ID_MAX {
            set("gid", self.gid.to_string().into());
        }
        if self.size > SIZE_MAX {
            set("size", self.size.to_string().into());
        }
        if !(0..=SIZE_MAX as i64).contains(&self.mtime) {
            set("mtime", self.mtime.to_string().into());
        }
        for (name, value) in self.xattrs.into_iter().flatten() {
            if name.contains(&b'=') {
                return Err(NativeError::new("native/bad-entry", "write tar")
                    .path(as_path(&self.path))
                    .detail(format!("a tar cannot hold the extended attribute {}", name.escape_ascii())));
            }
            records.insert([b"SCHILY.xattr.", &**name].concat(), value.to_vec());
        }
        Ok(records.iter().flat_map(|(key, value)| pax_record(key, value)).collect())
    }

    /// What does not fit is zero here and stands in the pax header.
    fn block(&self, name: Option<(&[u8], &[u8])>) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let (prefix, name) = name.map_or_else(|| (Vec::new(), ascii(&self.path)), |(prefix, name)| (prefix.to_vec(), name.to_vec()));
        put_text(&mut block[..100], &name);
        put_octal(&mut block[100..108], u64::from(self.mode));
        put_octal(&mut block[108..116], u64::from(self.uid).min(u64::from(ID_MAX) + 1));
        put_octal(&mut block[116..124], u64::from(self.gid).min(u64::from(ID_MAX) + 1));
        put_octal(&mut block[124..136], self.size);
        put_octal(&mut block[136..148], u64::try_from(self.mtime).unwrap_or(0));
        block[148..156].fill(b' ');
        block[156] = self.type_flag;
        put_text(&mut block[157..257], &ascii(self.link));
        block[257..265].copy_from_slice(b"ustar\x0000");
        put_octal(&mut block[329..337], self.rdev.0.into());
        put_octal(&mut block[337..345], self.rdev.1.into());
        put_text(&mut block[345..500], &prefix);
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        put_octal(&mut block[148..155], sum);
        block
    }
}

fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    // The length counts its own digits.
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() > rest.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

/// Prefix and name of a path that ustar can hold: ASCII, at most 155 and 100 bytes around a slash. As Go's splitUSTARPath.
fn split_ustar(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if !path.is_ascii() {
        return None;
    }
    if path.len() <= 100 {
        return Some((b"", path));
    }
    let search = path.strip_suffix(b"/").unwrap_or(path);
    let slash = search[..search.len().min(156)].iter().rposition(|&byte| byte == b'/')?;
    let (prefix, name) = (&path[..slash], &path[slash + 1..]);
    (slash > 0 && name.len() <= 100 && !name.is_empty()).then_some((prefix, name))
}

fn ascii(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(u8::is_ascii).collect()
}

fn put_text(field: &mut [u8], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}

/// Leading zeros and one zero byte at the end; a number that does not fit is left to the pax header.
fn put_octal(field: &mut [u8], number: u64) {
    let digits = field.len() - 1;
    let text = format!("{number:0digits$o}");
    let text = if text.len() > digits { "0".repeat(digits) } else { text };
    field[..digits].copy_from_slice(text.as_bytes());
}

/// What fills up the last block of a content.
pub fn pad(size: u64, sink: &mut Sink) -> Result<()> {
    sink(&[0; BLOCK][..padding(size)])
}

fn padding(size: u64) -> usize {
    (size.wrapping_neg() % BLOCK as u64) as usize
}
