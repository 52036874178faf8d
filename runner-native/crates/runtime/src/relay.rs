//! Copies bytes from one descriptor to another as both are ready, so that one loop can serve several and never blocks.

use rustix::event::{PollFd, PollFlags};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::{Errno, read, write};

/// What a pipe or a terminal that is ready takes without blocking.
const WRITE_BYTES_MAX: usize = 4096;
const BUFFER_BYTES: usize = 64 << 10;

pub struct Relay {
    from: OwnedFd,
    to: OwnedFd,
    buffer: Vec<u8>,
    written: usize,
    /// Sent when `from` has ended.
    farewell: &'static [u8],
    is_input: bool,
    is_over: bool,
    at_once_bytes: usize,
}

impl Relay {
    /// From the container to us.
    pub fn output(from: OwnedFd, to: OwnedFd) -> Self {
        Self { from, to, buffer: Vec::new(), written: 0, farewell: b"", is_input: false, is_over: false, at_once_bytes: WRITE_BYTES_MAX }
    }

    /// From us to a pipe of the container's, which is closed when the relay is dropped.
    pub fn piped_input(from: OwnedFd, to: OwnedFd) -> Self {
        let never_blocks = rustix::io::ioctl_fionbio(&to, true).is_ok(); // it is ours alone
        let at_once_bytes = if never_blocks { BUFFER_BYTES } else { WRITE_BYTES_MAX };
        Self { is_input: true, at_once_bytes, ..Self::output(from, to) }
    }

    /// From us to the container's terminal, which gets an end of transmission when ours has ended, as from script(1).
    pub fn input(from: OwnedFd, to: OwnedFd) -> Self {
        Self { farewell: b"\x04", is_input: true, ..Self::output(from, to) }
    }

    pub fn is_input(&self) -> bool {
        self.is_input
    }

    pub fn is_over(&self) -> bool {
        self.is_over
    }

    pub fn has_buffered(&self) -> bool {
        self.written < self.buffer.len()
    }

    /// What to wait for next.
    pub fn poll_fd(&self) -> PollFd<'_> {
        if self.has_buffered() { PollFd::new(&self.to, PollFlags::OUT) } else { PollFd::new(&self.from, PollFlags::IN) }
    }

    /// One step, when `poll_fd` is ready.
    pub fn step(&mut self) {
        let result = if self.has_buffered() { self.write() } else { self.read() };
        match result {
            Ok(()) | Err(Errno::INTR | Errno::AGAIN) => {}
            // EIO: the last user of a pty has closed it. EPIPE: nobody reads any more; dropping the relay tells the writer.
            Err(_) => self.is_over = true,
        }
    }

    fn read(&mut self) -> Result<(), Errno> {
        self.buffer.resize(BUFFER_BYTES, 0);
        self.written = BUFFER_BYTES;
        let count = read(&self.from, &mut self.buffer[..])?;
        self.buffer.truncate(count);
        self.written = 0;
        if count == 0 {
            self.buffer.extend_from_slice(std::mem::take(&mut self.farewell));
            self.is_over = self.buffer.is_empty();
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), Errno> {
        let end = self.buffer.len().min(self.written + self.at_once_bytes);
        self.written += write(&self.to, &self.buffer[self.written..end])?;
        Ok(())
    }
}

/// Whether a descriptor is ready, by what poll said of it.
pub fn is_ready(fd: &PollFd<'_>) -> bool {
    !fd.revents().is_empty()
}

pub fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, PollFlags::IN)
}
