//! User namespaces: which ids of a container are which of the host, given to the kernel by the parent; mounts that show files
//! under such ids; and acting as a mapped user for a moment. Assumes a process of one thread.

use crate::error::{Context, IDMAP, NAMESPACE, NO_NAMESPACE, NativeError, PROCESS, Result, invalid};
use crate::id_helpers;
use crate::sys::{self, Clone, MountAttributes};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::{capabilities, set_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The runtime-spec's entry of uidMappings and gidMappings.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct IdRange {
    #[serde(rename = "containerID")]
    pub container: u32,
    #[serde(rename = "hostID")]
    pub host: u32,
    pub size: u32,
}

#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct IdMaps {
    uids: Vec<IdRange>,
    gids: Vec<IdRange>,
}

/// <linux/mount.h>
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
/// As many lines as the kernel takes (user_namespaces(7)).
const RANGES_MAX: usize = 340;

impl IdMaps {
    /// `field`: what they are of, for errors.
    pub fn read(field: &str, uids: Vec<IdRange>, gids: Vec<IdRange>) -> Result<Self> {
        check(&format!("{field}uidMappings"), &uids)?;
        check(&format!("{field}gidMappings"), &gids)?;
        if uids.is_empty() != gids.is_empty() {
            return Err(invalid(&format!("{field}uidMappings"), "and gidMappings go together"));
        }
        Ok(Self { uids, gids })
    }

    /// From 0 on, uids and gids alike.
    pub fn of_range(host: u32, size: u32) -> Result<Self> {
        let range = vec![IdRange { container: 0, host, size }];
        Self::read("userns.", range.clone(), range)
    }

    pub fn is_empty(&self) -> bool {
        self.uids.is_empty()
    }

    pub fn host_uid(&self, uid: u32) -> Option<u32> {
        host_of(&self.uids, uid)
    }

    pub fn host_gid(&self, gid: u32) -> Option<u32> {
        host_of(&self.gids, gid)
    }

    /// By the parent, of a child that has a new user namespace and waits.
    pub fn give_to(&self, child: Pid) -> Result<()> {
        match self.write(child) {
            Err(error) if error.errno.as_deref() == Some("EPERM") && !rustix::process::geteuid().is_root() => self.give_by_helpers(child),
            result => result,
        }
    }

    pub fn give_by_helpers(&self, child: Pid) -> Result<()> {
        id_helpers::map(child, &text(&self.uids), &text(&self.gids))
    }

    /// Without privilege only oneself can be mapped, and no groups set.
    fn write(&self, child: Pid) -> Result<()> {
        let file = |name: &str| PathBuf::from(format!("/proc/{}/{name}", child.as_raw_nonzero()));
        let write = |path: &Path, ranges: &[IdRange]| std::fs::write(path, text(ranges)).at(NO_NAMESPACE, "map ids in", path);
        write(&file("uid_map"), &self.uids)?;
        match write(&file("gid_map"), &self.gids) {
            Err(error) if error.errno.as_deref() == Some("EPERM") => {
                std::fs::write(file("setgroups"), "deny").at(NO_NAMESPACE, "write", file("setgroups"))?;
                write(&file("gid_map"), &self.gids)
            }
            result => result,
        }
    }
}

fn check(field: &str, ranges: &[IdRange]) -> Result<()> {
    if ranges.len() > RANGES_MAX {
        return Err(invalid(field, format!("{} entries are more than the {RANGES_MAX} that Linux takes", ranges.len())));
    }
    if ranges.iter().any(|range| range.size == 0) {
        return Err(invalid(field, "has an entry of size 0"));
    }
    let starts: [fn(&IdRange) -> u32; 2] = [|range| range.container, |range| range.host];
    for (start, side) in starts.into_iter().zip(["containerID", "hostID"]) {
        let mut spans: Vec<(u64, u64)> =
            ranges.iter().map(|range| (start(range).into(), u64::from(start(range)) + u64::from(range.size))).collect();
        spans.sort_unstable();
        // The last number means "no id".
        if let Some((from, _)) = spans.iter().find(|(_, end)| *end > u64::from(u32::MAX)) {
            return Err(invalid(field, format!("{side} {from} and what follows goes beyond the last id")));
        }
        if let Some(pair) = spans.windows(2).find(|pair| pair[0].1 > pair[1].0) {
            return Err(invalid(field, format!("{side} {} is there twice", pair[1].0)));
        }
    }
    Ok(())
}

fn host_of(ranges: &[IdRange], id: u32) -> Option<u32> {
    let range = ranges.iter().find(|range| id >= range.container && id - range.container < range.size)?;
    Some(range.host + (id - range.container))
}

fn text(ranges: &[IdRange]) -> String {
    ranges.iter().map(|range| format!("{} {} {}\n", range.container, range.host, range.size)).collect()
}

/// Whether this is the machine's own user namespace, which rights that no other has go with (linux/nsfs.h: USER_NS_INIT_INO).
pub fn is_initial() -> bool {
    rustix::fs::stat("/proc/self/ns/user").is_ok_and(|namespace| namespace.st_ino == 0xEFFF_FFFD)
}

