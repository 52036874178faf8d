//! A container's directory: its lock, its socket, and what is opened in it. Reached by descriptor, for the path may be longer than the address of a
//! socket can be.

use crate::packets::{self, Packets};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, openat, unlinkat};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, SocketFlags, bind, connect, listen};
use std::path::{Path, PathBuf};
use tbuild_runtime::error::{Context, NativeError, Result, STATE};

const LOCK: &str = "lock";
const SOCKET: &str = "control";
const BACKLOG: i32 = 128;

pub struct Directory {
    path: PathBuf,
    fd: OwnedFd,
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Directory {
    pub fn open(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).at(STATE, "resolve", path)?;
        let fd = openat(CWD, &path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        Ok(Self { fd: fd.at(STATE, "open the container's directory", &path)?, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Held as long as the descriptor is open, in whatever process. None: somebody has it.
    pub fn lock(&self) -> Result<Option<OwnedFd>> {
        let take = || {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let lock = openat(&self.fd, LOCK, flags, Mode::RUSR | Mode::WUSR)?;
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => Ok(None),
                result => result.map(|()| Some(lock)),
            }
        };
        take().at(STATE, "lock", self.path.join(LOCK))
    }

    /// Only by who holds the lock: an earlier monitor's socket goes.
    pub fn listen(&self) -> Result<OwnedFd> {
        let make = || {
            self.remove_socket();
            let socket = packets::socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
            bind(&socket, &self.address()?)?;
            listen(&socket, BACKLOG)?;
            Ok::<_, Errno>(socket)
        };
        make().at(STATE, "listen at", self.path.join(SOCKET))
    }

    pub fn remove_socket(&self) {
        let _ = unlinkat(&self.fd, SOCKET, AtFlags::empty());
    }

    pub fn connect(&self) -> Result<Packets> {
        let socket = packets::socket(SocketFlags::CLOEXEC).at(STATE, "make a socket for", &self.path)?;
        match self.address().and_then(|address| rustix::io::retry_on_intr(|| connect(&socket, &address))) {
            Ok(()) => Ok(Packets::new(socket)),
            Err(Errno::NOENT | Errno::CONNREFUSED) => Err(not_running()),
            Err(errno) => Err(errno).at(STATE, "connect to", self.path.join(SOCKET)),
        }
    }

    /// All of it (--rm). Who is killed meanwhile leaves either what `clean` can go on with, or a few files under a name that is no container's.
    pub fn remove(&self) -> Result<()> {
        const KEPT: [&str; 3] = ["monitor.json", "state.json", LOCK];
        for entry in std::fs::read_dir(&self.path).at(STATE, "list", &self.path)? {
            let name = entry.at(STATE, "list", &self.path)?.file_name();
            if !KEPT.iter().any(|kept| name == **kept) {
                tbuild_layers::remove(&self.path.join(name))?;
            }
        }
        let gone = self.path.with_extension("removed");
        std::fs::rename(&self.path, &gone).at(STATE, "rename", &self.path)?;
        tbuild_layers::remove(&gone)
    }

    fn address(&self) -> rustix::io::Result<SocketAddrUnix> {
        SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET}", self.fd.as_raw_fd()))
    }
}

/// No monitor lives.
pub const NOT_RUNNING: &str = "native/not-running";

pub fn not_running() -> NativeError {
    NativeError::new(NOT_RUNNING, "ask the container's monitor").detail("the container is not running")
}
