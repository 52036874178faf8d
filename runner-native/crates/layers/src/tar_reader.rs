//! The members of a tar stream: ustar, GNU long names and sparse files, pax with extended attributes and its three sparse forms. Lenient where
//! Go's archive/tar is, strict where it is. What is no content of a stored file also goes to the framing, if one is kept.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use crate::archive::Archive;
use crate::entry::{Mtime, Xattrs, is_overlay_xattr};
use crate::error::{NativeError, Result};
use crate::framing::FramingWriter;
use crate::tar_header::{BLOCK, Header, Piece, bad_archive, size, sparse_extension};

/// Of a long name or a pax header, as in Go's archive/tar.
const SPECIAL_MAX_BYTES: u64 = 1 << 20;
const SPARSE_MAX_PIECES: usize = 1 << 20;
const XATTR_KEY: &[u8] = b"SCHILY.xattr.";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberKind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
    /// Of no meaning to a layer.
    Ignored,
}

pub struct Member {
    pub path: Vec<u8>,
    pub kind: MemberKind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: Mtime,
    /// Of the content as it is to be, holes included.
    pub size: u64,
    pub link: Vec<u8>,
    pub rdev: (u32, u32),
    pub xattrs: Xattrs,
    /// Where the stored pieces of a sparse file belong.
    pub pieces: Option<Vec<Piece>>,
}

pub struct TarReader {
    input: Archive,
    pub framing: Option<FramingWriter>,
    /// Of the current member: what is stored of its content and not read yet, and the zeros behind it.
    stored: u64,
    padding: u64,
}

/// What headers of their own said about the member that follows.
#[derive(Default)]
struct Special {
    pax: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first pax sparse form repeats its keys.
    pax_pieces: Vec<Vec<u8>>,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl TarReader {
    pub fn new(input: Archive, framing: Option<FramingWriter>) -> Self {
        Self { input, framing, stored: 0, padding: 0 }
    }

    /// The next member; what was left of the last one's content is passed over. None at the end of the archive.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        let mut special = Special::default();
        loop {
            self.pass_content()?;
            let Some(block) = self.read_header()? else { return Ok(None) };
            let header = Header(&block);
            header.check_sum()?;
            let type_flag = header.type_flag();
            let is_header_only = matches!(type_flag, b'1'..=b'6');
            self.stored = if is_header_only { 0 } else { size(header.size()?)? };
            self.padding = pad(self.stored);
            match type_flag {
                b'x' | b'X' => special.set_pax(&self.read_special()?)?,
                b'L' => special.long_name = Some(until_zero(self.read_special()?)),
                b'K' => special.long_link = Some(until_zero(self.read_special()?)),
                // A global header: Docker reads over it too.
                b'g' => {}
                _ => return self.make_member(&header, special).map(Some),
            }
        }
    }

    /// Hands the stored content of the current member to `sink`; the caller writes its framing.
    pub fn read_content(&mut self, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while self.stored > 0 {
            let available = self.input.fill_buf().map_err(read_failed)?;
            let count = (available.len() as u64).min(self.stored) as usize;
            if count == 0 {
                return Err(truncated());
            }
            sink(&available[..count])?;
            self.input.consume(count);
            self.stored -= count as u64;
        }
        Ok(())
    }

    /// Hands over the next `count` stored bytes, which are no framed content: they go to the framing as they are.
    pub fn read_piece(&mut self, count: u64, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        if count > self.stored {
            return Err(bad_archive("a sparse file's pieces are more than what is stored of it"));
        }
        self.stored -= count;
        self.take(count, &mut sink)
    }

    /// What is behind the end of the archive belongs to its framing. Then the stream's end.
    pub fn finish(mut self) -> Result<(Archive, Option<FramingWriter>)> {
        loop {
            let available = self.input.fill_buf().map_err(read_failed)?.len() as u64;
            if available == 0 {
                return Ok((self.input, self.framing));
            }
            self.take(available, &mut |_| Ok(()))?;
        }
    }

