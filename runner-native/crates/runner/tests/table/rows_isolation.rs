//! Rows of namespaces, cgroups, devices, and of what must be refused.

use crate::case::Case;
use crate::rows::{Row, row};
use crate::runtimes::Who::{Crun, Ours, Runc};
use serde_json::{Value, json};

pub fn namespaces() -> Vec<Row> {
    vec![
        row("as Docker has it", |_| {}),
        row("namespaces: mount alone", |case| {
            ["pid", "ipc", "uts", "network", "cgroup"].iter().for_each(|kind| case.without_namespace(kind));
        }),
        row("namespaces: the host's pid", |case| case.without_namespace("pid")),
        row("namespaces: the host's ipc", |case| case.without_namespace("ipc")),
        row("namespaces: the host's uts", |case| case.without_namespace("uts")),
        row("namespaces: the host's network", |case| case.without_namespace("network")),
        row("namespaces: the host's cgroup", |case| case.without_namespace("cgroup")),
        row("namespaces: network joined", |case| case.join("network", "net")),
        row("namespaces: ipc and uts joined", |case| {
            case.config["hostname"] = json!("");
            case.join("ipc", "ipc");
            case.join("uts", "uts");
        }),
        row("namespaces: pid joined", |case| case.join("pid", "pid_for_children")),
        row("namespaces: host name", |case| case.config["hostname"] = json!("another.example")),
        row("namespaces: domain name", |case| case.config["domainname"] = json!("example.org")).but(
            Runc,
            &["domain name", "sysctl kernel/domainname"],
            "Debian's 1.1 does not know it",
        ),
        row("namespaces: time", |case| {
            case.linux()["namespaces"].as_array_mut().unwrap().push(json!({ "type": "time" }));
            case.linux()["timeOffsets"] = json!({ "boottime": { "secs": 1000, "nanosecs": 0 } });
        }),
        row("user namespace", |case| case.add_user_namespace(&[(0, 100_000, 65_536)])),
        row("user namespace: several ranges", |case| {
            case.add_user_namespace(&[(0, 200_000, 1000), (1000, 100_000, 1000), (5000, 300_000, 10)])
        }),
        row("user namespace: a user and groups", |case| {
            case.add_user_namespace(&[(0, 100_000, 65_536)]);
            case.process()["user"] = json!({ "uid": 1000, "gid": 1000, "additionalGids": [5, 20] });
        }),
        row("user namespace: the host's root", |case| case.add_user_namespace(&[(0, 0, 65_536)])),
    ]
}

pub fn cgroups() -> Vec<Row> {
    if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        eprintln!("the rows of cgroups are skipped: they are of version 1, this machine has version 2 (its tests: limits.rs, cgroup2.rs)");
        return Vec::new();
    }
    let limited = |name, resources| read_only(named(with_tree(name, &["nosuid", "noexec", "nodev", "ro"], resources)));
    vec![
        unlimited(read_only(named(with_tree("cgroups: mounted", &["nosuid", "noexec", "nodev", "relatime", "ro"], Value::Null)))),
        unlimited(named(with_tree("cgroups: mounted rw", &["nosuid", "noexec", "nodev"], Value::Null))),
        unlimited(read_only(in_the_hosts_namespace())),
        unlimited(limited("cgroups: memory", json!({ "memory": { "limit": 64 << 20, "reservation": 32 << 20, "swappiness": 10 } }))),
        unlimited(limited("cgroups: processes", json!({ "pids": { "limit": 77 } }))),
        unlimited(limited("cgroups: cpu", json!({ "cpu": { "shares": 512, "quota": 50_000, "period": 100_000 } }))),
        unlimited(limited("cgroups: cpuset", json!({ "cpu": { "cpus": "0", "mems": "0" } }))),
        limited(
            "cgroups: no devices but one",
            json!({ "devices": [
                { "allow": false, "access": "rwm" }, { "allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw" },
            ] }),
        )
        .but(Crun, &["cgroup file devices/devices.list"], "allows the console's number besides")
        .but(Runc, &["cgroup file devices/devices.list"], "allows /dev/net/tun besides"),
        limited(
            "cgroups: all devices but one",
            json!({ "devices": [
                { "allow": true, "access": "rwm" }, { "allow": false, "type": "c", "major": 1, "minor": 11, "access": "rwm" },
            ] }),
        ),
        row("cgroups: no path", |case| {
            case.linux()["cgroupsPath"] = json!(null);
            case.without_namespace("cgroup");
        })
        .perhaps(Crun, &["cgroup memory"], "makes cgroups below the hierarchy's root, not below the caller's own"),
    ]
}

