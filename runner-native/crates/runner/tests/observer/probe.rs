//! The probe: this test program inside a container, where it lies at PATH. What it does is one word of PROBE in its environment and what follows; what it
//! finds out it prints, behind a mark, for the harness prints too.

use rustix::fs::{self as kernel, AtFlags, CWD, Mode, StatxFlags};
use std::collections::HashMap;
use std::ffi::CString;
use std::fmt::Write;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::Path;

pub const PATH: &str = "/probe";
pub const MARK: &str = "= ";

pub fn main(words: &str) {
    let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
    match word {
        "dump" => dump(Path::new(rest), &mut HashMap::new()),
        "change" => change(Path::new(rest)),
        "statx-birth" => drop(kernel::statx(CWD, rest, AtFlags::empty(), StatxFlags::BTIME).unwrap()),
        "statx-nothing" => drop(kernel::statx(CWD, rest, AtFlags::empty(), StatxFlags::empty()).unwrap()),
        "statx-cached" => drop(kernel::statx(CWD, rest, AtFlags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS).unwrap()),
        "unread" => say(rustix::io::ioctl_fionread(fs::File::open(rest).unwrap()).unwrap()),
        "unread-pipe" => say(rustix::io::ioctl_fionread(rustix::pipe::pipe().unwrap().0).unwrap()),
        "io-uring" => drop(io_uring()),
        "seek-end" => say(kernel::seek(fs::File::open(rest).unwrap(), kernel::SeekFrom::End(0)).unwrap()),
        "seek-hole" => say(kernel::seek(fs::File::open(rest).unwrap(), kernel::SeekFrom::Hole(0)).unwrap()),
        "attributes" => say(format!("{:?}", attributes(Path::new(rest)))),
        "attribute" => {
            let (name, path) = rest.split_once(' ').unwrap();
            say(format!("{:?}", kernel::lgetxattr(path, name, &mut [0; 256]).is_ok()));
        }
        "at" => {
            let (offset, path) = rest.split_once(' ').unwrap();
            let mut byte = [0];
            fs::File::open(path).unwrap().read_exact_at(&mut byte, offset.parse().unwrap()).unwrap();
            say(byte[0]);
        }
        _ => panic!("no such word: {word}"),
    }
}

fn say(what: impl std::fmt::Display) {
    std::io::stdout().write_all(format!("{MARK}{what}\n").as_bytes()).unwrap();
}

/// Everything below a directory, but what no two mounts have in common, and what is nobody's to know of directories: links, size, times.
fn dump(path: &Path, links: &mut HashMap<u64, usize>) {
    let stat = fs::symlink_metadata(path).unwrap();
    let kind = stat.file_type();
    let mut line = format!("{:?} {:o} {}:{}", path, stat.mode(), stat.uid(), stat.gid());
    if !kind.is_dir() {
        let _ = write!(line, " {} bytes {}.{:09}", stat.size(), stat.mtime(), stat.mtime_nsec());
    }
    if !kind.is_dir() && stat.nlink() > 1 {
        let next = links.len();
        let _ = write!(line, " {} links, group {}", stat.nlink(), links.entry(stat.ino()).or_insert(next));
    }
    if kind.is_char_device() || kind.is_block_device() {
        let _ = write!(line, " device {}", stat.rdev());
    }
    if kind.is_symlink() {
        let _ = write!(line, " -> {:?}", fs::read_link(path).unwrap());
    }
    if kind.is_file() {
        let content = fs::read(path).unwrap();
        let _ = write!(line, " sum {}", content.iter().fold(0_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte))));
    }
    say(format!("{line} {:?}", attributes(path)));
    if kind.is_dir() {
        let mut below: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap()).collect();
        below.sort_by_key(fs::DirEntry::file_name);
        for entry in below {
            assert_eq!(entry.file_type().unwrap(), fs::symlink_metadata(entry.path()).unwrap().file_type());
            dump(&entry.path(), links);
        }
    }
}

/// From the directory of what is looked at: paths may be longer than the kernel takes.
fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 64 << 10];
    let count = kernel::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..count].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut found: Vec<_> = names
        .map(|name| {
            let mut value = vec![0; 64 << 10];
            let count = kernel::lgetxattr(path, CString::new(name).unwrap(), &mut value[..]).unwrap();
            (name.escape_ascii().to_string(), value[..count].to_vec())
        })
        .collect();
    found.sort();
    found
}

fn with_more(path: &Path, more: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    name.into()
}

/// Does to everything below a directory what copies it up, each thing in another way.
fn change(path: &Path) {
    let mut below: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap()).collect();
    below.sort_by_key(fs::DirEntry::file_name);
    for entry in below {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            change(&path);
            continue;
        }
        match entry.file_name().as_bytes().len() % 5 {
            0 if kind.is_file() => drop(fs::OpenOptions::new().append(true).open(&path).unwrap()),
            1 if !kind.is_symlink() => kernel::chmod(&path, Mode::from_raw_mode(0o640)).unwrap(),
            2 => kernel::chownat(CWD, &path, Some(kernel::Uid::from_raw(3)), None, AtFlags::SYMLINK_NOFOLLOW).unwrap(),
            3 => fs::rename(&path, with_more(&path, "-renamed")).unwrap(),
            _ => fs::hard_link(&path, with_more(&path, "-linked")).unwrap(),
        }
    }
}

/// Made or refused: what counts is that it was asked for.
#[allow(unsafe_code)]
fn io_uring() -> i64 {
    // SAFETY: no entries and no parameters: the kernel refuses it, and does nothing.
    unsafe { libc::syscall(libc::SYS_io_uring_setup, 0, std::ptr::null::<u8>()) }
}