    fn pass_content(&mut self) -> Result<()> {
        let (stored, padding) = (self.stored, self.padding);
        (self.stored, self.padding) = (0, 0);
        self.take(stored, &mut |_| Ok(()))?;
        // umoci's insert ends right behind the last content. Go's reader takes that for the end, so other tools load such layers.
        if self.input.fill_buf().map_err(read_failed)?.is_empty() {
            return Ok(());
        }
        self.take(padding, &mut |_| Ok(()))
    }

    fn take(&mut self, count: u64, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut left = count;
        while left > 0 {
            let available = self.input.fill_buf().map_err(read_failed)?;
            let count = (available.len() as u64).min(left) as usize;
            if count == 0 {
                return Err(truncated());
            }
            if let Some(framing) = &mut self.framing {
                framing.raw(&available[..count])?;
            }
            sink(&available[..count])?;
            self.input.consume(count);
            left -= count as u64;
        }
        Ok(())
    }

    /// None at two blocks of zeros, or where the stream ends between members.
    fn read_header(&mut self) -> Result<Option<[u8; BLOCK]>> {
        for zero_blocks in 0..2 {
            let Some(block) = self.read_block()? else { return Ok(None) };
            if block != [0; BLOCK] {
                if zero_blocks > 0 {
                    return Err(bad_archive("there is a member behind a block of zeros"));
                }
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    fn read_block(&mut self) -> Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.input.read(&mut block[filled..]).map_err(read_failed)? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(truncated()),
                count => filled += count,
            }
        }
        if let Some(framing) = &mut self.framing {
            framing.raw(&block)?;
        }
        Ok(Some(block))
    }

