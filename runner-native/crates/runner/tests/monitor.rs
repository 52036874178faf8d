//! `monitor`: containers that are kept. Their logs and states, what becomes of them however they or their monitors end, who is attached to them,
//! and that nothing of them is left behind.

mod support;

#[path = "monitor/attach.rs"]
mod attach;
#[path = "monitor/faults.rs"]
mod faults;

use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::process::Output;
use std::time::{Duration, Instant};
use support::kept::Container;
use support::{eventually, processes_with, unique_seconds};

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn error_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stderr).unwrap_or_else(|_| panic!("{}", text(&output.stderr)))
}

#[test]
fn a_container_leaves_its_log_its_state_and_what_it_wrote() {
    let container = Container::new("echo out; echo err >&2; echo kept >/file; exit 7");
    container.start();
    eventually("it has ended", || !container.is_locked());
    let state = container.state();
    assert_eq!((&state["status"], &state["exitCode"], &state["pid"]), (&json!("exited"), &json!(7), &json!(0)), "{state}");
    assert!(state["startedAt"].as_u64() <= state["finishedAt"].as_u64() && state["startedAt"].as_u64() > Some(0));
    let log = container.log();
    assert!(log.contains("stdout: out\n") && log.contains("stderr: err\n"), "{log}");
    assert_eq!(fs::read_to_string(container.path("upper/file")).unwrap(), "kept\n");
    assert!(!container.path("control").exists());
}

#[test]
fn what_was_written_is_there_at_the_next_start_attributes_of_the_root_included() {
    let container = Container::new("stat -c %a /; chmod 711 /; cat /file; echo again >>/file");
    for _ in 0..3 {
        let output = container.start_command(&["--attach", "stdout,stderr"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    assert_eq!(fs::read_to_string(container.path("upper/file")).unwrap(), "again\nagain\nagain\n");
    assert!(container.log().ends_with("stdout: 711\nstdout: again\nstdout: again\n"), "{}", container.log());
}

#[test]
fn one_that_is_not_kept_is_restarted_though_nothing_of_it_is_synced() {
    let container = Container::new("trap 'exit 0' TERM; echo again >>/file; cat /file; while :; do sleep 0.05; done")
        .change(|spec| spec["removeAtEnd"] = json!(true));
    container.start();
    eventually("it runs", || container.log().contains("again"));
    assert!(container.path("work/work/incompat/volatile").exists());
    assert_eq!(container.ask(json!({ "op": "restart" })), json!({}));
    eventually("it runs again", || container.log().ends_with(&"stdout: again\n".repeat(3)));
    assert_eq!(container.state()["restartCount"], json!(0));
}

#[test]
fn a_container_that_cannot_be_started_says_why_to_who_started_it() {
    for (arguments, status, code) in [(&["/nowhere"], 127, "run/command-not-found"), (&["/etc/hosts"], 126, "run/command-not-executable")] {
        for attached in [&[][..], &["--attach", "stdout"]] {
            let container = Container::with(arguments);
            let output = container.start_command(attached).output().unwrap();
            assert_eq!((output.status.code(), &error_of(&output)["code"]), (Some(status), &json!(code)));
            eventually("the monitor has ended", || !container.is_locked());
            let state = container.state();
            assert_eq!((&state["status"], &state["exitCode"]), (&json!("exited"), &json!(status)));
            assert_eq!(state["error"], error_of(&output)["detail"]);
        }
    }
    let container = Container::new("true").configure(|config| config["mounts"][0]["type"] = json!("nonsense"));
    let output = container.start_command(&[]).output().unwrap();
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn it_is_stopped_by_its_signal_and_killed_when_it_does_not_mind() {
    let container = Container::new("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done");
    container.start();
    eventually("it is ready", || container.log().contains("ready"));
    assert_eq!(container.status(), "running");
    assert_eq!(container.ask(json!({ "op": "stop" })), json!({ "exitCode": 3 }));
    assert!(container.log().ends_with("stdout: bye\n"));
    assert_eq!(container.state()["stoppedByUser"], json!(true));

    let stubborn = Container::new("trap '' TERM; echo ready; while :; do sleep 0.05; done");
    stubborn.start();
    eventually("it is ready", || stubborn.log().contains("ready"));
    let start = Instant::now();
    assert_eq!(stubborn.ask(json!({ "op": "stop", "timeoutMs": 300 })), json!({ "exitCode": 137 }));
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(stubborn.refusal(json!({ "op": "stop" }))["code"], "native/not-running");
}

#[test]
fn who_runs_is_not_started_twice() {
    let container = Container::with(&["sleep", &unique_seconds()]);
    container.start();
    let output = container.start_command(&[]).output().unwrap();
    assert_eq!((output.status.code(), &error_of(&output)["code"]), (Some(125), &json!("native/state")));
    container.ask(json!({ "op": "kill", "signal": "KILL" }));
    eventually("it has ended", || !container.is_locked());
    assert_eq!(container.state()["exitCode"], json!(137));
}

#[test]
fn everything_ends_with_the_monitor() {
    let seconds = unique_seconds();
    let container = Container::with(&["sleep", &seconds]).in_cgroup("monitor-killed");
    container.start();
    rustix::process::kill_process(container.pid("monitorPid"), Signal::KILL).unwrap();
    eventually("the container is gone", || processes_with(&seconds).is_empty() && !container.is_locked());
    assert_eq!(container.status(), "running");
    let output = container.command("clean", &[]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let state = container.state();
    assert_eq!((&state["status"], &state["exitCode"]), (&json!("exited"), &json!(137)));
    assert_eq!(support::bundle::cgroups(&support::bundle::id("monitor-killed")), 0);
}

#[test]
fn a_container_that_is_not_kept_leaves_nothing() {
    let container = Container::new("echo hello; exit 4").change(|spec| spec["removeAtEnd"] = json!(true));
    let output = container.start_command(&["--attach", "stdout,stderr"]).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(4), "hello\n".to_owned()), "{}", text(&output.stderr));
    let left: Vec<_> = fs::read_dir(container.fixture.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("container")), "{left:?}");
}

#[test]
fn who_waits_hears_of_the_next_end_and_policies_start_again() {
    let container = Container::new("echo run; sleep 0.3; exit 5")
        .change(|spec| spec["restart"] = json!({ "policy": "on-failure", "maximumRetries": 2 }));
    container.start();
    assert_eq!(container.wait(), 5);
    eventually("it has given up", || !container.is_locked());
    assert_eq!(container.log(), "stdout: run\n".repeat(3));
    let state = container.state();
    assert_eq!((&state["restartCount"], &state["status"], &state["exitCode"]), (&json!(2), &json!("exited"), &json!(5)));
}
