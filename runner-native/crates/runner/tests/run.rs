//! The OCI runtime's `run`: what a command in a container sees, may do, and ends with.

mod support;

use serde_json::json;
use std::fs;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use support::{Fixture, RUNNER, eventually, processes_with, signal, unique_seconds};

#[test]
fn exits_as_the_command_does() {
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$; sleep 1", 0), ("(kill -TERM $(sh -c 'echo $PPID')); exit 3", 3)] {
        let output = Fixture::new(&["sh", "-c", script]).run();
        // A pid 1 cannot kill itself; everything else is as in a shell.
        assert_eq!(output.status, status, "{script}: {}", output.stderr);
        assert_eq!(output.result["status"], json!(status));
    }
}

#[test]
fn says_128_and_the_signal_for_one_that_was_killed() {
    let mut fixture = Fixture::new(&["mkdir", "/x"]);
    fixture.config()["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir", "mkdirat", "no_such_call"], "action": "SCMP_ACT_KILL_PROCESS" }],
    });
    assert_eq!(fixture.run().status, 128 + 31);
}

#[test]
fn tells_a_missing_command_from_one_that_cannot_be_executed() {
    let cases = [
        ("nope", 127, "run/command-not-found", "nope is not in the container's PATH"),
        ("/bin/nope", 127, "run/command-not-found", "/bin/nope does not exist in the container"),
        ("/etc", 126, "run/command-not-executable", "/etc is a directory"),
        ("/bin/plain", 126, "run/command-not-executable", "/bin/plain is not executable for the container's user"),
        ("plain", 126, "run/command-not-executable", "/bin/plain is not executable for the container's user"),
        (
            "/bin/text",
            126,
            "run/command-not-executable",
            "/bin/text is neither a program for this machine's processor nor a script with a #! line",
        ),
        (
            "orphan",
            127,
            "run/command-not-found",
            "/bin/orphan cannot be executed: the interpreter that it names (#! line or ELF loader) is not in the container",
        ),
    ];
    for (command, status, code, detail) in cases {
        let mut fixture = Fixture::new(&[command]);
        fixture.add_layer("commands", |root| {
            use std::os::unix::fs::PermissionsExt;
            fs::create_dir(root.join("bin")).unwrap();
            for (name, content, mode) in [("plain", "", 0o644), ("text", "hello\n", 0o755), ("orphan", "#!/bin/no-such\n", 0o755)] {
                fs::write(root.join("bin").join(name), content).unwrap();
                fs::set_permissions(root.join("bin").join(name), fs::Permissions::from_mode(mode)).unwrap();
            }
        });
        let output = fixture.run();
        assert_eq!((output.status, output.error_code()), (status, code), "{command}");
        assert_eq!(output.result["error"]["detail"], json!(detail));
    }
}

#[test]
fn gives_docker_s_default_capabilities_and_no_others() {
    let output = Fixture::new(&["grep", "-E", "^(Cap|NoNewPrivs)", "/proc/self/status"]).run();
    // chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod audit_write setfcap
    let docker = "00000000a80425fb";
    let expected = format!(
        "CapInh:\t0000000000000000\nCapPrm:\t{docker}\nCapEff:\t{docker}\nCapBnd:\t{docker}\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\n"
    );
    assert_eq!(output.stdout, expected);
}

