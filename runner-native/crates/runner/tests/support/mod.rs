//! What the tests of the binary share: a root of busybox's as an EROFS layer, a configuration like Docker's, and ways of running in it.
//! They need root, a static busybox, and a file system that EROFS images can be mounted from.
#![allow(dead_code, unused_macros)]

pub mod bundle;
pub mod kept;

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tbuild_layers::{Driver, LayerSummary, pack_dir};
use tempfile::TempDir;

pub const RUNNER: &str = env!("CARGO_BIN_EXE_tbuild-runner");
const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 28] = [
    "sh", "true", "false", "ls", "cat", "echo", "mount", "ps", "id", "sleep", "mknod", "kill", "stty", "tty", "hostname", "ip", "rm",
    "mkdir", "ln", "touch", "grep", "stat", "dd", "chmod", "readlink", "umount", "wc", "pwd",
];

pub const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

pub struct Fixture {
    pub dir: TempDir,
    pub spec: Value,
}

pub struct Output {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
    /// The line on --result.
    pub result: Value,
}

impl Output {
    pub fn error_code(&self) -> &str {
        self.result["error"]["code"].as_str().unwrap_or_default()
    }
}

impl Fixture {
    /// A stack of one layer: busybox. Nothing is committed.
    pub fn new(arguments: &[&str]) -> Self {
        assert!(rustix::process::getuid().is_root(), "these tests need root");
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::create_dir(dir.path().join("scratch")).unwrap();
        let mut fixture = Self { spec: json!({}), dir };
        let base = fixture.layer("base", fill_root);
        fixture.spec = json!({
            "scratch": fixture.path("scratch"),
            "layers": [base],
            "stub": [
                { "path": "proc", "type": "dir" }, { "path": "sys", "type": "dir" }, { "path": "dev", "type": "dir" },
                { "path": "etc/hosts", "type": "file" }, { "path": "etc/resolv.conf", "type": "file" },
            ],
            "upper": { "tmpfs": 32 << 20 },
            "mounts": [],
            "config": config(arguments),
            "commit": null,
        });
        fixture
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What `fill` puts into a directory, as an EROFS layer.
    pub fn layer(&self, name: &str, fill: impl FnOnce(&Path)) -> Value {
        image(self.pack(name, Driver::Erofs, fill).data)
    }

    pub fn pack(&self, name: &str, driver: Driver, fill: impl FnOnce(&Path)) -> LayerSummary {
        let root = self.path(&format!("{name}.tree"));
        fs::create_dir(&root).unwrap();
        fill(&root);
        pack_dir(driver, &self.path(name), &root, true).unwrap()
    }

    pub fn add_layer(&mut self, name: &str, fill: impl FnOnce(&Path)) {
        let layer = self.layer(name, fill);
        self.spec["layers"].as_array_mut().unwrap().push(layer);
    }

    pub fn commit(mut self) -> Self {
        self.spec["commit"] = json!({ "driver": "directory", "out": self.path("out") });
        self
    }

    pub fn config(&mut self) -> &mut Value {
        &mut self.spec["config"]
    }

    pub fn mount(&mut self, mount: Value) {
        self.config()["mounts"].as_array_mut().unwrap().push(mount);
    }

    /// A shell command line that starts it; the result goes to the file `result`. `before` may open descriptors.
    pub fn shell_command(&self, runtime: &str, redirections: &str) -> String {
        fs::write(self.path("spec.json"), self.spec.to_string()).unwrap();
        let (spec, result) = (self.path("spec.json"), self.path("result"));
        let lifeline = if redirections.contains("4<") { "--lifeline 4" } else { "" };
        format!("exec {RUNNER} with-root {lifeline} --result 3 {} -- {runtime} 3>{} {redirections}", spec.display(), result.display())
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &self.shell_command("self run test", "")]).stdin(Stdio::null());
        command
    }

    pub fn run(&self) -> Output {
        let output = self.command().output().unwrap();
        self.output(output)
    }

    pub fn output(&self, output: std::process::Output) -> Output {
        // serde knows no lone surrogates: they are six characters here.
        let result = fs::read_to_string(self.path("result")).unwrap_or_default().replace("\\udc", "\\\\udc");
        Output {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            result: serde_json::from_str(&result).unwrap_or(Value::Null),
        }
    }

    /// Paths of what was committed (with the directory driver), sorted.
    pub fn committed(&self) -> Vec<String> {
        let mut paths = Vec::new();
        list(&self.path("out/root"), Path::new(""), &mut paths);
        paths.sort();
        paths
    }
}

fn list(root: &Path, below: &Path, paths: &mut Vec<String>) {
    for entry in fs::read_dir(root.join(below)).unwrap() {
        let entry = entry.unwrap();
        let path = below.join(entry.file_name());
        paths.push(path.display().to_string());
        if entry.file_type().unwrap().is_dir() {
            list(root, &path, paths);
        }
    }
}

/// overlayfs's: what is below is not there.
pub fn whiteout(path: &Path) {
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::empty(), 0).unwrap();
}

/// What this machine can mount, as `probe` finds out.
pub fn machine() -> &'static Value {
    static FOUND: OnceLock<Value> = OnceLock::new();
    FOUND.get_or_init(|| {
        let output = Command::new(RUNNER).args(["probe", env!("CARGO_TARGET_TMPDIR")]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    })
}

/// A layer's image as this machine mounts it.
pub fn image(data: impl Into<Value>) -> Value {
    json!({ "erofs": data.into(), "loop": machine()["driver"] != "erofs" })
}

/// As tbuild's own configuration is: Docker's defaults.
/// What a container needs to run busybox, in an existing directory.
pub fn fill_root(root: &Path) {
    for directory in ["bin", "etc", "tmp", "root"] {
        fs::create_dir(root.join(directory)).unwrap();
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::copy(BUSYBOX, root.join("bin/busybox")).expect("these tests need busybox-static");
    for applet in APPLETS {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
}

pub fn config(arguments: &[&str]) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": arguments,
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": DEFAULT_CAPABILITIES, "effective": DEFAULT_CAPABILITIES, "permitted": DEFAULT_CAPABILITIES,
            },
        },
        "root": { "path": "rootfs", "readonly": false },
        "hostname": "tbuild",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
            { "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
        ],
        "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }, { "type": "network" }, { "type": "cgroup" }],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/scsi", "/sys/firmware", "/proc/not-there"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

/// Processes of this machine whose command line has the text.
pub fn processes_with(text: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(text))).collect()
}

pub fn is_mounted_below(path: &Path) -> bool {
    fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&path.display().to_string())
}

/// Waits up to ten seconds.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(10), "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A number of seconds to sleep that no other process sleeps.
pub fn unique_seconds() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{}{:05}.5", 1 + NEXT.fetch_add(1, Ordering::Relaxed), std::process::id() % 100_000)
}

pub fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(child.id() as i32).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}
