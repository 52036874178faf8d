//! Every command of the runtime within 16 MiB of memory, its own and that of what it forks. The container's processes are in a cgroup of their own
//! beside, so that they do not count.

mod support;

use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use support::bundle::{Bundle, id};
use support::{Fixture, RUNNER};

const LIMIT_BYTES: u64 = 16 << 20;

/// A cgroup with the limit.
struct Limited {
    directory: PathBuf,
    peak_file: &'static str,
}

impl Limited {
    fn make(name: &str) -> std::io::Result<Self> {
        let version_1 = Path::new("/sys/fs/cgroup/memory");
        let is_version_1 = version_1.join("memory.limit_in_bytes").exists();
        let (root, limit_file, peak_file) = match is_version_1 {
            true => (version_1, "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
            false => (Path::new("/sys/fs/cgroup"), "memory.max", "memory.peak"),
        };
        if !is_version_1 {
            fs::write(root.join("cgroup.subtree_control"), "+memory")?;
        }
        let limited = Self { directory: root.join(name), peak_file };
        fs::create_dir(&limited.directory)?;
        fs::write(limited.directory.join(limit_file), LIMIT_BYTES.to_string())?;
        Ok(limited)
    }

    /// In it from before the runtime begins.
    fn command(&self, directory: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        let script = format!("echo $$ >{}/cgroup.procs && exec {RUNNER} \"$@\"", self.directory.display());
        command.args(["-c", &script, "sh"]).args(arguments).current_dir(directory).stdin(Stdio::null());
        command
    }

    fn peak_bytes(&self) -> u64 {
        fs::read_to_string(self.directory.join(self.peak_file)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        support::eventually("the cgroup can be removed", || fs::remove_dir(&self.directory).is_ok());
    }
}

fn ok(what: &[&str], output: &Output) {
    assert!(output.status.success(), "{what:?}: {} {}", output.status, String::from_utf8_lossy(&output.stderr));
}

#[test]
fn each_command_does_with_sixteen_mebibytes() {
    let name = id("memory");
    let limited = match Limited::make(&name) {
        Ok(limited) => limited,
        Err(error) => return eprintln!("skipped: no memory cgroup can be made here: {error}"),
    };
    let names = ["read", "write", "openat", "close", "execve", "exit_group", "mmap", "brk", "clone", "wait4", "ioctl", "fcntl"];
    let rules: Vec<_> = (1..20)
        .map(|errno| {
            json!({ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": errno,
        "args": [{ "index": 0, "value": 1_u64 << 40, "op": "SCMP_CMP_EQ" }] })
        })
        .collect();
    let bundle = Bundle::with("sleep 100", |config| {
        config["linux"]["cgroupsPath"] = json!(format!("/{name}-container"));
        config["linux"]["resources"] = json!({ "pids": { "limit": 50 } });
        config["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules });
        config["process"]["env"] =
            json!((0..2000).map(|number| format!("NAME{number}={number}")).chain(["PATH=/bin".into()]).collect::<Vec<_>>());
    });
    let call = |arguments: &[&str]| {
        let all = [&["--root", "states"], arguments].concat();
        let out = fs::File::create(bundle.path("out")).unwrap();
        // A container has the streams of `create`: not pipes, at whose end somebody would wait.
        let status = limited.command(bundle.dir.path(), &all).stdout(out.try_clone().unwrap()).stderr(out).status().unwrap();
        assert!(status.success(), "{arguments:?}: {status} {}", bundle.out());
    };
    for once in [&["--version"][..], &["--help"], &["features"], &["spec", "--file", "made.json"], &["list"]] {
        call(once);
    }
    call(&["create", &name]);
    call(&["state", &name]);
    call(&["start", &name]);
    for on_it in ["ps", "pause", "resume"] {
        call(&[on_it, &name]);
    }
    call(&["exec", &name, "true"]);
    call(&["update", "--pids-limit", "40", &name]);
    call(&["events", "--stats", &name]);
    call(&["kill", &name, "KILL"]);
    call(&["delete", "--force", &name]);
    fs::write(bundle.path("config.json"), fs::read_to_string(bundle.path("config.json")).unwrap().replace("sleep 100", "true")).unwrap();
    call(&["run", &name]);

    ok(&["probe"], &limited.command(bundle.dir.path(), &["probe", bundle.dir.path().to_str().unwrap()]).output().unwrap());
    let mut fixture = Fixture::new(&["true"]);
    fixture.config()["linux"]["cgroupsPath"] = json!(format!("/{name}-container"));
    fs::write(fixture.path("spec.json"), fixture.spec.to_string()).unwrap();
    let spec = fixture.path("spec.json");
    let with_root = ["with-root", spec.to_str().unwrap(), "--", "self", "run", "x"];
    ok(&with_root, &limited.command(fixture.dir.path(), &with_root).output().unwrap());
    eprintln!("the largest took {} KiB", limited.peak_bytes() >> 10);
}
