//! User namespaces: who a container's root is on the host, whose files it makes, and what it may not do any more.

mod support;

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use support::{Fixture, RUNNER, config, fill_root, machine};

const FIRST: u32 = 1 << 31;
const COUNT: u32 = (1 << 31) - 2;

fn add_user_namespace(config: &mut Value, first: u32, count: u32) {
    let map = json!([{ "containerID": 0, "hostID": first, "size": count }]);
    config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    config["linux"]["uidMappings"] = map.clone();
    config["linux"]["gidMappings"] = map;
}

/// As tbuild has its containers, where the machine can.
fn mapped(arguments: &[&str]) -> Option<Fixture> {
    if let Some(reason) = machine()["withoutUserns"].as_str() {
        eprintln!("skipped: no user namespaces here: {reason}");
        return None;
    }
    let mut fixture = Fixture::new(arguments);
    fixture.spec["userns"] = json!({ "first": FIRST, "count": COUNT });
    add_user_namespace(fixture.config(), FIRST, COUNT);
    Some(fixture)
}

fn without_network(fixture: &mut Fixture) {
    let namespaces = fixture.config()["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "network");
}

#[test]
fn root_inside_is_nobody_outside() {
    let Some(fixture) = mapped(&["sh", "-c", "cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; id"]) else { return };
    let output = fixture.run();
    let map = format!("{:10} {FIRST:10} {COUNT:10}\n", 0);
    assert_eq!(output.stdout, format!("{map}{map}allow\nuid=0 gid=0\n"), "{}", output.stderr);
}

#[test]
fn owners_on_disk_are_those_of_the_image() {
    for on_disk in [false, true] {
        let script = "mkdir -p /srv/new && touch /srv/new/f && chown 5:6 /srv/new/f && stat -c '%u %g %n' / /bin /etc/owned /srv/new /srv/new/f /tmp \
                      && chmod 4755 /etc/owned && rm /etc/gone && grep Cap /proc/self/status";
        let Some(fixture) = mapped(&["sh", "-c", script]) else { return };
        let mut fixture = fixture.commit();
        fixture.add_layer("owners", |root| {
            fs::create_dir(root.join("etc")).unwrap();
            for name in ["owned", "gone"] {
                fs::write(root.join("etc").join(name), name).unwrap();
                chown(root.join("etc").join(name), Some(70_000), Some(COUNT - 1)).unwrap();
            }
        });
        fixture.spec["make"] = json!([{ "path": "made/deep", "uid": 7, "gid": 8 }]);
        if on_disk {
            fixture.spec["upper"] = json!({ "directory": fixture.path("upper"), "work": fixture.path("work") });
        }
        let output = fixture.run();
        let last = COUNT - 1;
        let seen = format!("0 0 /\n0 0 /bin\n70000 {last} /etc/owned\n0 0 /srv/new\n5 6 /srv/new/f\n0 0 /tmp\n");
        assert!(output.stdout.starts_with(&seen), "{} {} {}", output.stdout, output.stderr, output.result);
        assert!(output.stdout.contains("CapEff:\t00000000a80425fb"), "{}", output.stdout);
        let owner = |path: &str| {
            let stat = fs::symlink_metadata(fixture.path("out/root").join(path)).unwrap();
            (stat.uid(), stat.gid(), stat.mode() & 0o7777)
        };
        assert_eq!(owner("srv/new/f"), (5, 6, 0o644));
        assert_eq!(owner("srv/new"), (0, 0, 0o755));
        assert_eq!(owner("etc/owned"), (70_000, last, 0o4755));
        assert_eq!(owner("made/deep"), (7, 8, 0o755));
        assert_eq!(owner(""), (0, 0, 0o755));
        assert_eq!(fixture.committed(), ["etc", "etc/gone", "etc/owned", "made", "made/deep", "srv", "srv/new", "srv/new/f"]);
    }
}

#[test]
fn files_and_further_roots_have_the_container_s_owners() {
    let script =
        "stat -c '%u %g %a %n' /run/secret /m/f /w/f; cat /run/secret; touch /w/new && stat -c '%u %n' /w/new; touch /e/new; echo x >/m/f";
    let Some(mut fixture) = mapped(&["sh", "-c", script]) else { return };
    let layer = fixture.layer("other", |root| {
        fs::write(root.join("f"), "").unwrap();
        chown(root.join("f"), Some(3), Some(4)).unwrap();
    });
    for (path, kind) in [("run/secret", "file"), ("m", "dir"), ("w", "dir"), ("e", "dir")] {
        fixture.spec["stub"].as_array_mut().unwrap().push(json!({ "path": path, "type": kind }));
    }
    fixture.spec["files"] = json!([{ "name": "secret", "mode": 0o400, "uid": 9, "gid": 10, "data": "aGkK" }]);
    fixture.spec["mounts"] =
        json!([{ "layers": [layer], "writable": false }, { "layers": [layer], "writable": true }, { "layers": [], "writable": true }]);
    let scratch = fixture.path("scratch");
    for (source, destination) in [("files/secret", "/run/secret"), ("m/0", "/m"), ("m/1", "/w"), ("m/2", "/e")] {
        fixture.mount(json!({ "destination": destination, "type": "bind", "source": scratch.join(source), "options": ["bind", "nodev"] }));
    }
    let output = fixture.run();
    let expected = "9 10 400 /run/secret\n3 4 644 /m/f\n3 4 644 /w/f\nhi\n0 /w/new\n";
    assert_eq!(output.stdout, expected, "{} {}", output.stderr, output.result);
    // Only there; the one without layers is the container's as well.
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert!(output.stderr.contains("Read-only file system"));
}

#[test]
fn a_directory_of_the_host_is_bound_under_the_container_s_ids_or_shows_nobody() {
    let Some(mut fixture) = mapped(&["sh", "-c", "stat -c '%u %n' /plain/f /mapped/f; touch /mapped/new; touch /plain/new"]) else {
        return;
    };
    let home = fixture.path("home");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("f"), "").unwrap();
    chown(home.join("f"), Some(12), Some(12)).unwrap();
    for (name, options) in [("plain", json!(["bind"])), ("mapped", json!(["rbind", "ridmap"]))] {
        fixture.spec["stub"].as_array_mut().unwrap().push(json!({ "path": name, "type": "dir" }));
        fixture.mount(json!({ "destination": format!("/{name}"), "type": "bind", "source": home, "options": options }));
    }
    let output = fixture.run();
    assert_eq!(output.stdout, "65534 /plain/f\n12 /mapped/f\n", "{} {}", output.stderr, output.result);
    assert!(output.stderr.contains("/plain/new"), "{}", output.stderr);
    assert_eq!(fs::metadata(home.join("new")).unwrap().uid(), 0);
    assert!(!home.join("../plain/new").exists());
}

