//! `rm -rf` that follows no link, crosses no mount, and does not mind how deep a tree is: what stands in an upper was made by strangers.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::entry::as_path;
use crate::error::{NativeError, Result};

/// Directories deeper than this are first renamed to the top: one fd and one stack frame a level, and no more.
const DEPTH_MAX: usize = 100;

/// Removes a file or a whole tree; one that does not exist is removed already.
pub fn remove(path: &Path) -> Result<()> {
    let failed = |error: Errno| NativeError::io("remove", error).path(path);
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(Errno::INVAL));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, parent, flags, Mode::empty()) {
        Ok(parent) => remove_at(parent.as_fd(), Path::new(name)).map_err(failed),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// A name in an open directory.
pub fn remove_at(parent: BorrowedFd, name: &Path) -> rustix::io::Result<()> {
    Remover { top: None, moved: 0 }.remove_name(parent, name, 0)
}

struct Remover {
    /// The outermost directory; what is too deep is renamed into it.
    top: Option<OwnedFd>,
    moved: u64,
}

impl Remover {
    fn remove_name(&mut self, parent: BorrowedFd, name: &Path, depth: usize) -> rustix::io::Result<()> {
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // A directory: Linux says EISDIR, POSIX and some file systems EPERM.
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(error) => return Err(error),
        }
        match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        if depth == DEPTH_MAX
            && let Some(top) = &self.top
        {
            self.moved += 1;
            return rustix::fs::renameat(parent, name, top, format!(".tbuild-removing-{}-{}", std::process::id(), self.moved));
        }
        let directory = open_for_removal(parent, name)?;
        if depth == 0 {
            self.top = Some(directory.try_clone().map_err(|_| Errno::MFILE)?);
        }
        // Until nothing is left: what was too deep below has meanwhile come up here.
        loop {
            let names = list_names(directory.as_fd())?;
            for (name, _) in &names {
                self.remove_name(directory.as_fd(), as_path(name), depth + 1)?;
            }
            match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST) if !names.is_empty() => {}
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}

/// A directory for listing; one that its owner has closed to himself is opened up first.
fn open_for_removal(parent: BorrowedFd, name: &Path) -> rustix::io::Result<OwnedFd> {
    let open = || {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        match rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve) {
            Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(parent, name, flags, Mode::empty()),
            other => other,
        }
    };
    let directory = match open() {
        Err(Errno::ACCESS) => {
            rustix::fs::chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            open()?
        }
        other => other?,
    };
    if rustix::fs::fstat(&directory)?.st_mode & 0o300 != 0o300 {
        // Ours to change, or the removal of what is in it will say why not.
        let _ = rustix::fs::fchmod(&directory, Mode::RWXU);
    }
    Ok(directory)
}

/// The names in a directory, without `.` and `..`, with the type where the file system gives it.
#[inline(never)]
pub fn list_names(directory: BorrowedFd) -> rustix::io::Result<Vec<(Box<[u8]>, FileType)>> {
    rustix::fs::seek(directory, rustix::fs::SeekFrom::Start(0))?;
    let mut buffer = [std::mem::MaybeUninit::uninit(); 16 << 10];
    let mut reader = rustix::fs::RawDir::new(directory, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = reader.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push((name.into(), entry.file_type()));
        }
    }
    Ok(names)
}
