//! Limits as the files they are written to: of version 1 as a list, of version 2 over a directory that only looks like a cgroup.

use super::conversions::{io_weight, swap_alone, weight_of_shares};
use super::*;
use serde_json::json;
use std::fs;

fn resources(json: serde_json::Value) -> Resources {
    serde_json::from_value(json).unwrap()
}

fn version_1(json: serde_json::Value) -> Vec<String> {
    let resources = resources(json);
    resources.check().unwrap();
    let show = |write: &Write| format!("{}={}", write.choices[0].0, write.choices[0].1);
    version1::writes(&resources).iter().map(show).collect()
}

/// A directory with the files that are named, as a cgroup of version 2.
struct Fake {
    dir: tempfile::TempDir,
    cgroup: Cgroup,
}

impl Fake {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, content)| fs::write(dir.path().join(name), content).unwrap());
        let cgroup = json!({ "directories": [{ "controllers": [], "mount": dir.path(), "path": dir.path() }] });
        Self { cgroup: serde_json::from_value(cgroup).unwrap(), dir }
    }

    fn apply(&self, json: serde_json::Value) -> Result<()> {
        let resources = resources(json);
        resources.check()?;
        resources.apply_limits(&self.cgroup)
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.dir.path().join(file)).unwrap()
    }
}

#[test]
fn conversions_are_those_of_runc() {
    for (shares, weight) in [(2, 1), (256, 35), (1024, 100), (262_144, 10_000), (1_000_000, 10_000)] {
        assert_eq!(weight_of_shares(shares), weight, "{shares}");
    }
    assert_eq!([10, 500, 1000].map(io_weight), [1, 4950, 10_000]);
    for (both, memory, expected) in [
        (None, None, None),
        (None, Some(1000), None),
        (Some(0), Some(-1), Some(-1)),
        (Some(-1), None, Some(-1)),
        (Some(-1), Some(1000), Some(-1)),
        (Some(1000), Some(1000), Some(0)),
        (Some(500), Some(200), Some(300)),
    ] {
        assert_eq!(swap_alone(both, memory).unwrap(), expected, "{both:?} {memory:?}");
    }
    for (both, memory) in [(Some(300), Some(400)), (Some(300), None), (Some(300), Some(-1))] {
        assert!(swap_alone(both, memory).is_err(), "{both:?} {memory:?}");
    }
}

