//! Opens files below a directory without ever leaving it and without following a symlink: what is below may be hostile and may change meanwhile.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::entry::as_path;
use crate::error::{NativeError, Result};

/// The directory itself, by a path that is trusted.
pub fn open_root(path: &Path) -> Result<OwnedFd> {
    rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| NativeError::io("open", error).path(path))
}

/// `path` is clean and relative; empty means `root` itself.
pub fn open_directory(root: impl AsFd, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    open(root.as_fd(), path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// A directory to reach what is in it, for which it need not be readable.
pub fn open_parent(root: impl AsFd, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    open(root.as_fd(), path, OFlags::PATH | OFlags::DIRECTORY)
}

/// For reading a regular file. A FIFO put in its place does not block; whoever opens checks the type.
pub fn open_file(root: impl AsFd, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    open(root.as_fd(), path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
}

fn open(root: rustix::fd::BorrowedFd, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let name = if path.is_empty() { b"." } else { path };
    match rustix::fs::openat2(root, as_path(name), flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS) {
        // Linux before 5.6, or a seccomp profile that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => open_stepwise(root, name, flags),
        other => other,
    }
}

fn open_stepwise(root: rustix::fd::BorrowedFd, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mut names: Vec<&[u8]> = path.split(|&byte| byte == b'/').collect();
    let last = names.pop().unwrap_or(b".");
    let mut directory: Option<OwnedFd> = None;
    for name in names {
        let from = directory.as_ref().map_or(root, |fd| fd.as_fd());
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        directory = Some(rustix::fs::openat(from, as_path(name), step, Mode::empty())?);
    }
    rustix::fs::openat(directory.as_ref().map_or(root, |fd| fd.as_fd()), as_path(last), flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_opening_stop_at_symlinks() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("a/b/file"), "x").unwrap();
        std::os::unix::fs::symlink("b", dir.path().join("a/link")).unwrap();
        std::os::unix::fs::symlink("file", dir.path().join("a/b/link")).unwrap();
        let root = open_root(dir.path()).unwrap();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
        for (path, opens) in [("a/b/file", true), ("a/link/file", false), ("a/b/link", false), ("a/b", true)] {
            assert_eq!(open_file(&root, path.as_bytes()).is_ok(), opens, "{path}");
            assert_eq!(open_stepwise(root.as_fd(), path.as_bytes(), flags).is_ok(), opens, "{path}");
        }
        assert!(open_directory(&root, b"").is_ok());
    }
}
