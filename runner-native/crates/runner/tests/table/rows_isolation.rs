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
    let mounted = |options: &'static [&'static str]| move |case: &mut Case| case.mount("/sys/fs/cgroup", "cgroup", "cgroup", options);
    let limited = |resources: Value| {
        move |case: &mut Case| {
            case.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "ro"]);
            case.linux()["resources"] = resources.clone();
        }
    };
    let all = vec![
        row("cgroups: mounted", mounted(&["nosuid", "noexec", "nodev", "relatime", "ro"])),
        row("cgroups: mounted rw", mounted(&["nosuid", "noexec", "nodev"])),
        row("cgroups: mounted in the host's namespace", |case| {
            case.without_namespace("cgroup");
            case.mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro"]);
        })
        .but(Ours, &["mount /sys/fs/cgroup* is no*"], "hierarchies are nosuid, nodev and noexec, asked for or not")
        .but(Runc, &["mount /sys/fs/cgroup is no*"], "the directory of hierarchies is, asked for or not"),
        row("cgroups: memory", limited(json!({ "memory": { "limit": 64 << 20, "reservation": 32 << 20, "swappiness": 10 } }))),
        row("cgroups: processes", limited(json!({ "pids": { "limit": 77 } }))),
        row("cgroups: cpu", limited(json!({ "cpu": { "shares": 512, "quota": 50_000, "period": 100_000 } }))),
        row("cgroups: cpuset", limited(json!({ "cpu": { "cpus": "0", "mems": "0" } }))),
        row(
            "cgroups: devices",
            limited(json!({ "devices": [
            { "allow": false, "access": "rwm" }, { "allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw" },
        ] })),
        )
        .but(Crun, &["cgroup file devices/devices.list"], "allows the console's number besides")
        .but(Runc, &["cgroup file devices/devices.list"], "allows /dev/net/tun besides"),
        row(
            "cgroups: all devices but one",
            limited(json!({ "devices": [
            { "allow": true, "access": "rwm" }, { "allow": false, "type": "c", "major": 1, "minor": 11, "access": "rwm" },
        ] })),
        ),
        row("cgroups: no path", |case| {
            case.linux()["cgroupsPath"] = json!(null);
            case.without_namespace("cgroup");
        })
        .but(Crun, &["cgroup memory"], "makes cgroups below the hierarchy's root, not below the caller's own"),
    ];
    all.into_iter().map(|row| if row.name == "cgroups: no path" { row } else { with_tree_of_its_own(row) }).collect()
}

/// Where hierarchies of version 1 are mounted is a directory that each runtime makes as it likes.
fn with_tree_of_its_own(row: Row) -> Row {
    let all_devices = row.name.starts_with("cgroups: devices") || row.name.starts_with("cgroups: all devices");
    let row = row
        .but(Ours, &["target /sys/fs/cgroup", "mount /sys/fs/cgroup options"], "the directory of hierarchies is a tmpfs with the mode 0755")
        .but(Crun, &["target /sys/fs/cgroup", "mount /sys/fs/cgroup options"], "the directory of hierarchies is a tmpfs with the mode 1777")
        .but(Runc, &["mount /sys/fs/cgroup source", "mount /sys/fs/cgroup/systemd source"], "calls these two file systems otherwise")
        .but(Crun, &["file /sys/fs/cgroup/net_*"], "makes links to hierarchies that are not there");
    let row = match row.name {
        "cgroups: mounted rw" => row,
        _ => row.but(
            Ours,
            &["mount /sys/fs/cgroup is r*", "target /sys/fs/cgroup writing"],
            "`ro` is of the directory of hierarchies, too, so that nothing can be written to it",
        ),
    };
    let row = match row.name {
        "cgroups: mounted in the host's namespace" => row,
        _ => row.but(Crun, &["mount /sys/fs/cgroup/* source"], "gives mounts of cgroups the name of their hierarchy"),
    };
    match all_devices {
        true => row,
        false => row.but(Runc, &["cgroup file devices/devices.list"], "limits devices to the default ones without being asked"),
    }
}

pub fn devices() -> Vec<Row> {
    let listed = |list: Value| move |case: &mut Case| case.linux()["devices"] = list.clone();
    vec![
        row(
            "devices: with a mode and an owner",
            listed(json!([{ "path": "/dev/mine", "type": "c", "major": 1, "minor": 3, "fileMode": 0o640, "uid": 3, "gid": 7 }])),
        )
        .but(
            Ours,
            &["mount /dev/mine *", "target /dev/mine*"],
            "nodes are bind mounts, of one that is made apart where the host has none like it: /dev is nodev",
        ),
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
            "nodes are bind mounts, of one that is made apart where the host has none like it: /dev is nodev",
        )
        .but(Runc, &["file /dev/block opening"], "limits devices to the default ones without being asked"),
        row(
            "devices: below a directory of /dev",
            listed(json!([{ "path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200, "fileMode": 0o666, "uid": 0, "gid": 0 }])),
        )
        .but(
            Ours,
            &["mount /dev/net/tun *", "target /dev/net/tun*"],
            "nodes are bind mounts, of one that is made apart where the host has none like it: /dev is nodev",
        ),
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
