//! Attacks out of a container that have worked on other runtimes, tried on this one. Each test begins with the attack; where this machine
//! can show that it works, the same attack is tried on what is not protected against it.

mod support;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use support::bundle::{Bundle, id};
use support::{Fixture, RUNNER, eventually};

fn map_users(config: &mut Value) {
    let map = json!([{ "containerID": 0, "hostID": 1u32 << 31, "size": (1u32 << 31) - 2 }]);
    config["linux"]["namespaces"].as_array_mut().unwrap().push(json!({ "type": "user" }));
    config["linux"]["uidMappings"] = map.clone();
    config["linux"]["gidMappings"] = map;
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn said(output: &Output) -> String {
    format!("{} {}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// A bundle whose container is in a user namespace or in the host's; who may look at it can go through it.
fn bundle(script: &str, is_mapped: bool, change: impl FnOnce(&mut Value)) -> Bundle {
    let bundle = Bundle::with(script, |config| {
        if is_mapped {
            map_users(config);
        }
        change(config);
    });
    for name in ["proc", "sys", "dev"] {
        fs::create_dir(bundle.path("rootfs").join(name)).unwrap();
    }
    open_to_all(bundle.dir.path());
    bundle
}

fn open_to_all(directory: &Path) {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A directory of the host's with a program in it, and the path to it below each descriptor that there may be.
fn ways_out(directory: &Path) -> String {
    let outside = directory.join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("way-out"), "#!/bin/sh\necho out; ls /proc/self/fd/\n").unwrap();
    open_to_all(&outside);
    fs::set_permissions(outside.join("way-out"), fs::Permissions::from_mode(0o755)).unwrap();
    let up = "../".repeat(40);
    let paths: Vec<String> = (3..64).map(|fd| format!("/proc/self/fd/{fd}/{up}{}", outside.display())).collect();
    paths.join(":")
}

#[test]
fn no_descriptor_of_the_runtime_is_the_beginning_of_a_command() {
    // CVE-2024-21626: the image's command is below a directory of the host's that the runtime has open while it executes it.
    for is_mapped in [false, true] {
        let mut fixture = Fixture::new(&["way-out"]);
        open_to_all(fixture.dir.path());
        let path = ways_out(fixture.dir.path());
        fixture.config()["process"]["env"] = json!([format!("PATH={path}")]);
        if is_mapped {
            fixture.spec["userns"] = json!({ "first": 1u32 << 31, "count": (1u32 << 31) - 2 });
            map_users(fixture.config());
        }
        let output = fixture.run();
        assert_eq!((output.status, output.error_code()), (127, "run/command-not-found"), "{}{}", output.stdout, output.result);

        let bundle = bundle("sleep 100", is_mapped, |_| {});
        let (id, path) = (id(&format!("fd-{is_mapped}")), ways_out(bundle.dir.path()));
        assert!(bundle.create(&[&id]), "{}", bundle.out());
        bundle.ok(&["start", &id]);
        let output = bundle.call(&["exec", "--env", &format!("PATH={path}"), &id, "way-out"]);
        assert_eq!(output.status.code(), Some(127), "{}", said(&output));

        // The power of it: a directory that the caller hands on is a way out.
        let script = format!("exec 3</; exec {RUNNER} --root states exec --preserve-fds 1 --env PATH={path} {id} way-out");
        let output = Command::new("sh").args(["-c", &script]).current_dir(bundle.dir.path()).output().unwrap();
        assert!(text(&output.stdout).starts_with("out\n"), "{}", said(&output));
    }
}

#[test]
fn no_descriptor_of_the_runtime_is_a_working_directory() {
    // CVE-2024-21626: the working directory is one of the descriptors that the runtime has open.
    let bundle = bundle("sleep 100", true, |_| {});
    let id = id("cwd");
    assert!(bundle.create(&[&id]), "{}", bundle.out());
    bundle.ok(&["start", &id]);
    for fd in 3..32 {
        let cwd = format!("/proc/self/fd/{fd}");
        let output = bundle.call(&["exec", "--cwd", &cwd, &id, "ls", "../../../../../../../../../../../../.."]);
        assert!(!output.status.success() && output.stdout.is_empty(), "{fd}: {}", said(&output));
        let mut fixture = Fixture::new(&["pwd"]);
        fixture.config()["process"]["cwd"] = json!(cwd);
        let output = fixture.run();
        assert_eq!((output.status, output.stdout.as_str()), (125, ""), "{fd}: {}", output.result);
    }
    // The power of it: one that the caller hands on can be entered, and is then refused.
    let script = format!("exec 3</; exec {RUNNER} --root states exec --preserve-fds 1 --cwd /proc/self/fd/3 {id} ls");
    let output = Command::new("sh").args(["-c", &script]).current_dir(bundle.dir.path()).output().unwrap();
    assert!(text(&output.stderr).contains("the working directory is outside of the root"), "{}", said(&output));
}

#[test]
fn a_descriptor_that_the_caller_has_not_opened_is_not_handed_on() {
    // CVE-2016-9962 and its like: a number that the caller has not opened becomes one of the runtime's own.
    let bundle = Bundle::new("ls /proc/self/fd");
    let output = bundle.call(&["--log", "log", "run", "--preserve-fds", "9", &id("gap")]);
    let error = text(&output.stderr);
    assert!(!output.status.success() && error.contains("--preserve-fds 9: the descriptor 3 is not open"), "{error}");
}

#[test]
fn the_runtime_cannot_be_overwritten_by_what_it_enters() {
    // CVE-2019-5736: whoever enters the container has /proc/PID/exe, and root in it opens that for writing.
    let script = "while :; do for p in /proc/[0-9]*; do case $(readlink $p/exe) in ''|*busybox) ;; \
                  *) echo seen >>/seen; (echo overwritten >$p/exe) 2>/dev/null && echo $p >>/success;; esac; done; done";
    let bundle = bundle(script, false, |_| {});
    let (id, runner) = (id("exe"), bundle.path("runner"));
    fs::copy(RUNNER, &runner).unwrap();
    assert!(bundle.create(&[&id]), "{}", bundle.out());
    bundle.ok(&["start", &id]);
    let before = fs::read(&runner).unwrap();
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let mut enter = Command::new(&runner);
        enter.args(["--root", "states", "exec", &id, "/proc/self/exe", "features"]).current_dir(bundle.dir.path());
        enter.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    }
    assert!(bundle.path("rootfs/seen").exists());
    assert!(!bundle.path("rootfs/success").exists(), "{}", fs::read_to_string(bundle.path("rootfs/success")).unwrap());
    assert!(fs::read(&runner).unwrap() == before);
    // The power of it: a program of the host's that is executed as it is can be written to, once it does not run.
    assert!(fs::OpenOptions::new().append(true).open(&runner).is_ok());
}

/// A directory of the host's that nothing may be made in or mounted on; a hook says whether it was, before the root is changed.
struct Victim(PathBuf);

impl Victim {
    fn of(bundle: &Bundle) -> Self {
        let victim = Self(bundle.path("victim"));
        fs::create_dir_all(victim.0.join("directory")).unwrap();
        fs::write(victim.0.join("file"), "").unwrap();
        let script = format!("grep -q ' {}' /proc/self/mountinfo && touch {}; :", victim.0.display(), victim.hit().display());
        let hook = json!([{ "path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"] }]);
        bundle.change(|config| config["hooks"] = json!({ "createContainer": hook }));
        victim
    }

    fn hit(&self) -> PathBuf {
        self.0.with_extension("hit")
    }

    fn is_untouched(&self) -> bool {
        let mut names: Vec<_> = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let is_empty = |name: &str| fs::read_dir(self.0.join(name)).map_or(0, Iterator::count) == 0;
        names == ["directory", "file"] && is_empty("directory") && fs::read(self.0.join("file")).unwrap().is_empty() && !self.hit().exists()
    }
}

#[test]
fn no_link_in_a_root_leads_what_the_runtime_makes_out_of_it() {
    // The image has links to the host's directories wherever the runtime makes, mounts, masks or binds something.
    let places =
        ["proc", "dev", "sys", "mnt", "dev/null", "dev/pts", "dev/console", "dev/made", "secret", "work/dir", "frozen", "frozen/f"];
    for place in places {
        let bundle = Bundle::with("true", |config| {
            config["linux"]["devices"] = json!([{ "path": "/dev/made", "type": "c", "major": 1, "minor": 3 }]);
            config["linux"]["maskedPaths"] = json!(["/secret", "/mnt/masked"]);
            config["linux"]["readonlyPaths"] = json!(["/frozen"]);
            config["process"]["cwd"] = json!("/work/dir");
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.push(json!({ "destination": "/mnt/deep", "type": "tmpfs", "source": "tmpfs" }));
            mounts.push(json!({ "destination": "/frozen/f", "type": "bind", "source": "/etc/passwd", "options": ["bind"] }));
        });
        let victim = Victim::of(&bundle);
        let link = bundle.path("rootfs").join(place);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        let up = "../".repeat(40);
        for target in ["directory", "file", "new", "new/deep"].map(|name| victim.0.join(name)) {
            for target in [target.clone(), Path::new(&up).join(target.strip_prefix("/").unwrap())] {
                symlink(&target, &link).unwrap();
                let output = bundle.call(&["run", &id("links")]);
                assert!(victim.is_untouched(), "{place} -> {}: {}", target.display(), said(&output));
                fs::remove_file(&link).unwrap();
            }
        }
    }
}

/// Swaps two names for each other, without a moment at which one is missing, until it is dropped.
struct Racer {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Racer {
    fn start(one: PathBuf, other: PathBuf) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = ends.clone();
        let thread = std::thread::spawn(move || {
            let mut swaps = 0;
            while !told.load(Ordering::Relaxed) {
                renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
                swaps += 1;
            }
            swaps
        });
        Self { ends, thread: Some(thread) }
    }

    fn end(&mut self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.take().map_or(0, |thread| thread.join().unwrap())
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

#[test]
fn a_volume_that_changes_meanwhile_leads_no_mount_out() {
    // CVE-2021-30465, CVE-2023-27561: another container that shares a volume swaps a directory of it for a link, between the moment when
    // the runtime has looked where a mount goes and that at which it mounts. Here a thread swaps, faster than a container could.
    let bundle = Bundle::new("true");
    let (victim, volume) = (Victim::of(&bundle), bundle.path("volume"));
    fs::create_dir_all(volume.join("d/deep")).unwrap();
    symlink(victim.0.join("directory"), volume.join("link")).unwrap();
    bundle.change(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({ "destination": "/volume", "type": "bind", "source": volume, "options": ["bind"] }));
        for name in ["d/deep", "d", "d/new", "d/also/new"] {
            mounts.push(json!({ "destination": Path::new("/volume").join(name), "type": "tmpfs", "source": "tmpfs" }));
        }
        config["linux"]["maskedPaths"] = json!(["/volume/d/deep", "/volume/d"]);
        config["linux"]["readonlyPaths"] = json!(["/volume/d/deep", "/volume/d"]);
        config["process"]["cwd"] = json!("/volume/d/work");
    });
    let mut racer = Racer::start(volume.join("d"), volume.join("link"));
    let (until, mut started) = (Instant::now() + Duration::from_secs(3), 0);
    while Instant::now() < until {
        let output = bundle.call(&["run", &id("race")]);
        assert!(victim.is_untouched(), "{}", said(&output));
        started += u32::from(output.status.success());
    }
    assert!(racer.end() > 10_000 && started > 0, "{started}");

    // The power of it: by its path, as a hook is free to mount, the mount leads out, and is seen.
    bundle.change(|config| {
        let mount = format!("mount -t tmpfs x {}/rootfs/volume/link", bundle.dir.path().display());
        let hook = json!({ "path": "/bin/sh", "args": ["sh", "-c", mount], "env": ["PATH=/bin:/usr/bin:/sbin"] });
        config["hooks"]["createContainer"].as_array_mut().unwrap().insert(0, hook);
        config["mounts"].as_array_mut().unwrap().truncate(6);
        config["linux"]["maskedPaths"] = json!([]);
        config["linux"]["readonlyPaths"] = json!([]);
        config["process"]["cwd"] = json!("/");
    });
    fs::rename(volume.join("link"), volume.join("was")).unwrap();
    symlink(victim.0.join("directory"), volume.join("link")).unwrap();
    let output = bundle.call(&["run", &id("race")]);
    assert!(victim.hit().exists(), "{}", said(&output));
}

/// The shared directory that is a container's /dev, with `name` in it as a link.
fn with_shared_dev(script: &str, name: &str, target: &str) -> Bundle {
    let bundle = bundle(script, false, |_| {});
    let dev = bundle.path("dev");
    fs::create_dir_all(dev.join("pts")).unwrap();
    let _ = fs::create_dir_all(dev.join(name).parent().unwrap());
    symlink(target, dev.join(name)).unwrap();
    bundle.change(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
        mounts.insert(0, json!({ "destination": "/dev", "type": "bind", "source": dev, "options": ["bind"] }));
    });
    bundle
}

