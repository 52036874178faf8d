//! What goes over the monitor's sockets: packets of a kind and some bytes, with descriptors beside where they are needed (SOCK_SEQPACKET: the kernel
//! keeps them apart). The first one of who connects is a request.

use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut, Result, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    SocketFlags, SocketType, recvmsg, sendmsg, socket_with, socketpair,
};
use std::mem::MaybeUninit;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// JSON, with the descriptors that it speaks of.
    Request = b'R',
    /// JSON: the last that is heard.
    Answer = b'A',
    /// The same, and a NativeError.
    Failed = b'F',
    /// A line for standard error.
    Notice = b'N',
    /// The container runs. From the child: JSON, with its pidfd and perhaps its terminal.
    Started = b'S',
    /// From the child: a process that waits in the network namespace which is to be set up. Answered by Answer or Failed.
    Network = b'W',
    /// From the child: the container has ended.
    Ended = b'Z',
    /// To who is attached: bytes.
    Stdout = b'1',
    Stderr = b'2',
    /// From who is attached: bytes, their end, and that it leaves without meaning that end.
    Input = b'I',
    InputEnd = b'E',
    Detach = b'D',
}

impl Kind {
    pub fn of(byte: u8) -> Option<Self> {
        use Kind::*;
        [Request, Answer, Failed, Notice, Started, Network, Ended, Stdout, Stderr, Input, InputEnd, Detach]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// A request with a container's whole environment in it. The kernel's default for what a socket takes at once is less.
const BYTES_MAX: usize = 256 << 10;
/// Of who is attached.
pub const CHUNK_BYTES: usize = 32 << 10;
const FDS_MAX: usize = 3;

pub struct Packet {
    pub kind: Kind,
    pub bytes: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

pub struct Packets(OwnedFd);

pub fn socket(flags: SocketFlags) -> Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

pub fn pair() -> Result<(Packets, Packets)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).map(|(one, other)| (Packets(one), Packets(other)))
}

impl AsFd for Packets {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Packets {
    pub fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    pub fn send(&self, kind: Kind, bytes: &[u8]) -> Result<()> {
        self.send_with(kind, bytes, &[], SendFlags::NOSIGNAL)
    }

    /// AGAIN: not now.
    pub fn try_send(&self, kind: Kind, bytes: &[u8]) -> Result<()> {
        self.send_with(kind, bytes, &[], SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
    }

    pub fn send_with(&self, kind: Kind, bytes: &[u8], fds: &[BorrowedFd<'_>], flags: SendFlags) -> Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(fds));
        }
        let kind = [kind as u8];
        let parts = [IoSlice::new(&kind), IoSlice::new(bytes)];
        retry_on_intr(|| sendmsg(&self.0, &parts, &mut control, flags)).map(drop)
    }

    /// None: the other side is gone. A packet that is no packet is `Errno::BADMSG`.
    pub fn receive(&self) -> Result<Option<Packet>> {
        let mut bytes = vec![0; BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = retry_on_intr(|| recvmsg(&self.0, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC));
        let received = match received {
            Err(Errno::CONNRESET) => return Ok(None),
            result => result?,
        };
        let fds = control.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => fds.collect(),
            _ => Vec::new(),
        });
        let fds: Vec<OwnedFd> = fds.collect();
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(Errno::BADMSG);
        }
        match bytes[..received.bytes].split_first() {
            None => Ok(None),
            Some((kind, rest)) => {
                let kind = Kind::of(*kind).ok_or(Errno::BADMSG)?;
                Ok(Some(Packet { kind, bytes: rest.to_vec(), fds }))
            }
        }
    }

    pub fn poll_fd(&self, flags: PollFlags) -> PollFd<'_> {
        PollFd::new(&self.0, flags)
    }
}
