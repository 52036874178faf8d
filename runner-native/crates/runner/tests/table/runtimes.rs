//! Running one row under each runtime: a fresh root at the same path each time, the same id, the same cgroup, so that nothing differs but the runtime.
//! Everything happens in a mount namespace of this process's own.

use crate::case::Case;
use crate::probe;
use crate::rows::Row;
use crate::support;
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub type Facts = BTreeMap<String, String>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    Ours,
    Crun,
    Runc,
}

impl Who {
    const ALL: [Who; 3] = [Who::Ours, Who::Crun, Who::Runc];

    pub fn name(self) -> &'static str {
        match self {
            Who::Ours => "tbuild-runner",
            Who::Crun => "crun",
            Who::Runc => "runc",
        }
    }

    fn program(self) -> &'static str {
        if self == Who::Ours { support::RUNNER } else { self.name() }
    }

    fn is_installed(self) -> bool {
        Command::new(self.program()).arg("--version").output().is_ok_and(|output| output.status.success())
    }
}

pub struct Seen {
    pub who: Who,
    pub facts: Facts,
    /// Why there are no facts.
    pub error: Option<String>,
}

/// What all rows share.
pub struct Workshop {
    directory: TempDir,
    /// The probe, as one file for all roots.
    probe: PathBuf,
    host: String,
    holder: Child,
    id: String,
    pub installed: Vec<Who>,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Workshop {
    pub fn open() -> Self {
        assert!(rustix::process::getuid().is_root(), "the table needs root");
        enter_own_mounts();
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let probe = directory.path().join("probe");
        fs::copy("/proc/self/exe", &probe).expect("a copy of this program");
        let links =
            ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"].map(|name| fs::read_link(format!("/proc/self/ns/{name}")));
        let host = links.into_iter().flatten().map(|link| link.display().to_string()).collect::<Vec<_>>().join(",");
        let holder = Command::new("unshare").args(["--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child", "sleep", "600"]).spawn();
        let workshop = Self {
            directory,
            probe,
            host,
            holder: holder.expect("unshare"),
            id: format!("tbuild-table-{}", std::process::id()),
            installed: Who::ALL.into_iter().filter(|who| who.is_installed()).collect(),
        };
        let own = fs::read_link("/proc/self/ns/uts").expect("namespaces");
        let holds = format!("/proc/{}/ns/uts", workshop.holder.id());
        support::eventually("namespaces to join", || fs::read_link(&holds).is_ok_and(|link| link != own));
        workshop
    }

    /// Under every runtime that is installed.
    pub fn run(&self, row: &Row) -> (Case, Vec<Seen>) {
        let mut seen = Vec::new();
        let mut last = None;
        for who in self.installed.iter().copied() {
            let bundle = self.fresh_bundle();
            let mut case = Case::new(&bundle, &format!("/{}", self.id), self.holder.id());
            case.accepted.clone_from(&row.accepted);
            (row.set_up)(&mut case);
            seen.push(self.run_one(who, &mut case));
            last = Some(case);
        }
        (last.expect("tbuild-runner"), seen)
    }

    fn fresh_bundle(&self) -> PathBuf {
        let bundle = self.directory.path().join("bundle");
        // What a row mounted below it goes first.
        while rustix::mount::unmount(bundle.join("shared"), UnmountFlags::DETACH).is_ok() {}
        let _ = fs::remove_dir_all(&bundle);
        fs::create_dir_all(bundle.join("rootfs")).expect("a root");
        support::fill_root(&bundle.join("rootfs"));
        fs::hard_link(&self.probe, bundle.join("rootfs").join(probe::PATH.trim_start_matches('/'))).expect("the probe");
        bundle
    }

    fn run_one(&self, who: Who, case: &mut Case) -> Seen {
        let mut words = vec![probe::PATH.to_owned(), format!("host={}", self.host)];
        if case.tries_calls {
            words.push("calls".into());
        }
        let mut first = words.clone();
        if case.exec_flags.is_some() {
            first = vec![probe::PATH.into(), "wait".into()];
        }
        if case.process()["args"] == serde_json::json!([probe::PATH]) {
            case.process()["args"] = serde_json::json!(first);
        }
        fs::write(case.bundle.join("config.json"), case.config.to_string()).expect("config.json");
        let mut run = vec!["run".to_owned()];
        run.extend(case.run_flags.iter().cloned());
        let outcome = match &case.exec_flags {
            None => {
                run.push(self.id.clone());
                self.call(who, case, &run)
            }
            Some(flags) => {
                run.extend(["--detach".into(), self.id.clone()]);
                let exec = std::iter::once("exec".to_owned()).chain(flags.iter().cloned()).chain([self.id.clone()]);
                // With a file that says all there is no command.
                let words = if flags.iter().any(|flag| flag == "--process") { Vec::new() } else { words };
                self.start_detached(who, case, &run).and_then(|()| self.call(who, case, &exec.chain(words).collect::<Vec<_>>()))
            }
        };
        let _ = self.command(who, case, &["delete".into(), "--force".into(), self.id.clone()]).output();
        let (facts, error) = match outcome {
            Ok(facts) => (facts, None),
            Err(error) => (Facts::new(), Some(error)),
        };
        Seen { who, facts: with_log(facts, case), error }
    }

    fn command(&self, who: Who, case: &Case, arguments: &[String]) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{} exec \"$@\"", case.redirections), "sh", who.program(), "--root"]);
        command.arg(self.directory.path().join("states")).args(arguments).current_dir(&case.bundle);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    fn start_detached(&self, who: Who, case: &Case, arguments: &[String]) -> Result<(), String> {
        // Files, for what runs on would keep our pipes open. And no /dev/null: runc gives its streams, this machine's device as well, to the container's root.
        let file = |name: &str| fs::File::create(case.bundle.join(name)).expect("a file");
        let mut command = self.command(who, case, arguments);
        let status = command.stdin(Stdio::piped()).stdout(file("out")).stderr(file("error")).status().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(last_words(&fs::read(case.bundle.join("error")).unwrap_or_default())) }
    }

    /// What the probe says, and with which status the runtime ends.
    fn call(&self, who: Who, case: &Case, arguments: &[String]) -> Result<Facts, String> {
        let mut command = self.command(who, case, arguments);
        let terminal = case.has_terminal.then(Terminal::make);
        match &terminal {
            Some(terminal) => terminal.give_to(&mut command),
            None => drop(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped())),
        }
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        drop(command); // and with it our copies of the terminal's other side
        drop(child.stdin.take());
        let (out, errors) = match terminal {
            Some(terminal) => (read_all(fs::File::from(terminal.master)), None),
            None => (read_all(child.stdout.take().expect("a pipe")), child.stderr.take().map(read_all)),
        };
        let status = wait(&mut child)?;
        let out = out.recv_timeout(PATIENCE).unwrap_or_default();
        let errors = errors.map(|errors| errors.recv_timeout(PATIENCE).unwrap_or_default());
        let text = String::from_utf8_lossy(&out);
        let dump = text.lines().find(|line| line.starts_with('{')).and_then(|line| serde_json::from_str::<Facts>(line.trim_end()).ok());
        match dump {
            Some(mut facts) => {
                facts.insert("exit status".into(), status.to_string());
                Ok(facts)
            }
            None => Err(format!("status {status}: {}", last_words(errors.as_deref().unwrap_or(&out)))),
        }
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let _ = rustix::mount::unmount(self.directory.path().join("bundle/shared"), UnmountFlags::DETACH);
    }
}