#[test]
fn what_masks_a_path_is_the_host_s_null_device() {
    // CVE-2025-31133: the container's /dev/null is a link to a file, which the runtime then binds over what it is to mask.
    let bundle = with_shared_dev("cat /masked", "null", "/etc/attack");
    fs::write(bundle.path("rootfs/etc/attack"), "the attacker's\n").unwrap();
    fs::write(bundle.path("rootfs/masked"), "masked\n").unwrap();
    bundle.change(|config| config["linux"]["maskedPaths"] = json!(["/masked"]));
    assert_eq!(bundle.ok(&["run", &id("null")]), "");

    // The power of it: a version of runc that binds what it finds.
    bundle.change(|config| config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "cgroup"));
    match Command::new("runc").args(["--root", "runc", "run", &id("runc-null")]).current_dir(bundle.dir.path()).output() {
        Ok(output) if text(&output.stdout) == "the attacker's\n" => {}
        Ok(output) => eprintln!("without its counterpart: this runc is not open to it, or does not run here: {}", said(&output)),
        Err(error) => eprintln!("without its counterpart: no runc: {error}"),
    }
}

/// Runs with a terminal that goes to a socket; returns what the runtime said.
fn run_with_terminal(bundle: &Bundle, arguments: &[&str]) -> Output {
    let socket = bundle.path("s");
    let _ = fs::remove_file(&socket);
    let _listener = UnixListener::bind(&socket).unwrap();
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "10", RUNNER, "--root", "states"]).args(arguments).current_dir(bundle.dir.path());
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn the_console_is_the_terminal_wherever_its_name_leads() {
    // CVE-2025-52565: /dev/console, or the pts that is bound to it, is a link by the time it is mounted.
    for (name, target) in
        [("console", "/proc/sysrq-trigger"), ("console", "VICTIM/file"), ("console", "VICTIM/new"), ("pts/0", "/proc/sysrq-trigger")]
    {
        let bundle = with_shared_dev("cat /dev/console; true", name, &target.replace("VICTIM", "/dev/victim-link"));
        let victim = Victim::of(&bundle);
        symlink(&victim.0, bundle.path("dev/victim-link")).unwrap();
        bundle.change(|config| {
            config["process"]["terminal"] = json!(true);
            if name == "console" {
                let pts =
                    json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"] });
                config["mounts"].as_array_mut().unwrap().insert(1, pts);
            }
        });
        let id = id("console");
        let output = run_with_terminal(&bundle, &["create", "--console-socket", "s", &id]);
        assert!(victim.is_untouched(), "{name} -> {target}: {}", said(&output));
        if name == "console" && output.status.success() {
            let pid = bundle.state(&id)["pid"].to_string();
            let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
            assert!(mounts.lines().any(|line| line.contains(" - devpts ") && !line.contains(" /dev/pts ")), "{mounts}");
        } else {
            assert!(text(&output.stderr).contains("make a terminal") || name == "console", "{}", said(&output));
        }
    }
}

