//! A tar into a directory that has files already, by the rules of docker's extraction: files replace files, directories are joined, and neither takes the
//! other's place. Into a container's root it follows the links that stand there, inside the root; into a directory of this machine it follows none, makes no
//! devices, and what it makes belongs to whoever runs it.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use serde::Serialize;

use crate::archive::Archive;
use crate::beneath;
use crate::entry::{Xattrs, as_path, join_path, split_path};
use crate::error::{NativeError, Result};
use crate::in_root;
use crate::scan::is_host_label;
use crate::tar_header::bad_archive;
use crate::tar_reader::{Member, MemberKind, TarReader};
use crate::xattrs::path_of;

pub struct Target<'a> {
    pub root: &'a OwnedFd,
    /// In it, without links (`in_root::resolve`).
    pub directory: &'a [u8],
    /// Of this machine.
    pub is_local: bool,
    /// Whose everything is to be, whatever the archive says. Of a container.
    pub owner: Option<(u32, u32)>,
}

#[derive(Debug, Default, Serialize)]
pub struct Extracted {
    /// Of file contents.
    pub bytes: u64,
    /// Devices that were left out.
    pub skipped: Vec<String>,
}

/// `input`: plain, or compressed with what docker knows.
pub fn extract_tar(input: File, target: &Target) -> Result<Extracted> {
    let base = beneath::open_directory(target.root, target.directory)
        .map_err(|error| NativeError::io("open", error).path(as_path(target.directory)))?;
    let mut reader = TarReader::new(Archive::of(input), None);
    let mut extraction = Extraction { target, base, parent: None, directories: Vec::new(), done: Extracted::default() };
    while let Some(member) = reader.next_member()? {
        extraction.add(&member, &mut reader)?;
    }
    extraction.finish()
}

struct Extraction<'a> {
    target: &'a Target<'a>,
    base: OwnedFd,
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// Their attributes are set when nothing more goes into them.
    directories: Vec<(OwnedFd, Attributes)>,
    done: Extracted,
}

struct Attributes {
    mode: u32,
    uid: u32,
    gid: u32,
    times: Timestamps,
    xattrs: Xattrs,
}

/// More directories than this have their attributes set before all is done: each is open until then.
const OPEN_MAX: usize = 512;

