//! Paths inside a container's root, whose content is hostile: every look-up is by openat2 below the root's descriptor, so that no
//! symbolic link of the image leads out of it. Missing mount points are made where the image's links say they would be.

use crate::error::{Context, MOUNT, NativeError, Result};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Directory,
    File,
}

/// As many as the kernel follows.
const LINKS_MAX: usize = 40;
/// openat2 gives up with EAGAIN when something was renamed meanwhile.
const TRIES: usize = 32;

/// Opens without reading or following out of the root; ENOENT where nothing is.
pub fn open(root: impl AsFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    open_how(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// As `open`, but the path must not lead through any symbolic link.
pub fn open_without_links(root: impl AsFd, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    open_how(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
}

fn open_how(root: impl AsFd, path: &Path, flags: OFlags, resolve: ResolveFlags) -> rustix::io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    for _ in 1..TRIES {
        match fs::openat2(root.as_fd(), path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            result => return result,
        }
    }
    fs::openat2(root.as_fd(), path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// What `path` is, made if nothing is there. Each thing made is reported with the path that leads to it without symbolic links,
/// before it exists.
pub fn open_or_make(root: impl AsFd, path: &Path, kind: Kind, making: &mut dyn FnMut(&OwnedFd, &OsStr)) -> Result<OwnedFd> {
    let root = root.as_fd();
    let mut wanted = path.to_path_buf();
    for _ in 0..LINKS_MAX {
        match open(root, &wanted, OFlags::PATH) {
            Err(Errno::NOENT) => {}
            result => return result.at(MOUNT, "open the mount point", path),
        }
        let (parent, name, rest) = first_missing(root, &wanted).at(MOUNT, "make the mount point", path)?;
        let directory = open(root, &parent, OFlags::PATH | OFlags::DIRECTORY).at(MOUNT, "make the mount point", path)?;
        match fs::readlinkat(&directory, &name, Vec::new()) {
            // A link to nothing: what it points to is made.
            Ok(target) => {
                let target = parent.join(OsString::from_vec(target.into_bytes()));
                // Joined with nothing, a path would end with a slash and mean a directory.
                wanted = if rest.as_os_str().is_empty() { target } else { target.join(rest) };
            }
            Err(Errno::NOENT) => {
                making(&directory, &name);
                let as_file = kind == Kind::File && rest.as_os_str().is_empty();
                make(&directory, &name, as_file).at(MOUNT, "make the mount point", path)?;
            }
            Err(errno) => return Err(errno).at(MOUNT, "make the mount point", path),
        }
    }
    // Each turn makes one directory or follows one link; a path is at most some thousand of the former.
    if wanted.components().count() > LINKS_MAX / 2 {
        return make_deep(root, &wanted, kind, making);
    }
    Err(NativeError::new(MOUNT, "make the mount point").path(path).detail(format!("too many links at {}", path.display())))
}

/// A path longer than the loop above has turns: its upper half first.
fn make_deep(root: impl AsFd, path: &Path, kind: Kind, making: &mut dyn FnMut(&OwnedFd, &OsStr)) -> Result<OwnedFd> {
    let components: Vec<_> = path.components().collect();
    let half: PathBuf = components[..components.len() / 2].iter().collect();
    open_or_make(root.as_fd(), &half, Kind::Directory, making)?;
    open_or_make(root.as_fd(), path, kind, making)
}

fn make(directory: &OwnedFd, name: &OsStr, as_file: bool) -> rustix::io::Result<()> {
    if !as_file {
        return fs::mkdirat(directory, name, Mode::from_raw_mode(0o755));
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
    fs::openat(directory, name, flags, Mode::from_raw_mode(0o644)).map(drop)
}

/// The deepest directory of the path that exists, the name missing in it, and what comes after.
fn first_missing(root: impl AsFd, path: &Path) -> rustix::io::Result<(PathBuf, OsString, PathBuf)> {
    let components: Vec<Component> = path.components().filter(|c| !matches!(c, Component::RootDir | Component::CurDir)).collect();
    let mut parent = PathBuf::new();
    for (position, component) in components.iter().enumerate() {
        let next = parent.join(component);
        match open(root.as_fd(), &next, OFlags::PATH) {
            Ok(_) => parent = next,
            Err(Errno::NOENT) => {
                return Ok((parent, component.as_os_str().to_owned(), components[position + 1..].iter().collect()));
            }
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::NOENT)
}

/// Whether an open file is a directory.
pub fn kind_of(file: impl AsFd) -> rustix::io::Result<Kind> {
    let stat = fs::statat(file, c"", AtFlags::EMPTY_PATH)?;
    Ok(if fs::FileType::from_raw_mode(stat.st_mode) == fs::FileType::Directory { Kind::Directory } else { Kind::File })
}

/// `/a/b` as `a/b`: relative to the root's descriptor.
pub fn relative(path: &Path) -> &Path {
    let bytes = path.as_os_str().as_bytes();
    let slashes = bytes.iter().take_while(|byte| **byte == b'/').count();
    Path::new(OsStr::from_bytes(&bytes[slashes..]))
}
