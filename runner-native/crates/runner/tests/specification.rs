//! Parts of the runtime-spec's config.json that few callers use, one by one; those that crun and runc have too are in the table (table.rs).

mod support;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use std::fs;
use std::io::{ErrorKind, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use support::bundle::{Bundle, cgroups, id};
use support::{Fixture, RUNNER, eventually};

fn mount(config: &mut Value, mount: Value) {
    config["mounts"].as_array_mut().unwrap().push(mount);
}

#[test]
fn a_command_has_the_scheduling_that_it_asks_for() {
    let script = "/bin/busybox ionice -p $$; echo nice and policy $(/bin/busybox cut -d' ' -f19,41 /proc/$$/stat)";
    for in_user_namespace in [false, true] {
        let mut fixture = Fixture::new(&["sh", "-c", script]);
        fixture.config()["process"]["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": 7, "flags": null });
        fixture.config()["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 });
        if in_user_namespace {
            let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]);
            fixture.spec["userns"] = json!({ "first": 100_000, "count": 65_536 });
            let linux = &mut fixture.config()["linux"];
            linux["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            (linux["uidMappings"], linux["gidMappings"]) = (map.clone(), map);
        }
        let output = fixture.run();
        assert_eq!(output.stdout, "best-effort: prio 6\nnice and policy 7 3\n", "{} {}", output.stderr, output.result);
    }
}

