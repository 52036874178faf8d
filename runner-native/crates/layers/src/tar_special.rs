//! What pax headers and GNU's long names say about the member behind them.

use std::collections::BTreeMap;

use crate::entry::{Mtime, Xattrs, is_overlay_xattr};
use crate::error::Result;
use crate::tar_header::{Piece, bad_archive, size};

const XATTR_KEY: &[u8] = b"SCHILY.xattr.";

/// What headers of their own said about the member that follows.
#[derive(Default)]
pub struct Special {
    pub pax: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first pax sparse form repeats its keys.
    pax_pieces: Vec<Vec<u8>>,
    pub long_name: Option<Vec<u8>>,
    pub long_link: Option<Vec<u8>>,
}

impl Special {
    /// Records are `length key=value\n`; an empty value takes the key back.
    pub fn set_pax(&mut self, mut rest: &[u8]) -> Result<()> {
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

    pub fn pax_text(&self, key: &str) -> Option<Vec<u8>> {
        self.pax.get(key.as_bytes()).cloned()
    }

    pub fn pax_number(&self, key: &str) -> Result<Option<i64>> {
        self.pax.get(key.as_bytes()).map(|value| decimal(value)).transpose()
    }

    /// Seconds with a fraction of any length; a negative time counts from the second below.
    pub fn pax_time(&self, key: &str) -> Result<Option<Mtime>> {
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

    pub fn xattrs(&self) -> Xattrs {
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
    pub fn sparse_pieces(&self) -> Result<Vec<Piece>> {
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

/// In order, without overlap, inside the file, and as much as is stored.
pub fn check_pieces(pieces: &[Piece], real_size: u64, stored: u64) -> Result<()> {
    let mut end = 0;
    let mut sum = 0;
    for &(offset, length) in pieces {
        let next = offset.checked_add(length).filter(|next| offset >= end && *next <= real_size);
        end = next.ok_or_else(|| bad_archive("a sparse file's pieces are not in order or not inside it"))?;
        sum += length;
    }
    if sum == stored { Ok(()) } else { Err(bad_archive("a sparse file's pieces are not what is stored of it")) }
}

pub fn decimal(text: &[u8]) -> Result<i64> {
    let text = std::str::from_utf8(text).unwrap_or("");
    text.parse().map_err(|_| bad_archive("a number in a pax header is malformed"))
}
