//! `probe`: what this machine can mount, found out by doing it: a tiny layer as the lower of an overlay, read through. The order of
//! preference is that of docs/native.md; each driver that failed leaves its reason.

use crate::container::explain_clone;
use crate::error::{Context, MOUNT, NativeError, Result, USAGE};
use crate::idmapped::Idmapped;
use crate::observer::{self, Observer};
use crate::root_spec::{Layer, UserNamespace};
use crate::stack::{self, Scratch, UpperDirectories};
use crate::{inside_root, mount_attributes, mounts, sys, user_namespace};
use rustix::fd::OwnedFd;
use rustix::fs::{self, CWD, FileType, Mode, OFlags};
use rustix::mount::{MountAttrFlags, MountPropagationFlags};
use serde::Serialize;
use std::path::{Path, PathBuf};
use tbuild_layers::Driver;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    pub driver: &'static str,
    pub reasons: Vec<String>,
    /// Whether what is written to a root can be kept in the directory.
    pub upper: bool,
    /// Whether it can be kept in memory. A tmpfs has the marks of a user namespace's overlay from Linux 6.6 on.
    pub memory_upper: bool,
    /// Why containers can have no user namespace whose root is nobody on the host; none: they can.
    pub without_userns: Option<String>,
    /// Why nothing that a container looks at can be observed; none: it can.
    pub without_observer: Option<String>,
    pub kernel: String,
}

const CONTENT: &[u8] = b"tbuild\n";

/// First id and number of ids: the upper half of all, so that any id an image may have is somebody (src/sandbox/container-config.ts has the same).
const USER_NAMESPACE: (u32, u32) = (1 << 31, (1 << 31) - 2);

