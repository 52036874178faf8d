//! The commands of an OCI runtime by an account that is not root: it may map nobody but itself, and cgroups are not its own.

mod support;

use serde_json::json;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use support::{RUNNER, config, eventually, fill_root};
use tempfile::TempDir;

/// Nobody's on this machine: it has no name, and no line in /etc/subuid.
const ACCOUNT: u32 = 54_321;

/// A bundle of the account's, where it can go, with a copy of the runtime.
struct Bundle(TempDir);

impl Bundle {
    fn new(script: &str, change: impl FnOnce(&mut serde_json::Value)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("rootfs")).unwrap();
        fill_root(&dir.path().join("rootfs"));
        // Not by ourselves: what another test's thread forks meanwhile would keep it open for writing.
        assert!(Command::new("cp").arg(RUNNER).arg(dir.path().join("runtime")).status().unwrap().success());
        let mut config = config(&["sh", "-c", script]);
        let map = json!([{ "containerID": 0, "hostID": ACCOUNT, "size": 1 }]);
        config["root"] = json!({ "path": "rootfs" });
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
        change(&mut config);
        fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        fs::write(dir.path().join("rootfs/etc/below"), "").unwrap();
        let owned =
            Command::new("chown").args(["-R", "--no-dereference", &format!("{ACCOUNT}:{ACCOUNT}")]).arg(dir.path()).status().unwrap();
        assert!(owned.success());
        Self(dir)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.0.path().join("runtime"));
        command.args(arguments).uid(ACCOUNT).gid(ACCOUNT).current_dir(self.0.path());
        command.env_clear().env("XDG_RUNTIME_DIR", self.0.path()).env("PATH", "/usr/bin:/bin").stdin(Stdio::null());
        command
    }

    fn call(&self, arguments: &[&str]) -> (String, String, i32) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.code().unwrap_or(-1))
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let (stdout, stderr, status) = self.call(arguments);
        assert_eq!(status, 0, "{arguments:?}: {stderr}");
        stdout
    }
}

#[test]
fn runs_as_root_of_a_namespace_and_as_itself_outside() {
    let bundle = Bundle::new("id; echo x > /made; cat /proc/self/setgroups; ls /dev/pts/ptmx; head -c 2 /proc/self/exe | wc -c", |_| {});
    assert_eq!(bundle.ok(&["run", "rootless-run"]), "uid=0 gid=0\ndeny\n/dev/pts/ptmx\n2\n");
    let made = fs::metadata(bundle.0.path().join("rootfs/made")).unwrap();
    assert_eq!(made.uid(), ACCOUNT);
    assert_eq!(fs::read_dir(bundle.0.path().join("tbuild-runner")).unwrap().count(), 0);
}

#[test]
fn a_container_lives_and_is_deleted() {
    let bundle = Bundle::new("sleep 60", |_| {});
    let id = "rootless-life";
    let out = fs::File::create(bundle.0.path().join("out")).unwrap();
    let created = bundle.command(&["--rootless=true", "create", id]).stdout(out.try_clone().unwrap()).stderr(out).status().unwrap();
    assert!(created.success(), "{}", fs::read_to_string(bundle.0.path().join("out")).unwrap());
    bundle.ok(&["start", id]);
    assert_eq!(bundle.ok(&["exec", id, "id"]), "uid=0 gid=0\n");
    assert!(bundle.ok(&["list", "-q"]).contains(id));
    bundle.ok(&["kill", id, "KILL"]);
    eventually("status", || bundle.ok(&["state", id]).contains("\"stopped\""));
    bundle.ok(&["delete", id]);
    assert!(bundle.call(&["state", id]).1.contains("does not exist"));
}

#[test]
fn limits_are_an_error_where_cgroups_are_not_its_own() {
    let bundle = Bundle::new("true", |config| config["linux"]["resources"] = json!({ "memory": { "limit": 64 << 20 } }));
    let (_, stderr, status) = bundle.call(&["run", "rootless-limits"]);
    assert_ne!(status, 0);
    assert!(stderr.contains("a cgroup that is delegated to this account"), "{stderr}");
}

#[test]
fn the_ids_of_others_are_not_to_be_had() {
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 1 }]);
    let bundle = Bundle::new("id", |config| {
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
    });
    let (stdout, stderr, status) = bundle.call(&["run", "rootless-others"]);
    assert_ne!(status, 0, "{stdout}");
    assert!(stderr.contains("newuidmap"), "{stderr}");
}

/// `with-root` makes the user namespace itself.
#[test]
fn a_root_of_layers_needs_no_rights() {
    let bundle = Bundle::new("", |_| {});
    let at = |name: &str| bundle.0.path().join(name).display().to_string();
    let script = "id; busybox rm -r /etc && busybox mkdir /etc; stat -c %u /; touch /new; chown 5 /new 2>/dev/null || echo one id";
    let spec = json!({
        "scratch": at("scratch"),
        "layers": [{ "directory": at("rootfs") }],
        "stub": [{ "path": "proc", "type": "dir" }, { "path": "dev", "type": "dir" }, { "path": "sys", "type": "dir" }],
        "upper": { "tmpfs": 16 << 20 },
        "config": config(&["sh", "-c", script]),
        "commit": { "driver": "directory", "out": at("out") },
    });
    fs::create_dir(at("scratch")).unwrap();
    chown(at("scratch"), Some(ACCOUNT), Some(ACCOUNT)).unwrap();
    fs::write(at("spec.json"), spec.to_string()).unwrap();
    assert_eq!(bundle.ok(&["with-root", &at("spec.json"), "--", "self", "run", "x"]), "uid=0 gid=0\n0\none id\n");
    assert!(fs::read_dir(at("out/root/etc")).unwrap().next().is_none());
    assert_eq!(fs::metadata(at("out/root/new")).unwrap().uid(), ACCOUNT);
    bundle.ok(&["remove", &at("out")]);
    assert!(!Path::new(&at("out")).exists());
}
