//! Cgroups of version 2: the files that limits become, where a container's cgroup is, and what of it the container sees. Skipped, with a line
//! that says so, where version 1 has the controllers; test/kernels has machines where it has not.

mod support;

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use support::bundle::{Bundle, cgroups, id, unified_controllers};

fn is_unified() -> bool {
    let is_unified = unified_controllers().is_some();
    if !is_unified {
        eprintln!("skipped: this machine's cgroups are of version 1");
    }
    is_unified
}

/// A container that is created with these resources and not yet started.
fn created(test: &str, resources: Value) -> (Bundle, String) {
    let (bundle, id) = (Bundle::with("sleep 60", |config| config["linux"]["resources"] = resources), id(test));
    assert!(bundle.create(&[&id]), "{}", bundle.out());
    (bundle, id)
}

fn own_cgroup(pid: &Value) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{}/cgroup", pid.to_string().trim_matches('"'))).unwrap();
    Path::new("/sys/fs/cgroup").join(text.trim().strip_prefix("0::/").expect("a cgroup of version 2 alone"))
}

fn has(cgroup: &Path, file: &str) -> bool {
    let is_there = cgroup.join(file).exists();
    if !is_there {
        eprintln!("skipped: this kernel has no {file}");
    }
    is_there
}

#[test]
fn limits_are_written_before_anything_runs_and_updated_later() {
    if !is_unified() {
        return;
    }
    let (bundle, id) = created(
        "written",
        json!({
            "cpu": { "shares": 512, "quota": 20_000, "period": 50_000, "cpus": "0", "mems": "0" },
            "memory": { "limit": 64 << 20, "swap": 96 << 20, "reservation": 32 << 20 },
            "pids": { "limit": 20 },
            "unified": { "memory.high": "50331648", "cgroup.max.depth": "3" },
        }),
    );
    let cgroup = own_cgroup(&bundle.state(&id)["pid"]);
    let is = |name: &str, expected: &str| assert_eq!(fs::read_to_string(cgroup.join(name)).unwrap().trim(), expected, "{name}");
    is("cpu.weight", "59");
    is("cpu.max", "20000 50000");
    is("cpuset.cpus", "0");
    is("cpuset.mems", "0");
    is("memory.max", "67108864");
    is("memory.swap.max", "33554432");
    is("memory.low", "33554432");
    is("memory.high", "50331648");
    is("cgroup.max.depth", "3");
    is("pids.max", "20");

    bundle.ok(&["start", &id]);
    let arguments = ["--memory", "256m", "--memory-swap", "512m", "--cpu-quota", "30000", "--pids-limit", "-1", "--cpu-share", "1024"];
    bundle.ok(&[&["update"][..], &arguments, &[&id]].concat());
    is("memory.max", "268435456");
    is("memory.swap.max", "268435456");
    is("cpu.max", "30000 50000");
    is("cpu.weight", "100");
    is("pids.max", "max");
    fs::write(bundle.path("new.json"), json!({ "memory": { "swap": -1 }, "unified": { "pids.max": "9" } }).to_string()).unwrap();
    bundle.ok(&["update", "-r", "new.json", &id]);
    is("memory.max", "268435456");
    is("memory.swap.max", "max");
    is("pids.max", "9");
}

#[test]
fn devices_and_pages_have_their_limits() {
    if !is_unified() {
        return;
    }
    let Some((name, (major, minor))) = block_device() else { return eprintln!("skipped: no block device") };
    let device = |rate: u64| json!([{ "major": major, "minor": minor, "rate": rate }]);
    let mut resources = json!({ "blockIO": {
        "throttleReadBpsDevice": device(1 << 20), "throttleWriteBpsDevice": device(2 << 20),
        "throttleReadIOPSDevice": device(100), "throttleWriteIOPSDevice": device(200),
    }});
    if unified_controllers().is_some_and(|all| all.contains("hugetlb")) && Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB").exists() {
        resources["hugepageLimits"] = json!([{ "pageSize": "2MB", "limit": 4 << 20 }]);
    } else {
        eprintln!("skipped in part: no huge pages");
    }
    let (bundle, id) = created("io", resources);
    let cgroup = own_cgroup(&bundle.state(&id)["pid"]);
    let text = fs::read_to_string(cgroup.join("io.max")).unwrap();
    assert_eq!(text.trim(), format!("{major}:{minor} rbps=1048576 wbps=2097152 riops=100 wiops=200"), "{name}");
    if has(&cgroup, "hugetlb.2MB.max") {
        assert_eq!(fs::read_to_string(cgroup.join("hugetlb.2MB.max")).unwrap().trim(), "4194304");
        assert_eq!(fs::read_to_string(cgroup.join("hugetlb.2MB.rsvd.max")).unwrap().trim(), "4194304");
    }
    if ["io.bfq.weight", "io.weight"].iter().any(|file| has(&cgroup, file)) {
        fs::write(bundle.path("weight.json"), json!({ "blockIO": { "weight": 500 } }).to_string()).unwrap();
        bundle.ok(&["update", "-r", "weight.json", &id]);
        let weight = |file: &str| fs::read_to_string(cgroup.join(file)).unwrap_or_default();
        assert!(weight("io.bfq.weight").contains("500") || weight("io.weight").contains("4950"), "{cgroup:?}");
    }
}

