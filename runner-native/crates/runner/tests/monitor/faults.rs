//! What goes wrong: monitors and containers that are killed at any moment, memory and disks that are full.

use crate::support::bundle::{cgroups, id};
use crate::support::kept::Container;
use crate::support::{eventually, is_mounted_below, processes_with, unique_seconds};
use crate::text;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Processes of the monitor, its children and the container.
fn remains(container: &Container, seconds: &str) -> bool {
    let directory = container.fixture.dir.path().display().to_string();
    !processes_with(seconds).is_empty() || !processes_with(&directory).is_empty()
}

#[test]
fn a_monitor_killed_at_any_moment_takes_everything_along() {
    let seconds = unique_seconds();
    let container = Container::with(&["sleep", &seconds]).in_cgroup("killed-any-moment");
    for delay_ms in (0..40).chain([60, 80, 120]) {
        let _ = fs::remove_file(container.path("state.json"));
        let mut start = container.start_command(&[]).stderr(Stdio::piped()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay_ms));
        // Whichever there is: the one that called it, the monitor, its children. Another may have been forked in between.
        eventually("nothing runs", || {
            let directory = container.fixture.path("container").display().to_string();
            for process in processes_with(&directory) {
                let _ = kill_process(Pid::from_raw(process as i32).unwrap(), Signal::KILL);
            }
            let _ = start.try_wait();
            !remains(&container, &seconds) && !container.is_locked()
        });
        assert!(!is_mounted_below(container.fixture.dir.path()));
        let output = container.command("clean", &[]).output().unwrap();
        assert!(output.status.success(), "{delay_ms}: {}", text(&output.stderr));
        assert_eq!(cgroups(&id("killed-any-moment")), 0, "{delay_ms}");
        if container.path("state.json").exists() {
            assert_eq!(container.status(), "exited");
        }
    }
    container.start();
    assert_eq!(container.status(), "running");
}

#[test]
fn a_container_whose_first_process_is_killed_has_ended_by_that() {
    let container = Container::with(&["sleep", &unique_seconds()]).in_cgroup("init-killed");
    for _ in 0..5 {
        container.start();
        kill_process(container.pid("pid"), Signal::KILL).unwrap();
        eventually("it has ended", || !container.is_locked());
        let state = container.state();
        assert_eq!((&state["status"], &state["exitCode"], &state["oomKilled"]), (&json!("exited"), &json!(137), &json!(false)));
        assert_eq!(cgroups(&id("init-killed")), 0);
    }
}

#[test]
fn the_child_that_runs_the_container_may_be_killed() {
    let seconds = unique_seconds();
    let container = Container::with(&["sleep", &seconds]).in_cgroup("child-killed");
    container.start();
    let monitor = container.state()["monitorPid"].as_i64().unwrap();
    let children = fs::read_to_string(format!("/proc/{monitor}/task/{monitor}/children")).unwrap();
    let child: i32 = children.trim().parse().unwrap();
    kill_process(Pid::from_raw(child).unwrap(), Signal::KILL).unwrap();
    eventually("it has ended", || !container.is_locked() && processes_with(&seconds).is_empty());
    assert_eq!((container.status().as_str(), &container.state()["exitCode"]), ("exited", &json!(137)));
    assert_eq!(cgroups(&id("child-killed")), 0);
}

