//! Bundles for the commands of an OCI runtime: what is in one, how commands are called on it, and that nothing stays of its containers.

use super::{RUNNER, config, fill_root};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A bundle with busybox in it, and a root for states; what is left of containers at the end is removed.
pub struct Bundle {
    pub dir: TempDir,
}

impl Bundle {
    pub fn new(script: &str) -> Self {
        Self::with(script, |_| {})
    }

    pub fn with(script: &str, change: impl FnOnce(&mut Value)) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::create_dir(dir.path().join("rootfs")).unwrap();
        fill_root(&dir.path().join("rootfs"));
        let mut config = config(&["sh", "-c", script]);
        config["root"] = json!({ "path": "rootfs" });
        change(&mut config);
        fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        Self { dir }
    }

    pub fn change(&self, change: impl FnOnce(&mut Value)) {
        let path = self.path("config.json");
        let mut config = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        change(&mut config);
        fs::write(path, config.to_string()).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(RUNNER);
        command.arg("--root").arg(self.path("states")).args(arguments).current_dir(self.dir.path());
        command.stdin(Stdio::null());
        command
    }

    pub fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.call(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// `create`, whose streams are the container's.
    pub fn create(&self, arguments: &[&str]) -> bool {
        let out = fs::File::create(self.path("out")).unwrap();
        let mut command = self.command(&["create"]);
        command.args(arguments).stdout(out.try_clone().unwrap()).stderr(out);
        command.status().unwrap().success()
    }

    pub fn out(&self) -> String {
        fs::read_to_string(self.path("out")).unwrap()
    }

    pub fn state(&self, id: &str) -> Value {
        serde_json::from_str(&self.ok(&["state", id])).unwrap()
    }

    pub fn status(&self, id: &str) -> String {
        self.state(id)["status"].as_str().unwrap().to_owned()
    }

    pub fn error(&self, arguments: &[&str]) -> String {
        let output = self.call(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.path("states")).into_iter().flatten().flatten() {
            self.call(&["delete", "--force", &entry.file_name().to_string_lossy()]);
        }
    }
}

/// Every test needs a name of its own: cgroups are the machine's.
pub fn id(test: &str) -> String {
    format!("tbuild-test-{}-{test}", std::process::id())
}

pub fn cgroups(id: &str) -> usize {
    let mut found = 0;
    let mut look = |directory: &Path| found += usize::from(directory.ends_with(id));
    visit(Path::new("/sys/fs/cgroup"), 5, &mut look);
    found
}

/// What version 2 offers, where nothing of version 1 is mounted: a line of names.
pub fn unified_controllers() -> Option<String> {
    fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").ok()
}

fn visit(directory: &Path, depth: usize, each: &mut dyn FnMut(&Path)) {
    each(directory);
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if depth > 0 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            visit(&entry.path(), depth - 1, each);
        }
    }
}
