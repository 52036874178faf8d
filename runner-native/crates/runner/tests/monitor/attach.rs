//! Who is attached: by streams and by a terminal, several at once, slow ones, and those that leave.

use crate::support::kept::Container;
use crate::support::{eventually, signal};
use crate::text;
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

fn interactive(spec: &mut Value) {
    spec["openStdin"] = json!(true);
}

fn with_terminal(script: &str) -> Container {
    Container::new(script).change(interactive).configure(|config| config["process"]["terminal"] = json!(true))
}

/// Somebody at a terminal.
struct Session {
    master: File,
    slave: OwnedFd,
    child: Child,
    seen: String,
}

impl Session {
    fn start(container: &Container, verb: &str, arguments: &[&str]) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let stream = || Stdio::from(slave.try_clone().unwrap());
        container.write_spec();
        let child = container.command(verb, arguments).stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        Self { master: File::from(master), slave, child, seen: String::new() }
    }

    fn expect(&mut self, expected: &str) {
        let start = Instant::now();
        while !self.seen.contains(expected) {
            assert!(start.elapsed() < Duration::from_secs(10), "no {expected:?} in {:?}", self.seen);
            let mut fds = [rustix::event::PollFd::new(&self.master, rustix::event::PollFlags::IN)];
            let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            if matches!(rustix::event::poll(&mut fds, Some(&timeout)), Ok(1)) {
                let mut bytes = [0; 4096];
                let count = self.master.read(&mut bytes).unwrap();
                self.seen.push_str(&text(&bytes[..count]));
            }
        }
        self.seen.clear();
    }

    fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.slave).unwrap().local_modes.contains(LocalModes::ICANON)
    }

    fn status(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

#[test]
fn a_terminal_has_our_size_is_left_by_its_keys_and_taken_again() {
    let container = with_terminal("stty size; echo ready; while read line; do echo got $line; stty size; done; exit 3");
    let mut first = Session::start(&container, "start", &["--attach", "stdin,stdout,stderr"]);
    first.expect("33 77\r\nready\r\n");
    assert!(first.is_raw());
    first.press("hello\n");
    first.expect("got hello\r\n");
    tcsetwinsize(&first.master, Winsize { ws_row: 20, ws_col: 50, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    signal(&first.child, Signal::WINCH);
    std::thread::sleep(Duration::from_millis(100));
    first.press("x\n");
    first.expect("20 50");
    first.press("\x10\x11");
    assert_eq!(first.status(), 0);
    assert!(!first.is_raw());
    assert_eq!(container.status(), "running");

    let mut again = Session::start(&container, "attach", &["--detach-keys", "ctrl-x"]);
    again.press("back\n");
    again.expect("got back\r\n");
    let mut other = Session::start(&container, "attach", &[]);
    // It has our size now: there is only one.
    other.press("\x10and others\n");
    other.expect("and others");
    again.expect("and others");
    again.press("\x18");
    assert_eq!(again.status(), 0);
    other.press("\x04");
    other.press("\x04");
    assert_eq!(other.status(), 3);
    assert!(!other.is_raw());
    eventually("it has ended", || !container.is_locked());
    assert!(container.log().contains("stdout: got hello\r\n"), "{}", container.log());
}

#[test]
fn input_goes_in_and_ends_and_output_comes_out_apart() {
    let container = Container::new("cat; echo done >&2; exit 6").change(interactive);
    let mut child = container
        .start_command(&["--attach", "stdin,stdout,stderr"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = "0123456789abcdef".repeat(20_000);
    let mut stdin = child.stdin.take().unwrap();
    let sent = input.clone();
    let writer = std::thread::spawn(move || stdin.write_all(sent.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(6), "done\n".to_owned()));
    assert_eq!(output.stdout, input.as_bytes());
}

#[test]
fn input_stays_open_for_who_comes_later_where_it_was_started_without() {
    let container = Container::new("while read line; do echo got $line; done; echo end").change(interactive);
    container.start();
    for word in ["one", "two"] {
        let mut child = container.command("attach", &[]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{word}\n").as_bytes()).unwrap();
        eventually("it is read", || container.log().contains(&format!("got {word}\n")));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(container.status(), "running");
    assert!(!container.log().contains("end"));
}

#[test]
fn signals_are_the_container_s_unless_they_are_ours() {
    let container = Container::new("trap 'echo hup' HUP; trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.05; done");
    let child = container.start_command(&["--attach", "stdout,stderr"]).stdout(Stdio::piped()).spawn().unwrap();
    eventually("it is ready", || container.path("log").exists() && container.log().contains("ready"));
    let other = container.command("attach", &["--no-sig-proxy"]).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    signal(&other, Signal::TERM);
    let mut other = other;
    assert_eq!(other.wait().unwrap().code(), Some(143));
    signal(&child, Signal::HUP);
    eventually("it has heard of it", || container.log().contains("hup"));
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(9), "ready\nhup\nterm\n".to_owned()));
}

#[test]
fn many_see_all_of_what_comes_at_once_and_so_does_the_log() {
    const LINES: usize = 60_000;
    let script = format!("read go; i=0; while [ $i -lt {LINES} ]; do echo line number $i; i=$((i+1)); done");
    let container = Container::new(&script).change(interactive);
    let mut first =
        container.start_command(&["--attach", "stdin,stdout,stderr"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    eventually("it runs", || container.path("state.json").exists() && container.status() == "running");
    let others: Vec<Child> = (0..3).map(|_| container.command("attach", &[]).stdout(Stdio::piped()).spawn().unwrap()).collect();
    std::thread::sleep(Duration::from_millis(300));
    let mut stdin = first.stdin.take().unwrap();
    stdin.write_all(b"go\n").unwrap();
    let expected: String = (0..LINES).map(|number| format!("line number {number}\n")).collect();
    let readers: Vec<_> = [first].into_iter().chain(others).map(|child| std::thread::spawn(|| child.wait_with_output().unwrap())).collect();
    for reader in readers {
        let output = reader.join().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(output.stdout.len(), expected.len());
        assert!(output.stdout == expected.as_bytes());
    }
    drop(stdin);
    eventually("it has ended", || !container.is_locked());
    assert!(container.log().replace("stdout: ", "") == expected);
}

#[test]
fn a_client_that_has_stopped_delays_the_container_a_little_and_loses_nothing() {
    const BYTES: usize = 4 << 20;
    let script = format!("read go; dd if=/dev/zero bs=64k count={} 2>/dev/null; echo done >&2", BYTES >> 16);
    let container = Container::new(&script).change(interactive).change(|spec| {
        spec["log"] = Value::Null;
        spec["restart"] = json!({ "policy": "no", "maximumRetries": 0 });
    });
    let slow = container.start_command(&["--attach", "stdin,stdout"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    eventually("it runs", || container.path("state.json").exists() && container.status() == "running");
    let other = container.command("attach", &["--no-stdin"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    slow.stdin.as_ref().unwrap().write_all(b"go\n").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    signal(&slow, Signal::STOP);
    let start = Instant::now();
    let output = other.wait_with_output().unwrap();
    assert!(text(&output.stderr).ends_with("done\n") && output.status.success());
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    // Its end is true, and it can be started again, though somebody has not seen all of it yet.
    eventually("the lock is free", || !container.is_locked());
    assert_eq!(container.status(), "exited");
    signal(&slow, Signal::CONT);
    let output = slow.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(0), BYTES));
}
