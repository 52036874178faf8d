//! An entry as the kernel has it from us: struct fuse_attr and struct fuse_statx. What nobody may learn without it being noted is the same for all: of a
//! directory its size, its time and its number of links.

use tbuild_layers::{Entry, Gap, Kind};

use crate::owners::Owners;
use crate::protocol::Answer;

/// Seconds since the epoch. What has been copied up with it gets its own time back at the commit. No fraction, so that every file system keeps it.
pub const DIRECTORY_MTIME: i64 = 315_532_801;
const DIRECTORY_BYTES: u64 = 4096;
const BLOCK_BYTES: u32 = 4096;

/// For ever, as far as a machine is concerned.
pub const FOR_EVER_SECONDS: u64 = u32::MAX as u64;

pub struct Attributes {
    number: u64,
    size: u64,
    seconds: i64,
    nanos: u32,
    mode: u32,
    links: u32,
    uid: u32,
    gid: u32,
    device: (u32, u32),
}

impl Attributes {
    pub fn of(gap: &Gap, position: usize, entry: &Entry, owners: Owners) -> Self {
        let is_directory = entry.kind == Kind::Directory;
        Self {
            number: gap.number(position),
            size: if is_directory { DIRECTORY_BYTES } else { entry.size() },
            seconds: if is_directory { DIRECTORY_MTIME } else { entry.mtime.seconds },
            nanos: if is_directory { 0 } else { entry.mtime.nanos },
            mode: file_type(entry.kind) << 12 | entry.mode,
            links: if is_directory { 1 } else { gap.links(position) },
            uid: owners.uid(entry.uid),
            gid: owners.gid(entry.gid),
            device: entry.rdev,
        }
    }

    fn blocks(&self) -> u64 {
        self.size.div_ceil(u64::from(BLOCK_BYTES)) * u64::from(BLOCK_BYTES / 512)
    }

    /// struct fuse_attr
    pub fn put(&self, answer: &mut Answer) {
        let (major, minor) = self.device;
        answer.u64(self.number).u64(self.size).u64(self.blocks());
        for _ in ["atime", "mtime", "ctime"] {
            answer.u64(self.seconds as u64);
        }
        for _ in ["atime", "mtime", "ctime"] {
            answer.u32(self.nanos);
        }
        answer.u32(self.mode).u32(self.links).u32(self.uid).u32(self.gid);
        // new_encode_dev of <linux/kdev_t.h>
        answer.u32(minor & 0xff | major << 8 | (minor & !0xff) << 12).u32(BLOCK_BYTES).u32(0);
    }

    /// struct fuse_statx: all that stat has, and no time of birth.
    pub fn put_extended(&self, answer: &mut Answer) {
        const STATX_BASIC_STATS: u32 = 0x7ff;
        let (major, minor) = self.device;
        answer.u32(STATX_BASIC_STATS).u32(BLOCK_BYTES).u64(0);
        answer.u32(self.links).u32(self.uid).u32(self.gid).u16(self.mode as u16).u16(0);
        answer.u64(self.number).u64(self.size).u64(self.blocks()).u64(0);
        for is_birth in [false, true, false, false] {
            let (seconds, nanos) = if is_birth { (0, 0) } else { (self.seconds, self.nanos) };
            answer.u64(seconds as u64).u32(nanos).u32(0);
        }
        answer.u32(major).u32(minor).u32(0).u32(0).zeros(14 * 8);
    }
}

/// As stat's mode and the types of directory entries have it. A whiteout is overlayfs's character device 0/0.
pub fn file_type(kind: Kind) -> u32 {
    match kind {
        Kind::Fifo => 1,
        Kind::CharDevice | Kind::Whiteout => 2,
        Kind::Directory => 4,
        Kind::BlockDevice => 6,
        Kind::File => 8,
        Kind::Symlink => 10,
        Kind::Socket => 12,
    }
}
