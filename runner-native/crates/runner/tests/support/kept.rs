//! A container that is kept: its directory, and its monitor.

use super::{Fixture, RUNNER, bundle};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A container's directory, and what its monitor is told.
pub struct Container {
    pub fixture: Fixture,
    pub spec: Value,
}

impl Container {
    pub fn new(script: &str) -> Self {
        Self::with(&["sh", "-c", script])
    }

    pub fn with(arguments: &[&str]) -> Self {
        let mut fixture = Fixture::new(arguments);
        let directory = fixture.path("container");
        fs::create_dir(&directory).unwrap();
        let path = |name: &str| directory.join(name);
        fixture.spec["upper"] = json!({ "directory": path("upper"), "work": path("work") });
        let spec = json!({
            "id": "test",
            "openStdin": false,
            "log": { "path": path("log"), "maxBytes": null, "maxFiles": 1 },
            "restart": { "policy": "no", "maximumRetries": 0 },
            "stop": { "signal": "SIGTERM", "timeoutMs": 10_000 },
            "health": null,
            "network": null,
            "removeAtEnd": false,
        });
        Self { fixture, spec }
    }

    pub fn change(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.spec);
        self
    }

    pub fn configure(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(self.fixture.config());
        self
    }

    /// With a cgroup of its own.
    pub fn in_cgroup(self, name: &str) -> Self {
        let path = format!("/{}", bundle::id(name));
        self.configure(|config| config["linux"]["cgroupsPath"] = json!(path))
    }

    /// As tbuild calls another runtime.
    pub fn under(self, runtime: &str) -> Self {
        let path = format!("/{}", bundle::id(runtime));
        let command = json!([runtime, "--root", "state", "--log", "runtime.log", "--log-format", "json", "run"]);
        self.configure(|config| config["linux"]["cgroupsPath"] = json!(path)).change(|spec| spec["runtime"] = command)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.fixture.path("container").join(name)
    }

    pub fn command(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(RUNNER);
        command.args(["monitor", verb]).arg(self.fixture.path("container")).args(arguments).stdin(Stdio::null());
        command
    }

    pub fn write_spec(&self) {
        let mut spec = self.spec.clone();
        spec["root"] = self.fixture.spec.clone();
        fs::write(self.path("monitor.json"), spec.to_string()).unwrap();
    }

    pub fn start_command(&self, arguments: &[&str]) -> Command {
        self.write_spec();
        self.command("start", arguments)
    }

    pub fn start(&self) {
        let output = self.start_command(&[]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn ask(&self, request: Value) -> Value {
        let output = self.command("control", &[&request.to_string()]).output().unwrap();
        assert!(output.status.success(), "{request}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn refusal(&self, request: Value) -> Value {
        let output = self.command("control", &[&request.to_string()]).output().unwrap();
        assert_eq!(output.status.code(), Some(125), "{request}");
        serde_json::from_slice(&output.stderr).unwrap()
    }

    pub fn stop(&self) {
        self.ask(json!({ "op": "stop", "timeoutMs": 0 }));
    }

    /// What a command in it prints.
    pub fn execute(&self, arguments: &[&str]) -> String {
        let output = self.command("exec", &[&json!({ "args": arguments }).to_string()]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub fn wait(&self) -> i64 {
        self.ask(json!({ "op": "wait" }))["exitCode"].as_i64().unwrap()
    }

    pub fn state(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("state.json")).unwrap()).unwrap()
    }

    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    pub fn pid(&self, name: &str) -> rustix::process::Pid {
        rustix::process::Pid::from_raw(self.state()[name].as_i64().unwrap() as i32).unwrap()
    }

    pub fn is_locked(&self) -> bool {
        let Ok(lock) = fs::File::open(self.path("lock")) else { return false };
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err()
    }

    /// `stdout: text` of each entry.
    pub fn log(&self) -> String {
        let lines = fs::read_to_string(self.path("log")).unwrap();
        let entries = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        entries.map(|entry| format!("{}: {}", entry["stream"].as_str().unwrap(), entry["log"].as_str().unwrap())).collect()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.is_locked() {
            let _ = self.command("control", &[r#"{"op":"stop","timeoutMs":0}"#]).output();
        }
    }
}