impl Extraction<'_> {
    fn add(&mut self, member: &Member, reader: &mut TarReader<Archive>) -> Result<()> {
        let path = clean(&member.path)?;
        if path.is_empty() || member.kind == MemberKind::Ignored {
            return Ok(());
        }
        let failed = |error: Errno| NativeError::io("write", error).path(as_path(&path));
        let (parent, name) = split_path(&path);
        let name = as_path(name);
        let directory = self.open_parent(parent).map_err(failed)?;
        let is_directory = member.kind == MemberKind::Directory;
        match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => {}
            found => {
                let is_found_directory = FileType::from_raw_mode(found.map_err(failed)?.st_mode) == FileType::Directory;
                check_replaced(&path, is_found_directory, is_directory)?;
                if !is_directory {
                    match rustix::fs::unlinkat(&directory, name, AtFlags::empty()) {
                        // A file that is mounted there (/etc/hosts): written in its place.
                        Err(Errno::BUSY) if member.kind == MemberKind::File => return self.overwrite(&directory, member, &path, reader),
                        removed => removed.map_err(failed)?,
                    }
                }
            }
        }
        match member.kind {
            MemberKind::File => self.add_file(&directory, member, &path, reader),
            MemberKind::Directory => self.add_directory(&directory, member, &path).map_err(failed),
            MemberKind::HardLink => self.link(&directory, member, &path),
            _ => self.add_special(&directory, member, &path).map_err(failed),
        }
    }

    /// With what is missing of it.
    fn open_parent(&mut self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        if let Some((open, directory)) = &self.parent
            && open == path
        {
            return rustix::io::dup(directory);
        }
        let directory = match self.open(path) {
            Err(Errno::NOENT) => {
                let (above, name) = split_path(path);
                let above = self.open_parent(above)?;
                match rustix::fs::mkdirat(&above, as_path(name), Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error),
                }
                self.open(path)?
            }
            opened => opened?,
        };
        self.parent = Some((path.to_vec(), rustix::io::dup(&directory)?));
        Ok(directory)
    }

    fn open(&self, path: &[u8]) -> rustix::io::Result<OwnedFd> {
        if self.target.is_local || path.is_empty() {
            return beneath::open_directory(&self.base, path);
        }
        let whole = join_path(self.target.directory, path);
        beneath::open_directory(self.target.root, &in_root::resolve(self.target.root, &whole, true)?.path)
    }

    fn add_file(&mut self, directory: &OwnedFd, member: &Member, path: &[u8], reader: &mut TarReader<Archive>) -> Result<()> {
        let failed = |error: Errno| NativeError::io("write", error).path(as_path(path));
        let name = as_path(split_path(path).1);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR).map_err(failed)?);
        let written = self.write(&mut file, member, path, reader).and_then(|()| self.set_attributes(&file, member).map_err(failed));
        if written.is_err() {
            // A part of a file is worse than none.
            let _ = rustix::fs::unlinkat(directory, name, AtFlags::empty());
        }
        written
    }

    fn overwrite(&mut self, directory: &OwnedFd, member: &Member, path: &[u8], reader: &mut TarReader<Archive>) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, as_path(split_path(path).1), flags, Mode::empty());
        let mut file = File::from(file.map_err(|error| NativeError::io("write", error).path(as_path(path)))?);
        self.write(&mut file, member, path, reader)
    }

    fn write(&mut self, file: &mut File, member: &Member, path: &[u8], reader: &mut TarReader<Archive>) -> Result<()> {
        let failed = |error: std::io::Error| NativeError::io("write", error).path(as_path(path));
        self.done.bytes += member.size;
        let Some(pieces) = &member.pieces else {
            return reader.read_content(|bytes| file.write_all(bytes).map_err(failed));
        };
        for &(offset, length) in pieces {
            file.seek(SeekFrom::Start(offset)).map_err(failed)?;
            reader.read_piece(length, |bytes| file.write_all(bytes).map_err(failed))?;
        }
        file.set_len(member.size).map_err(failed)
    }

    fn add_directory(&mut self, directory: &OwnedFd, member: &Member, path: &[u8]) -> rustix::io::Result<()> {
        let name = split_path(path).1;
        match rustix::fs::mkdirat(directory, as_path(name), Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        let made = beneath::open_directory(directory, name)?;
        self.directories.push((made, self.attributes(member)));
        if self.directories.len() > OPEN_MAX {
            let (made, attributes) = self.directories.remove(0);
            apply(&made, &attributes)?;
        }
        Ok(())
    }

    fn link(&mut self, directory: &OwnedFd, member: &Member, path: &[u8]) -> Result<()> {
        let target = clean(&member.link)?;
        let (parent, name) = split_path(&target);
        let from = self.open(parent).map_err(|error| NativeError::io("open", error).path(as_path(&target)))?;
        rustix::fs::linkat(&from, as_path(name), directory, as_path(split_path(path).1), AtFlags::empty())
            .map_err(|error| NativeError::io("link", error).path(as_path(path)))
    }

    fn add_special(&mut self, directory: &OwnedFd, member: &Member, path: &[u8]) -> rustix::io::Result<()> {
        let name = as_path(split_path(path).1);
        let kind = match member.kind {
            MemberKind::Symlink => {
                rustix::fs::symlinkat(as_path(&member.link), directory, name)?;
                return self.set_special_attributes(directory, name, member);
            }
            MemberKind::CharDevice => FileType::CharacterDevice,
            MemberKind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let is_device = kind != FileType::Fifo;
        let mode = Mode::from_raw_mode(member.mode & 0o777);
        let made = if is_device && self.target.is_local {
            Err(Errno::PERM)
        } else {
            rustix::fs::mknodat(directory, name, kind, mode, rustix::fs::makedev(member.rdev.0, member.rdev.1))
        };
        match made {
            // Docker leaves them out, too, where it has a user namespace (archive.createTarFile).
            Err(Errno::PERM) if is_device => {
                self.done.skipped.push(String::from_utf8_lossy(path).into_owned());
                return Ok(());
            }
            made => made?,
        }
        rustix::fs::chmodat(directory, name, Mode::from_raw_mode(member.mode & 0o7777), AtFlags::empty())?;
        self.set_special_attributes(directory, name, member)
    }

    fn set_special_attributes(&self, directory: &OwnedFd, name: &std::path::Path, member: &Member) -> rustix::io::Result<()> {
        let attributes = self.attributes(member);
        if !self.target.is_local {
            crate::owner::set_owner_at(directory, name, attributes.uid, attributes.gid)?;
        }
        let at = path_of(directory, std::os::unix::ffi::OsStrExt::as_bytes(name.as_os_str()));
        for (name, value) in &attributes.xattrs {
            let _ = rustix::fs::lsetxattr(&*at, &**name, value, XattrFlags::empty());
        }
        rustix::fs::utimensat(directory, name, &attributes.times, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn set_attributes(&self, file: &File, member: &Member) -> rustix::io::Result<()> {
        apply(file, &self.attributes(member))
    }

    /// Of a file whose owner is not kept neither setuid bits nor capabilities are: they would be given to somebody else's program.
    fn attributes(&self, member: &Member) -> Attributes {
        let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let (uid, gid) = if self.target.is_local { own } else { self.target.owner.unwrap_or((member.uid, member.gid)) };
        let is_kept = (uid, gid) == (member.uid, member.gid) && !self.target.is_local;
        let is_foreign = |name: &[u8]| name.starts_with(b"trusted.") || is_host_label(name);
        let is_safe = |name: &[u8]| if is_kept { !is_foreign(name) } else { name.starts_with(b"user.") };
        let time = Timespec { tv_sec: member.mtime.seconds, tv_nsec: member.mtime.nanos.into() };
        Attributes {
            mode: if is_kept || member.kind == MemberKind::Directory { member.mode } else { member.mode & 0o1777 },
            uid,
            gid,
            times: Timestamps { last_access: time, last_modification: time },
            xattrs: member.xattrs.iter().filter(|(name, _)| is_safe(name)).cloned().collect(),
        }
    }

    fn finish(mut self) -> Result<Extracted> {
        // Those inside come later in the archive, and change the times of those around them.
        for (directory, attributes) in self.directories.drain(..).rev() {
            apply(&directory, &attributes).map_err(|error| NativeError::io("set attributes", error))?;
        }
        Ok(self.done)
    }
}

/// Docker's words (pkg/archive: NoOverwriteDirNonDir).
fn check_replaced(path: &[u8], is_found_directory: bool, is_directory: bool) -> Result<()> {
    let name = path.escape_ascii();
    let why = match (is_found_directory, is_directory) {
        (true, false) => format!("cannot overwrite directory \"{name}\" with non-directory \"{name}\""),
        (false, true) => format!("cannot overwrite non-directory \"{name}\" with directory \"{name}\""),
        _ => return Ok(()),
    };
    Err(NativeError::new("container/in-the-way", "write").path(as_path(path)).detail(why))
}

/// The owner first, for a change of it takes setuid bits and capabilities away.
fn apply(file: impl AsFd, attributes: &Attributes) -> rustix::io::Result<()> {
    let file = file.as_fd();
    let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
    match rustix::fs::fchown(file, Some(uid), Some(gid)) {
        // An id that the user namespace has not is nobody's.
        Err(Errno::PERM | Errno::INVAL) => {}
        other => other?,
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(attributes.mode))?;
    for (name, value) in &attributes.xattrs {
        // What this file system cannot keep.
        let _ = rustix::fs::fsetxattr(file, &**name, value, XattrFlags::empty());
    }
    rustix::fs::futimens(file, &attributes.times)
}

fn clean(name: &[u8]) -> Result<Vec<u8>> {
    let names: Vec<&[u8]> = name.split(|&byte| byte == b'/').filter(|name| !name.is_empty() && name != b".").collect();
    if names.contains(&b"..".as_slice()) {
        return Err(bad_archive(&format!("the name {} leads out of the archive", name.escape_ascii())));
    }
    Ok(names.join(&b'/'))
}
