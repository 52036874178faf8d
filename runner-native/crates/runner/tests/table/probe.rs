//! The probe: inside a container, everything that a program can find out about where and as whom it runs, as a flat list of facts, one line of JSON
//! on standard output. Changes nothing. What cannot be the same twice (numbers of processes, of mounts, of pipes) is left out here, with the reason.

use crate::probe_calls;
use crate::runtimes::Facts;
use rustix::fs::{self as kernel, Access, AtFlags, CWD, FileType, Mode, OFlags};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Where it lies in the root, and by which name it knows that it is one.
pub const PATH: &str = "/probe";
/// No others: to open one may do something (a watchdog, a terminal that is made).
const OPENED: [&str; 10] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/mine",
    "/dev/block",
    "/dev/fifo",
    "/dev/unbuffered",
];
const SYSCTLS: [&str; 13] = [
    "kernel/hostname",
    "kernel/domainname",
    "kernel/shmmax",
    "kernel/msgmax",
    "kernel/shm_rmid_forced",
    "fs/mqueue/msg_max",
    "fs/mqueue/queues_max",
    "net/core/somaxconn",
    "net/ipv4/ip_forward",
    "net/ipv4/ip_unprivileged_port_start",
    "net/ipv4/ping_group_range",
    "net/ipv4/ip_local_port_range",
    "net/unix/max_dgram_qlen",
];
const CGROUP_FILES: [&str; 13] = [
    "memory/memory.limit_in_bytes",
    "memory/memory.soft_limit_in_bytes",
    "memory/memory.swappiness",
    "memory/memory.oom_control",
    "cpu/cpu.shares",
    "cpu/cpu.cfs_quota_us",
    "cpu/cpu.cfs_period_us",
    "cpuset/cpuset.cpus",
    "cpuset/cpuset.mems",
    "pids/pids.max",
    "blkio/blkio.throttle.read_bps_device",
    "devices/devices.list",
    "freezer/freezer.state",
];