#[test]
fn scheduling_that_cannot_be_is_an_error_before_anything_is_made() {
    let cases = [
        ("scheduler", json!({ "policy": "SCHED_SOME" }), "unknown policy"),
        ("ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 9 }), "not from 0 to 7"),
        ("execCPUAffinity", json!({ "initial": "0-" }), "not a list of CPUs"),
    ];
    for (field, value, expected) in cases {
        let (bundle, id) = (Bundle::with("true", |config| config["process"][field] = value), id("scheduling"));
        assert!(bundle.error(&["run", &id]).contains(expected), "{field}");
        assert!(!bundle.path("states").join(&id).exists() && cgroups(&id) == 0);
    }
}

/// runtime-spec, config-linux.md: what a runtime has not it may leave alone; a label that would protect it must not be lost silently.
#[test]
fn labels_are_refused_and_what_is_for_other_machines_is_ignored() {
    for (part, field) in [("linux", "mountLabel"), ("process", "apparmorProfile"), ("process", "selinuxLabel")] {
        let (bundle, id) = (Bundle::with("true", |config| config[part][field] = json!("some")), id("labels"));
        assert!(bundle.error(&["run", &id]).contains(&format!("{part}.{field} is not supported")), "{field}");
        assert!(!bundle.path("states").join(&id).exists() && cgroups(&id) == 0);
    }
    let change = |config: &mut Value| {
        config["linux"]["intelRdt"] = json!({ "closID": "guaranteed", "l3CacheSchema": "L3:0=7f0;1=1f" });
        config["vm"] = json!({ "kernel": { "path": "/nowhere/vmlinuz" } });
        config["ofTheFuture"] = json!(1);
    };
    let bundle = Bundle::with("echo runs", change);
    assert_eq!(bundle.ok(&["run", &id("ignored")]), "runs\n");
}

#[test]
fn capabilities_that_cannot_be_granted_are_said_and_done_without() {
    let some = json!(["CAP_CHOWN", "CAP_OF_THE_FUTURE"]);
    let change = |config: &mut Value| config["process"]["capabilities"] = json!({ "bounding": some, "permitted": some, "effective": some });
    let (bundle, id) = (Bundle::with("grep CapEff /proc/self/status", change), id("capabilities"));
    let output = bundle.call(&["run", &id]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "CapEff:\t0000000000000001\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("warning: process.capabilities: CAP_OF_THE_FUTURE cannot be granted"), "{said}");
    let output = bundle.call(&["--log", "log", "run", &id]);
    assert!(output.stderr.is_empty() && fs::read_to_string(bundle.path("log")).unwrap().contains("level=warning"));
}

/// A namespace of another kind, or no namespace at all.
#[test]
fn a_path_that_is_not_such_a_namespace_is_an_error() {
    for in_user_namespace in [false, true] {
        for (kind, path) in
            [("uts", "/proc/self/ns/net"), ("network", "/proc/self/status"), ("pid", "/proc/self/ns/uts"), ("ipc", "/nowhere")]
        {
            let change = |config: &mut Value| {
                let linux = &mut config["linux"];
                let namespaces = linux["namespaces"].as_array_mut().unwrap();
                namespaces.retain(|namespace| namespace["type"] != kind);
                namespaces.push(json!({ "type": kind, "path": path }));
                if in_user_namespace {
                    namespaces.push(json!({ "type": "user" }));
                    let map = json!([{ "containerID": 0, "hostID": 0, "size": 65_536 }]);
                    (linux["uidMappings"], linux["gidMappings"]) = (map.clone(), map);
                }
            };
            let (bundle, id) = (Bundle::with("true", change), id(&format!("not-{kind}-{in_user_namespace}")));
            let error = bundle.error(&["run", &id]);
            assert!(error.contains(path), "{kind} {path}: {error}");
            assert!(!bundle.path("states").join(&id).exists() && cgroups(&id) == 0);
        }
    }
}

#[test]
fn exec_runs_where_it_is_told() {
    let (bundle, id) = (Bundle::new("sleep 60"), id("affinity"));
    assert!(bundle.create(&[&id]), "{}", bundle.out());
    bundle.ok(&["start", &id]);
    let allowed = |affinity: Value| {
        let process = json!({ "args": ["grep", "Cpus_allowed_list", "/proc/self/status"], "env": ["PATH=/bin"], "cwd": "/",
            "user": {}, "execCPUAffinity": affinity });
        fs::write(bundle.path("process.json"), process.to_string()).unwrap();
        bundle.ok(&["exec", "--process", bundle.path("process.json").to_str().unwrap(), &id])
    };
    let everywhere = allowed(json!(null));
    assert_eq!(allowed(json!({ "initial": "0" })), everywhere, "the cgroup's own, once it is there");
    assert_eq!(allowed(json!({ "initial": "0", "final": "0" })), "Cpus_allowed_list:\t0\n");
}

#[test]
fn a_tmpfs_can_begin_with_what_it_covers() {
    let mut fixture =
        Fixture::new(&["sh", "-c", "cat /srv/data/deep/file; stat -c '%a %u' /srv/data; touch /srv/data/new && echo can; ls /srv/empty"]);
    fixture.add_layer("srv", |root| {
        fs::create_dir_all(root.join("srv/data/deep")).unwrap();
        fs::create_dir_all(root.join("srv/empty")).unwrap();
        fs::write(root.join("srv/data/deep/file"), "copied\n").unwrap();
        fs::write(root.join("srv/empty/file"), "hidden\n").unwrap();
        fs::set_permissions(root.join("srv/data"), fs::Permissions::from_mode(0o2770)).unwrap();
    });
    for (name, options) in [("data", json!(["tmpcopyup", "nosuid"])), ("empty", json!([]))] {
        let destination = format!("/srv/{name}");
        mount(fixture.config(), json!({ "destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options }));
    }
    let output = fixture.run();
    assert_eq!(output.stdout, "copied\n2770 0\ncan\n", "{} {}", output.stderr, output.result);
}

#[test]
fn what_is_mounted_can_be_mounted_again_otherwise() {
    let mut fixture = Fixture::new(&["sh", "-c", "grep -E ' /(proc|dev/shm) ' /proc/self/mounts"]);
    mount(
        fixture.config(),
        json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["remount", "ro", "size=1m"] }),
    );
    mount(fixture.config(), json!({ "destination": "/proc", "options": ["remount", "bind", "ro"] }));
    let output = fixture.run();
    assert!(output.stdout.contains("proc /proc proc ro,nosuid,nodev,noexec,relatime 0 0"), "{} {}", output.stdout, output.result);
    assert!(output.stdout.contains("shm /dev/shm tmpfs ro,nosuid,nodev,noexec,relatime,size=1024k"), "{}", output.stdout);
    mount(fixture.config(), json!({ "destination": "/none", "type": "none", "options": ["remount", "ro"] }));
    assert_eq!(fixture.run().error_code(), "native/mount");
}

/// What goes with the old root must not go from the host, even where mounts are shared with it.
#[test]
fn a_shared_root_leaves_the_host_its_mounts() {
    for propagation in ["shared", "rshared", "rslave", "unbindable"] {
        let (bundle, id) = (Bundle::with("true", |config| config["linux"]["rootfsPropagation"] = json!(propagation)), id(propagation));
        let run = format!("{RUNNER} --root states run {id}");
        // From another mount than "/", which is made private where the bundle is on it.
        let script =
            format!("mount --bind . here && cd here && sort /proc/self/mounts >before && {run} && sort /proc/self/mounts | diff before -");
        fs::create_dir(bundle.path("here")).unwrap();
        let mut command = Command::new("unshare");
        let output =
            command.args(["--mount", "--propagation", "shared", "sh", "-c", &script]).current_dir(bundle.dir.path()).output().unwrap();
        assert!(
            output.status.success(),
            "{propagation}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn another_file_in_the_place_of_a_device_is_an_error() {
    let device = json!([{ "path": "/srv/node", "type": "c", "major": 1, "minor": 3 }]);
    for (content, expected) in [("", ""), ("something", "native/mount")] {
        let mut fixture = Fixture::new(&["sh", "-c", "echo x > /srv/node"]);
        fixture.config()["linux"]["devices"] = device.clone();
        fixture.add_layer("srv", |root| {
            fs::create_dir(root.join("srv")).unwrap();
            fs::write(root.join("srv/node"), content).unwrap();
        });
        let output = fixture.run();
        assert_eq!(output.error_code(), expected, "{}", output.result);
    }
}

/// Without a namespace of its own a container sees its own cgroup all the same, and no other.
#[test]
fn cgroups_of_version_1_are_mounted_from_the_container_s_own_on() {
    if !fs::read_to_string("/proc/mounts").unwrap().contains(" cgroup rw") {
        eprintln!("skipped: this machine has no cgroups of version 1");
        return;
    }
    let change = |config: &mut Value| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "cgroup");
        mount(config, json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"] }));
    };
    let (bundle, id) =
        (Bundle::with("grep -x 1 /sys/fs/cgroup/pids/cgroup.procs; ls -d /sys/fs/cgroup/pids/*/ | wc -l", change), id("own-cgroup"));
    assert_eq!(bundle.ok(&["run", &id]).lines().collect::<Vec<_>>(), ["1", "0"]);
}

#[test]
fn a_seccomp_agent_is_told_of_the_listener() {
    for no_new_privileges in [false, true] {
        let (bundle, id) = (Bundle::with("mkdir /x", |_| {}), id(&format!("agent{no_new_privileges}")));
        let agent = UnixListener::bind(bundle.path("agent")).unwrap();
        agent.set_nonblocking(true).unwrap();
        let mut config: Value = serde_json::from_str(&fs::read_to_string(bundle.path("config.json")).unwrap()).unwrap();
        config["annotations"] = json!({ "some": "thing" });
        config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
            "listenerPath": bundle.path("agent"),
            "listenerMetadata": "for the agent",
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY" }],
        });
        fs::write(bundle.path("config.json"), config.to_string()).unwrap();
        let child = bundle.command(&["run", &id]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut connection = None;
        eventually("connection", || {
            connection = accept(&agent);
            connection.is_some()
        });
        let (state, listener) = receive(&connection.unwrap());
        assert_eq!((&state["fds"], &state["metadata"]), (&json!(["seccompFd"]), &json!("for the agent")));
        assert_eq!(state["state"]["id"], json!(id));
        assert_eq!(state["state"]["annotations"], json!({ "some": "thing" }));
        assert_eq!(state["pid"], bundle.state(&id)["pid"]);
        assert_eq!(state["pid"], state["state"]["pid"]);

        let minute = Timespec { tv_sec: 60, tv_nsec: 0 };
        assert_eq!(poll(&mut [PollFd::new(&listener, PollFlags::IN)], Some(&minute)), Ok(1), "a call that waits for its answer");
        drop(listener); // whom nobody answers gets ENOSYS
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("can't create directory '/x': Function not implemented"), "{said}");
    }
}

#[test]
fn an_agent_that_is_not_there_is_an_error() {
    let seccomp = json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/nowhere/agent",
        "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }] });
    let (bundle, id) = (Bundle::with("mkdir /x", |config| config["linux"]["seccomp"] = seccomp), id("no-agent"));
    assert!(bundle.error(&["run", &id]).contains("cannot connect to the seccomp agent at /nowhere/agent"));
    assert!(!bundle.path("states").join(&id).exists() && cgroups(&id) == 0);
}

fn accept(agent: &UnixListener) -> Option<UnixStream> {
    match agent.accept() {
        Ok((connection, _)) => Some(connection),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            None
        }
    }
}

/// What comes until the connection is closed, and the descriptor beside it.
fn receive(connection: &UnixStream) -> (Value, OwnedFd) {
    connection.set_nonblocking(false).unwrap();
    let (mut text, mut listener) = (Vec::new(), None);
    loop {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(connection.as_fd(), &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
        if received.bytes == 0 {
            return (serde_json::from_slice(&text).unwrap(), listener.expect("a descriptor"));
        }
        text.extend_from_slice(&bytes[..received.bytes]);
        listener = listener.or(control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        }));
    }
}
