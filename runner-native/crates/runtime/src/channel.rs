//! What a container's first process and its parent say to each other while the container starts: "go" one way; the terminal's
//! descriptor and an error the other way, and that it is the turn of the runtime's hooks, or that all is ready. The channel closes by itself
//! when the command is executed: that is the good news.

use crate::error::{Context, NativeError, PROCESS, Result};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{IoSlice, IoSliceMut, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType, recvmsg, send, sendmsg, socketpair,
};
use std::cell::Cell;
use std::mem::MaybeUninit;

const TERMINAL: u8 = b'T';
const ERROR: u8 = b'E';
const HOOKS: u8 = b'H';
const READY: u8 = b'R';
/// A message is one packet; an error is cut rather than lost.
const MESSAGE_BYTES_MAX: usize = 16 << 10;

pub struct Parent(OwnedFd);
pub struct Child {
    socket: OwnedFd,
    may_go: Cell<bool>,
}

pub enum Message {
    Terminal(OwnedFd),
    Failed(NativeError),
    /// All is set up but the change of the root: the runtime runs its hooks, and says "go" again.
    Hooks,
    /// Nothing is missing but `start`; it will not be heard from again.
    Ready,
    /// The command runs.
    Started,
}

pub fn pair() -> Result<(Parent, Child)> {
    let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    pair.map(|(parent, child)| (Parent(parent), Child { socket: child, may_go: Cell::new(false) })).during(PROCESS, "make a channel")
}

impl Parent {
    pub fn go(&self) -> Result<()> {
        // A child that is gone has left its reason in the channel.
        match send(&self.0, b"g", SendFlags::NOSIGNAL) {
            Err(rustix::io::Errno::PIPE) => Ok(()),
            result => result.map(drop).during(PROCESS, "let the container start"),
        }
    }

    pub fn receive(&self) -> Result<Message> {
        let mut bytes = vec![0; MESSAGE_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = retry_on_intr(|| recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC));
        let count = match received {
            // The child closed with our "go" unread: the kernel says that first, and what the child said after it (unix_release_sock).
            Err(rustix::io::Errno::CONNRESET) => return self.receive(),
            result => result.during(PROCESS, "hear from the container")?.bytes,
        };
        let fd = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        match (bytes[..count].split_first(), fd) {
            (None, _) => Ok(Message::Started),
            (Some((&TERMINAL, _)), Some(fd)) => Ok(Message::Terminal(fd)),
            (Some((&HOOKS, _)), _) => Ok(Message::Hooks),
            (Some((&READY, _)), _) => Ok(Message::Ready),
            (Some((_, text)), _) => Ok(Message::Failed(serde_json::from_slice(text).during(PROCESS, "read the container's error")?)),
        }
    }
}

impl Child {
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Returns at once when it was given before. Fails when the parent is gone.
    pub fn wait_for_go(&self) -> Result<()> {
        if !self.may_go.get() {
            self.receive_go()?;
            self.may_go.set(true);
        }
        Ok(())
    }

    fn receive_go(&self) -> Result<()> {
        let mut byte = [0];
        match retry_on_intr(|| rustix::io::read(&self.socket, &mut byte)).during(PROCESS, "wait for the parent")? {
            1 => Ok(()),
            _ => Err(NativeError::new(PROCESS, "wait for the parent").detail("the parent is gone")),
        }
    }

    pub fn parent_is_gone(&self) -> bool {
        let mut fds = [PollFd::new(&self.socket, PollFlags::empty())];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        rustix::event::poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::HUP)
    }

    pub fn send_terminal(&self, master: impl AsFd) -> Result<()> {
        let fds = [master.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        let sent = sendmsg(&self.socket, &[IoSlice::new(&[TERMINAL])], &mut control, SendFlags::NOSIGNAL);
        sent.map(drop).during(PROCESS, "hand over the terminal")
    }

    pub fn ask_for_hooks(&self) -> Result<()> {
        self.wait_for_go()?;
        send(&self.socket, &[HOOKS], SendFlags::NOSIGNAL).map(drop).during(PROCESS, "ask for the hooks")?;
        self.receive_go()
    }

    pub fn say_ready(&self) -> Result<()> {
        send(&self.socket, &[READY], SendFlags::NOSIGNAL).map(drop).during(PROCESS, "tell the runtime")
    }

    /// The last that is heard of a container that could not start.
    pub fn send_error(&self, mut error: NativeError) {
        if error.detail.len() > MESSAGE_BYTES_MAX / 4 {
            error.detail = error.detail.chars().take(MESSAGE_BYTES_MAX / 16).collect();
        }
        let text = serde_json::to_vec(&error).unwrap_or_default();
        let _ = send(&self.socket, &[&[ERROR], text.as_slice()].concat(), SendFlags::NOSIGNAL);
    }
}
