//! The index of docs/native.md: what a layer or a context holds, without its contents. Written whole, read whole.
//! Bytes from disk may be damaged: reading checks every offset and order, and never panics.

use crate::entry::{Content, Entry, Kind, Mtime, Names, Place, Tree, Xattrs};
use crate::error::{NativeError, Result};

const MAGIC: &[u8; 8] = b"TBINDEX\0";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 128;
const ENTRY_BYTES: usize = 120;
const FLAG_IMPLIED: u8 = 1;
const FLAG_OPAQUE: u8 = 2;

/// Files up to this size stand in the index itself, so that a user's name is resolved without mounting anything.
pub const INLINE_MAX_BYTES: u64 = 1 << 20;
pub const PASSWD: &[u8] = b"etc/passwd";
pub const GROUP: &[u8] = b"etc/group";

pub struct Encoded {
    pub bytes: Vec<u8>,
    /// BLAKE3 of `bytes`.
    pub id: blake3::Hash,
    pub tree: blake3::Hash,
}

/// Every place in `tree` is final. `inlined` are the contents of etc/passwd and etc/group; `diff_id`, in hex, is that of a layer that others made:
/// equal trees that are other tars to them are two layers.
pub fn encode(tree: &Tree, data_bytes: u64, inlined: [Option<Vec<u8>>; 2], diff_id: Option<&str>) -> Encoded {
    let count = tree.entries().len();
    let mut bytes = vec![0; HEADER_BYTES + count * ENTRY_BYTES];
    let strings_at = bytes.len();
    let mut strings = Vec::new();
    let mut xattrs = Vec::new();
    for (index, entry) in tree.entries().iter().enumerate() {
        let record = encode_entry(entry, &mut strings, &mut xattrs);
        bytes[HEADER_BYTES + index * ENTRY_BYTES..][..ENTRY_BYTES].copy_from_slice(&record);
    }
    bytes.append(&mut strings);
    let strings_bytes = bytes.len() - strings_at;
    align(&mut bytes);
    let xattrs_at = bytes.len();
    bytes.append(&mut xattrs);
    let xattrs_bytes = bytes.len() - xattrs_at;
    let [passwd, group] = inlined.map(|content| {
        let content = content?;
        align(&mut bytes);
        let at = bytes.len() as u64;
        bytes.extend_from_slice(&content);
        Some((at, content.len() as u32))
    });
    bytes.extend_from_slice(diff_id.unwrap_or_default().as_bytes());
    let digest = tree_digest(tree);
    let header = &mut bytes[..HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    put32(header, 8, VERSION);
    put32(header, 12, count as u32);
    put64(header, 16, HEADER_BYTES as u64);
    put64(header, 24, strings_at as u64);
    put64(header, 32, strings_bytes as u64);
    put64(header, 40, xattrs_at as u64);
    put64(header, 48, xattrs_bytes as u64);
    put64(header, 56, data_bytes);
    header[64..96].copy_from_slice(digest.as_bytes());
    let ((passwd_at, passwd_bytes), (group_at, group_bytes)) = (passwd.unwrap_or_default(), group.unwrap_or_default());
    put64(header, 96, passwd_at);
    put32(header, 104, passwd_bytes);
    put32(header, 108, group_bytes);
    put64(header, 112, group_at);
    put64(header, 120, tree.content_bytes());
    Encoded { id: blake3::hash(&bytes), tree: digest, bytes }
}

fn encode_entry(entry: &Entry, strings: &mut Vec<u8>, xattrs: &mut Vec<u8>) -> [u8; ENTRY_BYTES] {
    let mut record = [0; ENTRY_BYTES];
    put64(&mut record, 0, strings.len() as u64);
    strings.extend_from_slice(&entry.path);
    record[8..10].copy_from_slice(&(entry.path.len() as u16).to_le_bytes());
    record[10] = entry.kind as u8;
    record[11] = flags(entry);
    put32(&mut record, 12, entry.mode);
    put32(&mut record, 16, entry.uid);
    put32(&mut record, 20, entry.gid);
    put32(&mut record, 24, entry.rdev.0);
    put32(&mut record, 28, entry.rdev.1);
    put64(&mut record, 32, entry.mtime.seconds as u64);
    put32(&mut record, 40, entry.mtime.nanos);
    put32(&mut record, 44, entry.inode as u32);
    put64(&mut record, 48, entry.size());
    if entry.kind == Kind::File {
        if let Place::At(offset) = entry.content.place {
            put64(&mut record, 56, offset);
        }
        record[88..].copy_from_slice(&entry.content.digest);
    }
    if entry.kind == Kind::Symlink {
        put64(&mut record, 64, strings.len() as u64);
        put32(&mut record, 72, entry.target.len() as u32);
        strings.extend_from_slice(&entry.target);
    }
    if !entry.xattrs.is_empty() {
        let block = xattr_block(&entry.xattrs);
        put32(&mut record, 76, block.len() as u32);
        put64(&mut record, 80, xattrs.len() as u64);
        xattrs.extend_from_slice(&block);
    }
    record
}

fn flags(entry: &Entry) -> u8 {
    (u8::from(entry.implied) * FLAG_IMPLIED) | (u8::from(entry.opaque) * FLAG_OPAQUE)
}

fn xattr_block(xattrs: &Xattrs) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in xattrs {
        block.extend_from_slice(&(name.len() as u16).to_le_bytes());
        block.extend_from_slice(&(value.len() as u32).to_le_bytes());
        block.extend_from_slice(name);
        block.extend_from_slice(value);
    }
    block
}

