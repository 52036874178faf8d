//! Ways to learn something of a traced file that the kernel answers without asking the observer: their first use is told by seccomp, which leaves these
//! calls to an agent that lets them all go on. It is a thread of the observer's process; the socket is its and ours, and gets its name where the runtime finds it.

use crate::error::{Context, MOUNT, PROCESS, Result};
use crate::sys;
use rustix::event::{PollFlags, poll};
use rustix::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, IoSliceMut, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind,
    listen, recvmsg, socket_with,
};
use serde_json::{Value, json};
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::OnceLock;

/// By way of the bundle, in which every runtime is started: a socket's path may not be long, and crun wants an absolute one.
const SOCKET: &str = "/proc/self/cwd/../seccomp";
const MASK: &str = "SCMP_CMP_MASKED_EQ";
const NOTIFY: &str = "SCMP_ACT_NOTIFY";

/// What a container learnt that cannot be noted; the first is enough.
pub type Taint = Arc<OnceLock<&'static str>>;

struct Watched {
    call: &'static str,
    name: &'static str,
    /// Any of them; none: always.
    when: &'static [When],
}

/// By an argument's position.
enum When {
    Is(u32, u64),
    HasBit(u32, u64),
}

/// What the kernel remembers from a look, which it tells who asks for that, and who asks for nothing (fuse_update_get_attr); a file's length, which it
/// has from there; and calls that no filter sees.
const WATCHED: [Watched; 3] = [
    Watched { call: "statx", name: "statx", when: &[When::HasBit(2, AT_STATX_DONT_SYNC), When::Is(3, 0)] },
    Watched { call: "ioctl", name: "FIONREAD", when: &[When::Is(1, libc::FIONREAD)] },
    Watched { call: "io_uring_setup", name: "io_uring", when: &[] },
];
const AT_STATX_DONT_SYNC: u64 = 0x4000;

impl When {
    /// A rule's condition for it, and that for everything else.
    fn arguments(&self) -> [Value; 2] {
        match *self {
            Self::Is(index, value) => ["SCMP_CMP_EQ", "SCMP_CMP_NE"].map(|op| json!({ "index": index, "value": value, "op": op })),
            Self::HasBit(index, bit) => [bit, 0].map(|is| json!({ "index": index, "value": bit, "valueTwo": is, "op": MASK })),
        }
    }
}

/// The container's configuration with these calls left to us. None: it has an agent of its own, and no container has two.
pub fn watched(config: &str) -> Result<Option<String>> {
    let mut config: Value = serde_json::from_str(config).map_err(std::io::Error::from).during(crate::error::CONFIG, "read config.json")?;
    let linux = &mut config["linux"];
    if linux["seccomp"].is_null() {
        linux["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": crate::seccomp::own_architectures() });
    }
    let seccomp = &mut linux["seccomp"];
    let mut rules = seccomp["syscalls"].as_array().cloned().unwrap_or_default();
    if seccomp.get("listenerPath").is_some() || rules.iter().any(|rule| rule["action"] == NOTIFY) {
        return Ok(None);
    }
    let default = seccomp["defaultAction"].clone();
    WATCHED.iter().for_each(|watched| watch(&mut rules, watched, &default));
    rules.retain(|rule| rule["names"].as_array().is_none_or(|names| !names.is_empty()));
    seccomp["syscalls"] = rules.into();
    seccomp["listenerPath"] = SOCKET.into();
    Ok(Some(config.to_string()))
}

