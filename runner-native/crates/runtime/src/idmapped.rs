//! A root's layers, its upper and its files as a container in a user namespace has them: the owners on disk are those of the image, and
//! what is seen of them are the ids that the namespace gives them. Without a user namespace everything is as it is.

use crate::error::{Context, MOUNT, Result, invalid};
use crate::mounts;
use crate::root_spec::UserNamespace;
use crate::stack::{Scratch, UpperDirectories};
use crate::user_namespace::{self, ActingAsRoot, IdMaps};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use std::ffi::OsStr;
use std::path::Path;

pub struct Idmapped(Option<(IdMaps, OwnedFd)>);

impl Idmapped {
    pub const NONE: Self = Self(None);

    pub fn of(spec: Option<&UserNamespace>) -> Result<Self> {
        let Some(UserNamespace { first, count }) = spec else { return Ok(Self::NONE) };
        let maps = IdMaps::of_range(*first, *count)?;
        let namespace = user_namespace::make(&maps)?;
        Ok(Self(Some((maps, namespace))))
    }

    /// A file system that is mounted nowhere yet.
    pub fn mount(&self, mount: OwnedFd, what: &Path) -> Result<OwnedFd> {
        if let Some((_, namespace)) = &self.0 {
            user_namespace::map_mount(&mount, namespace, false, what)?;
        }
        Ok(mount)
    }

    /// A directory of a file system that is in use.
    pub fn directory(&self, directory: OwnedFd, path: &Path) -> Result<OwnedFd> {
        match &self.0 {
            None => Ok(directory),
            Some(_) => self.mount(copy(&directory, Path::new("")).at(MOUNT, "bind", path)?, path),
        }
    }

    /// Directories of an upper that exist, as overlayfs is to write to them: both on one mount, which is at `<scratch>/<name>` (kernels
    /// before 6.15 want it somewhere).
    pub fn upper(&self, (directory, work): (&Path, &Path), name: &str, scratch: &Scratch) -> Result<UpperDirectories> {
        let open = |path: &Path| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            rustix::fs::open(path, flags, Mode::empty()).at(MOUNT, "open the upper", path)
        };
        if self.0.is_none() {
            return Ok(UpperDirectories::new(open(directory)?, open(work)?));
        }
        let parts = (directory.parent(), directory.file_name(), work.file_name());
        let (Some(parent), Some(upper_name), Some(work_name), true) = (parts.0, parts.1, parts.2, directory.parent() == work.parent())
        else {
            return Err(invalid("upper", "directory and work are not in one directory"));
        };
        let place = scratch.path.join(name);
        scratch.make_directory(name)?;
        let mapped = self.mount(copy(CWD, parent).at(MOUNT, "bind", parent)?, parent)?;
        mounts::attach_at(&mapped, &place).at(MOUNT, "mount", &place)?;
        let open = |name: &OsStr| open(&place.join(name));
        Ok(UpperDirectories::new(open(upper_name)?, open(work_name)?))
    }

    /// In which the files have the container's owners.
    pub fn into_namespace(self) -> Option<OwnedFd> {
        self.0.map(|(_, namespace)| namespace)
    }

    /// What is made while this lives belongs to the container's root. overlayfs writes for ever as who has mounted it.
    pub fn acting(&self) -> Result<Option<ActingAsRoot>> {
        ActingAsRoot::of(self.0.as_ref().map(|(maps, _)| maps))
    }

    /// The host's numbers for an owner in the container.
    pub fn owner(&self, uid: u32, gid: u32) -> Result<(u32, u32)> {
        let Some((maps, _)) = &self.0 else { return Ok((uid, gid)) };
        let owner = maps.host_uid(uid).zip(maps.host_gid(gid));
        owner.ok_or_else(|| invalid("userns", format!("has no place for the owner {uid}:{gid}")))
    }
}

fn copy(directory: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    mounts::detached_copy(directory, path, false)
}