#[test]
fn a_file_system_without_mapped_ids_is_a_clear_error() {
    let Some(mut fixture) = mapped(&["true"]) else { return };
    fixture.mount(json!({ "destination": "/tmp", "type": "bind", "source": "/proc", "options": ["bind", "idmap"] }));
    let output = fixture.run();
    assert_eq!((output.status, output.error_code()), (125, "unsupported/idmap"), "{}", output.result);
}

#[test]
fn the_host_s_network_comes_with_the_host_s_sys_read_only() {
    let Some(mut fixture) = mapped(&["sh", "-c", "ls -d /sys/class/net/lo; touch /sys/x; ls /sys/firmware | wc -l"]) else { return };
    without_network(&mut fixture);
    let output = fixture.run();
    assert_eq!(output.stdout, "/sys/class/net/lo\n0\n", "{} {}", output.stderr, output.result);
    assert!(output.stderr.contains("Read-only file system"), "{}", output.stderr);
}

#[test]
fn no_device_can_be_made_nor_one_of_the_image_opened() {
    let script = "mknod /dev/mem2 c 1 1; mknod /tmp/n c 1 3; dd if=/dev/kvm2 of=/dev/null count=1; dd if=/dev/zero of=/dev/null bs=1 count=1 && echo ok";
    let Some(mut fixture) = mapped(&["sh", "-c", script]) else { return };
    fixture.add_layer("nodes", |root| {
        fs::create_dir(root.join("srv")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o666);
        let device = rustix::fs::makedev(1, 5);
        rustix::fs::mknodat(rustix::fs::CWD, root.join("srv/zero"), rustix::fs::FileType::CharacterDevice, mode, device).unwrap();
    });
    fixture.config()["process"]["args"] = json!(["sh", "-c", format!("{script}; dd if=/srv/zero of=/dev/null count=1 && echo opened")]);
    let output = fixture.run();
    assert_eq!(output.stdout, "ok\n", "{}", output.stderr);
    assert!(output.stderr.contains("mknod: /tmp/n: Operation not permitted"), "{}", output.stderr);
    assert!(output.stderr.contains("can't open '/srv/zero': Permission denied"), "{}", output.stderr);
}

