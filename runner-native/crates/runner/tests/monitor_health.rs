//! Health checks of kept containers: by docker's rules, told in state.json, and acted on where that is asked for.

mod support;

use serde_json::{Value, json};
use support::kept::Container;
use support::{eventually, processes_with, unique_seconds};

const INIT: &str = "trap 'exit 0' TERM; while :; do sleep 0.05; done";

fn checked(script: &str, change: impl FnOnce(&mut Value)) -> Container {
    Container::new(INIT).change(|spec| {
        spec["health"] = json!({
            "args": ["sh", "-c", script], "intervalMs": 100, "timeoutMs": 5000, "startPeriodMs": 0, "startIntervalMs": 0, "retries": 2,
        });
        change(spec);
    })
}

fn health(container: &Container) -> Value {
    container.state()["health"].clone()
}

fn eventually_is(container: &Container, status: &str) {
    eventually(status, || health(container)["status"] == status);
}

#[test]
fn it_is_starting_then_healthy_then_unhealthy_as_its_command_says() {
    let container = checked("echo out; echo err >&2; [ ! -e /bad ]", |_| {});
    container.start();
    assert_eq!(health(&container)["status"], "starting");
    eventually_is(&container, "healthy");
    let check = health(&container)["log"][0].clone();
    assert_eq!((&check["exitCode"], &check["output"]), (&json!(0), &json!("out\nerr\n")));
    assert!(check["start"].as_u64() <= check["end"].as_u64() && check["start"].as_u64() > Some(0), "{check}");
    container.execute(&["touch", "/bad"]);
    eventually_is(&container, "unhealthy");
    eventually("it has failed more often than is kept", || health(&container)["failingStreak"].as_u64() > Some(6));
    assert_eq!(health(&container)["log"].as_array().unwrap().len(), 5);
    container.execute(&["rm", "/bad"]);
    eventually_is(&container, "healthy");
    assert_eq!(health(&container)["failingStreak"], 0);
}

#[test]
fn a_check_that_takes_too_long_is_killed_with_what_it_started() {
    let seconds = unique_seconds();
    let container = checked(&format!("echo begun; sleep {seconds}; :"), |spec| spec["health"]["timeoutMs"] = json!(300));
    container.start();
    eventually_is(&container, "unhealthy");
    let check = health(&container)["log"][0].clone();
    assert_eq!((&check["exitCode"], &check["output"]), (&json!(-1), &json!("Health check exceeded timeout (300ms): begun\n")));
    container.stop();
    assert!(processes_with(&seconds).is_empty());
}

#[test]
fn much_output_is_cut_and_what_cannot_be_executed_is_told() {
    let container = checked("yes x | dd bs=1000 count=100 2>/dev/null | cat; exit 1", |_| {});
    container.start();
    eventually_is(&container, "unhealthy");
    let output = health(&container)["log"][0]["output"].as_str().unwrap().to_owned();
    assert!(output.len() == 4099 && output.ends_with("..."), "{}", output.len());

    let container = checked("", |spec| spec["health"]["args"] = json!(["missing"]));
    container.start();
    eventually_is(&container, "unhealthy");
    let check = health(&container)["log"][0].clone();
    assert!(check["exitCode"] == -1 && check["output"].as_str().unwrap().contains("missing"), "{check}");
}

#[test]
fn failures_of_the_start_period_are_forgiven() {
    let container = checked("false", |spec| {
        spec["health"]["startPeriodMs"] = json!(60_000);
        spec["health"]["startIntervalMs"] = json!(50);
        spec["health"]["intervalMs"] = json!(60_000);
    });
    container.start();
    eventually("five have failed", || health(&container)["log"].as_array().unwrap().len() == 5);
    assert_eq!((&health(&container)["status"], &health(&container)["failingStreak"]), (&json!("starting"), &json!(0)));
}

#[test]
fn a_paused_container_is_not_checked() {
    let container = checked("echo x >>/checks", |_| {}).in_cgroup("health-paused");
    container.start();
    eventually_is(&container, "healthy");
    container.ask(json!({ "op": "pause" }));
    let before = health(&container);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(health(&container), before);
    container.ask(json!({ "op": "unpause" }));
    eventually("it is checked again", || health(&container) != before);
    assert_eq!(health(&container)["status"], "healthy");
}

#[test]
fn an_unhealthy_one_is_killed_restarted_or_stopped_where_that_is_asked_for() {
    let bad = |action: &str, policy: &str| {
        let container = checked("false", |spec| {
            spec["health"]["onFailure"] = json!(action);
            spec["restart"] = json!({ "policy": policy, "maximumRetries": 0 });
        });
        container.start();
        container
    };
    let killed = bad("kill", "no");
    assert_eq!(killed.wait(), 137);
    let again = bad("kill", "on-failure");
    eventually("it was restarted by its policy", || again.state()["restartCount"].as_u64() > Some(0));
    let stopped = bad("stop", "always");
    assert_eq!(stopped.wait(), 0);
    let restarted = bad("restart", "no");
    let first = restarted.state()["startedAt"].clone();
    eventually("it was restarted", || restarted.state()["startedAt"] != first && restarted.status() == "running");
}

#[test]
fn its_checks_end_with_the_monitor() {
    let seconds = unique_seconds();
    let container = checked(&format!("sleep {seconds}"), |_| {});
    container.start();
    eventually("it is checked", || !processes_with(&seconds).is_empty());
    rustix::process::kill_process(container.pid("monitorPid"), rustix::process::Signal::KILL).unwrap();
    eventually("nothing is left", || processes_with(&seconds).is_empty());
}
