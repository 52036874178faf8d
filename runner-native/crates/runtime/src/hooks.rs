//! The programs of config.json's `hooks`: each gets the container's state on its standard input and has its time; before the container
//! runs a failure ends it, afterwards it is only said (runtime-spec, config.md: POSIX-platform Hooks; runtime.md: Lifecycle).

use crate::error::{Context, HOOK, NativeError, Result, invalid};
use crate::plan::Plan;
use crate::record::Status;
use rustix::process::Pid;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[derive(Deserialize, Default, Clone)]
#[serde(rename_all = "camelCase", default)]
pub struct Hooks {
    #[serde(deserialize_with = "crate::spec::list")]
    pub prestart: Vec<Hook>,
    #[serde(deserialize_with = "crate::spec::list")]
    pub create_runtime: Vec<Hook>,
    #[serde(deserialize_with = "crate::spec::list")]
    pub create_container: Vec<Hook>,
    #[serde(deserialize_with = "crate::spec::list")]
    pub start_container: Vec<Hook>,
    #[serde(deserialize_with = "crate::spec::list")]
    pub poststart: Vec<Hook>,
    #[serde(deserialize_with = "crate::spec::list")]
    pub poststop: Vec<Hook>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(default)]
pub struct Hook {
    pub path: PathBuf,
    /// argv, its first word included; none: the path.
    #[serde(deserialize_with = "crate::spec::list")]
    pub args: Vec<String>,
    #[serde(deserialize_with = "crate::spec::list")]
    pub env: Vec<String>,
    /// Seconds.
    pub timeout: Option<i64>,
}

impl Hooks {
    pub const NAMES: [&str; 6] = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"];

    pub fn check(&self) -> Result<()> {
        let all = [&self.prestart, &self.create_runtime, &self.create_container, &self.start_container, &self.poststart, &self.poststop];
        for hook in all.into_iter().flatten() {
            if !hook.path.is_absolute() {
                return Err(invalid("hooks", format!("the path {:?} is not absolute", hook.path)));
            }
            if hook.timeout.is_some_and(|seconds| seconds <= 0) {
                return Err(invalid("hooks", format!("the timeout of {} is not above 0", hook.path.display())));
            }
        }
        Ok(())
    }

    /// Those that the runtime runs while the first process waits.
    pub fn before_pivot(&self) -> impl Iterator<Item = &Hook> {
        self.prestart.iter().chain(&self.create_runtime)
    }
}

/// What hooks are told: the state as `state` prints it, but for the status, which is that of the moment.
#[derive(Clone)]
pub struct Told {
    pub oci_version: String,
    pub id: String,
    pub bundle: PathBuf,
    pub annotations: BTreeMap<String, String>,
}

impl Told {
    pub fn of(plan: &Plan, id: &str, bundle: &Path) -> Self {
        let (oci_version, annotations) = (plan.oci_version.clone(), plan.annotations.clone());
        Self { oci_version, id: id.into(), bundle: bundle.into(), annotations }
    }

    pub fn state(&self, status: Status, pid: Option<Pid>) -> String {
        self.state_value(status, pid).to_string()
    }

    pub fn state_value(&self, status: Status, pid: Option<Pid>) -> serde_json::Value {
        let mut state = serde_json::json!({
            "ociVersion": self.oci_version,
            "id": self.id,
            "status": status.word(),
            "bundle": self.bundle,
            "annotations": self.annotations,
        });
        if let Some(pid) = pid {
            state["pid"] = pid.as_raw_nonzero().get().into();
        }
        state
    }
}

/// One after the other; the first that fails is the last.
pub fn run<'a>(hooks: impl IntoIterator<Item = &'a Hook>, state: &str) -> Result<()> {
    hooks.into_iter().try_for_each(|hook| run_one(hook, state))
}

/// All of them, for what goes on whatever they say: a failure is a line on stderr.
pub fn run_all(hooks: &[Hook], state: &str) {
    for hook in hooks {
        if let Err(error) = run_one(hook, state) {
            let _ = writeln!(io::stderr(), "warning: {}", error.detail);
        }
    }
}

fn run_one(hook: &Hook, state: &str) -> Result<()> {
    let name = hook.path.display();
    let mut command = Command::new(&hook.path);
    if let [first, rest @ ..] = hook.args.as_slice() {
        command.arg0(first).args(rest);
    }
    command.env_clear().envs(hook.env.iter().filter_map(|entry| entry.split_once('=')));
    // What it prints must not be taken for the runtime's own answer.
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::inherit());
    let mut child = command.spawn().at(HOOK, "start the hook", &hook.path)?;
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(state.as_bytes())); // one that reads nothing may be gone
    let status = wait(&mut child, hook.timeout).at(HOOK, "wait for the hook", &hook.path)?;
    match status {
        None => Err(failed(hook, format!("the hook {name} took longer than {} s", hook.timeout.unwrap_or_default()))),
        Some(status) if !status.success() => Err(failed(hook, format!("the hook {name} failed: {status}"))),
        Some(_) => Ok(()),
    }
}

fn failed(hook: &Hook, detail: String) -> NativeError {
    NativeError::new(HOOK, "run the hook").path(Path::new(&hook.path)).detail(detail)
}

/// None: it took too long, and was killed.
fn wait(child: &mut Child, timeout_seconds: Option<i64>) -> io::Result<Option<std::process::ExitStatus>> {
    let until = timeout_seconds.map(|seconds| Instant::now().checked_add(Duration::from_secs(seconds.unsigned_abs())));
    // None: there is no limit, or none that anyone lives to see.
    let Some(until) = until.flatten() else { return child.wait().map(Some) };
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() > until {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(script: &str, timeout: Option<i64>) -> Hook {
        let args = ["sh", "-c", script].map(String::from).to_vec();
        Hook { path: "/bin/sh".into(), args, env: vec!["NAME=value".into()], timeout }
    }

    #[test]
    fn a_hook_reads_the_state_and_has_its_own_environment() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("out");
        run([&hook(&format!("cat >{0}; echo \"$NAME $HOME\" >>{0}", out.display()), None)], "state").unwrap();
        assert_eq!(std::fs::read_to_string(out).unwrap(), "statevalue \n");
    }

    #[test]
    fn one_that_fails_or_takes_too_long_is_the_last() {
        assert!(run([&hook("exit 3", None)], "").unwrap_err().detail.contains("exit status: 3"));
        assert!(run([&hook("sleep 60", Some(1))], "").unwrap_err().detail.contains("longer than 1 s"));
    }
}