#[test]
fn another_user_has_its_streams_and_its_groups() {
    let Some(mut fixture) = mapped(&["sh", "-c", "id; echo out >/dev/stdout; echo err >/dev/stderr; cat /proc/self/limits"]) else {
        return;
    };
    fixture.config()["process"]["user"] = json!({ "uid": 1000, "gid": 1001, "additionalGids": [5, 6] });
    fixture.config()["process"]["rlimits"] = json!([{ "type": "RLIMIT_CORE", "soft": 1000, "hard": 2000 }]);
    let output = fixture.run();
    assert!(output.stdout.starts_with("uid=1000 gid=1001 groups=5,6\nout\n"), "{} {}", output.stdout, output.stderr);
    assert_eq!(output.stderr, "err\n");
    assert!(output.stdout.contains("Max core file size        1000                 2000"), "{}", output.stdout);
}

#[test]
fn wrong_maps_are_errors_before_anything_is_made() {
    let range = |container: u64, host: u64, size: u64| json!([{ "containerID": container, "hostID": host, "size": size }]);
    let with = |uids: Value, gids: Value, has_namespace: bool| {
        let mut config = config(&["true"]);
        if has_namespace {
            config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
        }
        config["linux"]["uidMappings"] = uids;
        config["linux"]["gidMappings"] = gids;
        config
    };
    let good = range(0, 1 << 31, 1000);
    let mut stranger = with(good.clone(), good.clone(), true);
    stranger["process"]["user"]["uid"] = json!(1000);
    let mut groups = with(good.clone(), good.clone(), true);
    groups["process"]["user"]["additionalGids"] = json!([5, 1000]);
    let mut idmap = config(&["true"]);
    let bind = json!({ "destination": "/x", "type": "bind", "source": "/", "options": ["idmap"] });
    idmap["mounts"].as_array_mut().unwrap().push(bind);
    let mut clock = config(&["true"]);
    clock["linux"]["timeOffsets"] = json!({ "monotonic": { "secs": 1 } });
    let cases = [
        (with(json!([]), json!([]), true), "linux.uidMappings: do not say who 0 is"),
        (with(good.clone(), json!([]), true), "linux.uidMappings: and gidMappings go together"),
        (with(good.clone(), good.clone(), false), "linux.uidMappings: need a user namespace"),
        (with(range(0, 0, 0), good.clone(), true), "linux.uidMappings: has an entry of size 0"),
        (with(good.clone(), range(5, 1 << 31, 1000), true), "linux.uidMappings: do not say who 0 is"),
        (with(range(0, (1 << 32) - 1, 1), good.clone(), true), "beyond the last id"),
        (stranger, "process.user: the uid 1000 is not in linux.uidMappings"),
        (groups, "process.user: the gid 1000 is not in linux.gidMappings"),
        (idmap, "mounts: /x is to be idmapped"),
        (clock, "linux.timeOffsets: need a new time namespace"),
    ];
    for (config, expected) in cases {
        let mut fixture = Fixture::new(&["true"]);
        fixture.spec["config"] = config;
        let output = fixture.run();
        assert_eq!((output.status, output.error_code()), (125, "native/config"), "{expected}: {}", output.result);
        assert!(output.result["error"]["detail"].as_str().unwrap().contains(expected), "{}", output.result);
    }
}