    fn read_special(&mut self) -> Result<Vec<u8>> {
        if self.stored > SPECIAL_MAX_BYTES {
            return Err(bad_archive("a long name or a pax header has more than 1 MiB"));
        }
        let mut content = Vec::with_capacity(self.stored as usize);
        self.read_piece(self.stored, |piece| {
            content.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(content)
    }

    fn make_member(&mut self, header: &Header, special: Special) -> Result<Member> {
        let mut path = special.pax_text("path").unwrap_or_else(|| header.name());
        let mut link = special.pax_text("linkpath").unwrap_or_else(|| header.link().to_vec());
        path = special.long_name.clone().unwrap_or(path);
        link = special.long_link.clone().unwrap_or(link);
        let kind = member_kind(header, &path)?;
        if kind == MemberKind::File
            && let Some(stored) = special.pax_number("size")?
        {
            self.stored = size(stored)?;
            self.padding = pad(self.stored);
        }
        let mut member = Member {
            kind,
            mode: header.mode()?,
            uid: id(special.pax_number("uid")?.map_or_else(|| header.uid(), Ok)?)?,
            gid: id(special.pax_number("gid")?.map_or_else(|| header.gid(), Ok)?)?,
            mtime: special.pax_time("mtime")?.map_or_else(|| header.mtime().map(|seconds| Mtime { seconds, nanos: 0 }), Ok)?,
            size: self.stored,
            link,
            rdev: if matches!(kind, MemberKind::CharDevice | MemberKind::BlockDevice) { device(header)? } else { (0, 0) },
            xattrs: special.xattrs(),
            pieces: None,
            path,
        };
        if kind == MemberKind::File {
            self.find_pieces(header, &special, &mut member)?;
        }
        if member.path.contains(&0) || member.link.contains(&0) {
            return Err(bad_archive("a name holds a zero byte"));
        }
        Ok(member)
    }

    /// The sparse forms, as GNU tar's manual has them in "Storing Sparse Files".
    fn find_pieces(&mut self, header: &Header, special: &Special, member: &mut Member) -> Result<()> {
        let pieces = if header.type_flag() == b'S' {
            let (real_size, mut pieces, mut is_extended) = header.sparse()?;
            while is_extended {
                let block = self.read_block()?.ok_or_else(truncated)?;
                let (more, goes_on) = sparse_extension(&block)?;
                pieces.extend(more);
                check_piece_count(pieces.len())?;
                is_extended = goes_on;
            }
            member.size = size(real_size)?;
            pieces
        } else if special.pax.get(b"GNU.sparse.major".as_slice()).is_some_and(|major| major == b"1") {
            member.size = size(special.pax_number("GNU.sparse.realsize")?.ok_or_else(|| bad_archive("a sparse file has no size"))?)?;
            self.read_sparse_map()?
        } else if let Some(real_size) = special.pax_number("GNU.sparse.size")? {
            member.size = size(real_size)?;
            special.sparse_pieces()?
        } else {
            return Ok(());
        };
        if let Some(name) = special.pax_text("GNU.sparse.name") {
            member.path = name;
        }
        check_pieces(&pieces, member.size, self.stored)?;
        member.pieces = Some(pieces);
        Ok(())
    }

    /// Form 1.0: decimal lines before the pieces, filled up to a block.
    fn read_sparse_map(&mut self) -> Result<Vec<Piece>> {
        let mut text: Vec<u8> = Vec::new();
        let mut numbers: Vec<u64> = Vec::new();
        loop {
            self.read_piece(BLOCK as u64, |piece| {
                text.extend_from_slice(piece);
                Ok(())
            })?;
            while let Some(end) = text.iter().position(|&byte| byte == b'\n') {
                numbers.push(size(decimal(&text[..end])?)?);
                text.drain(..=end);
                let count = usize::try_from(numbers[0]).map_err(|_| bad_archive("a sparse map is too long"))?;
                check_piece_count(count)?;
                if numbers.len() == 1 + 2 * count {
                    return Ok(numbers[1..].chunks_exact(2).map(|pair| (pair[0], pair[1])).collect());
                }
            }
            if text.len() > BLOCK {
                return Err(bad_archive("a sparse map is not made of numbers"));
            }
        }
    }
}

impl Special {
    /// Records are `length key=value\n`; an empty value takes the key back.
    fn set_pax(&mut self, mut rest: &[u8]) -> Result<()> {
        let malformed = || bad_archive("a pax header is malformed");
        self.pax.clear();
        self.pax_pieces.clear();
        while !rest.is_empty() {
            let space = rest.iter().position(|&byte| byte == b' ').ok_or_else(malformed)?;
            let length = usize::try_from(decimal(&rest[..space])?).map_err(|_| malformed())?;
            let record = rest.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or_else(malformed)?;
            let equals = record.iter().position(|&byte| byte == b'=').ok_or_else(malformed)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.pax_pieces.push(value.to_vec()),
                _ if value.is_empty() && !key.starts_with(XATTR_KEY) => drop(self.pax.remove(key)),
                _ => drop(self.pax.insert(key.to_vec(), value.to_vec())),
            }
            rest = &rest[length..];
        }
        Ok(())
    }

    fn pax_text(&self, key: &str) -> Option<Vec<u8>> {
        self.pax.get(key.as_bytes()).cloned()
    }

    fn pax_number(&self, key: &str) -> Result<Option<i64>> {
        self.pax.get(key.as_bytes()).map(|value| decimal(value)).transpose()
    }

    /// Seconds with a fraction of any length; a negative time counts from the second below.
    fn pax_time(&self, key: &str) -> Result<Option<Mtime>> {
        let Some(value) = self.pax.get(key.as_bytes()) else { return Ok(None) };
        let (whole, fraction) = match value.iter().position(|&byte| byte == b'.') {
            Some(dot) => (&value[..dot], &value[dot + 1..]),
            None => (value.as_slice(), b"".as_slice()),
        };
        let seconds = decimal(whole)?;
        if !fraction.iter().all(u8::is_ascii_digit) {
            return Err(bad_archive("a time is malformed"));
        }
        let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(9);
        let nanos = digits.fold(0, |nanos, digit| nanos * 10 + u32::from(digit - b'0'));
        if whole.starts_with(b"-") && nanos > 0 {
            return Ok(Some(Mtime { seconds: seconds.saturating_sub(1), nanos: 1_000_000_000 - nanos }));
        }
        Ok(Some(Mtime { seconds, nanos }))
    }

    fn xattrs(&self) -> Xattrs {
        let mut xattrs = Xattrs::new();
        for (key, value) in &self.pax {
            if let Some(name) = key.strip_prefix(XATTR_KEY)
                && !is_overlay_xattr(name)
            {
                xattrs.push((name.into(), value.as_slice().into()));
            }
        }
        xattrs
    }

    /// Forms 0.0 and 0.1: offsets and lengths in keys of their own, or as one list.
    fn sparse_pieces(&self) -> Result<Vec<Piece>> {
        let list = self.pax.get(b"GNU.sparse.map".as_slice());
        let numbers: Vec<u64> = match list {
            Some(list) => {
                list.split(|&byte| byte == b',').filter(|part| !part.is_empty()).map(|part| size(decimal(part)?)).collect::<Result<_>>()?
            }
            None => self.pax_pieces.iter().map(|part| size(decimal(part)?)).collect::<Result<_>>()?,
        };
        if !numbers.len().is_multiple_of(2) {
            return Err(bad_archive("a sparse map has an offset without a length"));
        }
        Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }
}

fn member_kind(header: &Header, path: &[u8]) -> Result<MemberKind> {
    Ok(match header.type_flag() {
        // Before ustar a slash at the end was all that told a directory.
        0 if path.ends_with(b"/") => MemberKind::Directory,
        b'0' | 0 | b'7' | b'S' => MemberKind::File,
        b'1' => MemberKind::HardLink,
        b'2' => MemberKind::Symlink,
        b'3' => MemberKind::CharDevice,
        b'4' => MemberKind::BlockDevice,
        b'5' | b'D' => MemberKind::Directory,
        b'6' => MemberKind::Fifo,
        // A volume's label.
        b'V' => MemberKind::Ignored,
        other => return Err(bad_archive(&format!("a member has the unknown type {}", other.escape_ascii()))),
    })
}

fn device(header: &Header) -> Result<(u32, u32)> {
    let (major, minor) = header.device()?;
    match (u32::try_from(major), u32::try_from(minor)) {
        (Ok(major), Ok(minor)) => Ok((major, minor)),
        _ => Err(bad_archive("a device number is out of range")),
    }
}

/// The highest is "no id" to the kernel.
fn id(number: i64) -> Result<u32> {
    u32::try_from(number).ok().filter(|id| *id != u32::MAX).ok_or_else(|| bad_archive("a user or group id is out of range"))
}

fn check_piece_count(count: usize) -> Result<()> {
    if count > SPARSE_MAX_PIECES { Err(bad_archive("a sparse file has more than a million pieces")) } else { Ok(()) }
}

/// In order, without overlap, inside the file, and as much as is stored.
fn check_pieces(pieces: &[Piece], real_size: u64, stored: u64) -> Result<()> {
    let mut end = 0;
    let mut sum = 0;
    for &(offset, length) in pieces {
        let next = offset.checked_add(length).filter(|next| offset >= end && *next <= real_size);
        end = next.ok_or_else(|| bad_archive("a sparse file's pieces are not in order or not inside it"))?;
        sum += length;
    }
    if sum == stored { Ok(()) } else { Err(bad_archive("a sparse file's pieces are not what is stored of it")) }
}

fn decimal(text: &[u8]) -> Result<i64> {
    let text = std::str::from_utf8(text).unwrap_or("");
    text.parse().map_err(|_| bad_archive("a number in a pax header is malformed"))
}

fn until_zero(mut name: Vec<u8>) -> Vec<u8> {
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    name.truncate(end);
    name
}

fn pad(stored: u64) -> u64 {
    stored.wrapping_neg() % BLOCK as u64
}

fn truncated() -> NativeError {
    bad_archive("the archive ends in the middle of a member")
}

/// A failed read is the system's; what a decoder found is the archive's.
fn read_failed(error: std::io::Error) -> NativeError {
    if error.raw_os_error().is_some() { NativeError::io("read archive", error) } else { bad_archive(&error.to_string().to_lowercase()) }
}