/// Splits what lets the call pass in two, for libseccomp takes no rule beside one that says the same of all arguments. What is refused stays refused.
fn watch(rules: &mut Vec<Value>, watched: &Watched, default: &Value) {
    let lets_pass = |action: &Value| action == "SCMP_ACT_ALLOW" || action == "SCMP_ACT_LOG";
    let mut passing = None;
    let mut is_named = false;
    for rule in rules.iter_mut() {
        let has_arguments = rule["args"].as_array().is_some_and(|arguments| !arguments.is_empty());
        let (passes, action) = (lets_pass(&rule["action"]), rule["action"].clone());
        let Some(names) = rule["names"].as_array_mut().filter(|names| names.iter().any(|name| name == watched.call)) else { continue };
        is_named = true;
        if passes && !has_arguments {
            names.retain(|name| name != watched.call);
            passing = Some(action);
        }
    }
    if passing.is_none() && (is_named || !lets_pass(default)) {
        return;
    }
    let mut rule = |action: Value, arguments: Vec<Value>| {
        rules.push(json!({ "names": [watched.call], "action": action, "args": arguments }));
    };
    let (when, otherwise): (Vec<Value>, Vec<Value>) = watched.when.iter().map(|when| when.arguments().into()).unzip();
    if when.is_empty() {
        return rule(NOTIFY.into(), vec![]);
    }
    when.into_iter().for_each(|one| rule(NOTIFY.into(), vec![one]));
    if let Some(action) = passing {
        rule(action, otherwise);
    }
}

/// The socket, and a pipe that ends when it has its name.
pub struct Door {
    socket: OwnedFd,
    is_waiting: OwnedFd,
}

pub struct Agent {
    socket: OwnedFd,
    named: OwnedFd,
    taint: Taint,
}

/// Ours, and that of the process that is forked from us.
pub fn prepare(taint: Taint) -> Result<(Door, Agent)> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).during(PROCESS, "make a socket")?;
    let shared = socket.try_clone().during(PROCESS, "copy a descriptor")?;
    let (named, is_waiting) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).during(PROCESS, "make a pipe")?;
    Ok((Door { socket, is_waiting }, Agent { socket: shared, named, taint }))
}

impl Door {
    /// In the bundle, which is the working directory.
    pub fn open(self) -> Result<()> {
        let named = SocketAddrUnix::new(SOCKET).and_then(|address| bind(&self.socket, &address));
        named.and_then(|()| listen(&self.socket, 4)).at(MOUNT, "listen at", SOCKET)?;
        drop(self.is_waiting);
        Ok(())
    }
}

impl Agent {
    pub fn taint(&self) -> Taint {
        self.taint.clone()
    }

    pub fn descriptors(&self) -> [RawFd; 2] {
        [self.socket.as_raw_fd(), self.named.as_raw_fd()]
    }

    /// One container after the other, though there is but one.
    pub fn run(&self) {
        let _ = retry_on_intr(|| rustix::io::read(&self.named, &mut [0]));
        while let Ok(connection) = retry_on_intr(|| accept_with(&self.socket, SocketFlags::CLOEXEC)) {
            if let Ok(Some(listener)) = receive_listener(&connection) {
                self.listen_to(&listener);
            }
        }
    }

    /// Until no process has the filter any more.
    fn listen_to(&self, listener: &OwnedFd) {
        loop {
            let mut fds = [crate::relay::readable(listener.as_fd())];
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                Err(_) => return,
                Ok(_) if !fds[0].revents().contains(PollFlags::IN) => return,
                Ok(_) => {}
            }
            // Whoever asked may be gone.
            let Ok(call) = sys::receive_notification(listener.as_fd()) else { continue };
            if let Some(name) = meaning(&call) {
                let _ = self.taint.set(name);
            }
            let _ = sys::continue_call(listener.as_fd(), call.id);
        }
    }
}

/// None: it is about something that is no file of a layer. In doubt it is.
fn meaning(call: &sys::Notification) -> Option<&'static str> {
    let name = crate::seccomp::name_of(call.architecture, call.number)?;
    let watched = WATCHED.iter().find(|watched| watched.call == name)?;
    if watched.name == "FIONREAD" {
        let opened = format!("/proc/{}/fd/{}", call.process, call.arguments[0] as u32);
        let is_other = rustix::fs::stat(opened)
            .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) != rustix::fs::FileType::RegularFile);
        return (!is_other).then_some(watched.name);
    }
    Some(watched.name)
}

fn receive_listener(connection: &OwnedFd) -> rustix::io::Result<Option<OwnedFd>> {
    let mut bytes = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut found = None;
    loop {
        let received = retry_on_intr(|| recvmsg(connection, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC))?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(mut fds) = message {
                found = fds.next().or(found);
            }
        }
        // The state itself is nothing to us, but who sends it waits until it is read.
        if received.bytes == 0 || found.is_some() && received.bytes < bytes.len() {
            return Ok(found);
        }
    }
}