#[test]
fn clocks_of_a_time_namespace_are_set() {
    let mut fixture = Fixture::new(&["cat", "/proc/uptime"]);
    let linux = &mut fixture.config()["linux"];
    linux["namespaces"].as_array_mut().unwrap().push(json!({ "type": "time" }));
    linux["timeOffsets"] = json!({ "boottime": { "secs": 86_400_000, "nanosecs": 5 } });
    let output = fixture.run();
    let seconds: f64 = output.stdout.split(' ').next().unwrap().parse().unwrap_or_default();
    assert!((86_400_000.0..172_800_000.0).contains(&seconds), "{} {}", output.stdout, output.result);
}

/// A bundle with a root that belongs to the mapped root, for the commands of an OCI runtime.
struct Bundle {
    dir: tempfile::TempDir,
}

impl Bundle {
    fn new(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::create_dir_all(dir.path().join("rootfs")).unwrap();
        fill_root(&dir.path().join("rootfs"));
        for name in ["proc", "sys", "dev"] {
            fs::create_dir(dir.path().join("rootfs").join(name)).unwrap();
        }
        let chown = Command::new("chown").args(["-Rh", "100000:100000"]).arg(dir.path().join("rootfs")).status().unwrap();
        assert!(chown.success());
        let mut config = config(arguments);
        add_user_namespace(&mut config, 100_000, 65_536);
        let bundle = Self { dir };
        bundle.write(&config);
        bundle
    }

    fn write(&self, config: &Value) {
        fs::write(self.dir.path().join("config.json"), config.to_string()).unwrap();
    }

    fn config(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.dir.path().join("config.json")).unwrap()).unwrap()
    }

    fn command(&self, runtime: &str, arguments: &[&str]) -> (i32, String, String) {
        let root = self.dir.path().join("state");
        let mut command = Command::new(runtime);
        // No /dev/null: runc gives its streams to the container's root, this machine's device as well.
        command.arg("--root").arg(root).args(arguments).current_dir(self.dir.path()).stdin(Stdio::piped());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }
}

fn id(name: &str) -> String {
    format!("userns-{name}-{}", std::process::id())
}

/// Hybrid cgroups, which Debian's refuse, and missing programs are said.
fn others() -> Vec<&'static str> {
    let is_there = |runtime: &&str| Command::new(runtime).arg("--version").output().is_ok_and(|output| output.status.success());
    let (there, missing): (Vec<&str>, Vec<&str>) = ["crun", "runc"].into_iter().partition(is_there);
    missing.iter().for_each(|runtime| eprintln!("skipped beside {runtime}: it is not installed"));
    there
}

#[test]
fn looks_as_under_other_runtimes() {
    let script = "cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; id; grep -E '^(Cap|Groups|Uid|Gid)' /proc/self/status; \
                  stat -c '%u %g %a %n' / /proc /dev /dev/pts /dev/shm /bin/sh; touch /tmp/x && stat -c '%u' /tmp/x; rm /tmp/x";
    let bundle = Bundle::new(&["sh", "-c", script]);
    let (status, ours, error) = bundle.command(RUNNER, &["run", &id("ours")]);
    assert_eq!(status, 0, "{error}");
    assert!(ours.contains("0     100000      65536"), "{ours}");
    for runtime in others() {
        let (status, theirs, error) = bundle.command(runtime, &["run", &id(runtime)]);
        if status != 0 {
            eprintln!("skipped beside {runtime}, which says here: {}", error.trim());
            continue;
        }
        assert_eq!(ours, theirs, "{runtime}");
    }
}

