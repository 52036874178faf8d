//! `run` with a terminal: the container's own pty, ours raw meanwhile and as before afterwards.

mod support;

use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::json;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Fixture, eventually, signal};

struct Session {
    master: File,
    slave: OwnedFd,
    child: Child,
    seen: String,
    _fixture: Fixture,
}

impl Session {
    fn start(script: &str) -> Self {
        let mut fixture = Fixture::new(&["sh", "-c", script]);
        fixture.config()["process"]["terminal"] = json!(true);
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let stream = || Stdio::from(slave.try_clone().unwrap());
        let command = fixture.shell_command("self run test", "");
        let child = Command::new("sh").args(["-c", &command]).stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        Self { master: File::from(master), slave, child, seen: String::new(), _fixture: fixture }
    }

    fn expect(&mut self, text: &str) {
        let start = Instant::now();
        while !self.seen.contains(text) {
            assert!(start.elapsed() < Duration::from_secs(10), "{text:?} never came: {:?}", self.seen);
            let mut bytes = [0; 1024];
            let count = self.master.read(&mut bytes).unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.slave).unwrap().local_modes.contains(LocalModes::ICANON)
    }
}

#[test]
fn has_a_terminal_of_its_own_and_gives_ours_back() {
    let mut session = Session::start("tty; stty size; stat -c %t /dev/console; echo ready; read line; echo got $line; exit 9");
    session.expect("ready");
    assert!(session.seen.contains("/dev/pts/0\r\n33 77\r\n88\r\n"), "{:?}", session.seen);
    eventually("our side is raw", || session.is_raw());
    session.master.write_all(b"hello\r").unwrap();
    session.expect("got hello");
    assert_eq!(session.child.wait().unwrap().code(), Some(9));
    assert!(!session.is_raw());
}

#[test]
fn follows_the_size_of_ours() {
    let mut session = Session::start("trap 'stty size; exit 0' WINCH; echo ready; while true; do sleep 0.01; done");
    session.expect("ready");
    eventually("our side is raw", || session.is_raw());
    tcsetwinsize(&session.slave, Winsize { ws_row: 11, ws_col: 22, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    // No controlling terminal here, so the kernel does not tell.
    signal(&session.child, rustix::process::Signal::WINCH);
    session.expect("11 22");
    assert_eq!(session.child.wait().unwrap().code(), Some(0));
}

#[test]
fn passes_an_interrupt_to_the_container_only() {
    let mut session = Session::start("trap 'echo interrupted; exit 3' INT; echo ready; while true; do sleep 0.01; done");
    session.expect("ready");
    eventually("our side is raw", || session.is_raw());
    session.master.write_all(b"\x03").unwrap();
    session.expect("interrupted");
    assert_eq!(session.child.wait().unwrap().code(), Some(3));
}

#[test]
fn gives_ours_back_even_when_it_is_killed() {
    let mut session = Session::start("echo ready; sleep 1000");
    session.expect("ready");
    eventually("our side is raw", || session.is_raw());
    signal(&session.child, rustix::process::Signal::KILL);
    session.child.wait().unwrap();
    eventually("our side is as before", || !session.is_raw());
}

#[test]
fn has_a_terminal_without_one_of_ours() {
    let mut fixture = Fixture::new(&["sh", "-c", "tty; stty size; cat"]);
    fixture.config()["process"]["terminal"] = json!(true);
    fixture.config()["process"]["consoleSize"] = json!({ "height": 5, "width": 6 });
    let mut child = fixture.command().stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"typed\n").unwrap();
    let output = child.wait_with_output().unwrap();
    // Echoed once by the terminal, as soon as it comes, and once by cat, which sees the end.
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.replacen("typed\r\n", "", 1) == "/dev/pts/0\r\n5 6\r\ntyped\r\n", "{text:?}");
}
