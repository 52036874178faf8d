//! Rows of the process: who it is, its limits, its filter, its terminal, its hooks; and of those that `exec` adds.

use crate::case::Case;
use crate::rows::{Row, row};
use crate::runtimes::Who::{Crun, Runc};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{chown, symlink};

const SOME: [&str; 3] = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

pub fn identity() -> Vec<Row> {
    let capabilities = |sets: Value| move |case: &mut Case| case.process()["capabilities"] = sets.clone();
    vec![
        row("user: with groups", |case| case.process()["user"] = json!({ "uid": 1000, "gid": 1001, "additionalGids": [5, 6, 1001] })),
        row("user: umask", |case| case.process()["user"]["umask"] = json!(0o077)),
        row("capabilities: no word of them", |case| drop(case.process().as_object_mut().unwrap().remove("capabilities"))),
        row("capabilities: none", capabilities(json!({ "bounding": [], "effective": [], "permitted": [] }))),
        row("capabilities: bounding alone", capabilities(json!({ "bounding": SOME }))),
        row(
            "capabilities: all five sets",
            capabilities(json!({ "bounding": SOME, "effective": SOME, "permitted": SOME, "inheritable": SOME, "ambient": SOME })),
        ),
        row("capabilities: permitted, not effective", capabilities(json!({ "bounding": SOME, "permitted": SOME }))),
        row("capabilities: of a user", |case| {
            case.process()["user"] = json!({ "uid": 1000, "gid": 1000 });
        }),
        row("capabilities: ambient of a user", |case| {
            case.process()["user"] = json!({ "uid": 1000, "gid": 1000 });
            case.process()["capabilities"] =
                json!({ "bounding": SOME, "effective": SOME, "permitted": SOME, "inheritable": SOME, "ambient": SOME });
        }),
        row("capabilities: all that there are", |case| {
            let all: Vec<String> = (0..=40).filter_map(capability_name).filter(|name| name != "CAP_SYS_RESOURCE").collect();
            case.process()["capabilities"] = json!({ "bounding": all, "effective": all, "permitted": all });
            case.tries_calls = true;
        }),
        row("no new privileges", |case| case.process()["noNewPrivileges"] = json!(true)),
    ]
}

fn capability_name(number: u64) -> Option<String> {
    let set = rustix::thread::CapabilitySet::from_bits(1 << number)?;
    set.iter_names().next().map(|(name, _)| format!("CAP_{name}"))
}

