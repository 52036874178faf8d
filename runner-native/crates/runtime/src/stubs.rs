//! Mount points of the runtime's own (/proc, /etc/hosts …): made in a tree of their own below all layers, so that nothing of them gets
//! into the upper. One that a layer hides is made in the upper after all, and every trace of that is removed before the commit.

use crate::error::{Context, MOUNT, Result};
use crate::inside_root::{self, Kind};
use crate::root_spec::{Stub, StubKind};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{self, AtFlags, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

impl Stub {
    fn kind(&self) -> Kind {
        match self.kind {
            StubKind::Dir => Kind::Directory,
            StubKind::File => Kind::File,
        }
    }
}

pub fn make_tree(directory: &OwnedFd, stubs: &[Stub]) -> Result<()> {
    for stub in stubs {
        inside_root::open_or_make(directory, inside_root::relative(&stub.path), stub.kind(), &mut |_, _| {})?;
    }
    Ok(())
}

/// What had to be made in the upper, in order, and the directories that this brought into it.
#[derive(Default)]
pub struct Hidden {
    made: Vec<PathBuf>,
    /// Parents first.
    copied_up: Vec<(PathBuf, Attributes)>,
}

#[derive(PartialEq)]
struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: (i64, i64),
}

impl From<Stat> for Attributes {
    fn from(stat: Stat) -> Self {
        Self { mode: stat.st_mode, uid: stat.st_uid, gid: stat.st_gid, mtime: (stat.st_mtime, stat.st_mtime_nsec as i64) }
    }
}

/// `root` is the overlay, mounted at `root_path`; `upper` what it writes to.
pub fn make_hidden(root: &OwnedFd, root_path: &Path, upper: &OwnedFd, stubs: &[Stub]) -> Result<Hidden> {
    let mut hidden = Hidden::default();
    for stub in stubs {
        let path = inside_root::relative(&stub.path);
        if !matches!(inside_root::open(root, path, OFlags::PATH), Err(Errno::NOENT)) {
            continue; // there; or in a way that the runtime will explain
        }
        let mut touched = Vec::new();
        let mut note = |parent: &OwnedFd, name: &std::ffi::OsStr| {
            if let Some(real) = real_path(parent, root_path) {
                touched.push((real.clone(), fs::statat(parent, c"", AtFlags::EMPTY_PATH).ok().map(Attributes::from)));
                hidden.note_ancestors(root, upper, &real);
                hidden.made.push(real.join(name));
            }
        };
        inside_root::open_or_make(root, path, stub.kind(), &mut note)?;
        for (parent, attributes) in touched.iter().rev() {
            if let Some(attributes) = attributes {
                set_mtime(root, parent, attributes.mtime).at(MOUNT, "restore the time of", parent)?;
            }
        }
    }
    Ok(hidden)
}

/// Where a directory of the overlay is, without symbolic links, relative to its root.
fn real_path(directory: &OwnedFd, root_path: &Path) -> Option<PathBuf> {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd())).ok()?;
    path.strip_prefix(root_path).ok().map(Path::to_path_buf)
}

impl Hidden {
    fn note_ancestors(&mut self, root: &OwnedFd, upper: &OwnedFd, directory: &Path) {
        let mut ancestors: Vec<&Path> = directory.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        ancestors.reverse();
        for ancestor in ancestors {
            let is_new = matches!(attributes(upper, ancestor), Err(Errno::NOENT));
            if is_new
                && !self.made.iter().any(|made| made == ancestor)
                && let Ok(before) = attributes(root, ancestor)
            {
                self.copied_up.push((ancestor.into(), before));
            }
        }
    }

    /// After the container has ended and the overlay is unmounted: removes what is still as it was made.
    pub fn remove_from(&self, upper: &OwnedFd) -> Result<()> {
        for path in self.made.iter().rev() {
            remove_if_empty(upper, path).at(MOUNT, "remove the mount point", path)?;
        }
        for (path, before) in self.copied_up.iter().rev() {
            if attributes(upper, path).is_ok_and(|now| now == *before) {
                remove_if_empty(upper, path).at(MOUNT, "remove", path)?;
            }
        }
        Ok(())
    }
}

fn attributes(root: impl AsFd, path: &Path) -> rustix::io::Result<Attributes> {
    let file = inside_root::open_without_links(root, path, OFlags::PATH)?;
    fs::statat(file, c"", AtFlags::EMPTY_PATH).map(Attributes::from)
}

/// Leaves the parent's mtime as it is. What the container has put something into, or something else in place of, stays.
fn remove_if_empty(upper: &OwnedFd, path: &Path) -> rustix::io::Result<()> {
    let (Some(parent_path), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let parent = match inside_root::open_without_links(upper, parent_path, OFlags::RDONLY | OFlags::DIRECTORY) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        result => result?,
    };
    let Ok(stat) = fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) else { return Ok(()) };
    let before = Attributes::from(fs::fstat(&parent)?);
    let removed = match fs::FileType::from_raw_mode(stat.st_mode) {
        fs::FileType::Directory => fs::unlinkat(&parent, name, AtFlags::REMOVEDIR),
        fs::FileType::RegularFile if stat.st_size == 0 => fs::unlinkat(&parent, name, AtFlags::empty()),
        _ => return Ok(()),
    };
    match removed {
        Err(Errno::NOTEMPTY | Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
        Ok(()) => set_times(&parent, before.mtime),
    }
}

fn set_mtime(root: &OwnedFd, path: &Path, mtime: (i64, i64)) -> rustix::io::Result<()> {
    set_times(&inside_root::open_without_links(root, path, OFlags::RDONLY | OFlags::DIRECTORY)?, mtime)
}

pub fn set_times(directory: &OwnedFd, (seconds, nanoseconds): (i64, i64)) -> rustix::io::Result<()> {
    fs::futimens(
        directory,
        &Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
        },
    )
}
