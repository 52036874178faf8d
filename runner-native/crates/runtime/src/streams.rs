//! stdout and stderr of a container without a terminal. As a rule it simply has ours. Where ours is a socket (Node.js makes "pipes" so),
//! programs cannot open /dev/stdout and /dev/stderr (ENXIO): the container gets a pipe, and the bytes are copied.

use crate::error::{Context, PROCESS, Result};
use crate::relay::Relay;
use crate::sys;
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, fstat};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::stdio::{stderr, stdout};

#[derive(Default)]
pub struct Streams {
    relays: Vec<Relay>,
    /// What becomes stdout and stderr, by number.
    ends: Vec<(i32, std::rc::Rc<OwnedFd>)>,
}

impl Streams {
    pub fn none() -> Self {
        Self::default()
    }

    pub fn of_this_process() -> Result<Self> {
        let mut streams = Self::none();
        let mut known: Option<((u64, u64), std::rc::Rc<OwnedFd>)> = None;
        for (number, stream) in [(1, stdout()), (2, stderr())] {
            let Ok(stat) = fstat(stream) else { continue };
            if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
                continue;
            }
            // One pipe when both are the same, or lines would change places.
            let identity = (stat.st_dev, stat.st_ino);
            let end = match &known {
                Some((same, end)) if *same == identity => end.clone(),
                _ => std::rc::Rc::new(streams.add(stream)?),
            };
            known = Some((identity, end.clone()));
            streams.ends.push((number, end));
        }
        Ok(streams)
    }

    fn add(&mut self, to: BorrowedFd<'_>) -> Result<OwnedFd> {
        let (from, end) = pipe_with(PipeFlags::CLOEXEC).during(PROCESS, "make a pipe")?;
        let to = rustix::io::fcntl_dupfd_cloexec(to, 3).during(PROCESS, "copy a descriptor")?;
        self.relays.push(Relay::output(from, to));
        Ok(end)
    }

    /// Pipes of our own are opened again by whoever has them: by this user, if any.
    pub fn give_to(&self, uid: Option<u32>) {
        if let Some(uid) = uid {
            for (_, end) in &self.ends {
                let _ = rustix::fs::fchown(end.as_ref(), Some(rustix::fs::Uid::from_raw(uid)), None);
            }
        }
    }

    /// The parent's side.
    pub fn relays(&mut self) -> Vec<Relay> {
        self.ends.clear();
        std::mem::take(&mut self.relays)
    }

    /// The container's side.
    pub fn take(&self) -> Result<()> {
        self.ends.iter().try_for_each(|(number, end)| sys::replace_descriptor(end.as_raw_fd(), *number)).during(PROCESS, "take the streams")
    }
}