#[test]
fn a_container_killed_for_memory_says_so() {
    let container =
        Container::new("x=$(dd if=/dev/zero bs=1M count=64 2>/dev/null | tr '\\0' x); echo ${#x}").in_cgroup("oom").configure(|config| {
            config["process"]["args"] = json!(["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]);
            config["linux"]["resources"] = json!({ "memory": { "limit": 8 << 20 } });
        });
    container.start();
    eventually("it has ended", || !container.is_locked());
    let state = container.state();
    assert_eq!((&state["exitCode"], &state["oomKilled"]), (&json!(137), &json!(true)), "{state}");
}

/// A small one, in memory.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf) -> Self {
        fs::create_dir(&at).unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"]).arg(&at).status().unwrap();
        assert!(mounted.success());
        Self(at)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Texts of the log's entries, and how many it says were lost.
fn entries(log: &Path) -> (Vec<String>, usize) {
    let text = fs::read_to_string(log).unwrap();
    let texts = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["log"].as_str().unwrap().to_owned());
    let (told, kept): (Vec<String>, Vec<String>) = texts.partition(|text| text.starts_with("tbuild: "));
    (kept, told.iter().map(|text| text.split(' ').nth(1).unwrap().parse::<usize>().unwrap()).sum())
}

#[test]
fn a_full_disk_stops_no_container_and_the_loss_is_told() {
    const LINES: usize = 3000;
    let script = format!(
        "read go; i=0; while [ $i -lt {LINES} ]; do echo a line that is long enough $i; i=$((i+1)); done; echo half >&2; read go; echo last"
    );
    let container = Container::new(&script);
    let disk = Disk::mount(container.fixture.path("disk"));
    let log = disk.0.join("log");
    let container = container.change(|spec| {
        spec["openStdin"] = json!(true);
        spec["log"]["path"] = json!(log);
    });
    let mut child = container
        .start_command(&["--attach", "stdin,stdout,stderr"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || std::io::read_to_string(&mut stdout).unwrap());
    stdin.write_all(b"go\n").unwrap();
    child.stderr.take().unwrap().read_exact(&mut [0; "half\n".len()]).unwrap();
    assert_eq!(container.status(), "running");
    let (before, told_before) = entries(&log);
    assert!(before.len() < LINES);
    fs::write(&log, "").unwrap();
    stdin.write_all(b"go\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(reader.join().unwrap().lines().count(), LINES + 1);
    eventually("it has ended", || !container.is_locked());
    let (after, told_after) = entries(&log);
    assert_eq!(after.last().unwrap(), "last\n");
    assert_eq!(before.len() + told_before + after.len() + told_after, LINES + 2);
}

#[test]
fn a_mebibyte_in_one_line_is_kept_whole() {
    let container = Container::new("dd if=/dev/zero bs=1M count=1 2>/dev/null; echo; echo end");
    container.start();
    eventually("it has ended", || !container.is_locked());
    let log = container.log();
    assert_eq!(log.chars().filter(|char| *char == '\0').count(), 1 << 20);
    assert!(log.ends_with("stdout: \nstdout: end\n"), "{}", &log[log.len() - 100..]);
}

#[test]
fn the_monitor_takes_little_memory() {
    let container = Container::with(&["sleep", &unique_seconds()]);
    container.start();
    let monitor = container.state()["monitorPid"].as_i64().unwrap();
    let child = fs::read_to_string(format!("/proc/{monitor}/task/{monitor}/children")).unwrap();
    let child = child.trim();
    let below = fs::read_to_string(format!("/proc/{child}/task/{child}/children")).unwrap();
    let first = container.state()["pid"].as_i64().unwrap().to_string();
    let processes: Vec<String> = [monitor.to_string(), child.to_owned()]
        .into_iter()
        .chain(below.split_whitespace().map(str::to_owned))
        .filter(|pid| *pid != first)
        .collect();
    let kib_of = |pid: &str, file: &str, field: &str| -> u64 {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
        let line = text.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let pss: Vec<u64> = processes.iter().map(|pid| kib_of(pid, "smaps_rollup", "Pss:")).collect();
    let anonymous: Vec<u64> = processes.iter().map(|pid| kib_of(pid, "status", "RssAnon:")).collect();
    eprintln!("monitor, child, watcher: Pss {pss:?} KiB, anonymous {anonymous:?} KiB");
    assert_eq!(processes.len(), 3);
    assert!(anonymous.iter().all(|kib| *kib < 2048), "{anonymous:?}");
}
