//! One row while it is set up: a configuration like Docker's, to be changed; a fresh root to put things into; and how it is run.

use crate::accepted::{Difference, difference};
use crate::probe;
use crate::runtimes::Who;
use crate::support;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const DEFAULT_NODES: &[&str] = &[
    "mount /dev/null is no*",
    "mount /dev/zero is no*",
    "mount /dev/full is no*",
    "mount /dev/random is no*",
    "mount /dev/urandom is no*",
    "mount /dev/tty is no*",
];

pub struct Case {
    pub config: Value,
    pub bundle: PathBuf,
    /// Of processes that hold namespaces to be joined.
    pub namespace_holder: u32,
    pub run_flags: Vec<String>,
    /// `exec` with these flags in a container that only waits; what `exec` starts is the probe.
    pub exec_flags: Option<Vec<String>>,
    /// A shell's, around the runtime.
    pub redirections: &'static str,
    /// The runtime is started on a terminal.
    pub has_terminal: bool,
    /// Every system call is tried.
    pub tries_calls: bool,
    /// No runtime may run it.
    pub is_refused: bool,
    /// A file whose lines are facts, too.
    pub log: Option<PathBuf>,
    pub accepted: Vec<Difference>,
}

impl Case {
    pub fn new(bundle: &Path, cgroup: &str, namespace_holder: u32) -> Self {
        let mut config = support::config(&[probe::PATH]);
        config["root"] = json!({ "path": "rootfs" });
        config["linux"]["cgroupsPath"] = json!(cgroup);
        Self {
            config,
            bundle: bundle.into(),
            namespace_holder,
            run_flags: Vec::new(),
            exec_flags: None,
            redirections: "",
            has_terminal: false,
            tries_calls: false,
            is_refused: false,
            log: None,
            accepted: Vec::new(),
        }
    }

    pub fn root(&self, path: &str) -> PathBuf {
        self.bundle.join("rootfs").join(path)
    }

    pub fn process(&mut self) -> &mut Value {
        &mut self.config["process"]
    }

    pub fn linux(&mut self) -> &mut Value {
        &mut self.config["linux"]
    }

    pub fn mounts(&mut self) -> &mut Vec<Value> {
        self.config["mounts"].as_array_mut().expect("a list")
    }

    pub fn mount(&mut self, destination: &str, kind: &str, source: impl AsRef<Path>, options: &[&str]) {
        let source = source.as_ref();
        self.mounts().push(json!({ "destination": destination, "type": kind, "source": source, "options": options }));
    }

    pub fn options(&mut self, destination: &str) -> &mut Vec<Value> {
        let mount = self.mounts().iter_mut().find(|mount| mount["destination"] == destination).expect("such a mount");
        mount["options"].as_array_mut().expect("a list")
    }

    pub fn without_namespace(&mut self, kind: &str) {
        self.linux()["namespaces"].as_array_mut().expect("a list").retain(|namespace| namespace["type"] != kind);
        if kind == "uts" {
            self.config["hostname"] = json!("");
        }
    }

    pub fn join(&mut self, kind: &str, file: &str) {
        let path = format!("/proc/{}/ns/{file}", self.namespace_holder);
        let namespaces = self.linux()["namespaces"].as_array_mut().expect("a list");
        namespaces.retain(|namespace| namespace["type"] != kind);
        namespaces.push(json!({ "type": kind, "path": path }));
    }

    /// Without maps that begin at 0 there is nothing to own the root's files.
    pub fn add_user_namespace(&mut self, maps: &[(u32, u32, u32)]) {
        let owner = maps.iter().find(|(inside, _, _)| *inside == 0).map(|(_, outside, _)| *outside);
        for path in ["", "bin", "etc", "tmp", "root"] {
            std::os::unix::fs::chown(self.root(path), owner, owner).expect("a root that can be given away");
        }
        let maps: Vec<Value> =
            maps.iter().map(|(inside, outside, size)| json!({ "containerID": inside, "hostID": outside, "size": size })).collect();
        let linux = self.linux();
        linux["namespaces"].as_array_mut().expect("a list").push(json!({ "type": "user" }));
        (linux["uidMappings"], linux["gidMappings"]) = (json!(maps), json!(maps));
        self.accepted.push(difference(Who::Crun, DEFAULT_NODES, "binds devices with nosuid and noexec in a user namespace"));
    }

    pub fn seccomp(&mut self, profile: Value) {
        self.linux()["seccomp"] = profile;
        self.tries_calls = true;
    }

    /// A directory of the host's with something in it.
    pub fn host_directory(&self, name: &str) -> PathBuf {
        let path = self.bundle.join(name);
        fs::create_dir_all(path.join("below")).expect("a directory");
        fs::write(path.join("file"), name).expect("a file");
        path
    }

    pub fn directory_in_root(&self, path: &str, mode: u32) {
        fs::create_dir_all(self.root(path)).expect("a directory");
        fs::set_permissions(self.root(path), fs::Permissions::from_mode(mode)).expect("its mode");
    }

    pub fn exec(&mut self, flags: &[&str]) {
        self.exec_flags = Some(flags.iter().map(|flag| (*flag).into()).collect());
    }
}