pub fn limits_and_settings() -> Vec<Row> {
    let rlimits = |list: Value| move |case: &mut Case| case.process()["rlimits"] = list.clone();
    vec![
        row("limits: open files", rlimits(json!([{ "type": "RLIMIT_NOFILE", "soft": 77, "hard": 88 }]))),
        row(
            "limits: several",
            rlimits(json!([
                { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }, { "type": "RLIMIT_STACK", "soft": 1 << 22, "hard": 1 << 23 },
                { "type": "RLIMIT_NPROC", "soft": 1000, "hard": 2000 }, { "type": "RLIMIT_AS", "soft": 1_u64 << 40, "hard": u64::MAX },
                { "type": "RLIMIT_MSGQUEUE", "soft": 1000, "hard": 1000 }, { "type": "RLIMIT_FSIZE", "soft": 1 << 30, "hard": 1 << 30 },
            ])),
        ),
        row("limits: raised", rlimits(json!([{ "type": "RLIMIT_NOFILE", "soft": 1 << 19, "hard": 1 << 19 }]))),
        row("oom score", |case| case.process()["oomScoreAdj"] = json!(321)),
        row("oom score: lowered", |case| case.process()["oomScoreAdj"] = json!(-500)),
        row("working directory: made", |case| case.process()["cwd"] = json!("/made/for/it")),
        row("working directory: by a link", |case| {
            symlink("/tmp", case.root("srv")).unwrap();
            case.process()["cwd"] = json!("/srv");
        }),
        row("working directory: the user's alone", |case| {
            case.directory_in_root("srv", 0o700);
            chown(case.root("srv"), Some(1000), Some(1000)).unwrap();
            case.process()["user"] = json!({ "uid": 1000, "gid": 1000 });
            case.process()["capabilities"] = json!({});
            case.process()["cwd"] = json!("/srv");
        }),
        row("environment: much", |case| {
            let many: Vec<String> =
                (0..50).map(|n| format!("N{n}={}", "x".repeat(n * 10))).chain(["EMPTY=".into(), "WITH==".into()]).collect();
            case.process()["env"] = json!(many);
        }),
        row("environment: none", |case| drop(case.process().as_object_mut().unwrap().remove("env"))),
        row("environment: a name twice", |case| case.process()["env"] = json!(["PATH=/bin", "A=1", "B=2", "A=3"])),
        row("command: found in PATH", |case| {
            symlink("/probe", case.root("bin/no-probe")).unwrap();
            case.process()["env"] = json!(["PATH=/nowhere:/:/bin"]);
        }),
        row("sysctls", |case| {
            case.linux()["sysctl"] = json!({ "net.ipv4.ip_forward": "1", "kernel.shmmax": "1000000", "net.core.somaxconn": "77", "fs.mqueue.msg_max": "5",
                "net.ipv4.ping_group_range": "0 5" });
        }),
        row("sysctls: with slashes", |case| case.linux()["sysctl"] = json!({ "net/ipv4/ip_local_port_range": "2000 3000" })),
        row("personality", |case| case.linux()["personality"] = json!({ "domain": "LINUX32" })).but(
            Runc,
            &["machine", "personality"],
            "Debian's 1.1 does not know it",
        ),
        row("keyring: the caller's", |case| case.run_flags.push("--no-new-keyring".into())),
        row("descriptors: handed on", |case| {
            case.redirections = "exec 3</etc/passwd 4</etc/group 5</etc/hostname;";
            case.run_flags.extend(["--preserve-fds".into(), "2".into()]);
        }),
        row("descriptors: open, and not handed on", |case| case.redirections = "exec 3</etc/passwd 9</etc/group;"),
        row("annotations, and what is not known", |case| {
            case.config["annotations"] = json!({ "org.example": "x" });
            case.config["unheardOf"] = json!({ "some": ["thing"] });
            case.process()["unheardOf"] = json!(1);
            case.linux()["unheardOf"] = json!(null);
        }),
    ]
}

pub fn seccomp() -> Vec<Row> {
    let profile = |profile: Value| move |case: &mut Case| case.seccomp(profile.clone());
    let denying = json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        { "names": ["mkdir", "mkdirat", "not_a_call"], "action": "SCMP_ACT_ERRNO" },
        { "names": ["symlink", "symlinkat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30 },
        { "names": ["chmod"], "action": "SCMP_ACT_KILL_PROCESS" }, { "names": ["chown"], "action": "SCMP_ACT_KILL_THREAD" },
        { "names": ["rmdir"], "action": "SCMP_ACT_KILL" }, { "names": ["rename"], "action": "SCMP_ACT_TRAP" },
        { "names": ["link"], "action": "SCMP_ACT_LOG" }, { "names": ["unlink"], "action": "SCMP_ACT_TRACE", "errnoRet": 7 },
    ] });
    let (with_user, without_privileges) = (denying.clone(), denying.clone());
    vec![
        row("seccomp: every action", profile(denying)),
        row("seccomp: by a user", move |case| {
            case.process()["user"] = json!({ "uid": 1000, "gid": 1000 });
            case.seccomp(with_user.clone());
        }),
        row("seccomp: without new privileges", move |case| {
            case.process()["noNewPrivileges"] = json!(true);
            case.seccomp(without_privileges.clone());
        }),
        row(
            "seccomp: arguments",
            profile(json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            { "names": ["dup"], "action": "SCMP_ACT_ERRNO", "errnoRet": 100, "args": [{ "index": 0, "value": u64::MAX, "op": "SCMP_CMP_EQ" }] },
            { "names": ["dup2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 101, "args": [{ "index": 0, "value": u64::MAX, "op": "SCMP_CMP_NE" }] },
            { "names": ["dup3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 102, "args": [{ "index": 1, "value": 5, "op": "SCMP_CMP_GT" }] },
            { "names": ["flock"], "action": "SCMP_ACT_ERRNO", "errnoRet": 103, "args": [{ "index": 1, "value": 5, "op": "SCMP_CMP_LE" }] },
            { "names": ["fsync"], "action": "SCMP_ACT_ERRNO", "errnoRet": 104,
              "args": [{ "index": 0, "value": 0xf0, "valueTwo": 0xf0, "op": "SCMP_CMP_MASKED_EQ" }] },
            { "names": ["fdatasync"], "action": "SCMP_ACT_ERRNO", "errnoRet": 105,
              "args": [{ "index": 0, "value": 1, "op": "SCMP_CMP_GE" }, { "index": 1, "value": 1, "op": "SCMP_CMP_LT" }] },
        ] })),
        ),
        row(
            "seccomp: other architectures",
            profile(json!({ "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            "syscalls": [{ "names": ["getpgid", "mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99 }] })),
        ),
        row(
            "seccomp: flags",
            profile(json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO" }] })),
        ),
        row(
            "seccomp: all denied but what is listed",
            profile(json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
            "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [{ "names": ALLOWED.split_whitespace().collect::<Vec<_>>(), "action": "SCMP_ACT_ALLOW" }] })),
        )
.but(Crun, &["call *"], "calls newer than all that a profile names do not exist, so that programs go back to older ones (runc); Debian's 1.8 denies them"),
    ]
}