/// Debian's crun refuses a machine that has cgroups of both versions; here, and for all three, it has the first alone.
fn enter_own_mounts() {
    tbuild_runtime::sys::unshare(libc::CLONE_NEWNS).expect("a mount namespace");
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).expect("mounts of our own");
    if fs::read_to_string("/proc/self/mounts").unwrap_or_default().contains(" /sys/fs/cgroup/unified cgroup2 ") {
        rustix::mount::unmount("/sys/fs/cgroup/unified", UnmountFlags::DETACH).expect("cgroups of version 1 alone");
        // crun makes directories in whatever is below /sys/fs/cgroup.
        rustix::mount::mount("tmpfs", "/sys/fs/cgroup/unified", "tmpfs", MountFlags::empty(), None).expect("a place for them");
    }
}

/// A pty that the runtime is started on, as from a shell.
struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
}

impl Terminal {
    fn make() -> Self {
        use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        unlockpt(&master).expect("a terminal");
        let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        rustix::termios::tcsetwinsize(&master, rustix::termios::Winsize { ws_row: 31, ws_col: 97, ws_xpixel: 0, ws_ypixel: 0 })
            .expect("a size");
        Self { master, slave }
    }

    fn give_to(&self, command: &mut Command) {
        let copy = || Stdio::from(self.slave.try_clone().expect("a descriptor"));
        command.stdin(copy()).stdout(copy()).stderr(copy());
    }
}

fn read_all(mut from: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A terminal whose other side is closed ends with an error.
        let _ = from.read_to_end(&mut bytes);
        send.send(bytes)
    });
    receive
}

fn wait(child: &mut Child) -> Result<i32, String> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            return Ok(status.code().unwrap_or(-1));
        }
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("it did not end within {} s", PATIENCE.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn last_words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.last().map_or("nothing", |line| *line).chars().take(300).collect()
}

fn with_log(mut facts: Facts, case: &Case) -> Facts {
    let log = case.log.as_deref().map(|log: &Path| fs::read_to_string(log).unwrap_or_default()).unwrap_or_default();
    for (place, line) in log.lines().enumerate() {
        facts.insert(format!("log {place}"), line.into());
    }
    facts
}
