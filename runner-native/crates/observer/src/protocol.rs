//! What the kernel says on /dev/fuse (include/uapi/linux/fuse.h, version 7.39), as far as a file system that is only read is asked, and the form of
//! answers. Numbers are the machine's own. A request that is cut short is no request: nothing here panics.

use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::{Errno, IoSlice};

/// The kernel gives nothing to a reader with room for less (FUSE_MIN_READ_BUFFER); nothing that we are asked is longer, for nothing is written.
pub const REQUEST_BYTES_MAX: usize = 16 << 10;

/// FUSE_KERNEL_VERSION, and the minor version that has all that we use.
pub const VERSION: (u32, u32) = (7, 39);

/// Flags of INIT.
pub const ASYNC_READ: u32 = 1 << 0;
pub const PARALLEL_DIROPS: u32 = 1 << 18;
pub const MAX_PAGES: u32 = 1 << 22;
pub const CACHE_SYMLINKS: u32 = 1 << 23;

const HEADER_BYTES: usize = 40;

#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub unique: u64,
    pub node: u64,
    pub operation: Operation<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    Init {
        major: u32,
        readahead: u32,
        flags: u32,
    },
    Lookup {
        name: &'a [u8],
    },
    Status,
    /// As `Status`, for one who wants to know when a file was made.
    ExtendedStatus,
    Link,
    Read {
        offset: u64,
        size: u32,
    },
    Seek {
        offset: u64,
        whence: u32,
    },
    List {
        offset: u64,
        size: u32,
    },
    Attribute {
        name: &'a [u8],
        size: u32,
    },
    AttributeNames {
        size: u32,
    },
    FileSystem,
    /// Its end: nobody has it mounted any more.
    Destroy,
    /// Something that is not answered.
    Forget,
    /// Would change something.
    Change,
    /// An ioctl.
    Control,
    /// What the kernel can do without, and does without from then on.
    Unknown,
}

impl<'a> Request<'a> {
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let body = Bytes(bytes.get(HEADER_BYTES..)?);
        let header = Bytes(&bytes[..HEADER_BYTES]);
        if header.u32(0)? as usize != bytes.len() {
            return None;
        }
        Some(Self { unique: header.u64(8)?, node: header.u64(16)?, operation: operation(header.u32(4)?, &body)? })
    }
}

fn operation<'a>(code: u32, body: &Bytes<'a>) -> Option<Operation<'a>> {
    Some(match code {
        1 => Operation::Lookup { name: body.name(0)? },
        2 | 42 => Operation::Forget,
        3 => Operation::Status,
        5 => Operation::Link,
        15 => Operation::Read { offset: body.u64(8)?, size: body.u32(16)? },
        17 => Operation::FileSystem,
        22 => Operation::Attribute { size: body.u32(0)?, name: body.name(8)? },
        23 => Operation::AttributeNames { size: body.u32(0)? },
        26 => Operation::Init { major: body.u32(0)?, readahead: body.u32(8)?, flags: body.u32(12)? },
        28 => Operation::List { offset: body.u64(8)?, size: body.u32(16)? },
        38 => Operation::Destroy,
        39 => Operation::Control,
        46 => Operation::Seek { offset: body.u64(8)?, whence: body.u32(16)? },
        52 => Operation::ExtendedStatus,
        // SETATTR, SYMLINK, MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK, WRITE, SETXATTR, REMOVEXATTR, CREATE, FALLOCATE, RENAME2, COPY_FILE_RANGE, TMPFILE
        4 | 6 | 8..=13 | 16 | 21 | 24 | 35 | 43 | 45 | 47 | 51 => Operation::Change,
        _ => Operation::Unknown,
    })
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn u32(&self, at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(self.0.get(at..at + 4)?.try_into().ok()?))
    }

    fn u64(&self, at: usize) -> Option<u64> {
        Some(u64::from_ne_bytes(self.0.get(at..at + 8)?.try_into().ok()?))
    }

    /// Up to its zero.
    fn name(&self, at: usize) -> Option<&'a [u8]> {
        let rest = self.0.get(at..)?;
        Some(&rest[..rest.iter().position(|byte| *byte == 0)?])
    }
}

/// What an answer is put together in.
#[derive(Default)]
pub struct Answer(pub Vec<u8>);

impl Answer {
    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_ne_bytes())
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_ne_bytes())
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_ne_bytes())
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn zeros(&mut self, count: usize) -> &mut Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }
}

/// Sends an answer, or an error, which has nothing behind its header.
pub fn send(device: BorrowedFd<'_>, unique: u64, answer: Result<&[u8], Errno>) -> Result<(), Errno> {
    let (bytes, error) = match answer {
        Ok(bytes) => (bytes, 0),
        Err(errno) => (&b""[..], -errno.raw_os_error()),
    };
    let mut header = [0; 16];
    let total = (header.len() + bytes.len()) as u32;
    header[..4].copy_from_slice(&total.to_ne_bytes());
    header[4..8].copy_from_slice(&error.to_ne_bytes());
    header[8..].copy_from_slice(&unique.to_ne_bytes());
    match rustix::io::writev(device.as_fd(), &[IoSlice::new(&header), IoSlice::new(bytes)]) {
        // Who asked has been killed meanwhile.
        Err(Errno::NOENT) => Ok(()),
        result => result.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(code: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = Answer::default();
        bytes.u32((HEADER_BYTES + body.len()) as u32).u32(code).u64(7).u64(1).zeros(16).bytes(body);
        bytes.0
    }

    #[test]
    fn requests_are_read() {
        let bytes = request(1, b"name\0");
        assert_eq!(Request::parse(&bytes), Some(Request { unique: 7, node: 1, operation: Operation::Lookup { name: b"name" } }));
        let bytes = request(22, b"\x10\0\0\0\0\0\0\0user.x\0");
        assert_eq!(Request::parse(&bytes).unwrap().operation, Operation::Attribute { name: b"user.x", size: 16 });
        assert_eq!(Request::parse(&request(14, &[0; 8])).unwrap().operation, Operation::Unknown);
        assert_eq!(Request::parse(&request(16, &[0; 8])).unwrap().operation, Operation::Change);
    }

    #[test]
    fn one_that_is_cut_short_is_none() {
        for (code, body) in [(1, &b"name"[..]), (15, &[0; 19]), (22, &[0; 8]), (26, &[0; 15]), (28, &[]), (46, &[0; 16])] {
            assert_eq!(Request::parse(&request(code, body)), None, "{code}");
        }
        let mut long = request(3, &[0; 16]);
        long.push(0);
        assert_eq!((Request::parse(&long), Request::parse(&long[..39]), Request::parse(b"")), (None, None, None));
    }
}
