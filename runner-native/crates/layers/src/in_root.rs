//! Paths in a root whose content is hostile, as a process in it would follow them: no link leads out. What is found is named by a path without links,
//! by which `beneath` opens it; whoever has put a link there since then gets an error and nothing else.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;

use crate::beneath;
use crate::entry::as_path;

/// As many as the kernel follows.
const LINKS_MAX: usize = 40;

pub struct Spot {
    /// Relative, without links, but for a last one that was not to be followed; the root is empty.
    pub path: Vec<u8>,
    /// None: nothing is there.
    pub stat: Option<Stat>,
    /// The directory that it is in, or would be in, is there.
    pub has_parent: bool,
}

impl Spot {
    pub fn kind(&self) -> Option<FileType> {
        self.stat.as_ref().map(|stat| FileType::from_raw_mode(stat.st_mode))
    }
}

/// Names below what is not there are taken as they are; something on the way that is no directory is ENOTDIR.
pub fn resolve(root: &OwnedFd, path: &[u8], follow_last: bool) -> rustix::io::Result<Spot> {
    let mut todo: Vec<Vec<u8>> = names_of(path);
    let mut done: Vec<Vec<u8>> = Vec::new();
    let mut spot = Some(rustix::fs::fstat(root)?);
    let mut has_parent = true;
    let mut links = 0;
    while let Some(name) = todo.pop() {
        if name == b".." {
            done.pop();
            (spot, has_parent) = (stat_of(root, &done)?, true);
            continue;
        }
        let Some(parent) = &spot else {
            has_parent = false;
            done.push(name);
            continue;
        };
        if FileType::from_raw_mode(parent.st_mode) != FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        let directory = beneath::open_parent(root, &done.join(&b'/'))?;
        spot = match rustix::fs::statat(&directory, as_path(&name), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink && (follow_last || !todo.is_empty()) => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::LOOP);
                }
                let target = rustix::fs::readlinkat(&directory, as_path(&name), Vec::new())?.into_bytes();
                if target.starts_with(b"/") {
                    done.clear();
                }
                todo.extend(names_of(&target));
                stat_of(root, &done)?
            }
            Ok(stat) => {
                done.push(name);
                Some(stat)
            }
            Err(Errno::NOENT) => {
                done.push(name);
                None
            }
            Err(error) => return Err(error),
        };
    }
    Ok(Spot { path: done.join(&b'/'), stat: spot, has_parent })
}

/// The last one first.
fn names_of(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && name != b".").rev().map(<[u8]>::to_vec).collect()
}

fn stat_of(root: &OwnedFd, path: &[Vec<u8>]) -> rustix::io::Result<Option<Stat>> {
    match beneath::open_parent(root, &path.join(&b'/')) {
        Ok(directory) => rustix::fs::fstat(directory.as_fd()).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_inside_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir_all(at("srv/app")).unwrap();
        std::fs::write(at("srv/app/file"), "x").unwrap();
        symlink("/srv/app", at("absolute")).unwrap();
        symlink("../../../../../srv", at("srv/up")).unwrap();
        symlink("/etc/shadow", at("out")).unwrap();
        symlink("round", at("round")).unwrap();
        let root = beneath::open_root(dir.path()).unwrap();
        let find = |path: &str, follow| {
            resolve(&root, path.as_bytes(), follow)
                .map(|spot| (String::from_utf8(spot.path).unwrap(), spot.stat.is_some(), spot.has_parent))
        };
        assert_eq!(find("/absolute/file", false), Ok(("srv/app/file".into(), true, true)));
        assert_eq!(find("srv/up/up/app/.", true), Ok(("srv/app".into(), true, true)));
        assert_eq!(find("../../..", true), Ok((String::new(), true, true)));
        assert_eq!(find("absolute", false), Ok(("absolute".into(), true, true)));
        assert_eq!(find("absolute/", true), Ok(("srv/app".into(), true, true)));
        assert_eq!(find("out", true), Ok(("etc/shadow".into(), false, false)));
        assert_eq!(find("srv/new", true), Ok(("srv/new".into(), false, true)));
        assert_eq!(find("round", true), Err(Errno::LOOP));
        assert_eq!(find("srv/app/file/x", true), Err(Errno::NOTDIR));
    }
}