/// What the probe and its runtime need at the end.
const ALLOWED: &str = "access arch_prctl bind brk capget capset chdir clock_gettime clock_nanosleep clone clone3 close close_range connect dup dup2 dup3 \
    epoll_create1 epoll_ctl epoll_pwait epoll_wait execve exit exit_group faccessat faccessat2 fchown fcntl fork fstat fstatfs futex \
    getcwd getdents64 getegid geteuid getgid getpgrp getpid getppid getpriority getrandom getrlimit getsid getsockname gettid getuid \
    ioctl ioprio_get keyctl kill lseek lstat madvise mmap mprotect mremap munmap nanosleep newfstatat open openat openat2 pipe2 poll \
    prctl pread64 prlimit64 pwrite64 read readlink readlinkat rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity \
    sched_getscheduler sched_yield sendto set_robust_list set_tid_address setgid setgroups setitimer setresgid setresuid setsid setuid \
    sigaltstack socket stat statfs statx tgkill umask uname wait4 write writev";

/// Go: os, rlimit.go.
const GO: &str = "is written in Go, whose start raises the soft limit, before or after it is set";
const ONLCR: &str = "lines end with a line feed alone (containerd/console: ClearONLCR)";
const SIZE: &str = "tells the terminal's size only after the start";

pub fn terminals() -> Vec<Row> {
    let on_one = |name, change: fn(&mut Case)| {
        row(name, move |case| {
            case.has_terminal = true;
            case.process()["terminal"] = json!(true);
            change(case);
        })
        .but(Runc, &["terminal modes"], ONLCR)
        .perhaps(Crun, &["terminal size"], SIZE)
        .perhaps(Runc, &["terminal size"], SIZE)
        .but(Crun, &["mount /dev/console is no*"], "binds the terminal without the flags of its devpts")
    };
    vec![
        on_one("terminal", |_| {}),
        on_one("terminal: of a user", |case| {
            case.process()["user"] = json!({ "uid": 1000, "gid": 1000 });
        }),
        on_one("terminal: in a user namespace", |case| {
            case.add_user_namespace(&[(0, 100_000, 65_536)]);
        }),
        row("terminal: none, started on one", |case| case.has_terminal = true).but(
            Runc,
            &["descriptor *", "standard input is a terminal", "terminal *"],
            "puts pipes between",
        ),
    ]
}

