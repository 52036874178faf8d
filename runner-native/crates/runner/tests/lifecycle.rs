//! The operations of the runtime-spec, one command after the other, as podman and containerd use them.

mod support;

use serde_json::{Value, json};
use std::fs;
use std::io::{IoSliceMut, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::bundle::{Bundle, cgroups, id};
use support::{RUNNER, eventually, processes_with, unique_seconds};

#[test]
fn a_container_is_created_started_and_deleted() {
    let (bundle, id) = (Bundle::new("echo started; sleep 60"), id("life"));
    let pid_file = bundle.path("pid");
    assert!(bundle.create(&["--pid-file", pid_file.to_str().unwrap(), &id]), "{}", bundle.out());
    let state = bundle.state(&id);
    assert_eq!((state["status"].as_str(), state["id"].as_str()), (Some("created"), Some(id.as_str())));
    assert_eq!(state["pid"].to_string(), fs::read_to_string(pid_file).unwrap());
    assert_eq!(state["bundle"].as_str(), bundle.dir.path().to_str());
    assert_eq!(bundle.out(), "");

    bundle.ok(&["start", &id]);
    eventually("out", || bundle.out() == "started\n");
    assert_eq!(bundle.status(&id), "running");
    assert!(bundle.error(&["start", &id]).contains("it is running"));
    assert!(bundle.error(&["delete", &id]).contains("it is running"));
    assert!(bundle.ok(&["list", "-q"]).contains(&id));

    bundle.ok(&["kill", &id, "KILL"]);
    eventually("status", || bundle.status(&id) == "stopped");
    assert_eq!(bundle.state(&id)["pid"], 0);
    assert!(bundle.error(&["kill", &id]).contains("is not running"));
    bundle.ok(&["delete", &id]);
    assert!(bundle.error(&["state", &id]).contains("does not exist"));
    assert_eq!(cgroups(&id), 0);
}

#[test]
fn what_is_created_can_be_deleted_without_a_start() {
    let (bundle, id) = (Bundle::new("touch /was-here"), id("unstarted"));
    assert!(bundle.create(&[&id]), "{}", bundle.out());
    assert!(!bundle.create(&[&id]));
    assert!(bundle.out().contains("exists already"));
    bundle.ok(&["delete", &id]);
    assert!(!bundle.path("rootfs/was-here").exists());
    bundle.ok(&["delete", "--force", &id]);
    assert!(bundle.error(&["delete", &id]).contains("does not exist"));
}

#[test]
fn what_cannot_be_made_leaves_nothing() {
    let (bundle, id) = (Bundle::with("", |config| config["process"]["args"] = json!(["no-such-command"])), id("broken"));
    assert!(!bundle.create(&[&id]));
    assert!(bundle.out().contains("no-such-command is not in the container's PATH"), "{}", bundle.out());
    assert_eq!(bundle.ok(&["list", "-q"]), "");
    assert_eq!(cgroups(&id), 0);
}

#[test]
fn run_gives_the_exit_status_and_leaves_nothing() {
    let (bundle, id) = (Bundle::new("cat; exit 7"), id("run"));
    let mut command = bundle.command(&["run", &id]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hello").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(7), b"hello".as_slice()));
    assert_eq!(bundle.ok(&["list", "-q"]), "");
    assert_eq!(cgroups(&id), 0);
}

#[test]
fn run_detached_returns_at_once() {
    let (bundle, id) = (Bundle::new("sleep 60"), id("detached"));
    assert!(bundle.command(&["run", "--detach", &id]).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    assert_eq!(bundle.status(&id), "running");
    bundle.ok(&["delete", "--force", &id]);
}

#[test]
fn pause_stops_and_resume_goes_on() {
    let (bundle, id) = (Bundle::new("while true; do echo x; sleep 0.01; done"), id("pause"));
    assert!(bundle.create(&[&id]), "{}", bundle.out());
    bundle.ok(&["start", &id]);
    eventually("out", || bundle.out().len() > 2);
    bundle.ok(&["pause", &id]);
    assert_eq!(bundle.status(&id), "paused");
    let length = bundle.out().len();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(bundle.out().len(), length);
    assert!(bundle.error(&["exec", &id, "true"]).contains("it is paused"));
    bundle.ok(&["resume", &id]);
    eventually("out", || bundle.out().len() > length);
    bundle.ok(&["pause", &id]);
    bundle.ok(&["delete", "--force", &id]);
    assert_eq!(cgroups(&id), 0);
}

#[test]
fn exec_is_inside_with_what_it_was_told() {
    let (bundle, id) = (Bundle::new("echo up; sleep 60; true"), id("exec"));
    assert!(bundle.create(&[&id]), "{}", bundle.out());
    bundle.ok(&["start", &id]);
    eventually("out", || bundle.out() == "up\n");
    let script = "id -u; id -g; pwd; echo $A; hostname; cat /proc/1/comm; grep CapEff /proc/self/status; exit 5";
    let output = bundle.call(&["exec", "--user", "5:6", "--cwd", "/tmp", "--env", "A=b", &id, "sh", "-c", script]);
    assert_eq!(output.status.code(), Some(5));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), ["5", "6", "/tmp", "b", "tbuild", "sh", "CapEff:\t0000000000000000"]);
    for (command, status) in [("/bin/nope", 127), ("/etc", 126)] {
        assert_eq!(bundle.call(&["exec", &id, command]).status.code(), Some(status));
    }
    assert_eq!(bundle.ok(&["ps", "--format", "json", &id]).matches(',').count(), 1); // sh and sleep
    let process = bundle.path("process.json");
    fs::write(&process, json!({ "args": ["readlink", "/proc/self/ns/pid"], "env": ["PATH=/bin"], "cwd": "/", "user": {} }).to_string())
        .unwrap();
    let inside = bundle.ok(&["exec", "--process", process.to_str().unwrap(), &id]);
    let first = fs::read_link(format!("/proc/{}/ns/pid", bundle.state(&id)["pid"])).unwrap();
    assert_eq!(inside.trim(), first.to_str().unwrap());
}

#[test]
fn hooks_run_in_their_order_with_the_state() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let hook = |name: &str| {
        let script = format!("printf '{name} ' >>{0}; grep -o '\"status\":\"[a-z]*\"' >>{0}", log.display());
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }])
    };
    let hooks = json!({
        "prestart": hook("prestart"), "createRuntime": hook("createRuntime"), "createContainer": hook("createContainer"),
        "poststart": hook("poststart"), "poststop": hook("poststop"),
        "startContainer": [{ "path": "/bin/touch", "args": ["touch", "/start-container"] }],
    });
    let (bundle, id) = (Bundle::with("ls /start-container", |config| config["hooks"] = hooks), id("hooks"));
    assert_eq!(bundle.ok(&["run", &id]), "/start-container\n");
    let expected = [
        ("prestart", "creating"),
        ("createRuntime", "creating"),
        ("createContainer", "creating"),
        ("poststart", "running"),
        ("poststop", "stopped"),
    ];
    let lines = expected.map(|(name, status)| format!("{name} \"status\":\"{status}\"\n"));
    assert_eq!(fs::read_to_string(log).unwrap(), lines.concat());
}