/// A user namespace with these maps that has no process in it: for idmapped mounts.
pub fn make(maps: &IdMaps) -> Result<OwnedFd> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).during(PROCESS, "make a pipe")?;
    match sys::clone(libc::CLONE_NEWUSER as u64).map_err(crate::container::explain_clone)? {
        Clone::Child => {
            drop(write);
            // Until the parent has what it wants, or is gone.
            let _ = rustix::io::retry_on_intr(|| rustix::io::read(&read, &mut [0]));
            sys::exit_now(0)
        }
        Clone::Parent { pid, .. } => {
            let path = format!("/proc/{}/ns/user", pid.as_raw_nonzero());
            let made = maps.give_to(pid).and_then(|()| open(Path::new(&path)));
            drop(write);
            let _ = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
            made
        }
    }
}

pub fn open(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(NAMESPACE, "open the user namespace", path)
}

/// A detached mount shows its files as owned by what the namespace maps their owners to. `what`: for the error.
pub fn map_mount(mount: impl AsFd, namespace: &OwnedFd, recursive: bool, what: &Path) -> Result<()> {
    use std::os::fd::AsRawFd;
    let attributes = MountAttributes { set: MOUNT_ATTR_IDMAP, userns_fd: namespace.as_raw_fd() as u64, ..Default::default() };
    sys::mount_setattr(mount.as_fd(), c"", recursive, attributes).map_err(|errno| {
        let error = NativeError { code: IDMAP.into(), ..NativeError::io("map the ids of", errno) }.path(what);
        let why = match errno {
            Errno::INVAL | Errno::OPNOTSUPP => "its file system cannot show files under other ids (idmapped mounts)".to_owned(),
            Errno::NOSYS => "this kernel has no idmapped mounts".to_owned(),
            Errno::PERM => "it is an idmapped mount already, or its file system may not be".to_owned(),
            _ => error.detail.clone(),
        };
        error.detail(format!("cannot map the ids of {}: {why}", what.display()))
    })
}

/// In a new or joined user namespace every process begins as nobody, with all capabilities.
pub fn become_root() -> Result<()> {
    set_groups(&[])?;
    let (uid, gid) = (rustix::fs::Uid::ROOT, rustix::fs::Gid::ROOT);
    set_thread_res_gid(gid, gid, gid).during(PROCESS, "become the root group of the user namespace")?;
    set_thread_res_uid(uid, uid, uid).during(PROCESS, "become root in the user namespace")
}

/// Where setgroups is denied, groups can neither be given up nor taken: there is but one in the namespace (crun: can_setgroups).
pub fn set_groups(groups: &[rustix::fs::Gid]) -> Result<()> {
    match set_thread_groups(groups) {
        Err(Errno::PERM) if std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text == "deny\n") => Ok(()),
        result => result.during(PROCESS, "set the groups"),
    }
}

/// What is made in file systems meanwhile belongs to the mapped root; all capabilities stay. An idmapped mount refuses what nobody maps.
pub struct ActingAsRoot(());

impl ActingAsRoot {
    pub fn of(maps: Option<&IdMaps>) -> Result<Option<Self>> {
        let Some((uid, gid)) = maps.and_then(|maps| maps.host_uid(0).zip(maps.host_gid(0))) else { return Ok(None) };
        let before = capabilities(None).during(PROCESS, "read the capabilities")?;
        sys::set_file_ids(uid, gid);
        let acting = Self(());
        set_capabilities(None, before).during(PROCESS, "keep the capabilities")?;
        Ok(Some(acting))
    }
}

impl Drop for ActingAsRoot {
    fn drop(&mut self) {
        sys::set_file_ids(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(container: u32, host: u32, size: u32) -> IdRange {
        IdRange { container, host, size }
    }

    fn error(ranges: Vec<IdRange>) -> String {
        IdMaps::read("linux.", ranges.clone(), ranges).unwrap_err().detail
    }

    #[test]
    fn an_id_is_that_of_its_range() {
        let ranges = vec![range(0, 1000, 1), range(1, 100_000, 65_535)];
        let maps = IdMaps::read("linux.", ranges.clone(), ranges).unwrap();
        assert_eq!([0, 1, 65_535, 65_536].map(|id| maps.host_uid(id)), [Some(1000), Some(100_000), Some(165_534), None]);
        assert_eq!(text(&maps.gids), "0 1000 1\n1 100000 65535\n");
        assert_eq!(IdMaps::of_range(1 << 31, (1 << 31) - 2).unwrap().host_gid(0x7fff_fffd), Some(0xffff_fffd));
    }

    #[test]
    fn maps_that_no_kernel_takes_are_errors() {
        assert!(error(vec![range(0, 0, 0)]).contains("size 0"));
        assert!(error(vec![range(0, 10, 5), range(4, 100, 5)]).contains("containerID 4 is there twice"));
        assert!(error(vec![range(0, 10, 5), range(10, 14, 5)]).contains("hostID 14 is there twice"));
        assert!(error(vec![range(0, u32::MAX, 1)]).contains("beyond the last id"));
        assert!(error((0..341).map(|n| range(n, n, 1)).collect()).contains("340"));
        assert!(IdMaps::read("linux.", vec![range(0, 0, 1)], vec![]).unwrap_err().detail.contains("go together"));
    }
}
