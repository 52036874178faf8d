//! What a mount may be used for, and where changes below it go: by mount_setattr, for which it need not be attached yet. Before Linux 5.12 by
//! mount(2), for which it must be: callers ask `can_be_first`. Mappings of ids are mount_setattr's alone.

use crate::cgroups::unescape;
use crate::sys::{self, MountAttributes};
use rustix::fd::{AsFd, AsRawFd};
use rustix::fs::CWD;
use rustix::io::{Errno, Result};
use rustix::mount::{MountFlags, MountPropagationFlags, mount_change, mount_remount};
use std::path::{Path, PathBuf};

const ATIME: u64 = 0x70;
const FLAGS: [(u64, MountFlags); 5] = [
    (0x1, MountFlags::RDONLY),
    (0x2, MountFlags::NOSUID),
    (0x4, MountFlags::NODEV),
    (0x8, MountFlags::NOEXEC),
    (0x80, MountFlags::NODIRATIME),
];
const ATIME_FLAGS: [(u64, MountFlags); 3] = [(0x0, MountFlags::RELATIME), (0x10, MountFlags::NOATIME), (0x20, MountFlags::STRICTATIME)];
/// statvfs's word for MS_RELATIME; the other words are the same.
const ST_RELATIME: u64 = 0x1000;

/// Whether attributes can be set on a mount that is attached only afterwards.
pub fn can_be_first() -> bool {
    sys::mount_setattr(CWD, c"", false, MountAttributes::default()) != Err(Errno::NOSYS)
}

pub fn change(mount: impl AsFd, recursive: bool, attributes: MountAttributes) -> Result<()> {
    match sys::mount_setattr(mount.as_fd(), c"", recursive, attributes) {
        Err(Errno::NOSYS) => remount(&fd_path(mount), recursive, attributes),
        result => result,
    }
}

/// `path`: from the mount on, or from the working directory; empty: the mount itself.
pub fn propagate(mount: impl AsFd, path: &Path, propagation: MountPropagationFlags, recursive: bool) -> Result<()> {
    let attributes = MountAttributes { propagation: propagation.bits().into(), ..Default::default() };
    match sys::mount_setattr(mount.as_fd(), sys::c_path(path)?.as_c_str(), recursive, attributes) {
        Err(Errno::NOSYS) => {
            let path = if path.as_os_str().is_empty() { fd_path(mount) } else { path.to_path_buf() };
            mount_change(path, if recursive { propagation | MountPropagationFlags::REC } else { propagation })
        }
        result => result,
    }
}

fn fd_path(mount: impl AsFd) -> PathBuf {
    format!("/proc/self/fd/{}", mount.as_fd().as_raw_fd()).into()
}

fn remount(path: &Path, recursive: bool, attributes: MountAttributes) -> Result<()> {
    let all = if recursive { mounts_below(path)? } else { vec![path.to_path_buf()] };
    all.iter().try_for_each(|path| {
        let flags = MountFlags::BIND | flags_with(rustix::fs::statvfs(path)?.f_flag.bits(), attributes);
        mount_remount(path, flags, c"")
    })
}

fn mounts_below(path: &Path) -> Result<Vec<PathBuf>> {
    let io = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let top = std::fs::read_link(path).map_err(io)?;
    let mountinfo = std::fs::read("/proc/self/mountinfo").map_err(io)?;
    let points = mountinfo.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    let points = points.map(|point| PathBuf::from(unescape(&String::from_utf8_lossy(point))));
    Ok(points.filter(|point| point.starts_with(&top)).collect())
}

/// A remount says everything anew: what is not to change is said as it is.
fn flags_with(now: u64, attributes: MountAttributes) -> MountFlags {
    let is_now = |flag: &MountFlags| if *flag == MountFlags::RELATIME { now & ST_RELATIME != 0 } else { now & u64::from(flag.bits()) != 0 };
    let known = FLAGS.iter().chain(&ATIME_FLAGS).map(|(_, flag)| *flag);
    let mut flags: MountFlags = known.filter(is_now).collect();
    if attributes.clear & ATIME != 0 {
        for (value, flag) in ATIME_FLAGS {
            flags.set(flag, attributes.set & ATIME == value);
        }
    }
    for (attribute, flag) in FLAGS {
        if attributes.clear & attribute != 0 {
            flags.remove(flag);
        }
        if attributes.set & attribute != 0 {
            flags.insert(flag);
        }
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(now: MountFlags, clear: u64, set: u64) -> MountFlags {
        flags_with(now.bits().into(), MountAttributes { set, clear, ..Default::default() })
    }

    #[test]
    fn a_remount_keeps_what_is_not_named() {
        let now = MountFlags::NODEV | MountFlags::NOSUID;
        assert_eq!(with(now, 0, 0x1), now | MountFlags::RDONLY);
        assert_eq!(with(now, 0x4, 0x8), MountFlags::NOSUID | MountFlags::NOEXEC);
        assert_eq!(flags_with(ST_RELATIME | 0x2, MountAttributes::default()), MountFlags::RELATIME | MountFlags::NOSUID);
    }

    #[test]
    fn times_of_access_are_one_of_three() {
        assert_eq!(with(MountFlags::NOATIME, ATIME, 0), MountFlags::RELATIME);
        assert_eq!(with(MountFlags::NODEV, ATIME, 0x20), MountFlags::NODEV | MountFlags::STRICTATIME);
    }
}