#[test]
fn a_hook_that_fails_ends_the_container() {
    let hooks = json!({ "createRuntime": [{ "path": "/bin/false" }] });
    let (bundle, id) = (Bundle::with("touch /was-here", |config| config["hooks"] = hooks), id("badhook"));
    let output = bundle.call(&["run", &id]);
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("the hook /bin/false failed"));
    assert!(!bundle.path("rootfs/was-here").exists());
    assert_eq!(bundle.ok(&["list", "-q"]), "");
}

#[test]
fn the_terminal_goes_to_the_console_socket() {
    let (bundle, id) = (
        Bundle::with("tty; stty size", |config| {
            config["process"]["terminal"] = json!(true);
            config["process"]["consoleSize"] = json!({ "height": 33, "width": 99 });
        }),
        id("console"),
    );
    assert!(!bundle.create(&[&id]));
    assert!(bundle.out().contains("needs --console-socket"));
    let socket = bundle.path("s");
    let listener = UnixListener::bind(&socket).unwrap();
    assert!(bundle.create(&["--console-socket", socket.to_str().unwrap(), &id]), "{}", bundle.out());
    let (connection, _) = listener.accept().unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = rustix::net::RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 64];
    let got =
        rustix::net::recvmsg(connection.as_fd(), &mut [IoSliceMut::new(&mut name)], &mut control, rustix::net::RecvFlags::empty()).unwrap();
    assert_eq!(&name[..got.bytes], b"/dev/ptmx");
    let master = control.drain().find_map(|message| match message {
        rustix::net::RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    bundle.ok(&["start", &id]);
    let mut text = String::new();
    // A pty whose other side is closed says so by an error.
    let _ = fs::File::from(master.unwrap()).read_to_string(&mut text);
    assert_eq!(text, "/dev/pts/0\r\n33 99\r\n");
}

#[test]
fn an_error_is_a_line_in_the_log() {
    let (bundle, log) = (Bundle::new(""), "log.json");
    let output = bundle.call(&["--log", log, "--log-format", "json", "start", "no-such"]);
    assert_eq!(output.status.code(), Some(1));
    let line: Value = serde_json::from_str(fs::read_to_string(bundle.path(log)).unwrap().trim()).unwrap();
    assert_eq!((line["level"].as_str(), line["msg"].as_str()), (Some("error"), Some("container \"no-such\" does not exist")));
}

#[test]
fn descriptors_are_handed_on_when_asked_for() {
    let (bundle, id) = (Bundle::new("cat <&3 2>&1; ls /proc/self/fd | wc -l"), id("fds"));
    let given = bundle.path("given");
    fs::write(&given, "given\n").unwrap();
    let run = |flag: &str| {
        let script =
            format!("exec 3<{} 4</dev/null; exec {RUNNER} --root {} run {flag} {id}", given.display(), bundle.path("states").display());
        let output = Command::new("sh").args(["-c", &script]).current_dir(bundle.dir.path()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run("--preserve-fds 1").starts_with("given\n"));
    assert!(!run("").contains("given"));
}

/// Killed at any moment, `create` and `run` leave nothing that `delete --force` does not remove.
#[test]
fn a_killed_command_leaves_nothing_that_delete_does_not_remove() {
    let seconds = unique_seconds();
    let bundle = Bundle::new(&format!("sleep {seconds}"));
    for step in 0..30 {
        let id = id(&format!("killed{step}"));
        let mut child = bundle.command(&["run", &id]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(300 * step));
        child.kill().unwrap();
        child.wait().unwrap();
        bundle.ok(&["delete", "--force", &id]);
        assert_eq!(cgroups(&id), 0, "{step}");
        assert!(!bundle.path("states").join(&id).exists());
    }
    assert_eq!(processes_with(&seconds), [0; 0]);
}