#[test]
fn version_1_has_a_file_for_each() {
    let all = json!({
        "memory": {
            "limit": 1000, "swap": 2000, "reservation": 500, "kernel": -1, "kernelTCP": 7, "swappiness": 0, "disableOOMKiller": true,
        },
        "cpu": {
            "shares": 1024, "quota": 50_000, "period": 100_000, "burst": 10, "realtimeRuntime": 3, "realtimePeriod": 4, "cpus": "0-1",
            "mems": "0", "idle": 0,
        },
        "pids": { "limit": -1 },
        "blockIO": {
            "weight": 10, "leafWeight": 20, "weightDevice": [{ "major": 8, "minor": 0, "weight": 30, "leafWeight": 40 }],
            "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 5 }], "throttleWriteIOPSDevice": [{ "major": 8, "minor": 1, "rate": 6 }],
        },
        "hugepageLimits": [{ "pageSize": "2MB", "limit": 9 }],
        "network": { "classID": 1_048_577, "priorities": [{ "name": "eth0", "priority": 500 }] },
        "rdma": { "mlx5_1": { "hcaHandles": 3, "hcaObjects": 100 } },
    });
    let expected = "cpuset.cpus=0-1 cpuset.mems=0 cpu.shares=1024 cpu.cfs_period_us=100000 cpu.cfs_burst_us=10 cpu.rt_period_us=4 \
        cpu.cfs_quota_us=50000 cpu.rt_runtime_us=3 cpu.idle=0 memory.limit_in_bytes=1000 memory.memsw.limit_in_bytes=2000 \
        memory.soft_limit_in_bytes=500 memory.kmem.limit_in_bytes=-1 memory.kmem.tcp.limit_in_bytes=7 memory.swappiness=0 memory.oom_control=1 \
        pids.max=max blkio.weight=10 blkio.leaf_weight=20 blkio.weight_device=8:0_30 blkio.leaf_weight_device=8:0_40 \
        blkio.throttle.read_bps_device=8:0_5 blkio.throttle.write_iops_device=8:1_6 hugetlb.2MB.limit_in_bytes=9 \
        hugetlb.2MB.rsvd.limit_in_bytes=9 net_cls.classid=1048577 net_prio.ifpriomap=eth0_500 rdma.max=mlx5_1_hca_handle=3_hca_object=100";
    let written: Vec<String> = version_1(all).iter().map(|line| line.replace(' ', "_")).collect();
    assert_eq!(written, expected.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn what_is_not_asked_for_is_not_touched() {
    assert!(version_1(json!({})).is_empty());
    assert!(
        version_1(json!({ "memory": { "limit": 0 }, "cpu": { "shares": 0, "quota": 0, "cpus": "" }, "pids": null, "blockIO": {} }))
            .is_empty()
    );
    Fake::new(&[]).apply(json!({ "memory": {}, "cpu": { "period": 0 } })).unwrap();
}

#[test]
fn version_2_counts_in_its_own_units() {
    let names =
        ["cpuset.cpus", "cpu.weight", "cpu.max", "cpu.max.burst", "cpu.idle", "memory.max", "memory.swap.max", "memory.low", "pids.max"];
    let more = ["io.weight", "io.max", "hugetlb.2MB.max", "hugetlb.2MB.rsvd.max", "rdma.max", "memory.high"];
    let files: Vec<(&str, &str)> = names.iter().chain(&more).map(|name| (*name, "")).collect();
    let fake = Fake::new(&files);
    fake.apply(json!({
        "memory": { "limit": 1000, "swap": 1500, "reservation": -1 },
        "cpu": { "shares": 1024, "quota": 50_000, "period": 100_000, "burst": 10, "cpus": "0", "idle": 1 },
        "pids": { "limit": 7 },
        "blockIO": { "weight": 500, "throttleReadBpsDevice": [{ "major": 8, "minor": 0, "rate": 5 }] },
        "hugepageLimits": [{ "pageSize": "2MB", "limit": 9 }],
        "rdma": { "mlx5_1": { "hcaObjects": 100 } },
        "unified": { "memory.high": "900" },
    }))
    .unwrap();
    for (file, content) in [
        ("cpuset.cpus", "0"),
        ("cpu.weight", "100"),
        ("cpu.max", "50000 100000"),
        ("cpu.max.burst", "10"),
        ("cpu.idle", "1"),
        ("memory.max", "1000"),
        ("memory.swap.max", "500"),
        ("memory.low", "max"),
        ("pids.max", "7"),
        ("io.weight", "4950"),
        ("io.max", "8:0 rbps=5"),
        ("hugetlb.2MB.max", "9"),
        ("hugetlb.2MB.rsvd.max", "9"),
        ("rdma.max", "mlx5_1 hca_object=100"),
        ("memory.high", "900"),
    ] {
        assert_eq!(fake.read(file), content, "{file}");
    }
}

#[test]
fn version_2_changes_only_what_is_new() {
    let fake = Fake::new(&[("cpu.max", "50000 100000"), ("memory.max", "1000\n"), ("memory.swap.max", "0"), ("io.bfq.weight", "")]);
    fake.apply(json!({ "cpu": { "period": 200_000 } })).unwrap();
    assert_eq!(fake.read("cpu.max"), "50000 200000");
    fake.apply(json!({ "cpu": { "quota": -1 } })).unwrap();
    assert_eq!(fake.read("cpu.max"), "max");
    fake.apply(json!({ "memory": { "swap": 1800 } })).unwrap();
    assert_eq!((fake.read("memory.swap.max"), fake.read("memory.max")), ("800".into(), "1000\n".into()));
    fake.apply(json!({ "blockIO": { "weight": 500 } })).unwrap();
    assert_eq!(fake.read("io.bfq.weight"), "500");
}

#[test]
fn what_cannot_be_had_is_an_error_that_names_it() {
    let fake = Fake::new(&[("memory.current", "2000"), ("memory.max", "max")]);
    for (wanted, expected) in [
        (json!({ "pids": { "limit": 7 } }), "linux.resources.pids cannot be had: this machine's cgroups lack pids.max"),
        (json!({ "memory": { "swappiness": 7 } }), "linux.resources.memory.swappiness on cgroups of version 2 is not supported"),
        (json!({ "memory": { "limit": 7, "checkBeforeUpdate": true } }), "2000 bytes are in use already, more than 7"),
        (json!({ "unified": { "no.such": "7" } }), "linux.resources.unified cannot be had"),
        (json!({ "memory": { "limit": 7, "swap": 9 } }), "lack memory.swap.max"),
    ] {
        let error = fake.apply(wanted).unwrap_err().detail;
        assert!(error.contains(expected), "{error}");
    }
    // No swap to limit: none is what was asked for.
    fake.apply(json!({ "memory": { "limit": 7, "swap": 7 } })).unwrap();
    let without = Cgroup::default();
    let error = resources(json!({ "memory": { "limit": 7 } })).apply(&without).unwrap_err().detail;
    assert!(error.contains("this machine's cgroups lack memory"), "{error}");
    let error = resources(json!({ "unified": { "memory.high": "7" } })).apply(&without).unwrap_err().detail;
    assert!(error.contains("version 1"), "{error}");
}

#[test]
fn what_can_never_be_is_said_before_anything_is_made() {
    for (wanted, field) in [
        (json!({ "memory": { "limit": -2 } }), "memory.limit"),
        (json!({ "memory": { "limit": 10, "swap": 5 } }), "memory.swap"),
        (json!({ "memory": { "swappiness": 101 } }), "memory.swappiness"),
        (json!({ "cpu": { "shares": 1 } }), "cpu.shares"),
        (json!({ "cpu": { "period": 999 } }), "cpu.period"),
        (json!({ "cpu": { "quota": 999 } }), "cpu.quota"),
        (json!({ "cpu": { "idle": 2 } }), "cpu.idle"),
        (json!({ "cpu": { "cpus": "0-" } }), "cpu.cpus"),
        (json!({ "cpu": { "mems": "1-0" } }), "cpu.mems"),
        (json!({ "blockIO": { "weight": 9 } }), "blockIO"),
        (json!({ "hugepageLimits": [{ "pageSize": "../2MB", "limit": 1 }] }), "hugepageLimits"),
        (json!({ "rdma": { "a b": { "hcaObjects": 1 } } }), "network and rdma"),
        (json!({ "rdma": { "a": {} } }), "rdma"),
        (json!({ "unified": { "../x.y": "1" } }), "unified"),
        (json!({ "devices": [{ "allow": true, "type": "x", "access": "r" }] }), "devices"),
        (json!({ "devices": [{ "allow": true, "type": "c", "access": "rx" }] }), "devices"),
        (json!({ "devices": [{ "allow": true, "type": "c" }] }), "devices"),
        (json!({ "devices": [{ "allow": true, "type": "c", "major": -2, "access": "r" }] }), "devices"),
    ] {
        let error = resources(wanted).check().unwrap_err().detail;
        assert!(error.starts_with(&format!("linux.resources.{field}: ")), "{error}");
    }
}

fn device_writes(rules: serde_json::Value) -> Vec<String> {
    let rules = device_rules::read(&resources(json!({ "devices": rules })).devices).unwrap();
    rules.writes().iter().map(|write| format!("{} {}", write.choices[0].0, write.choices[0].1)).collect()
}

#[test]
fn rules_for_devices_come_to_a_default_and_its_exceptions() {
    let always =
        ["b *:* m", "c *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm"];
    let allowed = |more: &[&str]| {
        let mut all: Vec<String> = always.iter().chain(more).map(|rule| format!("devices.allow {rule}")).collect();
        all.sort();
        all
    };
    let sorted = |mut writes: Vec<String>| {
        let first = writes.remove(0);
        writes.sort();
        (first, writes)
    };
    let nothing = json!([{ "allow": false, "access": "rwm" }]);
    assert_eq!(sorted(device_writes(nothing)), ("devices.deny a".into(), allowed(&[])));
    let some = json!([
        { "allow": true, "type": "c", "major": 10, "minor": 229, "access": "r" },
        { "allow": true, "type": "c", "major": 10, "minor": 229, "access": "wm" },
        { "allow": true, "type": "b", "major": 8, "minor": -1, "access": "rw" },
        { "allow": false, "type": "b", "major": 8, "access": "w" },
    ]);
    assert_eq!(sorted(device_writes(some)), ("devices.deny a".into(), allowed(&["c 10:229 rwm", "b 8:* r"])));
    let most = json!([{ "allow": true, "access": "rwm" }, { "allow": false, "type": "c", "major": 10, "minor": 229, "access": "rw" }]);
    assert_eq!(device_writes(most), ["devices.allow a", "devices.deny c 10:229 rw"]);
    let hole = json!([
        { "allow": true, "type": "b", "major": 8, "access": "rw" }, { "allow": false, "type": "b", "major": 8, "minor": 1, "access": "w" },
    ]);
    assert!(device_rules::read(&resources(json!({ "devices": hole })).devices).is_err());
}

/// Version 2 is mounted beside version 1 on many machines, and its programs for devices work there, too.
#[test]
fn the_program_for_devices_is_one_that_the_kernel_takes() {
    let Some(mount) = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].into_iter().find(|path| Path::new(path).join("cgroup.procs").exists())
    else {
        eprintln!("skipped: no cgroups of version 2 are mounted");
        return;
    };
    let path = Path::new(mount).join(format!("tbuild-test-devices-{}", std::process::id()));
    if let Err(error) = fs::create_dir(&path) {
        eprintln!("skipped: no cgroup can be made at {}: {error}", path.display());
        return;
    }
    let rules = resources(json!({ "devices": [{ "allow": false, "access": "rwm" }] }));
    let cgroup = json!({ "directories": [{ "controllers": [], "mount": mount, "path": path }] });
    let applied = rules.apply(&serde_json::from_value(cgroup).unwrap());
    let procs = path.join("cgroup.procs");
    let script = format!("echo $$ >{} && : </dev/zero && if true </dev/kmsg; then echo open; fi", procs.display());
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    fs::remove_dir(&path).unwrap();
    if applied.as_ref().is_err_and(|error| matches!(error.errno.as_deref(), Some("EPERM" | "ENOSYS"))) {
        eprintln!("skipped: {}", applied.unwrap_err().detail);
        return;
    }
    applied.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.stdout.is_empty() && stderr.contains("/dev/kmsg") && !stderr.contains("/dev/zero"), "{stderr}");
}

