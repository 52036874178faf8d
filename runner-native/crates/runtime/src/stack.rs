//! Layers as one root: EROFS images mounted detached, overlayfs over them. Assumes a mount namespace of our own.
//! Lowers are given bottom to top, as everywhere in tbuild; overlayfs wants them the other way.

use crate::error::{Context, MOUNT, NativeError, Result, invalid};
use crate::idmapped::Idmapped;
use crate::observer::Observer;
use crate::root_spec::Layer;
use crate::{loop_device, mount_attributes, mounts, user_namespace};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, open, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, UnmountFlags, fsconfig_create, fsconfig_set_fd, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, mount, unmount,
};
use std::ffi::CString;
use std::path::{Path, PathBuf};

/// The kernel's limit (OVL_MAX_STACK).
pub const LOWERS_MAX: usize = 500;
/// fsconfig takes strings of up to 255 bytes.
const FSCONFIG_BYTES_MAX: usize = 255;

/// What overlays have in common. Their marks are trusted xattrs, or the user's where nobody is trusted (userxattr). redirect_dir: a directory renamed by a RUN is copied, so that its layer means the same without overlayfs.
const OPTIONS: [(&str, &str); 5] =
    [("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off"), ("nfs_export", "off"), ("xino", "off")];

pub struct UpperDirectories {
    pub upper: OwnedFd,
    pub work: OwnedFd,
    /// overlayfs has written there before.
    pub was_used: bool,
    /// Syncing means something: else it is volatile.
    pub lasts: bool,
}

impl UpperDirectories {
    pub fn new(upper: OwnedFd, work: OwnedFd) -> Self {
        Self { upper, work, was_used: false, lasts: false }
    }
}

/// A private tmpfs in which everything of one root is put together.
pub struct Scratch {
    pub path: PathBuf,
    pub directory: OwnedFd,
}

impl Scratch {
    pub fn mount(path: &Path) -> Result<Self> {
        let tmpfs = mounts::detached("tmpfs", "tbuild", &[("mode", "700")], MountAttrFlags::empty());
        let tmpfs = tmpfs.at(MOUNT, "make a tmpfs for", path)?;
        mounts::attach_at(&tmpfs, path).at(MOUNT, "mount a tmpfs at", path)?;
        // The descriptor of the mount itself can only name it.
        let directory = open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at(MOUNT, "open", path)?;
        Ok(Self { path: path.into(), directory })
    }

    pub fn make_directory(&self, name: &str) -> Result<OwnedFd> {
        make_directory(&self.directory, name).at(MOUNT, "make", self.path.join(name))
    }
}

pub fn make_directory(parent: impl AsFd, name: &str) -> rustix::io::Result<OwnedFd> {
    match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    openat(&parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
}

/// Bottom to top. Of a layer that is there several times only the topmost: whatever the others show or hide, it does so too, and overlayfs
/// refuses a directory that it has already. Each traced element is a file system of its own.
pub fn open_layers(layers: &[Layer], scratch: &Scratch, idmapped: &Idmapped, observer: &mut Observer) -> Result<Vec<OwnedFd>> {
    let is_distinct = |index: usize, layer: &Layer| layer.traced().is_some() || !layers[index + 1..].contains(layer);
    let distinct = layers.iter().enumerate().filter(|(index, layer)| is_distinct(*index, layer));
    distinct.map(|(_, layer)| if layer.traced().is_some() { observer.take_mount() } else { open_layer(layer, scratch, idmapped) }).collect()
}

/// A descriptor of the layer's root: of a detached mount, or of the directory.
pub fn open_layer(layer: &Layer, scratch: &Scratch, idmapped: &Idmapped) -> Result<OwnedFd> {
    match layer {
        Layer::Traced { .. } => Err(invalid("layers", "traced ones are served, not opened")),
        Layer::Directory { directory } => {
            let opened = open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
            idmapped.directory(opened.at(MOUNT, "open the layer", directory)?, directory)
        }
        Layer::Erofs { erofs, by_loop: false } => idmapped.mount(mount_image(erofs).at(MOUNT, "mount the layer", erofs)?, erofs),
        Layer::Erofs { erofs, by_loop: true } => {
            let (_device, path) =
                loop_device::attach(erofs, (&scratch.directory, &scratch.path)).at(MOUNT, "make a loop device for", erofs)?;
            idmapped.mount(mount_image(&path).at(MOUNT, "mount by a loop device the layer", erofs)?, erofs)
        }
    }
}

fn mount_image(path: &Path) -> rustix::io::Result<OwnedFd> {
    if path.as_os_str().len() <= FSCONFIG_BYTES_MAX {
        return detached_image(path);
    }
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    detached_image(Path::new(&fd_path(&file)))
}

fn detached_image(source: &Path) -> rustix::io::Result<OwnedFd> {
    let context = fsopen("erofs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", source)?;
    fsconfig_set_flag(&context, "ro")?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV)
}