#[test]
fn what_the_runtime_writes_below_proc_is_written_to_the_kernel() {
    // CVE-2025-52881, CVE-2019-16884: what the container has at /proc is the attacker's, and takes or redirects what the runtime writes
    // there: settings of the kernel, labels, the score of who is killed first.
    let script = "cat /proc2/sys/net/ipv4/ip_forward /proc2/self/oom_score_adj";
    let bundle = bundle(script, false, |config| {
        config["linux"]["sysctl"] = json!({ "net.ipv4.ip_forward": "1" });
        config["process"]["oomScoreAdj"] = json!(321);
        config["process"]["noNewPrivileges"] = json!(true);
    });
    let (victim, fake) = (Victim::of(&bundle), bundle.path("fake"));
    fs::create_dir_all(fake.join("sys/net/ipv4")).unwrap();
    fs::create_dir_all(fake.join("self/attr")).unwrap();
    fs::create_dir(bundle.path("rootfs/proc2")).unwrap();
    for file in ["sys/net/ipv4/ip_forward", "self/oom_score_adj", "self/attr/exec", "self/setgroups"] {
        symlink(victim.0.join("file"), fake.join(file)).unwrap();
    }
    bundle.change(|config| {
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts[0] = json!({ "destination": "/proc", "type": "bind", "source": fake, "options": ["bind"] });
        mounts.push(json!({ "destination": "/proc2", "type": "proc", "source": "proc" }));
    });
    assert_eq!(bundle.ok(&["run", &id("proc")]), "1\n321\n");
    assert!(victim.is_untouched());
}

