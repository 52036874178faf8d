//! Whoever kills a command, or a container's first process, at any moment leaves nothing that `delete --force` does not remove: no process, no
//! cgroup, no record, no mount. A moment is a system call that changes something or waits: strace kills on entering it, each in turn.

mod support;

use rustix::net::{SocketFlags, accept_with};
use serde_json::json;
use std::collections::HashMap;
use std::fs;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};
use support::bundle::{Bundle, cgroups, id};
use support::{RUNNER, eventually, is_mounted_below, processes_with};

/// Calls after which the machine is as it was before.
const HARMLESS: [&str; 40] = [
    "access",
    "arch_prctl",
    "brk",
    "close",
    "close_range",
    "dup",
    "execve",
    "exit_group",
    "faccessat2",
    "fcntl",
    "fstat",
    "fstatfs",
    "futex",
    "getcwd",
    "getdents64",
    "getpid",
    "getrandom",
    "gettid",
    "getuid",
    "ioctl",
    "lseek",
    "mmap",
    "mprotect",
    "mremap",
    "munmap",
    "newfstatat",
    "pipe2",
    "poll",
    "prctl",
    "prlimit64",
    "pread64",
    "read",
    "readlink",
    "rseq",
    "rt_sigaction",
    "rt_sigprocmask",
    "set_robust_list",
    "set_tid_address",
    "sigaltstack",
    "statx",
];

/// One moment: a call's name, and how many of that name came before.
type Moment = (String, usize);

fn moments(log: &str) -> Vec<Moment> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut found = Vec::new();
    for line in log.lines() {
        let Some((name, rest)) = line.split_once('(') else { continue };
        if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            continue;
        }
        let count = seen.entry(name).or_default();
        *count += 1;
        let only_opens = matches!(name, "open" | "openat" | "openat2") && !rest.contains("O_CREAT");
        let only_says = name == "write" && matches!(rest.split(',').next(), Some("1" | "2"));
        if !HARMLESS.contains(&name) && !only_opens && !only_says {
            found.push((name.to_owned(), *count));
        }
    }
    found
}

/// The command under strace, with these options.
fn traced(bundle: &Bundle, options: &[&str], arguments: &[&str]) -> Output {
    let mut command = Command::new("strace");
    command.args(options).arg(RUNNER).args(["--root", "states"]).args(arguments).current_dir(bundle.dir.path());
    let out = fs::File::create(bundle.path("out")).unwrap();
    command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out).output().expect("these tests need strace")
}

fn assert_nothing_is_left(bundle: &Bundle, id: &str, moment: &str) {
    bundle.ok(&["delete", "--force", id]);
    assert!(!bundle.path("states").join(id).exists(), "{moment}: a record is left");
    assert_eq!(cgroups(id), 0, "{moment}: a cgroup is left");
    eventually(&format!("{moment}: no process is left"), || processes_with(id).is_empty());
    assert!(!is_mounted_below(bundle.dir.path()), "{moment}: a mount is left");
}

