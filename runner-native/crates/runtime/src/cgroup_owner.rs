//! A container that may write to its cgroup owns it: on version 2, with a cgroup namespace of its own and its cgroups mounted read/write
//! (runtime-spec, config-linux.md: Cgroup ownership). So a service manager runs in a user namespace. Of limits it may change none.

use crate::cgroups::Cgroup;
use crate::error::{CGROUP, Context, Result};
use crate::plan::Plan;
use rustix::fs::{Uid, chown};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use std::path::Path;

/// What the kernel lists it would delegate, and what that is where it does not say.
const LIST: &str = "/sys/kernel/cgroup/delegate";
const USUAL: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";

/// The cgroup exists.
pub fn give(cgroup: &Cgroup, plan: &Plan) -> Result<()> {
    let Some(directory) = cgroup.path_of("").filter(|_| cgroup.is_unified() && is_wanted(plan)) else { return Ok(()) };
    let uid = plan.process.user.uid;
    let files = std::fs::read_to_string(LIST).unwrap_or_else(|_| USUAL.into());
    give_directory(directory, &files, plan.namespaces.maps.host_uid(uid).unwrap_or(uid))
}

fn is_wanted(plan: &Plan) -> bool {
    let read_only = u64::from(MountAttrFlags::MOUNT_ATTR_RDONLY.bits());
    let is_writable = plan.mounts.iter().any(|mount| {
        let options = &mount.options;
        mount.source == Path::new("cgroup")
            && mount.destination == Path::new("/sys/fs/cgroup")
            && (options.attributes.set | options.recursive_attributes.set) & read_only == 0
    });
    plan.namespaces.is_new(libc::CLONE_NEWCGROUP) && is_writable
}

fn give_directory(directory: &Path, files: &str, owner: u32) -> Result<()> {
    let paths = files.lines().map(|name| directory.join(name)).chain([directory.to_owned()]);
    for path in paths {
        match chown(&path, Some(Uid::from_raw(owner)), None) {
            Ok(()) | Err(Errno::NOENT) => {} // not every cgroup has every file
            Err(errno) => return Err(errno).at(CGROUP, "give the container its cgroup's", &path),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_may_be_delegated_is_given_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        ["cgroup.procs", "memory.max"].iter().for_each(|name| std::fs::write(path(name), "").unwrap());
        give_directory(directory.path(), USUAL, 70_000).unwrap();
        let owner = |path: &Path| std::fs::metadata(path).unwrap().uid();
        assert_eq!([owner(directory.path()), owner(&path("cgroup.procs"))], [70_000, 70_000]);
        assert_ne!(owner(&path("memory.max")), 70_000);
    }
}