/// Words: `wait` (do nothing but live), `calls` (try every system call), `host=` and the host's namespaces.
pub fn main(words: &[String]) -> ExitCode {
    if words.iter().any(|word| word == "wait") {
        loop {
            std::thread::sleep(std::time::Duration::from_secs(60));
        }
    }
    let mut facts = Facts::new();
    let host = words.iter().find_map(|word| word.strip_prefix("host=")).unwrap_or_default();
    process(&mut facts);
    status(&mut facts);
    namespaces(&mut facts, host);
    texts(&mut facts);
    limits(&mut facts);
    descriptors(&mut facts);
    mounts(&mut facts);
    devices(&mut facts, "/dev", 2);
    root(&mut facts);
    network(&mut facts);
    probe_calls::attributes(&mut facts);
    terminal(&mut facts);
    if words.iter().any(|word| word == "calls") {
        probe_calls::try_all(&mut facts);
    }
    let text = serde_json::to_string(&facts).unwrap_or_default();
    if writeln!(std::io::stdout(), "{text}").is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn add(facts: &mut Facts, key: impl Into<String>, value: impl ToString) {
    facts.insert(key.into(), value.to_string());
}

/// The content, or why there is none.
fn read(path: &str) -> String {
    fs::read(path).map_or_else(|error| error_name(&error), |bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

fn error_name(error: &std::io::Error) -> String {
    format!("error {}", error.raw_os_error().unwrap_or_default())
}

fn process(facts: &mut Facts) {
    for (place, word) in std::env::args().enumerate().filter(|(_, word)| !word.starts_with("host=")) {
        add(facts, format!("argument {place}"), word);
    }
    // As execve gave it, the order and repetitions included.
    for (place, entry) in fs::read("/proc/self/environ").unwrap_or_default().split(|byte| *byte == 0).enumerate() {
        add(facts, format!("environment {place}"), String::from_utf8_lossy(entry));
    }
    let link = |path: &str| fs::read_link(path).map_or_else(|error| error_name(&error), |target| target.display().to_string());
    for name in ["cwd", "root", "exe"] {
        add(facts, name, link(&format!("/proc/self/{name}")));
    }
    add(facts, "is the first process", rustix::process::getpid().is_init());
    add(facts, "has a parent here", rustix::process::getppid().is_some());
    add(facts, "dies with its parent", format!("{:?}", rustix::process::parent_process_death_signal()));
    add(facts, "nice", format!("{:?}", rustix::process::getpriority_process(None)));
    let name = rustix::system::uname();
    add(facts, "host name", name.nodename().to_string_lossy());
    add(facts, "domain name", name.domainname().to_string_lossy());
    add(facts, "machine", name.machine().to_string_lossy());
}

fn status(facts: &mut Facts) {
    /// Numbers of processes (above is what matters of them), sizes of the moment, the machine's count of signals, and how many descriptors
    /// a forebear once had.
    const LEFT_OUT: [&str; 15] = [
        "Pid",
        "Tgid",
        "Ngid",
        "PPid",
        "TracerPid",
        "NSpid",
        "NStgid",
        "NSpgid",
        "NSsid",
        "Vm",
        "Rss",
        "Hugetlb",
        "SigQ",
        "FDSize",
        "voluntary",
    ];
    for line in read("/proc/self/status").lines() {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if !LEFT_OUT.iter().any(|start| name.starts_with(start)) && !name.starts_with("nonvoluntary") {
            add(facts, format!("status {name}"), if name == "SigIgn" { without_c_library(value.trim()) } else { value.trim().into() });
        }
    }
}

/// The C library's own two signals are left ignored by its posix_spawn, through which a test starts a runtime; not every runtime can undo it.
fn without_c_library(signals: &str) -> String {
    const OWN: u64 = 0b11 << 31;
    u64::from_str_radix(signals, 16).map_or(signals.into(), |signals| format!("{:016x}", signals & !OWN))
}

/// Their numbers are new each time: told is whether it is the host's.
fn namespaces(facts: &mut Facts, host: &str) {
    for name in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"] {
        let own = fs::read_link(format!("/proc/self/ns/{name}")).map(|target| target.display().to_string()).unwrap_or_default();
        add(facts, format!("namespace {name}"), if host.split(',').any(|known| known == own) { "the host's" } else { "another" });
    }
}

fn texts(facts: &mut Facts) {
    let files = [
        "uid_map",
        "gid_map",
        "setgroups",
        "oom_score_adj",
        "loginuid",
        "sessionid",
        "personality",
        "timens_offsets",
        "comm",
        "coredump_filter",
        "attr/current",
    ];
    for name in files {
        add(facts, name, read(&format!("/proc/self/{name}")));
    }
    for name in SYSCTLS {
        add(facts, format!("sysctl {name}"), read(&format!("/proc/sys/{name}")));
    }
    for line in read("/proc/self/cgroup").lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        add(facts, format!("cgroup {}", parts.next().unwrap_or_default()), parts.next().unwrap_or_default());
    }
    for name in CGROUP_FILES {
        // Rules of devices are a set.
        let mut lines: Vec<String> = read(&format!("/sys/fs/cgroup/{name}")).lines().map(str::to_owned).collect();
        lines.sort();
        add(facts, format!("cgroup file {name}"), lines.join(", "));
    }
    names(facts, "/sys/fs/cgroup");
}

fn limits(facts: &mut Facts) {
    const NAME_WIDTH: usize = 26;
    for line in read("/proc/self/limits").lines().skip(1) {
        let (name, values) = line.split_at_checked(NAME_WIDTH).unwrap_or((line, ""));
        add(facts, format!("limit {}", name.trim()), values.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    }
}

/// A pipe's number is new each time.
fn descriptors(facts: &mut Facts) {
    let numbers: Vec<_> = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
    for number in numbers {
        let number = number.to_string_lossy();
        // The directory's own is closed by now.
        let Ok(target) = fs::read_link(format!("/proc/self/fd/{number}")) else { continue };
        let target = target.display().to_string();
        add(facts, format!("descriptor {number}"), target.split(":[").next().unwrap_or_default());
        // Other flags tell by which call it was opened.
        let info = read(&format!("/proc/self/fdinfo/{number}"));
        let flags = info.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok()).unwrap_or_default();
        add(
            facts,
            format!("descriptor {number} flags"),
            format!("{:?}", OFlags::from_bits_retain(flags) & (OFlags::RWMODE | OFlags::APPEND | OFlags::NONBLOCK)),
        );
    }
}

/// mountinfo without the numbers of mounts, of devices without a device, and of peer groups; and what is to be found at each mount.
fn mounts(facts: &mut Facts) {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for line in read("/proc/self/mountinfo").lines() {
        let (mount, file_system) = line.split_once(" - ").unwrap_or((line, ""));
        let mount: Vec<&str> = mount.split(' ').collect();
        let [_, _, _, root, path, attributes, propagation @ ..] = mount.as_slice() else { continue };
        let time = times.entry((*path).into()).or_default();
        *time += 1;
        let name = if *time == 1 { format!("mount {path}") } else { format!("mount {path} ({time})") };
        add(facts, format!("{name} root"), root);
        attributes.split(',').for_each(|word| add(facts, format!("{name} is {word}"), ""));
        for word in propagation {
            let kind = word.split(':').next().unwrap_or_default();
            add(facts, format!("{name} is {kind}"), "");
        }
        let mut parts = file_system.splitn(3, ' ');
        add(facts, format!("{name} type"), parts.next().unwrap_or_default());
        add(facts, format!("{name} source"), parts.next().unwrap_or_default());
        add(facts, format!("{name} options"), parts.next().unwrap_or_default());
        target(facts, path);
    }
}

fn target(facts: &mut Facts, path: &str) {
    let writable = kernel::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS);
    add(facts, format!("target {path}"), look(path));
    add(
        facts,
        format!("target {path} writing"),
        writable.map_or_else(|errno| format!("error {}", errno.raw_os_error()), |()| "allowed".into()),
    );
}