#[test]
fn what_is_masked_stays_so_for_who_has_every_capability_in_a_namespace_of_his_own() {
    // A container makes a user and a mount namespace, in which it has every capability, to take masks off or to mount a proc without them.
    let script = "cat /proc/keys | wc -c; \
        unshare -Ur sh -c 'cat /proc/keys | wc -c'; \
        unshare -Urm sh -c 'umount /proc/keys 2>/dev/null && echo unmasked; mount -o remount,bind,rw /proc/sys 2>/dev/null && echo writable; \
        mount -t proc p /tmp 2>/dev/null && cat /tmp/keys && echo shown'; \
        unshare -Urmpf sh -c 'mount -t proc p /tmp 2>/dev/null && echo shown'; \
        umount /proc/keys 2>/dev/null && echo unmasked; mount -t proc p /tmp 2>/dev/null && echo shown; echo end";
    for is_mapped in [false, true] {
        let bundle = bundle(script, is_mapped, |_| {});
        symlink("busybox", bundle.path("rootfs/bin/unshare")).unwrap();
        let output = bundle.call(&["run", &id("masks")]);
        assert_eq!(text(&output.stdout), "0\n0\nend\n", "{}", text(&output.stderr));
    }
}

#[test]
fn no_release_agent_can_be_set() {
    // CVE-2022-0492: a program named in release_agent is executed by the host's root when a cgroup empties; by a mount of the container's
    // own, where it may make one.
    let script = "for f in $(find / -xdev -name release_agent 2>/dev/null) $(find /sys -name release_agent 2>/dev/null); do \
        echo /cmd 2>/dev/null >$f && echo set $f; done; \
        for c in memory cpu pids freezer; do mkdir -p /tmp/$c; mount -t cgroup -o $c,release_agent=/cmd x /tmp/$c 2>/dev/null && echo mounted; \
        mount -t cgroup -o $c x /tmp/$c 2>/dev/null && echo /cmd 2>/dev/null >/tmp/$c/release_agent && echo set; done; echo end";
    for (is_mapped, has_all) in [(false, false), (true, false), (true, true)] {
        let bundle = bundle(script, is_mapped, |config| {
            let mount = json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "ro"] });
            config["mounts"].as_array_mut().unwrap().push(mount);
            if has_all {
                for set in ["bounding", "effective", "permitted"] {
                    config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_SYS_ADMIN"));
                }
            }
        });
        symlink("busybox", bundle.path("rootfs/bin/find")).unwrap();
        let output = bundle.call(&["run", &id("agent")]);
        assert_eq!(text(&output.stdout), "end\n", "{is_mapped} {has_all}: {}", text(&output.stderr));
    }
}