/// BLAKE3 over what a build can observe: no mtimes, no offsets. Variable parts carry their length, so that no two trees spell the same.
fn tree_digest(tree: &Tree) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = Vec::with_capacity(80 << 10);
    for entry in tree.entries() {
        buffer.extend_from_slice(&(entry.path.len() as u16).to_le_bytes());
        buffer.extend_from_slice(&entry.path);
        buffer.extend_from_slice(&[entry.kind as u8, flags(entry)]);
        for number in [entry.mode, entry.uid, entry.gid, entry.rdev.0, entry.rdev.1, entry.inode as u32] {
            buffer.extend_from_slice(&number.to_le_bytes());
        }
        match entry.kind {
            Kind::File => buffer.extend_from_slice(&entry.content.digest),
            Kind::Symlink => {
                buffer.extend_from_slice(&(entry.target.len() as u32).to_le_bytes());
                buffer.extend_from_slice(&entry.target);
            }
            _ => {}
        }
        let block = xattr_block(&entry.xattrs);
        buffer.extend_from_slice(&(block.len() as u32).to_le_bytes());
        buffer.extend_from_slice(&block);
        if buffer.len() >= 64 << 10 {
            hasher.update(&buffer);
            buffer.clear();
        }
    }
    hasher.update(&buffer).finalize()
}

fn align(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

pub struct Index {
    pub tree: Tree,
    pub data_bytes: u64,
    /// Of the file that was read.
    pub id: blake3::Hash,
    pub tree_digest: blake3::Hash,
    /// etc/passwd and etc/group.
    pub inlined: [Option<Vec<u8>>; 2],
}

impl Index {
    pub fn read(path: &std::path::Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| NativeError::io("read", error).path(path))?;
        Self::decode(&bytes).map_err(|error| error.path(path))
    }

    /// Also checks the tree digest.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let file = Bytes(bytes);
        if bytes.get(..8) != Some(MAGIC) || file.u32(8)? != VERSION || bytes.len() < HEADER_BYTES {
            return Err(damaged("it is not an index of version 1"));
        }
        let count = u64::from(file.u32(12)?);
        let records = Bytes(file.slice(file.u64(16)?, count.checked_mul(ENTRY_BYTES as u64).ok_or_else(|| damaged("too many entries"))?)?);
        let strings = Bytes(file.slice(file.u64(24)?, file.u64(32)?)?);
        let xattrs = Bytes(file.slice(file.u64(40)?, file.u64(48)?)?);
        let data_bytes = file.u64(56)?;
        let mut entries = Vec::with_capacity(count as usize);
        for index in 0..count as usize {
            let record = Bytes(&records.0[index * ENTRY_BYTES..][..ENTRY_BYTES]);
            entries.push(decode_entry(&record, &strings, &xattrs, data_bytes)?);
        }
        if !entries.is_sorted_by(|a, b| a.path < b.path) || entries.first().is_none_or(|root| !root.path.is_empty()) {
            return Err(damaged("its entries are not sorted"));
        }
        let leads: Vec<u64> = entries.iter().map(|entry| entry.inode).collect();
        let tree = Tree::new(entries, Names::Any).map_err(|error| damaged(&error.to_string()))?;
        if !tree.entries().iter().map(|entry| entry.inode).eq(leads) {
            return Err(damaged("its hard-link groups are not numbered by their first entry"));
        }
        let tree_digest = tree_digest(&tree);
        if tree_digest.as_bytes() != &bytes[64..96] || tree.content_bytes() != file.u64(120)? {
            return Err(damaged("its tree digest or its sum of bytes is not that of its entries"));
        }
        let inlined = [(file.u64(96)?, file.u32(104)?), (file.u64(112)?, file.u32(108)?)];
        let [passwd, group] = inlined.map(|(at, len)| if at == 0 { Ok(None) } else { Ok(Some(file.slice(at, len.into())?.to_vec())) });
        Ok(Self { tree, data_bytes, id: blake3::hash(bytes), tree_digest, inlined: [passwd?, group?] })
    }
}

