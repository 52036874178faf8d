//! A container's networks by netavark (docs/networks.md): set up while its first process waits in a network namespace of its own, taken down when it
//! has ended. What is set up is written down before, so that `clean` takes it down where the monitor was killed: then the namespace is
//! gone, and with it one end of each cable, but not the rules and names. No namespace is pinned anywhere: netavark gets it by a
//! descriptor of ours. Assumes one thread.

use crate::directory::Directory;
use crate::published_ports::PublishedPorts;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{FlockOperation, MemfdFlags, Mode, OFlags, flock, fstat, memfd_create};
use rustix::process::{Pid, WaitOptions, getpid, waitpid};
use serde::Deserialize;
use serde_json::Value;
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tbuild_runtime::error::{Context, NativeError, PROCESS, Result};
use tbuild_runtime::own_network;
use tbuild_runtime::sys::{self, Clone};

/// netavark has failed.
const SET_UP: &str = "network/setup";
/// The options that netavark has been given, while they hold.
const FILE: &str = "network.json";
const FILE_NEW: &str = "network.json.new";
/// It waits for locks of others and for the kernel, never for a network.
const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// Of monitor.json.
#[derive(Deserialize, Clone)]
pub struct NetworkSpec {
    pub command: PathBuf,
    pub directory: PathBuf,
    /// netavark's own: `networks` and `network_info` by the networks' names, and the rest.
    pub options: Value,
}

/// Of a container that runs. `tear_down` is said when it has ended; else `clean` does that.
pub struct Network {
    spec: NetworkSpec,
    namespace: OwnedFd,
    /// Of each network, by its name.
    pub answer: Value,
    _ports: PublishedPorts,
}

impl Network {
    /// `first` waits in the namespace.
    pub fn set_up(spec: NetworkSpec, directory: &Directory, first: Pid) -> Result<Self> {
        clean(&spec, directory)?; // what was left when nobody came to do it
        let namespace = namespace_of(first)?;
        let ports = PublishedPorts::hold(&spec.options["port_mappings"])?;
        write(directory, Some(&spec.options))?;
        match netavark(&spec, "setup", &spec.options, namespace.as_fd()) {
            Ok(answer) => Ok(Self { spec, namespace, answer, _ports: ports }),
            Err(error) => {
                // What was done before it failed. The end of a cable in the namespace would keep the bridge, so that goes first.
                let _ = netavark(&spec, "teardown", &spec.options, namespace.as_fd());
                let _ = clean(&spec, directory);
                Err(error)
            }
        }
    }

    pub fn tear_down(self, directory: &Directory) -> Result<()> {
        match netavark(&self.spec, "teardown", &self.spec.options, self.namespace.as_fd()) {
            Ok(_) => write(directory, None),
            Err(_) => clean(&self.spec, directory), // the container has removed a cable, say
        }
    }

    /// `options`: as at the set-up, of the networks that are added.
    pub fn connect(&mut self, directory: &Directory, options: &Value) -> Result<()> {
        self.check_is_new(options)?;
        let mut all = self.spec.options.clone();
        for part in PARTS {
            let added = options[part].as_object().cloned().unwrap_or_default();
            match all[part].as_object_mut() {
                Some(known) => known.extend(added),
                None => all[part] = Value::Object(added),
            }
        }
        write(directory, Some(&all))?;
        match netavark(&self.spec, "setup", options, self.namespace.as_fd()) {
            Ok(answer) => {
                self.spec.options = all;
                if let (Some(known), Some(answer)) = (self.answer.as_object_mut(), answer.as_object()) {
                    known.extend(answer.clone());
                }
                Ok(())
            }
            Err(error) => {
                let _ = netavark(&self.spec, "teardown", options, self.namespace.as_fd());
                write(directory, Some(&self.spec.options))?;
                Err(error)
            }
        }
    }

    /// What netavark would refuse half-way, and be told to take down then.
    fn check_is_new(&self, options: &Value) -> Result<()> {
        let (known, added) = (self.spec.options["networks"].as_object(), options["networks"].as_object());
        for (name, network) in added.into_iter().flatten() {
            let is_there = |(other, known): (&String, &Value)| other == name || known["interface_name"] == network["interface_name"];
            if known.into_iter().flatten().any(is_there) {
                let detail = format!("the container is in the network {name} already, or has an interface of that name");
                return Err(NativeError::new(SET_UP, "connect the container").detail(detail));
            }
        }
        Ok(())
    }

