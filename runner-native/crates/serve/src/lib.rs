//! `tbuild-runner serve`: file work for one tbuild process, one JSON request a line on stdin, one JSON answer a line on stdout
//! (docs/native.md). Every request has a thread of its own: some wait long, for a lock or for the other end of a FIFO.

mod lease;
mod locks;
mod request;
mod tree_tar;

use std::io::{self, BufRead, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use tbuild_layers::NativeError;

use crate::lease::Lease;
use crate::locks::Locks;

pub use crate::tree_tar::tree_tar;

/// What the requests of one process share.
pub(crate) struct Session {
    lease: Mutex<Option<Lease>>,
    locks: Locks,
    /// What `open` tells of them.
    ids: Value,
}

struct Answers<W> {
    out: Mutex<W>,
    running: Mutex<usize>,
    ended: Condvar,
}

/// Answers requests until stdin ends. `ids`: those that files can have, null for all.
pub fn main(ids: &Value) -> io::Result<()> {
    let is_heard = || {
        // A pipe whose reader is gone is in error; asking does not wait.
        let stdout = io::stdout();
        let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok() && !fds[0].revents().intersects(PollFlags::ERR | PollFlags::NVAL)
    };
    serve(io::stdin().lock(), io::stdout(), is_heard, ids)
}

/// Returns when `input` has ended and what was asked is answered, or when nobody hears the answers any more. Waiting for a lock ends with `input`.
pub fn serve<W: Write + Send + 'static>(mut input: impl BufRead, output: W, is_heard: impl Fn() -> bool, ids: &Value) -> io::Result<()> {
    let answers = Arc::new(Answers { out: Mutex::new(output), running: Mutex::new(0), ended: Condvar::new() });
    let session = Arc::new(Session { lease: Mutex::new(None), locks: Locks::default(), ids: ids.clone() });
    loop {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let (answers, session) = (Arc::clone(&answers), Arc::clone(&session));
        let counts = !request::may_wait(&line);
        *lock(&answers.running) += usize::from(counts);
        std::thread::Builder::new().spawn(move || {
            answers.write(&answer(&line, &session));
            *lock(&answers.running) -= usize::from(counts);
            answers.ended.notify_all();
        })?;
    }
    let mut running = lock(&answers.running);
    while *running > 0 && is_heard() {
        running = answers.ended.wait_timeout(running, Duration::from_millis(50)).unwrap_or_else(PoisonError::into_inner).0;
    }
    // A lease that was not closed stays as a dead one: it tells the next process that this one was killed, and to look for what it left.
    Ok(())
}

fn answer(line: &[u8], session: &Session) -> Value {
    match request::answer(line, session) {
        (id, Ok(ok)) => json!({ "id": id, "ok": ok }),
        (id, Err(error)) => json!({ "id": id, "error": error }),
    }
}

impl<W: Write> Answers<W> {
    fn write(&self, answer: &Value) {
        let mut line = answer.to_string().into_bytes();
        line.push(b'\n');
        let mut out = lock(&self.out);
        // Nobody left to tell: the end of stdin follows.
        let _ = out.write_all(&line).and_then(|()| out.flush());
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) type Answer = Result<Value, NativeError>;

#[cfg(test)]
mod tests;
