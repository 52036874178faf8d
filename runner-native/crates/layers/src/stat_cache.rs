//! What a scan needs not read again: digests of files whose inode, size and times are what they were when they were last read. As with git's index
//! a file that changed too close to that reading is not trusted. A cache that is missing, damaged or cannot be written costs time and nothing else.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;

use crate::entry::Digest;

const MAGIC: &[u8; 8] = b"TBSTAT\0\x01";
const IDENTITY_BYTES: usize = 48;
const RECORD_BYTES: usize = IDENTITY_BYTES + 32;
const CHECKSUM_BYTES: usize = 32;
/// Coarser than the clock of any file system that has a change time worth trusting.
const RACY_SECONDS: i64 = 2;
/// Fewer files are read faster than a cache for them is kept.
const FILES_MIN: usize = 64;

/// Device, inode, size, modification and change time: a file with all of them equal has not been written in between, for nobody can set a change time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity([u8; IDENTITY_BYTES]);

impl Identity {
    pub fn of(stat: &Stat) -> Self {
        let nanos = stat.st_mtime_nsec << 32 | stat.st_ctime_nsec;
        let fields = [stat.st_dev, stat.st_ino, stat.st_size as u64, stat.st_mtime as u64, stat.st_ctime as u64, nanos];
        let mut bytes = [0; IDENTITY_BYTES];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        Self(bytes)
    }
}

/// One file's line, to be kept.
pub struct Known {
    pub path: Box<[u8]>,
    pub identity: Identity,
    pub digest: Digest,
    /// It changed so long before it was read that a later change has another time.
    pub settled: bool,
}

/// Whether a file with these times may be recorded by a scan that began at `began` (seconds since the epoch).
pub fn is_settled(stat: &Stat, began: i64) -> bool {
    stat.st_mtime.max(stat.st_ctime) < began - RACY_SECONDS
}

pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

#[derive(Default)]
pub struct StatCache {
    bytes: Vec<u8>,
    /// Where each record's path begins and ends; its identity and digest follow. Sorted by path.
    paths: Vec<(usize, usize)>,
}

impl StatCache {
    /// Empty where there is none that can be used.
    pub fn read(path: &Path) -> Self {
        std::fs::read(path).ok().and_then(Self::parse).unwrap_or_default()
    }

    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let body_end = bytes.len().checked_sub(CHECKSUM_BYTES)?;
        let (body, checksum) = bytes.split_at(body_end);
        if !body.starts_with(MAGIC) || blake3::hash(body).as_bytes() != checksum {
            return None;
        }
        let mut paths = Vec::new();
        let mut at = MAGIC.len();
        while at < body_end {
            let length = usize::from(u16::from_le_bytes(body.get(at..at + 2)?.try_into().ok()?));
            let (start, end) = (at + 2, at + 2 + length);
            at = end + RECORD_BYTES;
            body.get(start..at)?;
            paths.push((start, end));
        }
        Some(Self { bytes, paths })
    }

    /// The content's digest, when the file is the one that was read.
    pub fn find(&self, path: &[u8], identity: Identity) -> Option<Digest> {
        let place = self.paths.binary_search_by(|&(start, end)| self.bytes[start..end].cmp(path)).ok()?;
        let record = &self.bytes[self.paths[place].1..][..RECORD_BYTES];
        let (seen, digest) = record.split_at(IDENTITY_BYTES);
        (seen == identity.0).then(|| digest.try_into().ok()).flatten()
    }

    /// Replaces the file by what was found now, unless that is what it holds. Only for contexts that are worth it.
    pub fn update(&self, path: &Path, mut found: Vec<Known>) {
        found.retain(|known| known.settled && u16::try_from(known.path.len()).is_ok());
        if found.len() < FILES_MIN {
            return;
        }
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let mut bytes = MAGIC.to_vec();
        for Known { path, identity, digest, .. } in &found {
            bytes.extend_from_slice(&(path.len() as u16).to_le_bytes());
            bytes.extend_from_slice(path);
            bytes.extend_from_slice(&identity.0);
            bytes.extend_from_slice(digest);
        }
        if self.bytes.get(..bytes.len()) == Some(&bytes) && self.bytes.len() == bytes.len() + CHECKSUM_BYTES {
            return;
        }
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        let temporary = path.with_extension(format!("{}", std::process::id()));
        if std::fs::write(&temporary, &bytes).and_then(|()| std::fs::rename(&temporary, path)).is_err() {
            let _ = std::fs::remove_file(&temporary);
        }
    }
}