fn look(path: &str) -> String {
    let stat = match kernel::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(errno) => return format!("error {}", errno.raw_os_error()),
    };
    let kind = FileType::from_raw_mode(stat.st_mode);
    let common = format!("{:o} {}:{}", stat.st_mode & 0o7777, stat.st_uid, stat.st_gid);
    match kind {
        FileType::Symlink => format!("-> {}", fs::read_link(path).unwrap_or_default().display()),
        FileType::CharacterDevice | FileType::BlockDevice => {
            format!("{kind:?} {}:{} {common}", kernel::major(stat.st_rdev), kernel::minor(stat.st_rdev))
        }
        // Of a directory in /proc the size is nothing.
        FileType::Directory => format!("{kind:?} {common}"),
        _ => format!("{kind:?} {common} {} bytes", stat.st_size),
    }
}

fn devices(facts: &mut Facts, directory: &str, depth: usize) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = format!("{directory}/{}", entry.file_name().to_string_lossy());
        add(facts, format!("file {path}"), look(&path));
        // Not by what the directory says it has: something may be mounted on it.
        let kind = kernel::lstat(&path).map(|stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            Ok(FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo) if OPENED.contains(&path.as_str()) => {
                let opened = kernel::open(&path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty());
                add(
                    facts,
                    format!("file {path} opening"),
                    opened.map_or_else(|errno| format!("error {}", errno.raw_os_error()), |_| "allowed".into()),
                );
            }
            Ok(FileType::Directory) if depth > 1 => devices(facts, &path, depth - 1),
            _ => {}
        }
    }
}

fn root(facts: &mut Facts) {
    for directory in ["/", "/etc", "/tmp", "/srv"] {
        names(facts, directory);
    }
    for path in ["/proc/kcore", "/proc/keys", "/proc/sys/kernel/hostname", "/sys/firmware", "/srv/file", "/srv/below/inner"] {
        let content =
            kernel::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).and_then(|file| rustix::io::read(&file, &mut [0; 4]));
        add(
            facts,
            format!("reading {path}"),
            content.map_or_else(|errno| format!("error {}", errno.raw_os_error()), |count| format!("{count} bytes")),
        );
    }
}

fn names(facts: &mut Facts, directory: &str) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = Path::new(directory).join(entry.file_name()).display().to_string();
        // This program has as many bytes as it was built with.
        add(facts, format!("file {path}"), if path == PATH { "the probe".into() } else { look(&path) });
    }
}

fn network(facts: &mut Facts) {
    for line in read("/proc/net/dev").lines().filter_map(|line| line.split_once(':')) {
        add(facts, format!("interface {}", line.0.trim()), "");
    }
    let sent = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| {
        socket.connect(socket.local_addr()?)?;
        socket.send(b"x")
    });
    add(facts, "loopback", sent.map_or_else(|error| error_name(&error), |_| "up".into()));
}

fn terminal(facts: &mut Facts) {
    use rustix::termios::{isatty, tcgetattr, tcgetpgrp, tcgetwinsize, ttyname};
    let stdin = rustix::stdio::stdin();
    add(facts, "standard input is a terminal", isatty(stdin));
    if !isatty(stdin) {
        return;
    }
    add(facts, "terminal name", ttyname(stdin, Vec::new()).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default());
    add(facts, "terminal size", format!("{:?}", tcgetwinsize(stdin).map(|size| (size.ws_row, size.ws_col))));
    add(facts, "terminal is ours", tcgetpgrp(stdin) == Ok(rustix::process::getpgrp()));
    if let Ok(modes) = tcgetattr(stdin) {
        add(
            facts,
            "terminal modes",
            format!("{:?} {:?} {:?} {:?}", modes.input_modes, modes.output_modes, modes.control_modes, modes.local_modes),
        );
    }
}