pub fn hooks() -> Vec<Row> {
    fn logged(case: &mut Case, points: &[&str]) {
        let log = case.bundle.join("log");
        for point in points {
            // The state as it is told, less what is new each time.
            let script = format!(
                "printf '%s ' {point} $0 \"$@\" \"$PWD\" \"$NAME\" $HOME >>{0}; grep -o '\"status\": *\"[a-z]*\"' | tr -d ' ' >>{0}",
                log.display()
            );
            let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script, "zero", "one"], "env": ["PATH=/usr/bin:/bin", "NAME=value"], "timeout": 5 }]);
            case.config["hooks"][point] = hook;
        }
        case.log = Some(log);
    }
    vec![
        row("hooks: before the container", |case| logged(case, &["prestart", "createRuntime", "createContainer"])).but(
            Crun,
            &["log *"],
            "says `created`, and runs createContainer hooks in the bundle, not in the root",
        ),
        row("hooks: after its start and its end", |case| logged(case, &["poststart", "poststop"])).but(
            Runc,
            &["log *"],
            "says `created` after the start; the specification's state is `running`",
        ),
        row("hooks: in the container", |case| {
            case.config["hooks"]["startContainer"] = json!([{ "path": "/bin/busybox", "args": ["touch", "/tmp/by-hook"] }]);
        }),
    ]
}

pub fn execs() -> Vec<Row> {
    let flags = |flags: &'static [&'static str]| move |case: &mut Case| case.exec(flags);
    let as_process = |process: Value| {
        move |case: &mut Case| {
            let mut process = process.clone();
            process["args"] = json!(["/probe"]);
            fs::write(case.bundle.join("process.json"), process.to_string()).unwrap();
            case.exec(&["--process", "process.json"]);
        }
    };
    vec![
        added("exec", flags(&[])),
        added("exec: user", flags(&["--user", "1000:1001"])),
        added("exec: directory and environment", flags(&["--cwd", "/tmp", "--env", "A=1", "--env", "PATH=/x"])).but(
            Crun,
            &["environment *"],
            "puts what is added before",
        ),
        added("exec: a capability", flags(&["--cap", "CAP_SYS_ADMIN"])).but(
            Crun,
            &["status Cap*", "target *"],
            "gives the capability alone, not beside the container's",
        ),
        added("exec: no new privileges", flags(&["--no-new-privs"])),
        added(
            "exec: a process from a file",
            as_process(json!({ "cwd": "/etc", "env": ["ONE=1"], "user": { "uid": 5, "gid": 6, "additionalGids": [7] },
            "capabilities": { "bounding": SOME, "effective": SOME, "permitted": SOME }, "noNewPrivileges": true,
            "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 50, "hard": 60 }] })),
        )
        .perhaps(Runc, &["limit Max open files"], GO),
        row("exec: on a terminal", |case| {
            case.has_terminal = true;
            case.exec(&["--tty"]);
        })
        .but(Runc, &["terminal modes"], ONLCR)
        .perhaps(Crun, &["terminal size"], SIZE)
        .perhaps(Runc, &["terminal size"], SIZE),
        added("exec: in a user namespace", |case| {
            case.add_user_namespace(&[(0, 100_000, 65_536)]);
            case.exec(&[]);
        }),
        added("exec: with the host's namespaces", |case| {
            ["pid", "network", "ipc", "uts"].iter().for_each(|kind| case.without_namespace(kind));
            case.exec(&[]);
        }),
        added("exec: behind a filter", |case| {
            case.seccomp(json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77 }] }));
            case.exec(&[]);
        }),
        added("exec: limits and oom score of the container", |case| {
            case.process()["rlimits"] = json!([{ "type": "RLIMIT_NOFILE", "soft": 70, "hard": 80 }]);
            case.process()["oomScoreAdj"] = json!(100);
            case.exec(&[]);
        })
        .perhaps(Runc, &["limit Max open files"], GO)
        .but(Crun, &["limit *", "oom_score_adj"], "gives neither to what is added"),
    ]
}

fn added(name: &'static str, set_up: impl Fn(&mut Case) + 'static) -> Row {
    row(name, set_up).but(Crun, &["leads its *"], "leaves what is added in the caller's session, unless it has a terminal")
}
