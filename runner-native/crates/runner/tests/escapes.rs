//! Attacks out of a container that have worked on other runtimes, tried on this one. Each test begins with the attack; where this machine
//! can show that it works, the same attack is tried on what is not protected against it.

mod support;

use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::bundle::{Bundle, id};
use support::{Fixture, RUNNER};

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
