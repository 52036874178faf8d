//! `files`: what is at a path of a root, as a tar or from one. The root is this machine's, that of a container that runs, or one that `with-root` has made.
//! In a container's user namespace, so that owners are the container's and nothing can be done that its own root could not do; outside of its other
//! namespaces, so that nothing of it is executed and none of its processes sees us.

use crate::error::{Context, NAMESPACE, NativeError, PROCESS, Result, USAGE};
use crate::sys;
use crate::user_namespace;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use tbuild_layers::{Spot, Target};

/// Which paths are meant, and with whose rights.
pub struct Place {
    root: OwnedFd,
    is_local: bool,
}

impl Place {
    pub fn here() -> Result<Self> {
        Ok(Self { root: open_root(Path::new("/"))?, is_local: true })
    }

    /// `pid`: a process of the container.
    pub fn of_process(pid: u32) -> Result<Self> {
        let file = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
        let namespace = user_namespace::open(&file("ns/user"))?;
        let root = open_root(&file("root"))?;
        let ours = user_namespace::open(Path::new("/proc/self/ns/user"))?;
        let inode = |fd: &OwnedFd| rustix::fs::fstat(fd).map(|stat| stat.st_ino).during(NAMESPACE, "look at a user namespace");
        if inode(&namespace)? != inode(&ours)? {
            enter(&namespace)?;
        }
        Ok(Self { root, is_local: false })
    }

    /// A root that is mounted here; `namespace`: whose ids its files have.
    pub fn made(path: &Path, namespace: Option<&OwnedFd>) -> Result<Self> {
        let root = open_root(path)?;
        namespace.map_or(Ok(()), enter)?;
        Ok(Self { root, is_local: false })
    }
}

fn enter(namespace: &OwnedFd) -> Result<()> {
    sys::set_namespace(namespace.as_fd(), libc::CLONE_NEWUSER).during(NAMESPACE, "enter the container's user namespace")?;
    user_namespace::become_root()
}

fn open_root(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).at(PROCESS, "open", path)
}

/// Returns the exit status. `find PATH`, `read [--stay] PATH NAME`, `write [--owner UID:GID] DIRECTORY`.
pub fn act(place: &Place, arguments: &[OsString]) -> Result<i32> {
    let words: Vec<&[u8]> = arguments.iter().map(|argument| argument.as_bytes()).collect();
    match words.as_slice() {
        [b"find", path] => find(place, path),
        [b"read", path, name] => tbuild_layers::write_live_tar(&place.root, path, name, false, rustix::stdio::stdout()).map(|()| 0),
        [b"read", b"--stay", path, name] => {
            tbuild_layers::write_live_tar(&place.root, path, name, true, rustix::stdio::stdout()).map(|()| 0)
        }
        [b"write", directory] => write(place, directory, None),
        [b"write", b"--owner", owner, directory] => write(place, directory, Some(read_owner(owner)?)),
        _ => {
            Err(NativeError::new(USAGE, "files")
                .detail("files wants find PATH, read [--stay] PATH NAME or write [--owner UID:GID] DIRECTORY"))
        }
    }
}

fn read_owner(text: &[u8]) -> Result<(u32, u32)> {
    let text = String::from_utf8_lossy(text);
    let ids = text.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
    ids.ok_or_else(|| NativeError::new(USAGE, "files").detail(format!("--owner wants UID:GID, not {text}")))
}

/// What is at a path, a last link not followed; and where that leads.
fn find(place: &Place, path: &[u8]) -> Result<i32> {
    let looked_up = |follow| {
        tbuild_layers::resolve(&place.root, path, follow)
            .map_err(|error| NativeError::io("look up", error).path(Path::new(OsStr::from_bytes(path))))
    };
    let spot = looked_up(false)?;
    let target = if spot.kind() == Some(FileType::Symlink) { Some(described(&looked_up(true)?)?) } else { None };
    let mut answer = described(&spot)?;
    answer["target"] = target.into();
    say(&answer)
}

fn described(spot: &Spot) -> Result<serde_json::Value> {
    let path = std::str::from_utf8(&spot.path).map_err(|_| {
        NativeError::new("native/not-utf8", "look up").detail(format!("the name {} is not UTF-8", spot.path.escape_ascii()))
    })?;
    let kind = spot.kind().map(|kind| match kind {
        FileType::RegularFile => "file",
        FileType::Directory => "dir",
        FileType::Symlink => "symlink",
        FileType::CharacterDevice => "char",
        FileType::BlockDevice => "block",
        FileType::Fifo => "fifo",
        _ => "socket",
    });
    Ok(serde_json::json!({ "path": path, "kind": kind, "hasParent": spot.has_parent }))
}

fn write(place: &Place, directory: &[u8], owner: Option<(u32, u32)>) -> Result<i32> {
    let input = rustix::io::dup(rustix::stdio::stdin()).during(PROCESS, "read standard input")?;
    let target = Target { root: &place.root, directory, is_local: place.is_local, owner };
    let done = tbuild_layers::extract_tar(input.into(), &target)?;
    say(&serde_json::json!(done))
}

fn say(answer: &serde_json::Value) -> Result<i32> {
    writeln!(std::io::stdout(), "{answer}").during(PROCESS, "write")?;
    Ok(0)
}
