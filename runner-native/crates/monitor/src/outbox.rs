//! What is to be sent to one connection. Never waits: while the other side reads slowly, the container is held back for a moment (as a pipe would
//! hold it), then the rest goes to a file without a name until the other side has caught up. So a reader that has stopped costs the container
//! a second, and loses nothing.

use crate::directory::Directory;
use crate::packets::{Kind, Packets};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{Errno, pread, pwrite};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// As long as nothing at all is taken.
const PATIENCE: Duration = Duration::from_secs(1);
/// Who has not caught up after more is cut off.
const SPILLED_BYTES_MAX: u64 = 1 << 30;

#[derive(Default)]
pub struct Outbox {
    waiting: VecDeque<(Kind, Vec<u8>)>,
    spill: Option<Spill>,
    /// Since when nothing was taken of what waits.
    stuck_since: Option<Instant>,
    is_broken: bool,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.spill.is_none()
    }

    /// The other side is gone, or has fallen too far behind.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    pub fn push(&mut self, to: &Packets, kind: Kind, bytes: &[u8]) {
        if self.is_empty() {
            match to.try_send(kind, bytes) {
                Ok(()) => return,
                Err(Errno::AGAIN) => self.stuck_since = Some(Instant::now()),
                Err(_) => return self.is_broken = true,
            }
        }
        match &mut self.spill {
            Some(spill) => self.is_broken |= spill.push(kind, bytes).is_err(),
            None => self.waiting.push_back((kind, bytes.to_vec())),
        }
    }

    /// When the socket takes something.
    pub fn flush(&mut self, to: &Packets) {
        while let Some((kind, bytes)) = self.next() {
            match to.try_send(kind, &bytes) {
                Ok(()) => self.stuck_since = Some(Instant::now()),
                Err(Errno::AGAIN) => return self.waiting.push_front((kind, bytes)),
                Err(_) => return self.is_broken = true,
            }
        }
        self.stuck_since = None;
    }

    fn next(&mut self) -> Option<(Kind, Vec<u8>)> {
        if let Some(next) = self.waiting.pop_front() {
            return Some(next);
        }
        let next = self.spill.as_mut()?.pop();
        match next {
            Ok(Some(next)) => return Some(next),
            Ok(None) => self.spill = None,
            Err(_) => self.is_broken = true,
        }
        None
    }

    /// Until when the container is to be held back for this one.
    pub fn holds_back_until(&self) -> Option<Instant> {
        if self.is_broken || self.spill.is_some() || self.waiting.is_empty() {
            return None;
        }
        self.stuck_since.map(|since| since + PATIENCE)
    }

    /// Patience has ended, if it has: from now on the container is not held back.
    pub fn give_up_waiting(&mut self, directory: &Directory) {
        if self.holds_back_until().is_some_and(|until| Instant::now() >= until) {
            match Spill::make(directory) {
                Ok(spill) => self.spill = Some(spill),
                Err(_) => self.is_broken = true,
            }
        }
    }
}

struct Spill {
    file: OwnedFd,
    read_at: u64,
    write_at: u64,
}

const HEADER_BYTES: usize = 5;

impl Spill {
    fn make(directory: &Directory) -> rustix::io::Result<Self> {
        let file = openat(directory, ".", OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?;
        Ok(Self { file, read_at: 0, write_at: 0 })
    }

    fn push(&mut self, kind: Kind, bytes: &[u8]) -> rustix::io::Result<()> {
        let size = (bytes.len() as u32).to_le_bytes();
        let packet = [&[kind as u8], size.as_slice(), bytes].concat();
        if self.write_at + packet.len() as u64 > SPILLED_BYTES_MAX {
            return Err(Errno::NOSPC);
        }
        let mut rest = packet.as_slice();
        while !rest.is_empty() {
            let count = pwrite(&self.file, rest, self.write_at)?;
            self.write_at += count as u64;
            rest = &rest[count..];
        }
        Ok(())
    }

    fn pop(&mut self) -> rustix::io::Result<Option<(Kind, Vec<u8>)>> {
        if self.read_at == self.write_at {
            return Ok(None);
        }
        let mut header = [0; HEADER_BYTES];
        self.read_exactly(&mut header)?;
        let [kind, size @ ..] = header;
        let mut bytes = vec![0; u32::from_le_bytes(size) as usize];
        self.read_exactly(&mut bytes)?;
        Ok(Some((Kind::of(kind).ok_or(Errno::BADMSG)?, bytes)))
    }

    fn read_exactly(&mut self, mut into: &mut [u8]) -> rustix::io::Result<()> {
        while !into.is_empty() {
            match pread(&self.file, &mut *into, self.read_at)? {
                0 => return Err(Errno::BADMSG),
                count => {
                    self.read_at += count as u64;
                    into = &mut into[count..];
                }
            }
        }
        Ok(())
    }
}
