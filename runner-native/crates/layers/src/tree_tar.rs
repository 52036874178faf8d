//! What stacks of layers show, as one tar: to a file, a pipe or whatever else the caller's output is.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::error::{NativeError, Result};
use crate::stack::{Merged, Stack};
use crate::tar_writer::write_tar;

const BUFFER_BYTES: usize = 1 << 20;

/// `mtime`: as for `copy_tree`. The tar is deterministic.
pub fn write_tree_tar(stacks: &[Stack], out: impl AsFd, mtime: Option<i64>) -> Result<()> {
    let merged = Merged::read(stacks, mtime)?;
    let mut output = Output::new(out);
    write_tar(&merged.tree, |index| merged.data(index), &mut |bytes| output.write(bytes))?;
    output.end()
}

/// Few large writes in place of many small ones.
pub struct Output<F> {
    out: F,
    buffer: Vec<u8>,
}

impl<F: AsFd> Output<F> {
    pub fn new(out: F) -> Self {
        Self { out, buffer: Vec::with_capacity(BUFFER_BYTES) }
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            write_all(&self.out, &self.buffer)?;
            self.buffer.clear();
        }
        if bytes.len() < BUFFER_BYTES {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        write_all(&self.out, bytes)
    }

    pub fn end(self) -> Result<()> {
        write_all(&self.out, &self.buffer)
    }
}

/// Waits for an output that is not ready: Node.js leaves its pipes non-blocking, for whoever shares them too.
fn write_all(out: &impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(out, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(out, PollFlags::OUT)], None)),
            Err(error) => return Err(NativeError::io("write", error)),
        }
    }
    Ok(())
}
