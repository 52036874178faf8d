//! `monitor exec`: what a command in a kept container is given and gives back, by streams or by a terminal, and what becomes of it when the
//! container or who has called it ends.

mod support;

use rustix::process::Signal;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::kept::Container;
use support::{eventually, processes_with, signal, unique_seconds};

/// One that only waits.
fn running() -> Container {
    let container = Container::new("trap 'exit 0' TERM; while :; do sleep 0.1; done");
    container.start();
    container
}

fn command(container: &Container, flags: &[&str], request: &Value) -> Command {
    let request = request.to_string();
    container.command("exec", &[flags, &[request.as_str()]].concat())
}

fn exec(container: &Container, flags: &[&str], request: &Value) -> Output {
    command(container, flags, request).output().unwrap()
}

fn sh(script: &str) -> Value {
    json!({ "args": ["sh", "-c", script] })
}

fn eventually_succeeds(container: &Container, request: &Value) {
    eventually("the command succeeds", || exec(container, &[], request).status.success());
}

/// Status, output and errors.
fn result(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_command_has_our_streams_and_we_have_its_status() {
    let container = running();
    let output = exec(&container, &[], &sh("echo out; echo err >&2; cat; echo x >/dev/stdout; exit 7"));
    assert_eq!(result(&output), (7, "out\nx\n".into(), "err\n".into()));
    let output = exec(&container, &[], &sh("kill -9 $$"));
    assert_eq!(output.status.code(), Some(137));
}

#[test]
fn it_is_in_the_container_with_what_it_is_given() {
    let container = running();
    let mut request =
        sh("id; pwd; echo $A $B $HOME; grep CapEff /proc/self/status; grep -c . /proc/self/cgroup; ls /proc/1/exe >/dev/null && echo 1");
    request["env"] = json!(["A=1", "B=x=y", "="]);
    request["cwd"] = json!("/tmp");
    let (status, out, err) = result(&exec(&container, &[], &request));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!((status, lines[1], lines[2]), (0, "/tmp", "1 x=y /"), "{out} {err}");
    assert!(lines[0].starts_with("uid=0") && lines[3].ends_with("00000000a80425fb"), "{out}");
    request["user"] = json!({ "uid": 5, "gid": 6, "groups": [7] });
    let (_, out, err) = result(&exec(&container, &[], &request));
    assert!(out.starts_with("uid=5 gid=6 groups=7") || out.starts_with("uid=5 gid=6 groups=6,7"), "{out} {err}");
    assert!(out.contains("0000000000000000"), "{out}");
    let privileged = json!({ "args": ["grep", "CapEff", "/proc/self/status"], "privileged": true });
    let (_, out, _) = result(&exec(&container, &[], &privileged));
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let all = own.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim();
    assert!(out.trim().ends_with(all), "{out} {all}");
}

#[test]
fn what_cannot_be_executed_is_told_as_docker_does() {
    let container = running();
    for (args, status, code) in [
        (json!(["missing"]), 127, "run/command-not-found"),
        (json!(["/etc"]), 126, "run/command-not-executable"),
        (json!([]), 125, "native/usage"),
    ] {
        let (found, _, err) = result(&exec(&container, &[], &json!({ "args": args })));
        let error: Value = serde_json::from_str(&err).unwrap_or_else(|_| panic!("{err}"));
        assert_eq!((found, error["code"].as_str()), (status, Some(code)), "{err}");
    }
    let (status, _, err) = result(&container.command("exec", &["{}"]).output().unwrap());
    assert!(status == 125 && err.contains("native/usage"), "{err}");
}

#[test]
fn its_input_is_ours_only_when_it_is_asked_for() {
    let container = running();
    let feed = |flags: &[&str]| {
        let mut child =
            command(&container, flags, &json!({ "args": ["wc", "-c"] })).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let written = std::thread::spawn(move || drop(stdin.write_all(&vec![b'x'; 1 << 20])));
        let output = child.wait_with_output().unwrap();
        written.join().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(feed(&["--interactive"]), "1048576\n");
    assert_eq!(feed(&[]), "0\n");
    // Nobody reads what comes without end: neither the command that has ended, nor its child that has not.
    let mut endless = Command::new("sh").args(["-c", "while :; do echo y; done"]).stdout(Stdio::piped()).spawn().unwrap();
    let script = sh("sleep 2 & exit 3");
    let ended = command(&container, &["--interactive"], &script).stdin(endless.stdout.take().unwrap()).status().unwrap();
    endless.kill().unwrap();
    endless.wait().unwrap();
    assert_eq!(ended.code(), Some(3));
    let file = container.path("input");
    std::fs::write(&file, "of a file").unwrap();
    let output = command(&container, &["--interactive"], &json!({ "args": ["cat"] })).stdin(File::open(file).unwrap()).output().unwrap();
    assert_eq!(output.stdout, b"of a file");
}

#[test]
fn a_detached_one_goes_on_without_us() {
    let container = running();
    let seconds = unique_seconds();
    for flags in [&["--detach"][..], &["--detach", "--tty"]] {
        let started = Instant::now();
        let output = exec(&container, flags, &sh(&format!("sleep {seconds}; :")));
        assert_eq!(result(&output), (0, String::new(), String::new()));
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    eventually("both sleep", || processes_with(&seconds).len() >= 4);
    let (status, _, err) = result(&exec(&container, &["--detach"], &json!({ "args": ["missing"] })));
    assert_eq!(status, 127, "{err}");
    container.stop();
    eventually("all have ended", || processes_with(&seconds).is_empty());
}

#[test]
fn a_paused_container_and_one_that_does_not_run_refuse() {
    let container = Container::new("while :; do sleep 0.1; done").in_cgroup("exec-paused");
    container.start();
    container.ask(json!({ "op": "pause" }));
    let (status, _, err) = result(&exec(&container, &[], &json!({ "args": ["true"] })));
    assert!(status == 125 && err.contains("paused"), "{err}");
    container.ask(json!({ "op": "unpause" }));
    assert_eq!(exec(&container, &[], &json!({ "args": ["true"] })).status.code(), Some(0));
    container.stop();
    let (status, _, err) = result(&exec(&container, &[], &json!({ "args": ["true"] })));
    assert!(status == 125 && err.contains("not running"), "{err}");
}

#[test]
fn it_ends_with_the_container_however_that_ends() {
    for end in ["init", "monitor", "stop"] {
        let container = running();
        let seconds = unique_seconds();
        let mut child = command(&container, &[], &json!({ "args": ["sleep", seconds] })).spawn().unwrap();
        eventually("it sleeps", || processes_with(&seconds).iter().any(|pid| *pid != child.id()));
        match end {
            "init" => rustix::process::kill_process(container.pid("pid"), Signal::KILL).unwrap(),
            "monitor" => rustix::process::kill_process(container.pid("monitorPid"), Signal::KILL).unwrap(),
            _ => container.stop(),
        }
        assert_eq!(child.wait().unwrap().code(), Some(137), "{end}");
        eventually("nothing is left", || processes_with(&seconds).is_empty());
    }
}

#[test]
fn without_its_caller_it_has_the_end_of_its_input() {
    let container = running();
    let mut child = command(&container, &["--interactive"], &sh("cat; echo over >/over")).stdin(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    eventually_succeeds(&container, &json!({ "args": ["sh", "-c", "ps | grep -q '[c]at$'"] }));
    child.kill().unwrap();
    child.wait().unwrap();
    eventually_succeeds(&container, &json!({ "args": ["cat", "/over"] }));
    drop(stdin);
}

#[test]
fn a_hundred_at_once_each_have_their_own() {
    let container = running();
    let start = |number: u32| {
        let script = format!("echo {number}; exit {number}");
        command(&container, &[], &sh(&script)).stdout(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<Child> = (0..100).map(start).collect();
    for (number, child) in (0..).zip(children) {
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8(output.stdout).unwrap()), (Some(number), format!("{number}\n")));
    }
    eventually("the monitor has no children of theirs", || {
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", container.pid("monitorPid").as_raw_nonzero()));
        children.unwrap().split_whitespace().count() == 1
    });
}

struct Session {
    master: File,
    slave: OwnedFd,
    child: Child,
    seen: String,
}

impl Session {
    fn start(container: &Container, flags: &[&str], script: &str) -> Self {
        let flags_of_pty = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags_of_pty).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags_of_pty).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let stream = || Stdio::from(slave.try_clone().unwrap());
        let child = command(container, flags, &sh(script)).stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        Self { master: File::from(master), slave, child, seen: String::new() }
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

const TERMINAL: [&str; 2] = ["--interactive", "--tty"];

#[test]
fn a_terminal_of_its_own_is_shown_on_ours() {
    let container = running();
    let mut session = Session::start(&container, &TERMINAL, "tty; stty size; echo $TERM; echo ready; read line; echo got $line; exit 9");
    session.expect("ready");
    assert!(session.seen.contains("/dev/pts/0\r\n33 77\r\nxterm\r\n"), "{:?}", session.seen);
    eventually("our side is raw", || session.is_raw());
    session.master.write_all(b"hello\r").unwrap();
    session.expect("got hello");
    assert_eq!(session.child.wait().unwrap().code(), Some(9));
    assert!(!session.is_raw());
}

#[test]
fn its_size_follows_ours() {
    let container = running();
    let mut session = Session::start(&container, &TERMINAL, "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done");
    session.expect("ready");
    tcsetwinsize(&session.master, Winsize { ws_row: 11, ws_col: 22, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    signal(&session.child, Signal::WINCH);
    session.expect("11 22");
    signal(&session.child, Signal::TERM);
    assert_eq!(session.child.wait().unwrap().code(), Some(143));
    assert!(!session.is_raw());
}

#[test]
fn keys_leave_it_to_itself_and_a_killed_caller_hangs_up() {
    let container = running();
    let script =
        "trap 'echo hup >>/hup; exit' HUP; echo ready; while :; do sleep 0.05; echo x; [ -e /end ] && echo over >/over && exit; done";
    let mut session = Session::start(&container, &TERMINAL, script);
    session.expect("ready");
    session.master.write_all(b"\x10\x11").unwrap();
    assert_eq!(session.child.wait().unwrap().code(), Some(0));
    assert!(!session.is_raw());
    eventually_succeeds(&container, &sh("touch /end; cat /over"));
    assert_ne!(exec(&container, &[], &json!({ "args": ["cat", "/hup"] })).status.code(), Some(0));

    let mut session = Session::start(&container, &TERMINAL, "trap 'echo hup >/hup; exit' HUP; echo ready; while :; do sleep 0.05; done");
    session.expect("ready");
    session.child.kill().unwrap();
    session.child.wait().unwrap();
    eventually_succeeds(&container, &json!({ "args": ["cat", "/hup"] }));
}

#[test]
fn a_terminal_of_ours_is_none_of_a_command_without_one() {
    let container = running();
    let mut session = Session::start(&container, &["--interactive"], "tty; [ -t 1 ] || echo none; echo ready");
    session.expect("ready");
    assert!(session.seen.contains("not a tty") && session.seen.contains("none"), "{:?}", session.seen);
    assert_eq!(session.child.wait().unwrap().code(), Some(0));
}

#[test]
fn another_runtime_executes_by_itself() {
    for name in ["crun", "runc"].into_iter().filter(|name| Command::new(name).arg("--version").output().is_ok()) {
        let container = Container::new("trap 'exit 0' TERM; while :; do sleep 0.1; done").under(name);
        container.start();
        eventually_succeeds(&container, &json!({ "args": ["true"] }));
        let mut request = sh("echo $A; pwd; exit 7");
        request["env"] = json!(["A=1"]);
        request["cwd"] = json!("/tmp");
        assert_eq!(result(&exec(&container, &[], &request)), (7, "1\n/tmp\n".into(), String::new()), "{name}");
        let (status, _, err) = result(&exec(&container, &[], &json!({ "args": ["missing"] })));
        assert!(status == 127 && err.contains("run/command-not-found"), "{name} {status} {err}");
        let mut session = Session::start(&container, &TERMINAL, "tty; stty size; echo ready; read line; echo got $line; exit 9");
        session.expect("ready");
        assert!(session.seen.contains("/dev/pts/0\r\n33 77\r\n"), "{name} {:?}", session.seen);
        session.master.write_all(b"hello\r").unwrap();
        session.expect("got hello");
        assert_eq!(session.child.wait().unwrap().code(), Some(9), "{name}");
        let seconds = unique_seconds();
        let output = exec(&container, &["--detach"], &json!({ "args": ["sleep", seconds] }));
        assert_eq!(result(&output), (0, String::new(), String::new()), "{name}");
        eventually("it sleeps", || !processes_with(&seconds).is_empty());
        container.stop();
        eventually("nothing is left", || processes_with(&seconds).is_empty());
    }
}