fn fd_path(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// One overlay of the layers, detached and nodev. Without an upper it is read-only.
pub fn overlay(lowers: &[&OwnedFd], upper: Option<&UpperDirectories>, scratch: &Scratch) -> Result<OwnedFd> {
    if lowers.len() > LOWERS_MAX {
        let detail = format!("{} layers in one root: overlayfs takes {LOWERS_MAX}, one of which is tbuild's", lowers.len());
        return Err(NativeError::new("unsupported/too-many-layers", "mount the root").detail(detail));
    }
    match overlay_by_descriptors(lowers, upper) {
        // Descriptors of detached mounts came with 6.15; kernels from 6.5 on take no such descriptor, those before know none at all.
        Err(Errno::INVAL | Errno::BADF | Errno::OPNOTSUPP) => overlay_by_paths(lowers, upper, scratch),
        result => result,
    }
    .during(MOUNT, "mount the root's overlay")
}

fn overlay_by_descriptors(lowers: &[&OwnedFd], upper: Option<&UpperDirectories>) -> rustix::io::Result<OwnedFd> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "tbuild")?;
    for (key, value) in OPTIONS {
        fsconfig_set_string(&context, key, value)?;
    }
    if !user_namespace::is_initial() {
        fsconfig_set_flag(&context, "userxattr")?;
    }
    for lower in lowers.iter().rev() {
        fsconfig_set_fd(&context, "lowerdir+", lower)?;
    }
    if let Some(UpperDirectories { upper, work, lasts, .. }) = upper {
        fsconfig_set_fd(&context, "upperdir", upper)?;
        fsconfig_set_fd(&context, "workdir", work)?;
        if !lasts {
            fsconfig_set_flag(&context, "volatile")?;
        }
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV)
}

