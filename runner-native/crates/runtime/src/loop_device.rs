//! A read-only loop device over a file, for kernels that cannot mount an EROFS image from a file. It clears itself with its last user.

use crate::sys;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, makedev, mknodat, open, openat};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

const LOOP_MAJOR: u32 = 7;
/// Another process may take the free device first.
const TRIES: usize = 64;

/// The open device and its path. `nodes` is a directory of ours where device nodes can be made: containers' /dev often lacks new ones.
pub fn attach(file: &Path, nodes: (&OwnedFd, &Path)) -> rustix::io::Result<(OwnedFd, PathBuf)> {
    let file = open(file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let control = open("/dev/loop-control", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    for _ in 0..TRIES {
        let number = sys::free_loop_device(control.as_fd())?;
        let (device, path) = open_device(number, nodes)?;
        match sys::configure_loop_device(device.as_fd(), file.as_fd()) {
            Err(Errno::BUSY) => {}
            result => return result.map(|()| (device, path)),
        }
    }
    Err(Errno::BUSY)
}

fn open_device(number: u32, (nodes, nodes_path): (&OwnedFd, &Path)) -> rustix::io::Result<(OwnedFd, PathBuf)> {
    let name = format!("loop{number}");
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let path = Path::new("/dev").join(&name);
    match open(&path, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        result => return result.map(|device| (device, path)),
    }
    match mknodat(nodes, &name, FileType::BlockDevice, Mode::from_raw_mode(0o600), makedev(LOOP_MAJOR, number)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    Ok((openat(nodes, &name, flags, Mode::empty())?, nodes_path.join(name)))
}