#[test]
fn gives_a_user_its_ids_and_ambient_capabilities() {
    let mut fixture = Fixture::new(&["sh", "-c", "id; umask; grep -E '^(CapEff|CapAmb|NoNewPrivs)' /proc/self/status"]);
    let process = &mut fixture.config()["process"];
    process["user"] = json!({ "uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o027 });
    process["noNewPrivileges"] = json!(true);
    let one = json!(["CAP_NET_BIND_SERVICE"]);
    process["capabilities"] = json!({ "bounding": one, "effective": one, "permitted": one, "inheritable": one, "ambient": one });
    let output = fixture.run();
    assert_eq!(output.stdout, "uid=1000 gid=1001 groups=5,6\n0027\nCapEff:\t0000000000000400\nCapAmb:\t0000000000000400\nNoNewPrivs:\t1\n");
}

#[test]
fn hides_masked_paths_and_keeps_read_only_ones() {
    let script = "cat /proc/kcore | dd bs=1 count=1 2>/dev/null; ls -A /sys/firmware; echo x > /proc/sys/kernel/hostname || echo refused; \
                  touch /sys/x || echo refused; mount | grep -c 'on /proc/sys .*ro'";
    let output = Fixture::new(&["sh", "-c", script]).run();
    assert_eq!(output.stdout, "refused\nrefused\n1\n", "{}", output.stderr);
}

#[test]
fn sets_up_namespaces() {
    let script = "hostname; echo $$; ip link show lo | grep -c LOOPBACK,UP; ls /sys/class/net; readlink /proc/self/ns/uts";
    let output = Fixture::new(&["sh", "-c", script]).run();
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(&lines[..4], ["tbuild", "1", "1", "lo"], "{}", output.stderr);
    assert_ne!(lines[4], fs::read_link("/proc/self/ns/uts").unwrap().to_str().unwrap());
}

#[test]
fn joins_a_namespace_by_path_and_shares_absent_ones() {
    let mut fixture = Fixture::new(&["sh", "-c", "readlink /proc/self/ns/net; readlink /proc/self/ns/uts; readlink /proc/self/ns/ipc"]);
    fixture.config()["hostname"] = json!("");
    fixture.config()["linux"]["namespaces"] =
        json!([{ "type": "pid" }, { "type": "mount" }, { "type": "network", "path": "/proc/self/ns/net" }, { "type": "ipc" }]);
    let output = fixture.run();
    let own = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string();
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines[0], own("net"), "{} {}", output.stderr, output.result);
    assert_eq!(lines[1], own("uts"));
    assert_ne!(lines[2], own("ipc"));
}

#[test]
fn ends_every_process_of_a_container_without_a_pid_namespace() {
    let seconds = unique_seconds();
    let mut fixture = Fixture::new(&["sh", "-c", &format!("sleep {seconds} & exit 4")]);
    fixture.config()["linux"]["namespaces"] = json!([{ "type": "mount" }, { "type": "uts" }]);
    fixture.config()["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "sysfs");
    let output = fixture.run();
    assert_eq!(output.status, 4, "{} {}", output.stderr, output.result);
    assert_eq!(processes_with(&format!("sleep\0{seconds}")), Vec::<u32>::new());
}

#[test]
fn has_the_default_devices_and_opens_no_other() {
    let script = "echo x > /dev/null && dd if=/dev/zero bs=1 count=3 2>/dev/null | dd bs=4 2>&1 | grep -c '^0+1'; readlink /dev/ptmx; \
                  ls -A /dev | tr '\\n' ' '; mknod /dev/kmsg2 c 1 11 && cat /dev/kmsg2";
    let mut fixture = Fixture::new(&["/bin/busybox", "sh", "-c", &script.replace("tr", "/bin/busybox tr ")]);
    fixture.config()["linux"]["devices"] =
        json!([{ "path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 0, "gid": 7 }]);
    let output = fixture.run();
    let expected = "pts/ptmx\nfd full fuse null ptmx pts random shm stderr stdin stdout tty urandom zero ";
    assert!(output.stdout.ends_with(expected), "{:?} {} {}", output.stdout, output.stderr, output.result);
    assert!(output.stderr.contains("Permission denied"), "/dev is nodev: {}", output.stderr);
}

#[test]
fn makes_a_device_with_the_asked_mode_and_owner() {
    let mut fixture = Fixture::new(&["sh", "-c", "stat -c '%a %u %g %t %T' /dev/mine /dev/null; echo x > /dev/mine"]);
    fixture.config()["linux"]["devices"] =
        json!([{ "path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 3, "gid": 7 }]);
    let output = fixture.run();
    assert_eq!((output.stdout.as_str(), output.status), ("640 3 7 1 3\n666 0 0 1 3\n", 0), "{} {}", output.stderr, output.result);
}

#[test]
fn applies_a_seccomp_filter_with_arguments_and_error_numbers() {
    // A default that is an error gives ENOSYS to calls newer than any that it knows: the rest of this profile is "allow".
    let mut fixture = Fixture::new(&["sh", "-c", "mkdir /a; ln -s x /b; chmod 700 /tmp; chmod 755 /tmp && echo ok"]);
    fixture.config()["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS"],
        "syscalls": [
            { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30 },
            { "names": ["symlink", "symlinkat"], "action": "SCMP_ACT_ERRNO" },
            { "names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 11, "args": [{ "index": 1, "value": 0o700, "op": "SCMP_CMP_EQ" }] },
            { "names": ["fchmodat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 11, "args": [{ "index": 2, "value": 0o700, "op": "SCMP_CMP_EQ" }] },
        ],
    });
    let output = fixture.run();
    assert!(output.stderr.contains("'/a': Read-only file system"), "{} {}", output.stderr, output.result);
    assert!(output.stderr.contains("/b: Operation not permitted"), "{}", output.stderr);
    assert!(output.stderr.contains("/tmp: Resource temporarily unavailable"), "{}", output.stderr);
    assert_eq!(output.stdout, "ok\n");
}

#[test]
fn sets_limits_environment_directory_and_score() {
    let mut fixture =
        Fixture::new(&["sh", "-c", "ulimit -n; echo $A $PWD; cat /proc/self/oom_score_adj; cat /proc/sys/net/ipv4/ip_forward"]);
    let process = &mut fixture.config()["process"];
    process["rlimits"] =
        json!([{ "type": "RLIMIT_NOFILE", "soft": 77, "hard": 88 }, { "type": "RLIMIT_MEMLOCK", "soft": u64::MAX, "hard": u64::MAX }]);
    process["env"] = json!(["PATH=/bin", "A=1", "A=2"]);
    process["cwd"] = json!("/made/for/it");
    process["oomScoreAdj"] = json!(100);
    fixture.config()["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
    let output = fixture.run();
    assert_eq!(output.stdout, "77\n2 /made/for/it\n100\n1\n", "{} {}", output.stderr, output.result);
}

#[test]
fn refuses_what_it_does_not_have_or_what_cannot_be_before_it_starts() {
    let cases = [
        ("/linux/namespaces/0/type", json!("user"), "native/config", "a new user namespace needs its root mapped"),
        ("/linux/namespaces/0/type", json!("mount"), "native/config", "mount is there twice"),
        ("/linux/namespaces/0/type", json!("pidd"), "native/config", "unknown type \"pidd\""),
        ("/process/cwd", json!("tmp"), "native/config", "is not absolute"),
        ("/process/args", json!([]), "native/config", "names no command"),
        ("/process/args/0", json!("a\0b"), "native/config", "zero byte"),
        ("/process/user/uid", json!(-1), "native/config", "invalid value"),
        ("/ociVersion", json!("2.0.0"), "native/config", "is not a version 1"),
        ("/mounts/0/destination", json!("/"), "native/config", "is the root itself"),
        ("/mounts/0/options/0", json!("tmpcopyup"), "native/config", "only a tmpfs has it"),
        ("/process/user", json!({ "uid": 0, "gid": 0, "umask": 0o1000 }), "native/config", "more than 0777"),
        ("/linux/maskedPaths/0", json!("proc/kcore"), "native/config", "is not absolute"),
        ("/hostname", json!("x".repeat(65)), "native/config", "longer than 64"),
    ];
    for (pointer, value, code, detail) in cases {
        let mut fixture = Fixture::new(&["true"]);
        *fixture.config().pointer_mut(pointer).unwrap() = value;
        let output = fixture.run();
        assert_eq!((output.status, output.error_code()), (125, code), "{pointer}: {}", output.result);
        assert!(output.result["error"]["detail"].as_str().unwrap().contains(detail), "{pointer}: {}", output.result);
    }
    let additions = [
        ("rootfsPropagation", json!("rslaves"), "native/config"),
        ("sysctl", json!({ "kernel.panic": "1" }), "native/config"),
        ("sysctl", json!({ "net.../../kernel.panic": "1" }), "native/config"),
        ("seccomp", json!({ "defaultAction": "SCMP_ACT_MAYBE" }), "native/config"),
        ("uidMappings", json!([{ "containerID": 0, "hostID": 0, "size": 1 }]), "native/config"),
        ("resources", json!({ "memory": { "limit": 1 << 30 } }), ""),
    ];
    for (field, value, code) in additions {
        let mut fixture = Fixture::new(&["true"]);
        fixture.config()["linux"][field] = value;
        let output = fixture.run();
        assert_eq!(output.error_code(), code, "{field}: {}", output.result);
    }
}

#[test]
fn forwards_signals() {
    let script = "trap 'echo got; exit 5' TERM; trap 'echo hup' HUP; echo ready; while true; do sleep 0.01; done";
    let fixture = Fixture::new(&["sh", "-c", script]);
    let mut child = fixture.command().stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut ready = [0; 6];
    stdout.read_exact(&mut ready).unwrap();
    signal(&child, rustix::process::Signal::HUP);
    let mut hup = [0; 4];
    stdout.read_exact(&mut hup).unwrap();
    signal(&child, rustix::process::Signal::TERM);
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!((&hup, rest.as_str()), (b"hup\n", "got\n"));
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn opens_its_streams_by_name_whatever_they_are() {
    // Node.js makes the pipes of its children from sockets, which cannot be opened by name.
    for uid in [0, 1000] {
        let mut fixture = Fixture::new(&["sh", "-c", "echo out > /dev/stdout; echo err > /dev/stderr"]);
        fixture.config()["process"]["user"]["uid"] = json!(uid);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let fd = |stream: &UnixStream| Stdio::from(std::os::fd::OwnedFd::from(stream.try_clone().unwrap()));
        let mut child = fixture.command().stdout(fd(&theirs)).stderr(fd(&theirs)).spawn().unwrap();
        drop(theirs);
        let mut text = String::new();
        { &ours }.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), child.wait().unwrap().code()), ("out\nerr\n", Some(0)));
    }
}

#[test]
fn loses_no_byte_of_a_long_output() {
    let fixture = Fixture::new(&["dd", "if=/dev/zero", "bs=1M", "count=20"]);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut child = fixture.command().stdout(Stdio::from(std::os::fd::OwnedFd::from(theirs))).stderr(Stdio::null()).spawn().unwrap();
    let mut bytes = Vec::new();
    { &ours }.read_to_end(&mut bytes).unwrap();
    assert_eq!((bytes.len(), child.wait().unwrap().code()), (20 << 20, Some(0)));
}

#[test]
fn runs_a_bundle_by_itself() {
    let fixture = Fixture::new(&[]);
    let bundle = fixture.path("bundle");
    let root = fixture.path("base.tree");
    fs::create_dir(&bundle).unwrap();
    for directory in ["proc", "sys", "dev"] {
        fs::create_dir(root.join(directory)).unwrap();
    }
    let mut config = support::config(&["sh", "-c", "cat /proc/1/comm; touch /x"]);
    config["root"] = json!({ "path": root, "readonly": true });
    fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    let pid_file = fixture.path("pid");
    let output = Command::new(RUNNER)
        .args(["run", "--bundle"])
        .arg(&bundle)
        .arg("--pid-file")
        .arg(&pid_file)
        .arg(format!("tbuild-test-{}", std::process::id()))
        .output();
    let output = output.unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "sh\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/x: Read-only file system"));
    assert_eq!(output.status.code(), Some(1));
    assert!(fs::read_to_string(pid_file).unwrap().parse::<u32>().is_ok());
    assert!(!support::is_mounted_below(&root));

    fs::write(bundle.join("config.json"), "{").unwrap();
    let output = Command::new(RUNNER).args(["run", "-b"]).arg(&bundle).arg("id").output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("tbuild-runner: config.json: EOF while parsing an object"));
}

#[test]
fn cannot_be_written_to_by_way_of_proc_self_exe() {
    // CVE-2019-5736: the command is an interpreter line that names the runtime itself.
    let mut fixture = Fixture::new(&["/bin/trap", "features"]);
    fixture.add_layer("trap", |root| {
        use std::os::unix::fs::PermissionsExt;
        fs::create_dir(root.join("bin")).unwrap();
        fs::write(root.join("bin/trap"), "#!/proc/self/exe\n").unwrap();
        fs::set_permissions(root.join("bin/trap"), fs::Permissions::from_mode(0o755)).unwrap();
    });
    // The runtime may run in there, as any program; what it names must be read-only.
    let output = fixture.run();
    assert_eq!(output.status, 125, "{}", output.stdout);
    let seconds = unique_seconds();
    let fixture = Fixture::new(&["sleep", &seconds]);
    let mut child = fixture.command().spawn().unwrap();
    eventually("the container runs", || processes_with(&format!("sleep\0{seconds}")).len() == 1);
    let own = format!("/proc/{}/exe", child.id());
    let is_read_only = rustix::fs::statvfs(&own).unwrap().f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY);
    // Before Linux 5.12: a sealed copy.
    assert!(is_read_only || fs::read_link(&own).unwrap().starts_with("/memfd:tbuild-runner (deleted)"));
    signal(&child, rustix::process::Signal::KILL);
    child.wait().unwrap();
}