#[test]
fn a_bundle_that_only_root_may_enter_and_sources_in_it_can_be_used() {
    let bundle = Bundle::new(&["cat", "/etc/from-host"]);
    fs::write(bundle.dir.path().join("secret"), "told\n").unwrap();
    fs::set_permissions(bundle.dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let mut config = bundle.config();
    let mount = json!({ "destination": "/etc/from-host", "type": "bind", "source": "secret", "options": ["rbind", "ro"] });
    config["mounts"].as_array_mut().unwrap().push(mount);
    bundle.write(&config);
    let (status, stdout, error) = bundle.command(RUNNER, &["run", &id("private")]);
    assert_eq!((status, stdout.as_str()), (0, "told\n"), "{error}");
}

#[test]
fn exec_and_other_containers_join_it() {
    let bundle = Bundle::new(&["sleep", "100"]);
    let name = id("joined");
    // What runs on must not have our pipes.
    let start = format!("exec {RUNNER} --root state run --detach --pid-file pid {name} >/dev/null 2>error");
    let status = Command::new("sh").args(["-c", &start]).current_dir(bundle.dir.path()).status().unwrap();
    assert!(status.success(), "{}", fs::read_to_string(bundle.dir.path().join("error")).unwrap());
    let pid = fs::read_to_string(bundle.dir.path().join("pid")).unwrap();
    let (status, stdout, error) = bundle.command(RUNNER, &["exec", &name, "sh", "-c", "id; cat /proc/self/uid_map; echo a >/dev/stdout"]);
    assert_eq!((status, stdout.as_str()), (0, "uid=0 gid=0\n         0     100000      65536\na\n"), "{error}");
    let (status, stdout, _) = bundle.command(RUNNER, &["exec", "--user", "5:6", &name, "sh", "-c", "id; echo a >/dev/stdout"]);
    assert_eq!((status, stdout.as_str()), (0, "uid=5 gid=6\na\n"));
    let (status, _, error) = bundle.command(RUNNER, &["exec", "--user", "70000", &name, "true"]);
    assert!(status != 0 && error.contains("70000 is not in linux.uidMappings"), "{error}");

    let mut config = bundle.config();
    let path = |name: &str| format!("/proc/{pid}/ns/{name}");
    config["linux"]["namespaces"] = json!([
        { "type": "mount" }, { "type": "uts" }, { "type": "pid" }, { "type": "cgroup" },
        { "type": "user", "path": path("user") }, { "type": "network", "path": path("net") }, { "type": "ipc", "path": path("ipc") },
    ]);
    config["linux"]["uidMappings"] = json!(null);
    config["linux"]["gidMappings"] = json!(null);
    config["process"]["args"] = json!(["sh", "-c", "for n in user net ipc pid; do readlink /proc/self/ns/$n; done; id"]);
    bundle.write(&config);
    let (status, stdout, error) = bundle.command(RUNNER, &["run", &id("second")]);
    assert_eq!(status, 0, "{error}");
    let link = |name: &str| fs::read_link(path(name)).unwrap().display().to_string();
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[..3], [link("user"), link("net"), link("ipc")], "{stdout}");
    assert_ne!(lines[3], link("pid"));
    assert_eq!(lines[4], "uid=0 gid=0");
    let (status, _, error) = bundle.command(RUNNER, &["delete", "--force", &name]);
    assert_eq!(status, 0, "{error}");
}

#[test]
fn the_host_s_network_namespace_is_joined_from_outside() {
    let bundle = Bundle::new(&["readlink", "/proc/self/ns/net"]);
    let mut config = bundle.config();
    for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
        if namespace["type"] == "network" {
            namespace["path"] = json!("/proc/self/ns/net");
        }
    }
    bundle.write(&config);
    let (status, stdout, error) = bundle.command(RUNNER, &["run", &id("net")]);
    let host = fs::read_link(Path::new("/proc/self/ns/net")).unwrap();
    assert_eq!((status, stdout.trim()), (0, host.display().to_string().as_str()), "{error}");
}
