//! The members of a tar stream: ustar, GNU long names and sparse files, pax with extended attributes and its three sparse forms. Lenient where
//! Go's archive/tar is, strict where it is. What is no content of a stored file also goes to the framing, if one is kept.

use std::io::BufRead;

use crate::entry::{Mtime, Xattrs};
use crate::error::{NativeError, Result, over_limit};
use crate::framing::FramingWriter;
use crate::tar_header::{BLOCK, Header, Piece, bad_archive, size, sparse_extension};
use crate::tar_special::{Special, check_pieces, decimal};

/// Of a long name or a pax header, as in Go's archive/tar.
const SPECIAL_MAX_BYTES: u64 = 1 << 20;
const SPARSE_MAX_PIECES: usize = 1 << 20;

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

pub struct TarReader<R> {
    input: R,
    pub framing: Option<FramingWriter>,
    /// Of the current member: what is stored of its content and not read yet, and the zeros behind it.
    stored: u64,
    padding: u64,
}

impl<R: BufRead> TarReader<R> {
    pub fn new(input: R, framing: Option<FramingWriter>) -> Self {
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
    pub fn finish(mut self) -> Result<(R, Option<FramingWriter>)> {
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
    if error.kind() == std::io::ErrorKind::FileTooLarge && error.raw_os_error().is_none() {
        return over_limit();
    }
    if error.raw_os_error().is_some() { NativeError::io("read archive", error) } else { bad_archive(&error.to_string().to_lowercase()) }
}