/// The disk that the machine has: throttles are for whole ones.
fn block_device() -> Option<(String, (u32, u32))> {
    let names = fs::read_dir("/sys/block").ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let name = names.into_iter().find(|name| !name.starts_with("loop") && !name.starts_with("ram"))?;
    let text = fs::read_to_string(format!("/sys/block/{name}/dev")).ok()?;
    let (major, minor) = text.trim().split_once(':')?;
    Some((name, (major.parse().ok()?, minor.parse().ok()?)))
}

/// Where this process is, a cgroup has nothing to give to those below.
#[test]
fn a_container_without_a_path_is_beside_its_runtime() {
    if !is_unified() {
        return;
    }
    let (bundle, id) = created("beside", json!({ "pids": { "limit": 20 } }));
    let own = own_cgroup(&json!("self"));
    assert_eq!(own_cgroup(&bundle.state(&id)["pid"]), own.parent().unwrap().join(&id));
}

#[test]
fn below_one_with_processes_there_are_containers_but_no_limits() {
    if !is_unified() {
        return;
    }
    let own = own_cgroup(&json!("self"));
    let Ok(below) = own.strip_prefix("/sys/fs/cgroup") else { return };
    if below.as_os_str().is_empty() {
        return eprintln!("skipped: this process is in the root of all cgroups, which is the exception");
    }
    let id = id("below");
    let run = |resources: Value| {
        let path = json!(Path::new("/").join(below).join(&id));
        let bundle = Bundle::with("cat /proc/self/cgroup", |config| {
            config["linux"]["cgroupsPath"] = path;
            config["linux"]["resources"] = resources;
        });
        let output = bundle.call(&["run", &id]);
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, out, err) = run(json!({}));
    assert_eq!((status, out.as_str()), (Some(0), "0::/\n"), "{err}");
    for resources in [json!({ "memory": { "limit": 64 << 20 } }), json!({ "pids": { "limit": 10 } })] {
        let (status, _, err) = run(resources);
        assert_eq!(status, Some(125));
        assert!(err.contains(&format!("{} has processes of its own", own.display())), "{err}");
    }
    assert_eq!(cgroups(&id), 0);
    // It was left as it had been: what is below a threaded one takes no process.
    assert_eq!(fs::read_to_string(own.join("cgroup.type")).unwrap().trim(), "domain");
}

#[test]
fn a_container_sees_its_own_cgroup_as_the_root() {
    if !is_unified() {
        return;
    }
    let script = "cat /proc/self/cgroup; cat /sys/fs/cgroup/pids.max; mkdir /sys/fs/cgroup/below && echo $$ >/sys/fs/cgroup/below/cgroup.procs && cat /proc/self/cgroup";
    for (options, expected) in [(json!(["ro", "nosuid"]), "0::/\n33\n"), (json!(["rw"]), "0::/\n33\n0::/below\n")] {
        let bundle = Bundle::with(script, |config| {
            config["linux"]["resources"] = json!({ "pids": { "limit": 33 } });
            let mount = json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options });
            config["mounts"].as_array_mut().unwrap().push(mount);
        });
        let id = id("sees");
        let output = bundle.call(&["run", &id]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(cgroups(&id), 0);
    }
}

#[test]
fn what_a_container_has_made_below_its_cgroup_goes_with_it() {
    if !is_unified() {
        return;
    }
    let script = "cd /sys/fs/cgroup; for i in a b a/c; do mkdir $i; sleep 600 & echo $! >$i/cgroup.procs; done; echo ready; sleep 600";
    let bundle = Bundle::with(script, |config| {
        let mount = json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup" });
        config["mounts"].as_array_mut().unwrap().push(mount);
    });
    let id = id("made");
    assert!(bundle.create(&[&id]), "{}", bundle.out());
    bundle.ok(&["start", &id]);
    support::eventually("cgroups are made", || bundle.out().contains("ready"));
    let cgroup = own_cgroup(&bundle.state(&id)["pid"]);
    assert!(cgroup.join("a/c").is_dir() && bundle.ok(&["ps", &id]).lines().count() >= 4);
    bundle.ok(&["pause", &id]);
    assert!(fs::read_to_string(cgroup.join("a/c/cgroup.events")).unwrap().contains("frozen 1"));
    bundle.ok(&["delete", "--force", &id]);
    assert!(!cgroup.exists());
}

/// As a service manager needs it, which is root in the container alone.
#[test]
fn a_writable_mount_in_a_user_namespace_belongs_to_the_container_but_its_limits_do_not() {
    if !is_unified() {
        return;
    }
    for (options, expected) in [(json!([]), "0 0 65534 made"), (json!(["ro"]), "65534 65534 65534 not")] {
        let change = |config: &mut Value| {
            let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65_534 }]);
            config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
            (config["linux"]["uidMappings"], config["linux"]["gidMappings"]) = (map.clone(), map);
            let mount = json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": options });
            config["mounts"].as_array_mut().unwrap().push(mount);
        };
        let script = "cd /sys/fs/cgroup; mkdir below 2>/dev/null && made=made; echo $(stat -c %u . cgroup.procs pids.max) ${made:-not}";
        let (bundle, id) = (Bundle::with(script, change), id("owned"));
        let owner = |path: &Path| std::os::unix::fs::chown(path, Some(100_000), Some(100_000)).unwrap();
        ["rootfs", "rootfs/etc", "rootfs/bin"].iter().for_each(|path| owner(&bundle.path(path)));
        assert_eq!(bundle.ok(&["run", &id]).trim(), expected, "{options}");
    }
}
