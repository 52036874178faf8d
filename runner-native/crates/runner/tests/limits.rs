//! Limits that are really in force, with the cgroups of this machine; a test says which controller it misses.

mod support;

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use support::bundle::{Bundle, cgroups, id, unified_controllers};
use support::{Fixture, eventually, signal};

/// A container that is created with these resources and not yet started.
fn created(script: &str, test: &str, resources: Value) -> (Bundle, String) {
    let (bundle, id) = (Bundle::with(script, |config| config["linux"]["resources"] = resources), id(test));
    assert!(bundle.create(&[&id]), "{}", bundle.out());
    (bundle, id)
}

/// In either version.
fn has(controller: &str) -> bool {
    is_there(controller, unified_controllers().map_or_else(|| has_version_1(controller), |all| all.contains(controller)))
}

fn is_there(what: &str, is_there: bool) -> bool {
    if !is_there {
        eprintln!("skipped: this machine's cgroups lack {what}");
    }
    is_there
}

fn has_version_1(controller: &str) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut hierarchies = mounts.lines().filter_map(|line| line.split_once(" - cgroup "));
    hierarchies.any(|(_, rest)| rest.split([' ', ',']).any(|word| word == controller))
}

fn file(bundle: &Bundle, id: &str, controller: &str, file: &str) -> PathBuf {
    let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", bundle.state(id)["pid"])).unwrap();
    let hierarchies = cgroups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let (name, path) =
        hierarchies.into_iter().find(|(all, _)| all.split(',').any(|one| one == controller)).expect("a cgroup of the controller");
    Path::new("/sys/fs/cgroup").join(name).join(path.trim_start_matches('/')).join(file)
}

fn value(bundle: &Bundle, id: &str, controller: &str, name: &str) -> String {
    fs::read_to_string(file(bundle, id, controller, name)).unwrap().trim().to_owned()
}

const EAT: &str = "dd if=/dev/zero of=/dev/null bs=64M count=1";

#[test]
fn too_much_memory_is_death() {
    if !has("memory") {
        return;
    }
    let limit = json!({ "memory": { "limit": 16 << 20, "swap": 16 << 20 } });
    let (bundle, id) = (Bundle::with(EAT, |config| config["linux"]["resources"] = limit), id("memory"));
    assert_eq!(bundle.call(&["run", &id]).status.code(), Some(137));
    assert_eq!(cgroups(&id), 0);
}

#[test]
fn too_many_processes_are_refused() {
    if !has("pids") {
        return;
    }
    let (bundle, id) = (
        Bundle::with("sleep 9 & sleep 9 & sleep 9 & sleep 9 & echo all", |config| {
            config["linux"]["resources"] = json!({ "pids": { "limit": 3 } })
        }),
        id("pids"),
    );
    let output = bundle.call(&["run", &id]);
    assert!(output.stdout.is_empty() && String::from_utf8_lossy(&output.stderr).contains("fork"), "{output:?}");
}

#[test]
fn limits_are_written_before_anything_runs_and_updated_later() {
    if !is_there("version 1", ["cpu", "memory", "pids", "cpuset"].into_iter().all(has_version_1)) {
        return;
    }
    let resources = json!({
        "cpu": { "shares": 512, "quota": 20_000, "period": 50_000, "cpus": "0" },
        "memory": { "limit": 64 << 20, "swap": 128 << 20, "reservation": 32 << 20 },
        "pids": { "limit": 20 },
    });
    let (bundle, id) = created("sleep 60", "written", resources);
    let is = |controller, name, expected: &str| assert_eq!(value(&bundle, &id, controller, name), expected, "{name}");
    is("cpu", "cpu.shares", "512");
    is("cpu", "cpu.cfs_quota_us", "20000");
    is("cpu", "cpu.cfs_period_us", "50000");
    is("cpuset", "cpuset.cpus", "0");
    is("memory", "memory.limit_in_bytes", "67108864");
    is("memory", "memory.memsw.limit_in_bytes", "134217728");
    is("memory", "memory.soft_limit_in_bytes", "33554432");
    is("pids", "pids.max", "20");

    bundle.ok(&["start", &id]);
    bundle.ok(&[
        "update",
        "--memory",
        "256m",
        "--memory-swap",
        "512m",
        "--cpu-quota",
        "30000",
        "--pids-limit",
        "-1",
        "--cpu-share",
        "256",
        &id,
    ]);
    is("memory", "memory.limit_in_bytes", "268435456");
    is("memory", "memory.memsw.limit_in_bytes", "536870912");
    is("cpu", "cpu.cfs_quota_us", "30000");
    is("cpu", "cpu.cfs_period_us", "50000");
    is("cpu", "cpu.shares", "256");
    is("pids", "pids.max", "max");
    fs::write(bundle.path("new.json"), json!({ "memory": { "limit": 32 << 20, "swap": -1 }, "pids": { "limit": 9 } }).to_string()).unwrap();
    bundle.ok(&["update", "-r", "new.json", &id]);
    is("memory", "memory.limit_in_bytes", "33554432");
    is("pids", "pids.max", "9");
    assert!(bundle.error(&["update", "--memory", "much", &id]).contains("--memory takes bytes"));
    assert!(bundle.error(&["update", "--cpu-period", "1", &id]).contains("linux.resources.cpu.period: 1 is not from 1000"));
    assert!(bundle.error(&["update", "--memory", "1m", "no-such"]).contains("does not exist"));
}

