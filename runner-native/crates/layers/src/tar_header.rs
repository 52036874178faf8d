//! The fields of one tar header block: v7, ustar, GNU and star. Follows what Go's archive/tar accepts, as that reads the layers of the world.

use crate::error::{NativeError, Result};

pub const BLOCK: usize = 512;

/// Offset and length of what is stored of a sparse file.
pub type Piece = (u64, u64);

pub struct Header<'a>(pub &'a [u8; BLOCK]);

#[derive(PartialEq, Eq)]
enum Dialect {
    V7,
    Ustar,
    Gnu,
    Star,
}

impl<'a> Header<'a> {
    pub fn check_sum(&self) -> Result<()> {
        let stated = self.number(148, 8)?;
        let byte = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { b' ' } else { *byte };
        let unsigned: u64 = self.0.iter().enumerate().map(|pair| u64::from(byte(pair))).sum();
        // Sun's tar summed signed bytes.
        let signed: i64 = self.0.iter().enumerate().map(|pair| i64::from(byte(pair) as i8)).sum();
        if stated == unsigned as i64 || stated == signed {
            Ok(())
        } else {
            Err(bad_archive("a header's checksum is wrong: this is no tar, or a damaged one"))
        }
    }

    fn dialect(&self) -> Dialect {
        match (&self.0[257..265], &self.0[508..512]) {
            (b"ustar\x0000", b"tar\0") => Dialect::Star,
            (b"ustar  \0", _) => Dialect::Gnu,
            (magic, _) if magic.starts_with(b"ustar\0") => Dialect::Ustar,
            _ => Dialect::V7,
        }
    }

    pub fn type_flag(&self) -> u8 {
        self.0[156]
    }

    pub fn name(&self) -> Vec<u8> {
        let name = self.text(0, 100);
        let prefix = match self.dialect() {
            Dialect::Ustar => self.text(345, 155),
            Dialect::Star => self.text(345, 131),
            Dialect::V7 | Dialect::Gnu => b"",
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub fn link(&self) -> &'a [u8] {
        self.text(157, 100)
    }

    pub fn mode(&self) -> Result<u32> {
        Ok(self.number(100, 8)? as u32 & 0o7777)
    }

    pub fn uid(&self) -> Result<i64> {
        self.number(108, 8)
    }

    pub fn gid(&self) -> Result<i64> {
        self.number(116, 8)
    }

    pub fn size(&self) -> Result<i64> {
        self.number(124, 12)
    }

    pub fn mtime(&self) -> Result<i64> {
        self.number(136, 12)
    }

    pub fn device(&self) -> Result<(i64, i64)> {
        if self.dialect() == Dialect::V7 { Ok((0, 0)) } else { Ok((self.number(329, 8)?, self.number(337, 8)?)) }
    }

    /// The true size of an old GNU sparse file, and the part of its map in this header; true when extension blocks follow.
    pub fn sparse(&self) -> Result<(i64, Vec<Piece>, bool)> {
        if self.dialect() != Dialect::Gnu {
            return Err(bad_archive("a sparse file in an archive that is not GNU tar's"));
        }
        Ok((self.number(483, 12)?, sparse_map(&self.0[386..482])?, self.0[482] != 0))
    }

    fn text(&self, at: usize, len: usize) -> &'a [u8] {
        let field = &self.0[at..at + len];
        field.split(|&byte| byte == 0).next().unwrap_or(field)
    }

    fn number(&self, at: usize, len: usize) -> Result<i64> {
        parse_number(&self.0[at..at + len])
    }
}

/// The sparse map of an old GNU extension block, and whether another follows.
pub fn sparse_extension(block: &[u8; BLOCK]) -> Result<(Vec<Piece>, bool)> {
    Ok((sparse_map(&block[..504])?, block[504] != 0))
}

fn sparse_map(fields: &[u8]) -> Result<Vec<Piece>> {
    let used = fields.chunks_exact(24).take_while(|pair| pair[0] != 0);
    used.map(|pair| Ok((size(parse_number(&pair[..12])?)?, size(parse_number(&pair[12..])?)?))).collect()
}

pub fn size(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| bad_archive("a size is negative"))
}

/// Octal digits, or base 256 when the first bit is set.
fn parse_number(field: &[u8]) -> Result<i64> {
    if field[0] & 0x80 != 0 {
        return parse_base256(field);
    }
    let digits = field.split(|&byte| byte == 0).find(|part| !part.trim_ascii().is_empty()).unwrap_or(b"").trim_ascii();
    digits.iter().try_fold(0_i64, |number, digit| match digit {
        b'0'..=b'7' => Ok(number * 8 + i64::from(digit - b'0')),
        _ => Err(bad_archive("a number in a header is not octal")),
    })
}

/// Two's complement, big-endian; the first bit only marks it.
fn parse_base256(field: &[u8]) -> Result<i64> {
    let negative = field[0] & 0x40 != 0;
    let first = if negative { field[0] | 0x80 } else { field[0] & 0x7f };
    let start = if negative { -1_i128 } else { 0 };
    let number = std::iter::once(&first).chain(&field[1..]).fold(start, |number, byte| number << 8 | i128::from(*byte));
    i64::try_from(number).map_err(|_| bad_archive("a number in a header is too large"))
}

pub fn bad_archive(why: &str) -> NativeError {
    NativeError::new("native/bad-archive", "read archive").detail(why)
}