/// `before` makes what the command is about.
fn killed_at_each_moment(bundle: &Bundle, test: &str, arguments: &[&str], before: impl Fn(&str)) {
    let name = |moment: usize| id(&format!("{test}-{moment}"));
    let with = |id: &str| -> Vec<String> { arguments.iter().map(|argument| argument.replace("ID", id)).collect() };
    let call = |options: &[&str], id: &str| {
        before(id);
        let arguments = with(id);
        traced(bundle, options, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let whole = name(0);
    let output = call(&["-o", "log"], &whole);
    assert!(output.status.success(), "{}", bundle.out());
    assert_nothing_is_left(bundle, &whole, "the whole command");
    let moments = moments(&fs::read_to_string(bundle.path("log")).unwrap());
    assert!(moments.len() > 3, "{moments:?}");
    for (number, (call_name, count)) in moments.iter().enumerate() {
        let (id, moment) = (name(number + 1), format!("{test}: {call_name} {count}"));
        let inject = format!("inject={call_name}:signal=KILL:when={count}");
        call(&["-o", "killed", "-e", &format!("trace={call_name}"), "-e", &inject], &id);
        assert_nothing_is_left(bundle, &id, &moment);
    }
    eprintln!("{test}: killed at {} moments", moments.len());
}

fn sleeping() -> Bundle {
    Bundle::new("exec sleep 100")
}

#[test]
fn create() {
    let bundle = sleeping();
    killed_at_each_moment(&bundle, "create", &["create", "--pid-file", "pid", "ID"], |_| {});
}

#[test]
fn create_with_a_terminal_and_a_user_namespace() {
    let bundle = sleeping();
    let map = json!([{ "containerID": 0, "hostID": 0, "size": 65536 }]);
    bundle.change(|config| {
        config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map;
        config["process"]["terminal"] = json!(true);
    });
    let listener = UnixListener::bind(bundle.path("s")).unwrap();
    listener.set_nonblocking(true).unwrap();
    killed_at_each_moment(&bundle, "terminal", &["create", "--console-socket", "s", "ID"], |_| {
        while accept_with(&listener, SocketFlags::CLOEXEC).is_ok() {}
    });
}

#[test]
fn start() {
    let bundle = sleeping();
    killed_at_each_moment(&bundle, "start", &["start", "ID"], |id| assert!(bundle.create(&[id]), "{}", bundle.out()));
}

#[test]
fn run() {
    let bundle = Bundle::new("true");
    let hook = json!([{ "path": "/bin/true" }]);
    bundle.change(|config| config["hooks"] = json!({ "createRuntime": hook, "poststart": hook, "poststop": hook }));
    killed_at_each_moment(&bundle, "run", &["run", "ID"], |_| {});
}

#[test]
fn exec() {
    let bundle = sleeping();
    killed_at_each_moment(&bundle, "exec", &["exec", "ID", "true"], |id| {
        assert!(bundle.create(&[id]), "{}", bundle.out());
        bundle.ok(&["start", id]);
    });
}

#[test]
fn delete() {
    let bundle = sleeping();
    killed_at_each_moment(&bundle, "delete", &["delete", "--force", "ID"], |id| {
        assert!(bundle.create(&[id]), "{}", bundle.out());
        bundle.ok(&["start", id]);
    });
}

#[test]
fn the_first_process() {
    // Not its parent, which has to say so and to leave nothing by itself.
    let bundle = Bundle::new("true");
    let id = id("first");
    bundle.ok(&["run", &id]); // makes mount points in the root, which are there from now on
    assert!(traced(&bundle, &["-f", "-o", "log", "-e", "signal=none"], &["run", &id]).status.success());
    let log = fs::read_to_string(bundle.path("log")).unwrap();
    // The calls that it makes, and its parent does not.
    let pids: Vec<&str> = log.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let (parent, own) = (pids[0], log.lines().filter_map(|line| line.split_once(char::is_whitespace)));
    let (parents, firsts): (Vec<_>, Vec<_>) = own.partition(|(pid, _)| *pid == parent);
    let named = |lines: &[(&str, &str)]| lines.iter().map(|(_, call)| format!("{}\n", call.trim_start())).collect::<String>();
    let parents = moments(&named(&parents));
    let all = moments(&named(&firsts));
    let own: Vec<_> = all.iter().filter(|(name, _)| !parents.iter().any(|(known, _)| known == name)).collect();
    assert!(own.iter().any(|(name, _)| name == "pivot_root") && own.len() > 50, "{own:?}");
    for (name, count) in own {
        let inject = format!("inject={name}:signal=KILL:when={count}");
        let output = traced(&bundle, &["-f", "-o", "killed", "-e", &format!("trace={name}"), "-e", &inject], &["run", &id]);
        assert!(!output.status.success(), "{name} {count}");
        assert!(!bundle.path("states").join(&id).exists(), "{name} {count}: a record is left");
        assert_nothing_is_left(&bundle, &id, name);
    }
}