/// With mount(2), whose options are one page: names as short as can be.
pub fn overlay_by_paths(lowers: &[&OwnedFd], upper: Option<&UpperDirectories>, scratch: &Scratch) -> rustix::io::Result<OwnedFd> {
    let names = make_directory(&scratch.directory, "l")?;
    let mut lowerdirs = Vec::with_capacity(lowers.len());
    for lower in lowers.iter().rev() {
        // What is mounted already (a directory) cannot be moved: a copy can.
        let name = mount_at_next(&names, scratch, lower)?;
        lowerdirs.push(name);
    }
    let mut data = format!("lowerdir={}", lowerdirs.join(":"));
    for (key, value) in OPTIONS {
        data.push_str(&format!(",{key}={value}"));
    }
    if !user_namespace::is_initial() {
        data.push_str(",userxattr");
    }
    let mut flags = MountFlags::NODEV;
    match upper {
        Some(UpperDirectories { upper, work, lasts, .. }) => {
            let volatile = if *lasts { "" } else { ",volatile" };
            data.push_str(&format!(",upperdir={},workdir={}{volatile}", fd_path(upper), fd_path(work)));
        }
        None => flags |= MountFlags::RDONLY,
    }
    let target = scratch.path.join("o");
    make_directory(&scratch.directory, "o")?;
    let before = open(".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::process::chdir(scratch.path.join("l"))?;
    let data = CString::new(data).map_err(|_| Errno::INVAL)?;
    let mounted = mount("tbuild", &target, "overlay", flags, data.as_c_str());
    rustix::process::fchdir(&before)?;
    mounted?;
    let copy = mounts::detached_copy(CWD, &target, false)?;
    unmount(&target, UnmountFlags::DETACH)?;
    Ok(copy)
}

fn mount_at_next(names: &OwnedFd, scratch: &Scratch, lower: &OwnedFd) -> rustix::io::Result<String> {
    let taken = std::fs::read_dir(scratch.path.join("l")).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let name = taken.count().to_string();
    make_directory(names, &name)?;
    let target = scratch.path.join("l").join(&name);
    match mounts::attach_at(lower, &target) {
        Err(Errno::INVAL) => mounts::attach_at(mounts::detached_copy(lower, Path::new(""), false)?, &target)?,
        result => result?,
    }
    Ok(name)
}

/// A root that only shows layers: the layer itself when there is but one.
pub fn read_only_root(lowers: &[&OwnedFd], is_image: bool, scratch: &Scratch) -> Result<Option<OwnedFd>> {
    match lowers {
        [one] if is_image => one.try_clone().map(Some).during(MOUNT, "copy a descriptor"),
        [one] => {
            let copy = mounts::detached_copy(one, Path::new(""), false).during(MOUNT, "bind a layer")?;
            let change = || mounts::set_attributes(&copy, MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV, false);
            let changed = if mount_attributes::can_be_first() {
                change().map(|()| copy)
            } else {
                mounts::while_attached(&copy, || change().and_then(|()| mounts::detached_copy(&copy, Path::new(""), false)))
            };
            changed.map(Some).during(MOUNT, "make a layer read-only")
        }
        [] => Ok(None),
        _ => overlay(lowers, None, scratch).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;
    use rustix::mount::MountPropagationFlags;
    use std::fs;
    use tbuild_layers::{Driver, pack_dir};

    /// In a thread with a mount namespace of its own.
    fn in_namespace(work: impl FnOnce(&Path) + Send) {
        assert!(rustix::process::getuid().is_root(), "this test needs root");
        let directory = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sys::unshare(libc::CLONE_NEWNS).unwrap();
                mount_attributes::propagate(CWD, Path::new("/"), MountPropagationFlags::DOWNSTREAM, true).unwrap();
                work(directory.path());
            });
        });
    }

    /// An image, a directory above it that hides one of its files, and an upper.
    fn lowers(directory: &Path, scratch: &Scratch) -> (Vec<OwnedFd>, UpperDirectories) {
        for name in ["image", "above"] {
            fs::create_dir(directory.join(name)).unwrap();
            fs::write(directory.join(name).join(name), name).unwrap();
        }
        fs::write(directory.join("image/hidden"), "").unwrap();
        let whiteout = directory.join("above/hidden");
        rustix::fs::mknodat(CWD, &whiteout, rustix::fs::FileType::CharacterDevice, Mode::empty(), 0).unwrap();
        pack_dir(Driver::Erofs, &directory.join("layer"), &directory.join("image"), false).unwrap();
        // By a loop device if need be: what is tried here is the overlay.
        let image = |by_loop| open_layer(&Layer::Erofs { erofs: directory.join("layer.erofs"), by_loop }, scratch, &Idmapped::NONE);
        let image = image(false).or_else(|_| image(true)).unwrap();
        let above = open_layer(&Layer::Directory { directory: directory.join("above") }, scratch, &Idmapped::NONE).unwrap();
        let upper = UpperDirectories::new(scratch.make_directory("upper").unwrap(), scratch.make_directory("work").unwrap());
        (vec![image, above], upper)
    }

    fn listing(mount: &OwnedFd, at: &Path) -> Vec<String> {
        fs::create_dir_all(at).unwrap();
        mounts::attach_at(mount, at).unwrap();
        let mut names: Vec<String> =
            fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn scratch(directory: &Path) -> Scratch {
        fs::create_dir(directory.join("scratch")).unwrap();
        Scratch::mount(&directory.join("scratch")).unwrap()
    }

    #[test]
    fn an_older_kernel_s_way_shows_the_same() {
        in_namespace(|directory| {
            let scratch = scratch(directory);
            let (lowers, upper) = lowers(directory, &scratch);
            let lowers: Vec<&OwnedFd> = lowers.iter().collect();
            let read_only = overlay_by_paths(&lowers, None, &scratch).unwrap();
            assert_eq!(listing(&read_only, &directory.join("ro")), ["above", "image"]);
            assert!(fs::write(directory.join("ro/x"), "").is_err());
            let writable = overlay_by_paths(&lowers, Some(&upper), &scratch).unwrap();
            assert_eq!(listing(&writable, &directory.join("rw")), ["above", "image"]);
            fs::write(directory.join("rw/written"), "").unwrap();
            assert!(directory.join("scratch/upper/written").exists());
            let flags = rustix::fs::statvfs(directory.join("rw")).unwrap().f_flag;
            assert!(flags.contains(rustix::fs::StatVfsMountFlags::NODEV));
        });
    }

    #[test]
    fn descriptors_show_the_same() {
        in_namespace(|directory| {
            let scratch = scratch(directory);
            let (lowers, upper) = lowers(directory, &scratch);
            let made = overlay(&lowers.iter().collect::<Vec<_>>(), Some(&upper), &scratch).unwrap();
            assert_eq!(listing(&made, &directory.join("rw")), ["above", "image"]);
        });
    }
}