type Attempt = (&'static str, fn(&Place) -> Result<()>);
/// Best first.
const DRIVERS: [Attempt; 3] = [("erofs", try_image), ("erofs-loop", try_loop), ("directory", try_directory)];

/// Tries them all, or the `only` one. Makes and removes a directory of its own in `directory`. This process is in another mount namespace afterwards.
pub fn run(directory: &Path, only: Option<&str>) -> Result<Found> {
    let tried: Vec<Attempt> = DRIVERS.into_iter().filter(|(name, _)| only.is_none_or(|only| only == *name)).collect();
    if tried.is_empty() {
        let names = DRIVERS.map(|(name, _)| name).join(", ");
        return Err(
            NativeError::new(USAGE, "read the arguments").detail(format!("unknown driver {:?}: one of {names}", only.unwrap_or_default()))
        );
    }
    sys::unshare(libc::CLONE_NEWNS).map_err(explain_clone)?;
    mount_attributes::propagate(CWD, Path::new("/"), MountPropagationFlags::DOWNSTREAM, true).during(MOUNT, "keep mounts to ourselves")?;
    let place = Place::make(directory)?;
    let mut reasons = Vec::new();
    for (name, try_it) in tried {
        match try_it(&place) {
            Ok(()) => {
                let without_userns = try_user_namespace(&place, name).err().map(|error| error.detail);
                let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
                let upper = try_upper(&place).is_ok();
                let memory_upper = user_namespace::is_initial() || takes_marks(&place.scratch.path);
                let without_observer = observer::probe();
                return Ok(Found { driver: name, reasons, upper, memory_upper, without_userns, without_observer, kernel });
            }
            Err(error) => reasons.push(format!("{name}: {}", error.detail)),
        }
    }
    Err(NativeError::new("unsupported/no-driver", "mount a layer").path(directory).detail(format!(
        "no way of mounting layers works below {}: {}",
        directory.display(),
        reasons.join("; ")
    )))
}

struct Place {
    path: PathBuf,
    /// What the layers are made from is in a tmpfs: overlayfs, which `path` may be on, lets nobody make a whiteout.
    scratch: Scratch,
}

impl Place {
    fn make(directory: &Path) -> Result<Self> {
        let path = directory.join(format!("probe-{}", std::process::id()));
        std::fs::create_dir_all(path.join("scratch")).at(MOUNT, "make", &path)?;
        let place = Self { scratch: Scratch::mount(&path.join("scratch"))?, path };
        let (base, top) = (place.scratch.make_directory("base")?, place.scratch.make_directory("top")?);
        let fill = || {
            for file in ["kept", "gone"] {
                let file = fs::openat(&base, file, OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))?;
                rustix::io::write(file, CONTENT)?;
            }
            fs::mknodat(&top, "gone", FileType::CharacterDevice, Mode::empty(), 0)
        };
        fill().at(MOUNT, "make files in", &place.scratch.path)?;
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.scratch.path, rustix::mount::UnmountFlags::DETACH);
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn try_image(place: &Place) -> Result<()> {
    try_driver(place, "erofs", Driver::Erofs, |data| Layer::Erofs { erofs: data, by_loop: false }).map_err(|error| {
        // What erofs says of a file whose file system has no page cache for it to read through, or without CONFIG_EROFS_FS_BACKED_BY_FILE.
        if error.errno.as_deref() != Some("ENOTBLK") {
            return error;
        }
        error.detail("this kernel mounts no images that are files of such a file system")
    })
}

fn try_loop(place: &Place) -> Result<()> {
    if !Path::new("/dev/loop-control").exists() {
        return Err(NativeError::new(MOUNT, "make a loop device").detail("there is no /dev/loop-control"));
    }
    try_driver(place, "loop", Driver::Erofs, |data| Layer::Erofs { erofs: data, by_loop: true })
}

fn try_directory(place: &Place) -> Result<()> {
    try_driver(place, "directory", Driver::Directory, |data| Layer::Directory { directory: data })
}

fn try_driver(place: &Place, name: &str, driver: Driver, layer: impl Fn(PathBuf) -> Layer) -> Result<()> {
    let scratch = &place.scratch;
    let mut lowers = Vec::new();
    for (from, is_upper) in [("base", false), ("top", true)] {
        let out = place.path.join(format!("{name}-{from}"));
        let summary = tbuild_layers::pack_dir(driver, &out, &scratch.path.join(from), is_upper)?;
        lowers.push(stack::open_layer(&layer(summary.data.into()), scratch, &Idmapped::NONE)?);
    }
    let directory = |kind: &str| scratch.make_directory(&format!("{name}-{kind}"));
    let upper = UpperDirectories::new(directory("upper")?, directory("work")?);
    let root = stack::overlay(&lowers.iter().collect::<Vec<_>>(), Some(&upper), scratch)?;
    let read = read(&root, "kept").at(MOUNT, "read through the overlay", &place.path)?;
    if read != CONTENT {
        return Err(NativeError::new(MOUNT, "read through the overlay").detail("the file in the layer reads otherwise than it was written"));
    }
    match inside_root::open(&root, Path::new("gone"), OFlags::PATH) {
        Err(rustix::io::Errno::NOENT) => Ok(()),
        _ => Err(NativeError::new(MOUNT, "read through the overlay").detail("a whiteout in a layer does not hide the file below")),
    }
}

fn try_upper(place: &Place) -> Result<()> {
    let home = fs::open(&place.path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at(MOUNT, "open", &place.path)?;
    let directory = |name: &str| stack::make_directory(&home, name).at(MOUNT, "make", place.path.join(name));
    let upper = UpperDirectories::new(directory("upper")?, directory("work")?);
    let lower = place.scratch.make_directory("base")?;
    stack::overlay(&[&lower], Some(&upper), &place.scratch).map(drop)
}

fn takes_marks(directory: &Path) -> bool {
    fs::setxattr(directory, "user.overlay.opaque", b"y", fs::XattrFlags::empty()).is_ok()
}

/// As `with-root` makes roots for them, and as the runtime starts them; also that files of the store can be shown under other ids.
fn try_user_namespace(place: &Place, driver: &str) -> Result<()> {
    let scratch = &place.scratch;
    let (first, count) = USER_NAMESPACE;
    let idmapped = Idmapped::of(Some(&UserNamespace { first, count }))?;
    let layers = ["base", "top"].map(|from| match driver {
        "directory" => Layer::Directory { directory: place.path.join(format!("directory-{from}/root")) },
        "erofs" => Layer::Erofs { erofs: place.path.join(format!("erofs-{from}.erofs")), by_loop: false },
        _ => Layer::Erofs { erofs: place.path.join(format!("loop-{from}.erofs")), by_loop: true },
    });
    let lowers = stack::open_layers(&layers, scratch, &idmapped, &mut Observer::default())?;
    let path = scratch.path.join("mapped");
    let written = scratch.make_directory("mapped")?;
    let directory = |name| stack::make_directory(&written, name).at(MOUNT, "make", &path);
    directory("upper")?;
    directory("work")?;
    let upper = idmapped.upper((&path.join("upper"), &path.join("work")), "seen", scratch)?;
    let acting = idmapped.acting()?;
    let root = stack::overlay(&lowers.iter().collect::<Vec<_>>(), Some(&upper), scratch)?;
    let made = fs::openat(&root, "made", OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::from_raw_mode(0o644));
    let stat = made.and_then(fs::fstat).at(MOUNT, "write to a root under other ids below", &place.path)?;
    drop(acting);
    let on_disk = fs::stat(path.join("upper/made")).at(MOUNT, "look at", &path)?;
    if (stat.st_uid, on_disk.st_uid) != (first, 0) {
        return Err(NativeError::new(MOUNT, "write to a root under other ids").detail("a file's owner is not the one that it was given"));
    }
    let store = fs::open(&place.path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at(MOUNT, "open", &place.path)?;
    idmapped.directory(store, &place.path)?;
    try_proc()
}

/// Where parts of /proc are covered (in a container of another's) no user namespace gets one of its own.
fn try_proc() -> Result<()> {
    let namespaces = (libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID) as u64;
    match sys::clone(namespaces).map_err(explain_clone)? {
        sys::Clone::Child => sys::exit_now(mounts::detached("proc", "proc", &[], MountAttrFlags::empty()).is_err().into()),
        sys::Clone::Parent { pid, .. } => {
            let ended = rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()));
            match ended.during(MOUNT, "wait for a process")?.and_then(|(_, status)| status.exit_status()) {
                Some(0) => Ok(()),
                _ => Err(NativeError::new(MOUNT, "mount").detail("/proc cannot be mounted in one: parts of the host's are covered")),
            }
        }
    }
}

fn read(root: &OwnedFd, name: &str) -> rustix::io::Result<Vec<u8>> {
    let file = inside_root::open(root, Path::new(name), OFlags::RDONLY)?;
    let mut content = vec![0; 2 * CONTENT.len()];
    let count = rustix::io::read(file, &mut content[..])?;
    content.truncate(count);
    Ok(content)
}