#[test]
fn a_container_without_a_terminal_types_nothing_into_ours() {
    // CVE-2016-2781, CVE-2017-5226: whose standard input is our terminal pushes characters into it (TIOCSTI), which our shell then reads.
    const TIOCSTI: &str = "0x5412";
    let push = format!(
        "my $c = 'x'; ioctl(STDIN, {TIOCSTI}, $c) ? print 'pushed' : print \"refused: $!\"; ioctl(STDIN, 0x541C, my $d = chr 3) and print 'linux'"
    );
    let bundle = bundle("true", false, |config| {
        config["process"]["args"] = json!(["/usr/bin/perl", "-e", push]);
        let mounts = config["mounts"].as_array_mut().unwrap();
        for directory in ["usr", "lib", "lib64"] {
            let source = fs::canonicalize(Path::new("/").join(directory)).unwrap();
            mounts.push(json!({ "destination": format!("/{directory}"), "type": "bind", "source": source, "options": ["rbind", "ro"] }));
        }
    });
    let on_terminal = |command: &[&str]| {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        unlockpt(&master).unwrap();
        let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
        let output = Command::new("setsid").args(["--ctty", "--wait"]).args(command).current_dir(bundle.dir.path()).stdin(slave).output();
        text(&output.unwrap().stdout)
    };
    assert_eq!(on_terminal(&[RUNNER, "--root", "states", "run", &id("tty")]), "refused: Operation not permitted");
    // The power of it: in our own session it works, where the kernel still has it.
    let own = on_terminal(&["perl", "-e", &push]);
    if own != "pushed" {
        eprintln!("without its counterpart: this kernel refuses it to everyone: {own}");
    }
}

