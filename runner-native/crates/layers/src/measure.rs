//! How much room a tree takes, while others may be working in it: what vanishes meanwhile is not counted, and is no error.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;
use serde::Serialize;

use crate::beneath;
use crate::entry::{as_path, join_path};
use crate::error::{NativeError, Result};
use crate::remove::list_names;

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Measure {
    /// As the disk has it, of a file with several names once.
    pub bytes: u64,
    pub entries: u64,
}

/// Of what is below `root`; one that is not there takes none. Links are not followed, and paths that no call can name are left out.
pub fn measure(root: &Path) -> Result<Measure> {
    let root = match beneath::open_root(root) {
        Ok(root) => root,
        Err(error) if error.errno.as_deref() == Some("ENOENT") => return Ok(Measure::default()),
        Err(error) => return Err(error),
    };
    let (mut sum, mut seen, mut waiting) = (Measure::default(), HashSet::new(), vec![Box::<[u8]>::default()]);
    while let Some(path) = waiting.pop() {
        let failed = |error: Errno| NativeError::io("measure", error).path(as_path(&path));
        let directory = match beneath::open_directory(&root, &path) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => continue,
            Err(error) => return Err(failed(error)),
        };
        for (name, _) in list_names(directory.as_fd()).map_err(failed)? {
            let stat = match rustix::fs::statat(&directory, as_path(&name), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(failed(error)),
            };
            sum.entries += 1;
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            if is_directory || stat.st_nlink == 1 || seen.insert((stat.st_dev, stat.st_ino)) {
                sum.bytes += stat.st_blocks as u64 * 512;
            }
            if is_directory {
                waiting.push(join_path(&path, &name));
            }
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn each_file_counts_once_and_links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/file"), [1; 100_000]).unwrap();
        let alone = measure(dir.path()).unwrap();
        assert_eq!(alone.entries, 2);
        assert!((100_000..200_000).contains(&alone.bytes), "{alone:?}");
        fs::hard_link(dir.path().join("sub/file"), dir.path().join("again")).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("out")).unwrap();
        let linked = measure(dir.path()).unwrap();
        assert_eq!(linked.entries, 4);
        assert!(linked.bytes < alone.bytes + 50_000, "{linked:?}");
    }

    #[test]
    fn what_is_not_there_takes_no_room() {
        assert_eq!(measure(Path::new("/nonexistent/tree")).unwrap(), Measure::default());
    }
}