fn decode_entry(record: &Bytes, strings: &Bytes, xattrs: &Bytes, data_bytes: u64) -> Result<Entry> {
    let path = strings.slice(record.u64(0)?, u16::from_le_bytes([record.0[8], record.0[9]]).into())?;
    let kind = Kind::from_byte(record.0[10]).ok_or_else(|| damaged("an entry has an unknown type"))?;
    let (size, offset) = (record.u64(48)?, record.u64(56)?);
    let mut entry = Entry {
        implied: record.0[11] & FLAG_IMPLIED != 0,
        opaque: record.0[11] & FLAG_OPAQUE != 0,
        mode: record.u32(12)?,
        uid: record.u32(16)?,
        gid: record.u32(20)?,
        rdev: (record.u32(24)?, record.u32(28)?),
        mtime: Mtime { seconds: record.u64(32)? as i64, nanos: record.u32(40)? },
        inode: record.u32(44)?.into(),
        xattrs: decode_xattrs(&Bytes(xattrs.slice(record.u64(80)?, record.u32(76)?.into())?))?,
        ..Entry::new(path, kind)
    };
    if record.0[11] & !(FLAG_IMPLIED | FLAG_OPAQUE) != 0 || entry.mode > 0o7777 || entry.mtime.nanos >= 1_000_000_000 {
        return Err(damaged("an entry's flags, mode or time are out of range"));
    }
    if kind == Kind::File {
        let place = if size == 0 || data_bytes == 0 { Place::Nowhere } else { Place::At(offset) };
        if data_bytes != 0 && offset.checked_add(size).is_none_or(|end| end > data_bytes) {
            return Err(damaged("an entry's content is outside the data file"));
        }
        entry.content = Content { size, place, digest: record.0[88..120].try_into().unwrap_or_default() };
    }
    if kind == Kind::Symlink {
        entry.target = strings.slice(record.u64(64)?, record.u32(72)?.into())?.into();
    }
    if size != entry.size() {
        return Err(damaged("an entry that is no regular file has a size"));
    }
    Ok(entry)
}

fn decode_xattrs(block: &Bytes) -> Result<Xattrs> {
    let mut xattrs = Xattrs::new();
    let mut at = 0;
    while at < block.0.len() as u64 {
        let head = block.slice(at, 6)?;
        let (name_len, value_len) =
            (u16::from_le_bytes([head[0], head[1]]).into(), u32::from_le_bytes([head[2], head[3], head[4], head[5]]).into());
        let name = block.slice(at + 6, name_len)?;
        let value = block.slice(at + 6 + name_len, value_len)?;
        xattrs.push((name.into(), value.into()));
        at += 6 + name_len + value_len;
    }
    if !xattrs.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(damaged("an entry's extended attributes are not sorted"));
    }
    Ok(xattrs)
}

fn damaged(why: &str) -> NativeError {
    NativeError::new("store/damaged", "read index").detail(why)
}

/// A section, read with bounds.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn slice(&self, at: u64, len: u64) -> Result<&'a [u8]> {
        let end = at.checked_add(len).filter(|end| *end <= self.0.len() as u64).ok_or_else(|| damaged("an offset is outside the file"))?;
        Ok(&self.0[at as usize..end as usize])
    }

    fn u32(&self, at: u64) -> Result<u32> {
        let bytes = self.slice(at, 4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn u64(&self, at: u64) -> Result<u64> {
        Ok(u64::from(self.u32(at)?) | u64::from(self.u32(at + 4)?) << 32)
    }
}