#[test]
fn a_container_that_has_changed_its_own_root_does_not_keep_who_enters_it() {
    // The root that `exec` enters is the container's by now: no proc at /proc but FIFOs, no devpts, a FIFO for passwd and for the console.
    let script = "mkdir -p /tmp/p/self/fd /tmp/d/pts; mkfifo /tmp/p/self/setgroups /tmp/p/self/status /tmp/p/self/oom_score_adj /tmp/p/self/fd/0; \
        mkfifo /tmp/d/pts/ptmx /tmp/d/ptmx /tmp/d/console /tmp/d/null /tmp/d/tty; rm -f /etc/passwd; mkfifo /etc/passwd /etc/group; \
        mount -o bind /tmp/d /dev; mount -o bind /tmp/p /proc; echo ready; while true; do sleep 0.1; done";
    for is_mapped in [false, true] {
        let bundle = bundle(script, is_mapped, |config| {
            for set in ["bounding", "effective", "permitted"] {
                config["process"]["capabilities"][set].as_array_mut().unwrap().push(json!("CAP_SYS_ADMIN"));
            }
        });
        if is_mapped {
            let chown = Command::new("chown").args(["-Rh", "2147483648"]).arg(bundle.path("rootfs")).status();
            assert!(chown.unwrap().success());
        }
        symlink("busybox", bundle.path("rootfs/bin/mkfifo")).unwrap();
        let id = id(&format!("changed-{is_mapped}"));
        assert!(bundle.create(&[&id]), "{}", bundle.out());
        bundle.ok(&["start", &id]);
        eventually("ready", || bundle.out().contains("ready"));
        let call = |arguments: &[&str]| {
            let mut command = Command::new("timeout");
            command.args(["-s", "KILL", "10", RUNNER, "--root", "states"]).args(arguments).current_dir(bundle.dir.path());
            command.stdin(Stdio::null()).output().unwrap()
        };
        let output = call(&["exec", "--user", "5:6", "--cap", "CAP_KILL", "--cwd", "/tmp", &id, "pwd"]);
        assert_eq!(text(&output.stdout), "/tmp\n", "{}", said(&output));
        let output = run_with_terminal(&bundle, &["exec", "--tty", "--console-socket", "s", "--detach", &id, "true"]);
        let error = "cannot make a terminal in the container's /dev/pts";
        assert!(text(&output.stderr).contains(error), "{}", said(&output));
        for arguments in [vec!["state", &id], vec!["ps", &id], vec!["delete", "--force", &id]] {
            let output = call(&arguments);
            assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        }
    }
}

#[test]
fn an_entered_terminal_leaves_the_container_s_console_as_it_is() {
    // Whoever enters a container with a terminal mounted nothing in it: not over what the container has put at /dev/console.
    let bundle = bundle("sleep 100", false, |_| {});
    let id = id("enter-console");
    assert!(bundle.create(&[&id]), "{}", bundle.out());
    bundle.ok(&["start", &id]);
    let pid = bundle.state(&id)["pid"].to_string();
    let mounts = || fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let before = mounts();
    let output = run_with_terminal(&bundle, &["exec", "--tty", "--console-socket", "s", "--detach", &id, "true"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(mounts(), before);
}

#[test]
fn the_caller_s_keys_are_left_behind_when_the_container_s_root_may_have_none() {
    // All containers with the same ids outside share a quota of keys; whoever used it up would have had the next one start with its caller's.
    // strace makes every keyring but the first fail as the kernel does then.
    let bundle = bundle("echo started", true, |_| {});
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=keyctl", "-e", "inject=keyctl:error=EDQUOT:when=2+", "-o", "calls"]);
    command.args([RUNNER, "--root", "states", "run", &id("no-keys")]).current_dir(bundle.dir.path());
    let output = command.output().expect("this test needs strace");
    assert_eq!(text(&output.stdout), "started\n", "{}", said(&output));
    let calls = fs::read_to_string(bundle.path("calls")).unwrap();
    let answers: Vec<&str> = calls.lines().filter_map(|line| line.rsplit_once("= ").map(|(_, answer)| answer)).collect();
    assert_eq!(answers.len(), 2, "{calls}");
    assert!(answers[0].parse::<u32>().is_ok() && answers[1].starts_with("-1 EDQUOT"), "{calls}");
}
