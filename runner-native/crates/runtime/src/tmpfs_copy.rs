//! The mount option `tmpcopyup`: a tmpfs begins with what the directory holds that it will cover. The directory is the image's, hostile: every
//! name is opened from its directory's descriptor, no link is followed. Devices and sockets are left out: a tmpfs may allow what the root does not.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, AtFlags, Dir, FileType, Gid, Mode, OFlags, RawMode, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::{Errno, Result};
use std::ffi::CStr;
use std::fs::File;

/// Each level holds two descriptors.
const DEPTH_MAX: usize = 200;

/// `to` is the tmpfs's root, and gets the directory's attributes as well; `keeps_mode`: but for the mode, which was asked for.
pub fn copy_up(from: &OwnedFd, to: &OwnedFd, keeps_mode: bool) -> Result<()> {
    let to = open(to, c".", OFlags::DIRECTORY)?;
    let mode = fs::fstat(&to)?.st_mode;
    copy_directory(&open(from, c".", OFlags::DIRECTORY)?, &to, DEPTH_MAX)?;
    if keeps_mode { fs::fchmod(&to, Mode::from_raw_mode(mode as RawMode & 0o7777)) } else { Ok(()) }
}

fn open(directory: impl AsFd, name: &CStr, flags: OFlags) -> Result<OwnedFd> {
    fs::openat(directory, name, flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
}

fn copy_directory(from: &OwnedFd, to: &OwnedFd, depth_left: usize) -> Result<()> {
    let below = depth_left.checked_sub(1).ok_or(Errno::NAMETOOLONG)?;
    for entry in Dir::read_from(from)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            copy_entry(from, to, entry.file_name(), below)?;
        }
    }
    set_attributes(from, to, &fs::fstat(from)?)
}

fn copy_entry(from: &OwnedFd, to: &OwnedFd, name: &CStr, depth_left: usize) -> Result<()> {
    let stat = fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => {
            fs::mkdirat(to, name, Mode::RWXU)?;
            copy_directory(&open(from, name, OFlags::DIRECTORY)?, &open(to, name, OFlags::DIRECTORY)?, depth_left)
        }
        FileType::RegularFile => copy_file(from, to, name),
        FileType::Symlink => {
            fs::symlinkat(fs::readlinkat(from, name, Vec::new())?, to, name)?;
            fs::chownat(to, name, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)), AtFlags::SYMLINK_NOFOLLOW)?;
            fs::utimensat(to, name, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)
        }
        FileType::Fifo => {
            fs::mknodat(to, name, FileType::Fifo, Mode::RWXU, 0)?;
            let made = open(to, name, OFlags::empty())?;
            set_attributes(&made, &made, &stat)
        }
        _ => Ok(()),
    }
}

fn copy_file(from: &OwnedFd, to: &OwnedFd, name: &CStr) -> Result<()> {
    let mut source = File::from(open(from, name, OFlags::empty())?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut copy = File::from(fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?);
    std::io::copy(&mut source, &mut copy).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    set_attributes(&source, &copy, &fs::fstat(&source)?)
}

/// The mode after the owner, whose change takes setuid bits away; capabilities of files (an xattr) for the same reason.
fn set_attributes(from: impl AsFd, to: impl AsFd, stat: &Stat) -> Result<()> {
    fs::fchown(&to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    fs::fchmod(&to, Mode::from_raw_mode(stat.st_mode as RawMode & 0o7777))?;
    copy_xattrs(from, &to)?;
    fs::futimens(to, &times(stat))
}

fn times(stat: &Stat) -> Timestamps {
    let time = |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    Timestamps {
        last_access: time(stat.st_atime as _, stat.st_atime_nsec as _),
        last_modification: time(stat.st_mtime as _, stat.st_mtime_nsec as _),
    }
}

/// Those that a tmpfs takes.
fn copy_xattrs(from: impl AsFd, to: impl AsFd) -> Result<()> {
    const LIST_BYTES_MAX: usize = 64 << 10; // XATTR_LIST_MAX and XATTR_SIZE_MAX
    let length = match fs::flistxattr(&from, &mut [0_u8; 0][..]) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) | Ok(0) => return Ok(()),
        length => length?.min(LIST_BYTES_MAX),
    };
    let mut names = vec![0; length];
    let length = fs::flistxattr(&from, &mut names[..])?;
    for name in names[..length].split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok()) {
        let mut value = vec![0; LIST_BYTES_MAX];
        let length = fs::fgetxattr(&from, name, &mut value[..])?;
        match fs::fsetxattr(&to, name, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs as files;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::Path;

    fn copied(fill: impl FnOnce(&Path)) -> (Result<()>, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let [from, to] = ["from", "to"].map(|name| directory.path().join(name));
        files::create_dir(&from).unwrap();
        files::create_dir(&to).unwrap();
        fill(&from);
        let open = |path: &Path| fs::open(path, OFlags::PATH, Mode::empty()).unwrap();
        (copy_up(&open(&from), &open(&to), false), directory)
    }

    #[test]
    fn a_tree_is_copied_with_its_attributes() {
        let (done, directory) = copied(|from| {
            files::set_permissions(from, files::Permissions::from_mode(0o1777)).unwrap();
            files::create_dir_all(from.join("a/b")).unwrap();
            files::write(from.join("a/b/file"), "content").unwrap();
            files::set_permissions(from.join("a/b/file"), files::Permissions::from_mode(0o4711)).unwrap();
            symlink("/etc/passwd", from.join("a/link")).unwrap();
            let _socket = std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();
        });
        done.unwrap();
        let to = directory.path().join("to");
        assert_eq!(files::metadata(&to).unwrap().mode() & 0o7777, 0o1777);
        assert_eq!(files::read(to.join("a/b/file")).unwrap(), b"content");
        assert_eq!(files::metadata(to.join("a/b/file")).unwrap().mode() & 0o7777, 0o4711);
        assert_eq!(files::read_link(to.join("a/link")).unwrap(), Path::new("/etc/passwd"));
        assert!(!to.join("socket").exists());
    }

    #[test]
    fn a_bottomless_tree_is_an_error() {
        let (done, _directory) = copied(|from| files::create_dir_all(from.join("d/".repeat(DEPTH_MAX))).unwrap());
        assert_eq!(done, Err(Errno::NAMETOOLONG));
    }
}