    /// `options`: as they were when those networks were set up.
    pub fn disconnect(&mut self, directory: &Directory, options: &Value) -> Result<()> {
        netavark(&self.spec, "teardown", options, self.namespace.as_fd())?;
        let gone: Vec<String> = options["networks"].as_object().map(|networks| networks.keys().cloned().collect()).unwrap_or_default();
        for name in gone {
            for part in PARTS {
                self.spec.options[part].as_object_mut().map(|known| known.remove(&name));
            }
            self.answer.as_object_mut().map(|known| known.remove(&name));
        }
        write(directory, Some(&self.spec.options))
    }
}

/// Never the host's own, which netavark would change as readily.
fn namespace_of(first: Pid) -> Result<OwnedFd> {
    let open = |process: &str| {
        let path = format!("/proc/{process}/ns/net");
        rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(SET_UP, "open", &path)
    };
    let theirs = open(&first.as_raw_nonzero().to_string())?;
    let identity = |namespace: &OwnedFd| fstat(namespace).map(|stat| (stat.st_dev, stat.st_ino)).during(SET_UP, "look at a namespace");
    if identity(&theirs)? == identity(&open("self")?)? {
        let detail = "the container was to have networks, and has no network namespace of its own";
        return Err(NativeError::new(SET_UP, "set up the container's network").detail(detail));
    }
    Ok(theirs)
}

/// Of netavark's options: by the networks' names.
const PARTS: [&str; 2] = ["networks", "network_info"];

/// What is left of a monitor that was killed. netavark takes a bridge down with the last cable alone, and that is gone by itself: so there is one again
/// for a moment.
pub fn clean(spec: &NetworkSpec, directory: &Directory) -> Result<()> {
    let Some(options) = read(directory) else { return Ok(()) };
    wait_for_lost_cables(&options);
    let namespace = own_network::make_namespace()?;
    let set_up = netavark(spec, "setup", &options, namespace.as_fd());
    let torn_down = netavark(spec, "teardown", &options, namespace.as_fd());
    set_up.and(torn_down)?;
    write(directory, None)
}

/// The kernel takes its time for a namespace that nobody is in any more, and until then its cables are in the bridges. Those of other containers stay,
/// so it is waited until none has gone for a while.
fn wait_for_lost_cables(options: &Value) {
    const A_WHILE: Duration = Duration::from_millis(200);
    let bridges = options["network_info"].as_object().into_iter().flatten().filter_map(|(_, info)| info["network_interface"].as_str());
    let bridges: Vec<PathBuf> = bridges.map(|bridge| Path::new("/sys/class/net").join(bridge).join("brif")).collect();
    let count = || bridges.iter().filter_map(|ports| std::fs::read_dir(ports).ok()).map(Iterator::count).sum::<usize>();
    let mut known = count();
    while known > 0 {
        std::thread::sleep(A_WHILE);
        let now = count();
        if now >= known {
            return;
        }
        known = now;
    }
}