#[test]
fn what_was_taken_is_read_in_the_form_of_runc() {
    let fake = Fake::new(&[
        ("cpu.stat", "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 5\nnr_throttled 1\nthrottled_usec 2\n"),
        ("memory.current", "4096\n"),
        ("memory.max", "8192\n"),
        ("memory.swap.max", "max\n"),
        ("memory.stat", "anon 1\nfile 2\n"),
        ("memory.events", "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\n"),
        ("pids.current", "3\n"),
        ("pids.max", "max\n"),
        ("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"),
        ("hugetlb.2MB.current", "7\n"),
    ]);
    assert_eq!(stats::memory_kills(&fake.cgroup), 2);
    let read = stats::read(&fake.cgroup);
    assert_eq!(read["cpu"]["usage"], json!({ "total": 30_000, "kernel": 10_000, "user": 20_000 }));
    assert_eq!(read["memory"]["usage"], json!({ "limit": 8192, "usage": 4096, "max": 0, "failcnt": 3 }));
    assert_eq!(read["memory"]["swap"]["limit"], u64::MAX);
    assert_eq!((&read["memory"]["cache"], &read["memory"]["raw"]["anon"]), (&json!(2), &json!(1)));
    assert_eq!(read["pids"], json!({ "current": 3, "limit": 0 }));
    assert_eq!(read["blkio"]["ioServiceBytesRecursive"][1], json!({ "major": 8, "minor": 0, "op": "Write", "value": 2 }));
    assert_eq!(read["hugetlb"]["2MB"]["usage"], 7);
}