#[test]
fn devices_are_denied_though_their_nodes_are_there() {
    // Version 2 has programs in the place of a controller.
    if !is_there("devices", unified_controllers().is_some() || has_version_1("devices")) {
        return;
    }
    let script =
        "mknod /tmp/fuse c 10 229 && true </tmp/fuse; mknod /tmp/zero c 1 5 && true </tmp/zero && echo zero; true <>/dev/null && echo null";
    let run = |rules: Value| {
        let (bundle, id) = (Bundle::with(script, |config| config["linux"]["resources"] = json!({ "devices": rules })), id("devices"));
        let output = bundle.call(&["run", &id]);
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (out, err) = run(json!([{ "allow": false, "access": "rwm" }]));
    assert_eq!(out, "zero\nnull\n", "{err}");
    assert!(err.contains("/tmp/fuse") && err.contains("not permitted"), "{err}");
    let (_, err) =
        run(json!([{ "allow": false, "access": "rwm" }, { "allow": true, "type": "c", "major": 10, "minor": 229, "access": "r" }]));
    assert!(!err.contains("not permitted"), "{err}");
}

#[test]
fn what_cannot_be_had_or_cannot_be_is_an_error_before_anything_starts() {
    for (resources, expected) in [
        (json!({ "unified": { "memory.high": "1000" } }), "linux.resources."),
        (json!({ "rdma": { "mlx5_1": { "hcaObjects": 1 } } }), "linux.resources.rdma"),
        (json!({ "memory": { "limit": 10, "swap": 5 } }), "linux.resources.memory.swap"),
        (json!({ "pids": { "limit": "many" } }), "config.json"),
    ] {
        if expected == "linux.resources." && unified_controllers().is_some() {
            continue;
        }
        let (bundle, id) = (Bundle::with("touch /was-here", |config| config["linux"]["resources"] = resources), id("cannot"));
        let output = bundle.call(&["run", &id]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(125) && text.contains(expected), "{text}");
        assert!(!bundle.path("rootfs/was-here").exists());
        assert_eq!((bundle.ok(&["list", "-q"]).as_str(), cgroups(&id)), ("", 0));
    }
}

#[test]
fn events_tell_what_is_taken_and_who_is_killed() {
    if !has("memory") || !has("cpu") {
        return;
    }
    let script = format!("while [ ! -e /go ]; do sleep 0.1; done; sh -c '{EAT}'; sleep 1");
    let (bundle, id) = created(&script, "events", json!({ "memory": { "limit": 16 << 20, "swap": 16 << 20 }, "pids": { "limit": 30 } }));
    bundle.ok(&["start", &id]);
    let stats: Value = serde_json::from_str(&bundle.ok(&["events", "--stats", &id])).unwrap();
    assert_eq!((stats["type"].as_str(), stats["id"].as_str()), (Some("stats"), Some(id.as_str())));
    assert_eq!(stats["data"]["memory"]["usage"]["limit"], 16 << 20);
    assert!(stats["data"]["memory"]["usage"]["usage"].as_u64().unwrap() > 0);
    assert!(stats["data"]["cpu"]["usage"]["total"].as_u64().unwrap() > 0);
    assert_eq!(stats["data"]["pids"]["limit"], 30);

    let follower = bundle.command(&["events", "--interval", "300ms", &id]).stdout(Stdio::piped()).spawn().unwrap();
    fs::write(bundle.path("rootfs/go"), "").unwrap();
    let output = follower.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines: Vec<Value> = String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().filter(|line| line["type"] == "stats").count() > 1, "{lines:?}");
    assert!(lines.contains(&json!({ "type": "oom", "id": id })), "{lines:?}");
    assert!(bundle.error(&["events", "--stats", &id]).contains("is not running"));
}

/// As tbuild's own containers are limited: by a cgroup for as long as they last.
fn limited(script: &str, test: &str) -> (Fixture, String) {
    let (mut fixture, id) = (Fixture::new(&["sh", "-c", script]), id(test));
    fixture.config()["linux"]["cgroupsPath"] = json!(format!("/{id}"));
    fixture.config()["linux"]["resources"] = json!({ "memory": { "limit": 16 << 20, "swap": 16 << 20 } });
    (fixture, id)
}

#[test]
fn a_root_has_limits_and_tells_of_kills() {
    if !has("memory") {
        return;
    }
    for (script, status, kills) in
        [(EAT, 137, true), ("sh -c 'kill -9 $$'; exit $?", 137, false), ("cat /proc/self/cgroup >/dev/null", 0, false)]
    {
        let (fixture, id) = limited(script, "root");
        let output = fixture.run();
        assert_eq!((output.status, &output.result["killedForMemory"]), (status, &json!(kills)), "{}", output.stderr);
        assert_eq!(cgroups(&id), 0);
    }
}

#[test]
fn without_limits_there_is_no_cgroup() {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let mut fixture = Fixture::new(&["cat", "/proc/self/cgroup"]);
    let namespaces = fixture.config()["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "cgroup");
    assert_eq!(fixture.run().stdout, own);
}

#[test]
fn a_killed_root_leaves_no_cgroup() {
    if !has("memory") {
        return;
    }
    for pause_ms in [0, 5, 20, 100, 300] {
        let (fixture, id) = limited("sleep 60", &format!("killed{pause_ms}"));
        let mut child = fixture.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(pause_ms));
        signal(&child, rustix::process::Signal::KILL);
        child.wait().unwrap();
        eventually("the cgroup is gone", || cgroups(&id) == 0);
    }
}