fn read(directory: &Directory) -> Option<Value> {
    let file = rustix::fs::openat(directory, FILE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    serde_json::from_reader(std::io::BufReader::new(std::fs::File::from(file))).ok()
}

/// None: nothing is set up.
fn write(directory: &Directory, options: Option<&Value>) -> Result<()> {
    let write = || {
        let Some(options) = options else {
            return rustix::fs::unlinkat(directory, FILE, rustix::fs::AtFlags::empty()).map_err(std::io::Error::from);
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = rustix::fs::openat(directory, FILE_NEW, flags, Mode::RUSR | Mode::WUSR)?;
        std::fs::File::from(file).write_all(options.to_string().as_bytes())?;
        Ok(rustix::fs::renameat(directory, FILE_NEW, directory, FILE)?)
    };
    write().at(SET_UP, "write", directory.path().join(FILE))
}

/// What it answers. Dies with us, so that who takes our place does not meet it.
fn netavark(spec: &NetworkSpec, verb: &str, options: &Value, namespace: BorrowedFd<'_>) -> Result<Value> {
    let _alone = lock()?;
    forget_dead_aardvark(&spec.directory);
    let path = format!("/proc/{}/fd/{}", getpid().as_raw_nonzero(), namespace.as_raw_fd());
    let [mut input, mut output, mut errors] = [memory()?, memory()?, memory()?];
    input.write_all(options.to_string().as_bytes()).and_then(|()| input.rewind()).during(SET_UP, "write netavark's options")?;
    let status = match sys::clone(0).during(PROCESS, "start netavark")? {
        Clone::Child => become_netavark(spec, &[verb, &path], [&input, &output, &errors]),
        Clone::Parent { pid, pidfd } => {
            if poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&PATIENCE)) == Ok(0) {
                let _ = sys::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
            }
            let waited = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty())).during(PROCESS, "wait for netavark")?;
            waited.and_then(|(_, status)| status.exit_status())
        }
    };
    let (output, errors) = (text(&mut output), text(&mut errors));
    let answer = serde_json::from_str::<Value>(&output).ok();
    match status {
        Some(0) => {
            if verb == "setup" && has_names(options) {
                wait_for_aardvark(&spec.directory);
            }
            Ok(answer.unwrap_or_default())
        }
        status => {
            let said = answer.as_ref().and_then(|answer| answer["error"].as_str()).unwrap_or(errors.trim());
            let why = match status {
                None => "it was killed, or took longer than a minute".to_owned(),
                Some(status) if said.is_empty() => format!("it ended with status {status}"),
                Some(_) => said.to_owned(),
            };
            let what = if verb == "setup" { "set up" } else { "take down" };
            Err(NativeError::new(SET_UP, "run netavark").detail(format!("netavark cannot {what} the container's network: {why}")))
        }
    }
}

/// Two netavarks at once make the same bridge, and one fails. Held until it is dropped.
fn lock() -> Result<OwnedFd> {
    const PATH: &str = "/run/tbuild-netavark.lock";
    let take = || {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::open(PATH, flags, Mode::RUSR | Mode::WUSR)?;
        rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))?;
        Ok::<_, rustix::io::Errno>(file)
    };
    take().at(SET_UP, "lock", PATH)
}

/// netavark believes the number of one that was killed, and starts none.
fn forget_dead_aardvark(directory: &Path) {
    let path = directory.join("aardvark-dns/aardvark.pid");
    let Ok(pid) = std::fs::read_to_string(&path) else { return };
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    let is_alive = stat.contains("(aardvark-dns)") && !stat.contains(") Z ");
    if !is_alive {
        let _ = std::fs::remove_file(path);
    }
}

fn memory() -> Result<std::fs::File> {
    memfd_create("netavark", MemfdFlags::CLOEXEC).map(Into::into).during(SET_UP, "make room for netavark's words")
}

fn text(file: &mut std::fs::File) -> String {
    let mut bytes = Vec::new();
    let _ = file.rewind().and_then(|()| file.take(1 << 20).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

fn has_names(options: &Value) -> bool {
    options["network_info"].as_object().into_iter().flatten().any(|(_, info)| info["dns_enabled"] == true)
}

/// It says in a file who it is, some time after netavark has started it; a teardown before that fails.
fn wait_for_aardvark(directory: &Path) {
    let path = directory.join("aardvark-dns/aardvark.pid");
    let says_who = || std::fs::metadata(&path).is_ok_and(|file| file.len() > 0);
    for _ in 0..500 {
        if says_who() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// In a forked child. aardvark-dns, which netavark starts, has its signals from us.
fn become_netavark(spec: &NetworkSpec, arguments: &[&str], streams: [&std::fs::File; 3]) -> ! {
    let prepare = || {
        for (number, stream) in streams.iter().enumerate() {
            sys::replace_descriptor(stream.as_raw_fd(), number as i32)?;
        }
        sys::die_with_parent()?;
        sys::reset_signals()?;
        sys::close_on_exec_from(3)
    };
    let error = match prepare() {
        Ok(()) => Command::new(&spec.command).arg("--config").arg(&spec.directory).args(arguments).exec(),
        Err(errno) => errno.into(),
    };
    let _ = writeln!(std::io::stderr(), "cannot start {}: {error}", Path::new(&spec.command).display());
    sys::exit_now(127)
}
