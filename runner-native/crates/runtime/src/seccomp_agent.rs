//! The agent that listens at seccomp's `listenerPath` and answers the calls that a filter leaves to it (SCMP_ACT_NOTIFY): connected to by the
//! parent, for a container may not get to the path, and told once of the filter's listener by the very process that sets the filter.
//! What it is sent is the runtime-spec's container process state (config-linux.md: The Container Process State).

use crate::error::{Context, PROCESS, Result};
use crate::hooks::Told;
use crate::record::Status;
use crate::seccomp::Filter;
use crate::sys;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, retry_on_intr};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, connect,
    sendmsg, shutdown, socket_with,
};
use rustix::process::Pid;
use std::mem::MaybeUninit;

/// None: the filter asks nobody.
pub fn connect_to(filter: Option<&Filter>) -> Result<Option<OwnedFd>> {
    let Some(agent) = filter.and_then(|filter| filter.agent.as_ref()) else { return Ok(None) };
    let connected = || {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        connect(&socket, &SocketAddrUnix::new(&agent.path)?)?;
        Ok::<_, Errno>(socket)
    };
    connected().at(PROCESS, "connect to the seccomp agent at", &agent.path).map(Some)
}

/// A filter that a process is about to set on itself.
pub struct Guard<'a> {
    filter: &'a Filter,
    agent: Option<(&'a OwnedFd, String)>,
}

impl<'a> Guard<'a> {
    /// `first`: the container's first process, where this is another. While the host's /proc is there: it says who this one is to the host.
    pub fn new(filter: Option<&'a Filter>, agent: Option<&'a OwnedFd>, told: &Told, first: Option<Pid>) -> Result<Option<Self>> {
        let Some(filter) = filter else { return Ok(None) };
        let message = |(socket, metadata)| own_number().map(|own| (socket, message(told, own, first, metadata)));
        let agent = agent.zip(filter.agent.as_ref().map(|agent| agent.metadata.as_str())).map(message).transpose()?;
        Ok(Some(Self { filter, agent }))
    }

    pub fn agent(&self) -> Option<BorrowedFd<'_>> {
        self.agent.as_ref().map(|(socket, _)| socket.as_fd())
    }

    pub fn set(&self) -> Result<()> {
        let Filter { flags, program, .. } = self.filter;
        let optional = flags & Filter::OPTIONAL_FLAGS;
        let set = match sys::set_seccomp_filter(*flags, program) {
            Err(Errno::INVAL) if optional != 0 => sys::set_seccomp_filter(flags & !optional, program),
            result => result,
        };
        match (set.during(PROCESS, "set the seccomp filter")?, &self.agent) {
            (Some(listener), Some((socket, message))) => tell(socket, message, &listener).during(PROCESS, "tell the seccomp agent"),
            _ => Ok(()),
        }
    }
}

fn own_number() -> Result<Pid> {
    let link = rustix::fs::readlink("/proc/self", Vec::new()).at(PROCESS, "read", "/proc/self")?;
    let number = link.to_str().ok().and_then(|number| Pid::from_raw(number.parse().ok()?));
    number.ok_or(Errno::SRCH).at(PROCESS, "read", "/proc/self")
}

fn message(told: &Told, own: Pid, first: Option<Pid>, metadata: &str) -> String {
    let status = if first.is_some() { Status::Running } else { Status::Created };
    let mut message = serde_json::json!({
        "ociVersion": told.oci_version,
        "fds": ["seccompFd"],
        "pid": own.as_raw_nonzero(),
        "state": told.state_value(status, Some(first.unwrap_or(own))),
    });
    if !metadata.is_empty() {
        message["metadata"] = metadata.into();
    }
    message.to_string()
}

/// The filter is in force: no call but sendmsg and shutdown.
fn tell(socket: &OwnedFd, message: &str, listener: &OwnedFd) -> rustix::io::Result<()> {
    let fds = [listener.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&fds));
    let mut rest = message.as_bytes();
    while !rest.is_empty() {
        let sent = retry_on_intr(|| sendmsg(socket, &[IoSlice::new(rest)], &mut control, SendFlags::NOSIGNAL))?;
        rest = &rest[sent..];
        control.clear(); // the descriptor goes with the first part alone
    }
    // One state a connection; our parent holds it as well.
    match shutdown(socket, Shutdown::Both) {
        Err(Errno::NOTCONN) => Ok(()),
        result => result,
    }
}
