//! Reads a file's extended attributes, as the kernel lists them.

use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

use crate::entry::Xattrs;

/// Of an open file; `keep` chooses by name.
pub fn of_file(fd: impl AsFd, keep: impl Fn(&[u8]) -> bool) -> rustix::io::Result<Xattrs> {
    let fd = fd.as_fd();
    collect(keep, |list| rustix::fs::flistxattr(fd, list), |name, value| rustix::fs::fgetxattr(fd, name, value))
}

/// Of what cannot or should not be opened (a symlink, a device): by its name in an open directory. Symlinks are not followed.
pub fn of_name(directory: impl AsFd, name: &[u8], keep: impl Fn(&[u8]) -> bool) -> rustix::io::Result<Xattrs> {
    let path = path_of(directory, name);
    collect(keep, |list| rustix::fs::llistxattr(&*path, list), |name, value| rustix::fs::lgetxattr(&*path, name, value))
}

/// The xattr calls know no directory fds before Linux 6.13; the fd's magic link stands in.
pub fn path_of(directory: impl AsFd, name: &[u8]) -> Vec<u8> {
    [format!("/proc/self/fd/{}/", directory.as_fd().as_raw_fd()).as_bytes(), name].concat()
}

fn collect(
    keep: impl Fn(&[u8]) -> bool,
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Xattrs> {
    let mut names = vec![0; 256];
    let length = loop {
        match list(&mut names) {
            Err(Errno::RANGE) if names.len() < 1 << 17 => names.resize(names.len() * 8, 0),
            Err(Errno::OPNOTSUPP) => return Ok(Xattrs::new()),
            other => break other?,
        }
    };
    let mut xattrs = Xattrs::new();
    if length == 0 {
        return Ok(xattrs);
    }
    let mut value = vec![0; 1 << 16];
    for name in names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty() && keep(name)) {
        match get(name, &mut value) {
            Ok(length) => xattrs.push((name.into(), value[..length].into())),
            // It went away meanwhile, or is listed but not ours to read.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    xattrs.sort_unstable();
    Ok(xattrs)
}
