//! The server: a thread for each connection, and a socket by which it is asked, once, for what was observed.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::report::report;

/// How long mounts may outlive who made them, who was killed: as long as the container takes to end.
const END_MAX: Duration = Duration::from_secs(10);

/// Each connection from when a byte says that it is mounted, until the other end is shut down for writing, which asks for the report; nothing is served after it. One that is gone asks for nothing: then the mounts
/// are about to go, and are served until then, for a container that ends while its files do not answer does not end.
///
/// `taint`: what was learnt that could not be noted.
pub fn serve(connections: Vec<Connection>, mut control: UnixStream, taint: impl Fn() -> Option<&'static str>) {
    let connections: Arc<[Connection]> = connections.into();
    let running = Arc::new(AtomicUsize::new(0));
    for position in 0..connections.len() {
        if control.read_exact(&mut [0]).is_err() {
            break;
        }
        // One thread for each: of several the kernel wakes one after the other, often for a request that another has answered meanwhile.
        let (connections, running) = (connections.clone(), running.clone());
        running.fetch_add(1, Ordering::Relaxed);
        std::thread::spawn(move || {
            if connections[position].run().is_err() {
                std::process::exit(1);
            }
            running.fetch_sub(1, Ordering::Relaxed);
        });
    }
    let _ = control.read_to_end(&mut Vec::new());
    let failed = connections.iter().find_map(Connection::failed);
    // All is still mounted, unless the root could not be made.
    let was_cut = running.load(Ordering::Relaxed) < connections.len();
    if control.write_all(report(&connections, failed.as_deref(), was_cut, taint()).as_bytes()).is_ok() {
        return;
    }
    let start = Instant::now();
    while running.load(Ordering::Relaxed) > 0 && start.elapsed() < END_MAX {
        std::thread::sleep(Duration::from_millis(2));
    }
}