/// Where hierarchies of version 1 are mounted is a directory that each runtime makes as it likes.
fn with_tree(name: &'static str, options: &'static [&'static str], resources: Value) -> Row {
    row(name, move |case| {
        case.mount("/sys/fs/cgroup", "cgroup", "cgroup", options);
        case.linux()["resources"] = resources.clone();
    })
    .but(Ours, &["target /sys/fs/cgroup", "mount /sys/fs/cgroup options"], "the directory of hierarchies is a tmpfs with the mode 0755")
    .but(Crun, &["target /sys/fs/cgroup", "mount /sys/fs/cgroup options"], "the directory of hierarchies is a tmpfs with the mode 1777")
    .but(Runc, &["mount /sys/fs/cgroup source", "mount /sys/fs/cgroup/systemd source"], "calls these two file systems otherwise")
    .perhaps(Crun, &["file /sys/fs/cgroup/net_*"], "makes links to hierarchies whether they are there or not")
}

fn in_the_hosts_namespace() -> Row {
    let tree = with_tree("cgroups: mounted in the host's namespace", &["ro"], Value::Null);
    let set_up = tree.set_up;
    let with_less = move |case: &mut Case| {
        set_up(case);
        case.without_namespace("cgroup");
    };
    Row { set_up: Box::new(with_less), ..tree }
        .but(Ours, &["mount /sys/fs/cgroup* is no*"], "hierarchies are nosuid, nodev and noexec, asked for or not")
        .but(Runc, &["mount /sys/fs/cgroup is no*"], "the directory of hierarchies is, asked for or not")
}

fn named(row: Row) -> Row {
    row.but(Crun, &["mount /sys/fs/cgroup/* source"], "gives mounts of cgroups the name of their hierarchy")
}

fn read_only(row: Row) -> Row {
    row.but(
        Ours,
        &["mount /sys/fs/cgroup is r*", "target /sys/fs/cgroup writing"],
        "`ro` is of the directory of hierarchies, too, so that nothing can be written to it",
    )
}

/// Without rules for devices.
fn unlimited(row: Row) -> Row {
    row.but(Runc, &["cgroup file devices/devices.list"], "limits devices to the default ones without being asked")
}

/// Of devices that are listed.
const BOUND: &str = "nodes are bind mounts, of one that is made apart where the host has none like it: /dev is nodev";

pub fn devices() -> Vec<Row> {
    let listed = |list: Value| move |case: &mut Case| case.linux()["devices"] = list.clone();
    vec![
        row(
            "devices: with a mode and an owner",
            listed(json!([{ "path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 3, "gid": 7 }])),
        )
        .but(Ours, &["mount /dev/mine *", "target /dev/mine*"], BOUND),
        row(
            "devices: a default one otherwise",
            listed(json!([{ "path": "/dev/full", "type": "c", "major": 1, "minor": 7, "fileMode": 0o600, "uid": 1, "gid": 2 }])),
        )
        .but(
            Runc,
            &["file /dev/full opening"],
            "limits devices to the default ones without being asked, less the one that is listed",
        ),
        row(
            "devices: block, fifo, unbuffered",
            listed(json!([
                { "path": "/dev/block", "type": "b", "major": 7, "minor": 200, "fileMode": 0o600, "uid": 0, "gid": 0 },
                { "path": "/dev/fifo", "type": "p", "fileMode": 0o622, "uid": 0, "gid": 0 },
                { "path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 5, "fileMode": 0o666, "uid": 0, "gid": 0 },
            ])),
        )
        .but(
            Ours,
            &[
                "mount /dev/block *",
                "target /dev/block*",
                "mount /dev/fifo *",
                "target /dev/fifo*",
                "mount /dev/unbuffered *",
                "target /dev/unbuffered*",
            ],
            BOUND,
        )
        .but(Runc, &["file /dev/block opening"], "limits devices to the default ones without being asked"),
        row(
            "devices: below a directory of /dev",
            listed(json!([{ "path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200, "fileMode": 0o666, "uid": 0, "gid": 0 }])),
        )
        .but(Ours, &["mount /dev/net/tun *", "target /dev/net/tun*"], BOUND),
        row("devices: in a user namespace", |case| case.add_user_namespace(&[(0, 100_000, 65_536)])),
    ]
}

pub fn refusals() -> Vec<Row> {
    let refused = |name, pointer: &'static str, value: Value| {
        row(name, move |case| {
            case.is_refused = true;
            *case.config.pointer_mut(pointer).unwrap() = value.clone();
        })
    };
    vec![
        refused("refused: a namespace twice", "/linux/namespaces/0/type", json!("mount")),
        refused("refused: an unknown namespace", "/linux/namespaces/0/type", json!("pidd")),
        refused("refused: no command", "/process/args", json!([])),
        refused("refused: a working directory that is not absolute", "/process/cwd", json!("tmp")),
        refused("refused: a root that is not there", "/root/path", json!("nowhere")),
        row("refused: a namespace of another kind", |case| {
            case.is_refused = true;
            case.join("uts", "net");
            case.config["hostname"] = json!("");
        }),
        row("refused: a host name without a namespace", |case| {
            case.is_refused = true;
            case.without_namespace("uts");
            case.config["hostname"] = json!("name");
        }),
        row("refused: a sysctl of the machine's", |case| {
            case.is_refused = true;
            case.linux()["sysctl"] = json!({ "kernel.panic": "1" });
        }),
        row("refused: an unknown limit", |case| {
            case.is_refused = true;
            case.process()["rlimits"] = json!([{ "type": "RLIMIT_SOME", "soft": 1, "hard": 1 }]);
        }),
        row("refused: an unknown action", |case| {
            case.is_refused = true;
            case.linux()["seccomp"] = json!({ "defaultAction": "SCMP_ACT_MAYBE" });
        }),
    ]
}
