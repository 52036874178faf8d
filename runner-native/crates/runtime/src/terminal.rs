//! The container's terminal: a pty in the container's own devpts, made by its first process; and our side, raw while it runs.

use crate::error::{Context, NativeError, PROCESS, Result};
use crate::inside_root::{self, Kind};
use crate::mounts;
use crate::spec::ConsoleSize;
use crate::sys;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Gid, Mode, OFlags, ResolveFlags, Uid, fstatfs, openat2};
use rustix::io::{Errno, IoSlice};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, sendmsg,
    socket_with,
};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, Winsize, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use std::mem::MaybeUninit;
use std::path::Path;

/// <linux/magic.h>
const DEVPTS_MAGIC: u64 = 0x1cd1;

pub struct Pty {
    pub master: OwnedFd,
    pub slave: OwnedFd,
}

/// In the container's devpts. What it has put in that one's place is not opened: a FIFO would wait, a device do who knows what.
pub fn make(root: &OwnedFd, size: Option<&ConsoleSize>, owner: u32) -> Result<Pty> {
    let pty = || {
        let directory = inside_root::open(root, Path::new("dev/pts"), OFlags::PATH | OFlags::DIRECTORY)?;
        if fstatfs(&directory)?.f_type as u64 != DEVPTS_MAGIC {
            return Err(Errno::NODEV);
        }
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let itself = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let master = openat2(&directory, "ptmx", flags, Mode::empty(), itself)?;
        unlockpt(&master)?;
        let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        rustix::fs::fchown(&slave, Some(Uid::from_raw(owner)), None::<Gid>)?;
        match size {
            Some(ConsoleSize { height, width }) => {
                tcsetwinsize(&master, Winsize { ws_row: *height, ws_col: *width, ws_xpixel: 0, ws_ypixel: 0 })?;
            }
            None => copy_size(&master), // before the command can ask
        }
        Ok(Pty { master, slave })
    };
    pty().at(PROCESS, "make a terminal in the container's", "/dev/pts")
}

/// Of our own devpts, for another runtime. `size`: as in config.json, or null.
pub fn of_ours(size: &serde_json::Value) -> Result<Pty> {
    let pty = || {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        if let (Some(rows), Some(columns)) = (size["height"].as_u64(), size["width"].as_u64()) {
            tcsetwinsize(&master, Winsize { ws_row: rows as u16, ws_col: columns as u16, ws_xpixel: 0, ws_ypixel: 0 })?;
        }
        let slave = ioctl_tiocgptpeer(&master, flags)?;
        Ok::<_, Errno>(Pty { master, slave })
    };
    pty().during(PROCESS, "make a terminal")
}

/// The terminal of the first process is /dev/console: by its descriptor, for its name may mean something else by now (CVE-2025-52565).
pub fn make_console(root: &OwnedFd, pty: &Pty) -> Result<()> {
    let console = inside_root::open_or_make(root, Path::new("dev/console"), Kind::File, &mut |_, _| {})?;
    let copy = mounts::detached_copy(&pty.slave, Path::new(""), false).at(PROCESS, "bind", "/dev/console")?;
    mounts::attach(copy, console).at(PROCESS, "mount", "/dev/console")
}

/// The calling process, a session leader, gets the terminal as its own and as stdin, stdout and stderr.
pub fn take(slave: OwnedFd) -> Result<()> {
    rustix::process::ioctl_tiocsctty(&slave).during(PROCESS, "take the terminal")?;
    sys::replace_stdio(&slave).during(PROCESS, "take the terminal")
}

/// The terminal that we were started on, to be put back as it was.
pub struct OurTerminal {
    before: Termios,
}

impl OurTerminal {
    /// None where stdin is no terminal.
    pub fn find() -> Option<Self> {
        if !isatty(stdin()) {
            return None;
        }
        tcgetattr(stdin()).ok().map(|before| Self { before })
    }

    pub fn make_raw(&self) -> Result<()> {
        let mut raw = self.before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Drain, &raw).during(PROCESS, "set the terminal to raw")
    }

    pub fn restore(&self) {
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

/// Gives the container's terminal the size of ours.
pub fn copy_size(master: impl AsFd) {
    let size = tcgetwinsize(stdin()).or_else(|_| tcgetwinsize(stdout()));
    if let Ok(size) = size
        && size.ws_row > 0
        && size.ws_col > 0
    {
        let _ = tcsetwinsize(master, size);
    }
}

/// Sends the terminal to whoever listens at a socket, as runc does: the name as the message, the descriptor beside it.
pub fn hand_over(master: &OwnedFd, socket: &Path) -> Result<()> {
    let send = || {
        let connection = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        connect(&connection, &SocketAddrUnix::new(socket)?)?;
        let fds = [master.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        sendmsg(&connection, &[IoSlice::new(b"/dev/ptmx")], &mut control, SendFlags::NOSIGNAL)
    };
    send().map(drop).at(PROCESS, "hand over the terminal to", socket)
}

pub fn expected() -> NativeError {
    NativeError::new(PROCESS, "start the container").detail("the container made no terminal")
}
