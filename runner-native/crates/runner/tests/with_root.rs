//! `with-root`: what a root made of layers shows, what is committed of it, and that nothing of it outlives its process.

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Child, Command, Stdio};
use support::{Fixture, eventually, image, is_mounted_below, processes_with, signal, unique_seconds, whiteout};
use tbuild_layers::Driver;

#[test]
fn shows_whiteouts_and_opaque_directories_of_layers() {
    for driver in [Driver::Erofs, Driver::Directory] {
        let mut fixture = Fixture::new(&["sh", "-c", "ls -A /data /opaque; cat /data/kept"]);
        let mut add = |name: &str, fill: &dyn Fn(&std::path::Path)| {
            let data = fixture.pack(name, driver, fill).data;
            let layer = if driver == Driver::Erofs { image(data) } else { json!({ "directory": data }) };
            fixture.spec["layers"].as_array_mut().unwrap().push(layer);
        };
        add("one", &|root| {
            for directory in ["data", "opaque"] {
                fs::create_dir(root.join(directory)).unwrap();
                fs::write(root.join(directory).join("gone"), "x").unwrap();
                fs::write(root.join(directory).join("kept"), "kept\n").unwrap();
            }
        });
        add("two", &|root| {
            fs::create_dir(root.join("data")).unwrap();
            whiteout(&root.join("data/gone"));
            fs::create_dir(root.join("opaque")).unwrap();
            fs::write(root.join("opaque/new"), "x").unwrap();
            let name = "trusted.overlay.opaque";
            rustix::fs::setxattr(root.join("opaque"), name, b"y", rustix::fs::XattrFlags::empty()).unwrap();
        });
        let output = fixture.run();
        assert_eq!(output.stdout, "/data:\nkept\n\n/opaque:\nnew\nkept\n", "{driver:?} {} {}", output.stderr, output.result);
    }
}

#[test]
fn makes_directories_that_stay_and_says_whose_they_are() {
    let mut fixture = Fixture::new(&["sh", "-c", "echo x > /bin/work/dir/file"]).commit();
    let directory = |path: &str| json!({ "path": path, "uid": 12, "gid": 34 });
    fixture.spec["make"] = json!([directory("bin/work/dir"), directory("etc")]);
    let output = fixture.run();
    assert_eq!(output.status, 0, "{} {}", output.stderr, output.result);
    assert_eq!(fixture.committed(), ["bin", "bin/work", "bin/work/dir", "bin/work/dir/file"]);
    for (path, owner) in [("bin", (0, 0)), ("bin/work", (12, 34)), ("bin/work/dir", (12, 34))] {
        let stat = fs::metadata(fixture.path("out/root").join(path)).unwrap();
        assert_eq!((stat.uid(), stat.gid()), owner, "{path}");
    }
}

#[test]
fn commits_what_was_written_and_no_mount_point() {
    let script = "mkdir /new; echo content > /new/file; rm /bin/ls; chmod 600 /etc; echo lost > /dev/shm/x; echo y > /tmp/y; rm /tmp/y";
    let fixture = Fixture::new(&["sh", "-c", script]).commit();
    let output = fixture.run();
    assert_eq!(output.status, 0, "{} {}", output.stderr, output.result);
    assert_eq!(fixture.committed(), ["bin", "bin/ls", "etc", "new", "new/file", "tmp"]);
    let out = fixture.path("out/root");
    assert_eq!(fs::read_to_string(out.join("new/file")).unwrap(), "content\n");
    assert_eq!(fs::metadata(out.join("etc")).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(out.join("tmp")).unwrap().mode() & 0o7777, 0o1777);
    let gone = fs::symlink_metadata(out.join("bin/ls")).unwrap();
    assert_eq!((gone.mode() & 0o170_000, gone.rdev()), (0o020_000, 0));
    assert_eq!(output.result["layer"]["bytes"], json!(8));
}

#[test]
fn commits_nothing_of_a_command_that_did_nothing_or_failed() {
    let nothing = Fixture::new(&["true"]).commit();
    let output = nothing.run();
    assert_eq!((output.status, nothing.committed()), (0, Vec::new()), "{}", output.result);
    assert_eq!(output.result["layer"]["entries"], json!(1));

    let failed = Fixture::new(&["sh", "-c", "echo x > /x; exit 3"]).commit();
    let output = failed.run();
    assert_eq!((output.status, &output.result["layer"]), (3, &Value::Null));
    assert!(!failed.path("out").exists());
}

#[test]
fn commits_what_a_failed_command_left_when_asked_to() {
    let mut fixture = Fixture::new(&["sh", "-c", "echo x > /x; exit 3"]).commit();
    fixture.spec["commit"]["ofFailed"] = json!(true);
    assert_eq!((fixture.run().status, fixture.committed()), (3, vec!["x".to_owned()]));
}

#[test]
fn gives_the_upper_the_attributes_of_the_root_below() {
    let mut fixture = Fixture::new(&["stat", "-c", "%a %u %g", "/"]).commit();
    fixture.add_layer("top", |root| {
        fs::set_permissions(root, fs::Permissions::from_mode(0o711)).unwrap();
        std::os::unix::fs::chown(root, Some(3), Some(4)).unwrap();
    });
    let output = fixture.run();
    assert_eq!(output.stdout, "711 3 4\n", "{}", output.result);
    let out = fs::metadata(fixture.path("out/root")).unwrap();
    assert_eq!((out.mode() & 0o7777, out.uid(), out.gid()), (0o711, 3, 4));
}

#[test]
fn removes_mount_points_that_a_layer_hid() {
    for script in ["cat /etc/hosts", "cat /etc/hosts; echo x > /srv/file"] {
        let mut fixture = Fixture::new(&["sh", "-c", script]).commit();
        let hosts = fixture.path("hosts");
        fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
        fixture.mount(json!({ "destination": "/etc/hosts", "type": "bind", "source": hosts, "options": ["bind", "ro"] }));
        fixture.mount(json!({ "destination": "/srv/deep/er", "type": "tmpfs", "source": "tmpfs", "options": [] }));
        fixture.spec["stub"].as_array_mut().unwrap().push(json!({ "path": "srv/deep/er", "type": "dir" }));
        fixture.add_layer("hiding", |root| {
            whiteout(&root.join("proc"));
            fs::create_dir(root.join("etc")).unwrap();
            rustix::fs::setxattr(root.join("etc"), "trusted.overlay.opaque", b"y", rustix::fs::XattrFlags::empty()).unwrap();
            fs::create_dir(root.join("srv")).unwrap();
            rustix::fs::setxattr(root.join("srv"), "trusted.overlay.opaque", b"y", rustix::fs::XattrFlags::empty()).unwrap();
        });
        let output = fixture.run();
        assert_eq!(output.stdout, "127.0.0.1 localhost\n", "{} {}", output.stderr, output.result);
        let expected: &[&str] = if script.contains("srv") { &["srv", "srv/file"] } else { &[] };
        assert_eq!(fixture.committed(), expected, "{script}");
    }
}

#[test]
fn a_link_in_the_image_leads_no_mount_out_of_the_root() {
    let mut fixture = Fixture::new(&["sh", "-c", "cat /etc/resolv.conf; readlink /etc/resolv.conf; ls /elsewhere"]).commit();
    let outside = fixture.path("outside");
    fs::create_dir(&outside).unwrap();
    let resolv = fixture.path("resolv.conf");
    fs::write(&resolv, "nameserver 192.0.2.1\n").unwrap();
    fixture.mount(json!({ "destination": "/etc/resolv.conf", "type": "bind", "source": resolv, "options": ["rbind", "ro"] }));
    fixture.mount(json!({ "destination": "/link/mount", "type": "tmpfs", "source": "tmpfs", "options": [] }));
    fixture.spec["stub"].as_array_mut().unwrap().push(json!({ "path": "link/mount", "type": "dir" }));
    let absolute = outside.join("stub-resolv.conf");
    fixture.add_layer("links", |root| {
        fs::create_dir(root.join("etc")).unwrap();
        symlink(&absolute, root.join("etc/resolv.conf")).unwrap();
        symlink("../../../../../../elsewhere", root.join("link")).unwrap();
    });
    let output = fixture.run();
    assert_eq!(output.stdout, format!("nameserver 192.0.2.1\n{}\nmount\n", absolute.display()), "{} {}", output.stderr, output.result);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(fixture.committed(), Vec::<String>::new());
}

#[test]
fn proc_is_not_mounted_through_a_link() {
    let mut fixture = Fixture::new(&["true"]);
    fixture.add_layer("link", |root| symlink("/tmp", root.join("proc")).unwrap());
    let output = fixture.run();
    assert_eq!(output.error_code(), "native/mount");
    assert_eq!(output.result["error"]["detail"], json!("/proc in the image is a symbolic link: proc is not mounted there"));
}

#[test]
fn opens_no_device_of_a_layer() {
    let mut fixture = Fixture::new(&["sh", "-c", "cat /null; cat /bin/zero"]);
    fixture.add_layer("devices", |root| {
        for name in ["null", "zero"] {
            let directory = if name == "zero" { root.join("bin") } else { root.into() };
            fs::create_dir_all(&directory).unwrap();
            let (kind, mode) = (rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::from_raw_mode(0o666));
            rustix::fs::mknodat(rustix::fs::CWD, directory.join(name), kind, mode, rustix::fs::makedev(1, 3)).unwrap();
        }
    });
    let output = fixture.run();
    assert_eq!(output.stderr.matches("Permission denied").count(), 2, "{} {}", output.stderr, output.result);
}

#[test]
fn mounts_further_roots() {
    let script = "cat /ro/file; touch /ro/x || echo refused; cat /rw/file /rw/second; echo new > /rw/file; cat /rw/file; ls -A /none";
    let mut fixture = Fixture::new(&["sh", "-c", script]).commit();
    let one = fixture.layer("one", |root| fs::write(root.join("file"), "one\n").unwrap());
    let two = fixture.layer("two", |root| fs::write(root.join("second"), "two\n").unwrap());
    fixture.spec["mounts"] = json!([
        { "layers": [one], "writable": false }, { "layers": [one, two], "writable": true }, { "layers": [], "writable": false },
    ]);
    for (number, (name, option)) in [("ro", "ro"), ("rw", "rw"), ("none", "ro")].into_iter().enumerate() {
        let source = fixture.path("scratch/m").join(number.to_string());
        fixture.mount(json!({ "destination": format!("/{name}"), "type": "bind", "source": source, "options": ["rbind", option] }));
        fixture.spec["stub"].as_array_mut().unwrap().push(json!({ "path": name, "type": "dir" }));
    }
    let output = fixture.run();
    assert_eq!(output.stdout, "one\nrefused\none\ntwo\nnew\n", "{} {}", output.stderr, output.result);
    assert_eq!(fixture.committed(), Vec::<String>::new());
}

#[test]
fn is_read_only_without_an_upper() {
    for with_layer in [true, false] {
        let mut fixture = Fixture::new(&["/bin/busybox", "touch", "/x"]);
        fixture.spec["upper"] = Value::Null;
        if !with_layer {
            fixture.spec["layers"] = json!([]);
        }
        let output = fixture.run();
        if with_layer {
            assert!(output.stderr.contains("Read-only file system"), "{} {}", output.stderr, output.result);
        } else {
            assert_eq!(output.error_code(), "run/command-not-found", "{}", output.result);
        }
    }
}

#[test]
fn says_when_the_upper_ran_full() {
    let fill = "dd if=/dev/zero of=/big bs=64k 2>/dev/null";
    for (script, status, is_full) in
        [(fill.to_owned(), 1, true), (format!("{fill}; sleep 0.3; rm /big; exit 2"), 2, true), ("exit 2".into(), 2, false)]
    {
        let mut fixture = Fixture::new(&["sh", "-c", &script]);
        fixture.spec["upper"] = json!({ "tmpfs": 1 << 20 });
        let output = fixture.run();
        assert_eq!((output.status, &output.result["upperFull"]), (status, &json!(is_full)), "{script}: {}", output.result);
    }
}

#[test]
fn writes_to_an_upper_on_disk() {
    let mut fixture = Fixture::new(&["sh", "-c", "echo x > /x"]).commit();
    fixture.spec["upper"] = json!({ "directory": fixture.path("upper"), "work": fixture.path("work") });
    let output = fixture.run();
    assert_eq!(output.status, 0, "{} {}", output.stderr, output.result);
    assert_eq!(fixture.committed(), ["x"]);
}

#[test]
fn takes_500_lowers_and_says_so_when_there_are_more() {
    let mut fixture = Fixture::new(&["cat", "/498"]);
    let layers: Vec<Value> = (0..499).map(|number| json!({ "directory": fixture.path(&format!("lower/{number}")) })).collect();
    for number in 0..499 {
        fs::create_dir_all(fixture.path(&format!("lower/{number}"))).unwrap();
        fs::write(fixture.path(&format!("lower/{number}/{number}")), "here\n").unwrap();
    }
    let base = fixture.spec["layers"][0].clone();
    fixture.spec["layers"] = json!([std::slice::from_ref(&base), &layers[1..]].concat());
    let output = fixture.run();
    assert_eq!(output.stdout, "here\n", "{} {}", output.stderr, output.result);
    fixture.spec["layers"] = json!([&[base], &layers[..]].concat());
    assert_eq!(fixture.run().error_code(), "unsupported/too-many-layers");
}

#[test]
fn mounts_an_image_through_a_loop_device() {
    let mut fixture = Fixture::new(&["sh", "-c", "echo from loop"]);
    fixture.spec["layers"][0]["loop"] = json!(true);
    let output = fixture.run();
    assert_eq!(output.stdout, "from loop\n", "{}", output.result);
    let image = fixture.spec["layers"][0]["erofs"].as_str().unwrap().to_owned();
    eventually("the loop device is gone", || loop_devices_of(&image) == 0);
}

fn loop_devices_of(image: &str) -> usize {
    let backing = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("loop/backing_file")).ok();
    fs::read_dir("/sys/block").unwrap().flatten().filter_map(backing).filter(|file| file.trim() == image).count()
}

#[test]
fn names_a_layer_that_is_missing_or_no_image() {
    for (content, errno) in [(None, "ENOENT"), (Some("no image"), "EINVAL")] {
        let mut fixture = Fixture::new(&["true"]);
        let path = fixture.path("bad.erofs");
        if let Some(content) = content {
            fs::write(&path, content.repeat(4096)).unwrap();
        }
        fixture.spec["layers"] = json!([image(json!(path))]);
        let output = fixture.run();
        let error = &output.result["error"];
        assert_eq!((&error["code"], &error["errno"], &error["path"]), (&json!("native/mount"), &json!(errno), &json!(path)));
    }
}

#[test]
fn reads_its_specification_from_a_socket() {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    let fixture = Fixture::new(&["echo", "hello"]);
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let script = format!("exec {} with-root /dev/fd/5 -- self run test 5<&0 0</dev/null", support::RUNNER);
    let child = Command::new("sh").args(["-c", &script]).stdin(std::os::fd::OwnedFd::from(theirs)).stdout(Stdio::piped()).spawn().unwrap();
    ours.write_all(fixture.spec.to_string().as_bytes()).unwrap();
    drop(ours);
    assert_eq!(String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout), "hello\n");
}

/// A container that sleeps; its lifeline is a FIFO of which this is the other end.
fn sleeping(fixture: &Fixture, runtime: &str) -> (Child, fs::File) {
    let fifo = fixture.path("lifeline");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
    let command = fixture.shell_command(runtime, &format!("4<{}", fifo.display()));
    let child = shell(&command).stdout(Stdio::piped()).spawn().unwrap();
    let lifeline = fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    (child, lifeline)
}

/// How the end comes: of the process itself, or of who holds the lifeline.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Kill,
    Lifeline,
}

/// A shell in a mount namespace of its own.
fn shell(command: &str) -> Command {
    let mut shell = Command::new("unshare");
    shell.args(["-m", "sh", "-c", command]).stdin(Stdio::null());
    shell
}

fn leaves_nothing(fixture: &Fixture, runtime: &str, marker: &str, end: End) {
    let (mut child, lifeline) = sleeping(fixture, runtime);
    eventually("the container runs", || !processes_with(marker).is_empty());
    match end {
        End::Kill => signal(&child, Signal::KILL),
        End::Lifeline => drop(lifeline),
    }
    child.wait().unwrap();
    let path = fixture.dir.path().to_owned();
    eventually("every process is gone", || processes_with(marker).is_empty() && processes_with(path.to_str().unwrap()).is_empty());
    assert!(!is_mounted_below(&path));
    assert_eq!(fs::read_dir(fixture.path("scratch")).unwrap().count(), 0);
}

#[test]
fn leaves_nothing_when_it_is_killed_or_its_lifeline_ends() {
    for end in [End::Kill, End::Lifeline] {
        let seconds = unique_seconds();
        let fixture = Fixture::new(&["sh", "-c", &format!("trap '' TERM HUP INT; (setsid sleep {seconds} &); sleep {seconds}")]);
        leaves_nothing(&fixture, "self run test", &format!("sleep\0{seconds}"), end);
    }
}

#[test]
fn ends_a_setuid_program_too_which_loses_the_signal_of_its_parent_s_death() {
    for end in [End::Kill, End::Lifeline] {
        let seconds = unique_seconds();
        let mut fixture = Fixture::new(&["/suid/busybox", "sleep", &seconds]);
        fixture.config()["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
        fixture.add_layer("setuid", |root| {
            fs::create_dir(root.join("suid")).unwrap();
            fs::copy("/bin/busybox", root.join("suid/busybox")).unwrap();
            fs::set_permissions(root.join("suid/busybox"), fs::Permissions::from_mode(0o4755)).unwrap();
        });
        leaves_nothing(&fixture, "self run test", &format!("sleep\0{seconds}"), end);
    }
}

#[test]
fn ends_while_committing_when_the_lifeline_ends() {
    use std::io::Read;
    // 150 MB take a while to pack and to sync.
    let script = "i=0; while [ $i -lt 300 ]; do dd if=/dev/zero of=/$i bs=64k count=8 2>/dev/null; i=$((i+1)); done; echo done";
    let mut fixture = Fixture::new(&["sh", "-c", script]).commit();
    fixture.spec["upper"] = json!({ "tmpfs": 512 << 20 });
    let (mut child, lifeline) = sleeping(&fixture, "self run test");
    let mut done = [0; 5];
    child.stdout.take().unwrap().read_exact(&mut done).unwrap();
    drop(lifeline);
    assert!(!child.wait().unwrap().success());
    assert_eq!(fs::read_to_string(fixture.path("result")).unwrap(), "");
    let path = fixture.dir.path().to_owned();
    eventually("every process is gone", || processes_with(path.to_str().unwrap()).is_empty());
    assert!(!is_mounted_below(&path));
}

/// The runtime's command.
fn with_runtime(name: &str) -> Option<String> {
    let is_there = Command::new(name).arg("--version").output().is_ok();
    if !is_there {
        eprintln!("skipped: no {name} on this machine");
        return None;
    }
    Some(format!("{name} --root state run tbuild-test-{}", unique_seconds().replace('.', "-")))
}

#[test]
fn runs_other_runtimes() {
    for name in ["crun", "runc"] {
        let Some(runtime) = with_runtime(name) else { continue };
        let fixture = Fixture::new(&["sh", "-c", "echo $$; echo content > /written; exit 0"]).commit();
        let command = fixture.shell_command(&runtime, "");
        let output = fixture.output(shell(&command).output().unwrap());
        assert_eq!((output.status, output.stdout.as_str()), (0, "1\n"), "{name}: {} {}", output.stderr, output.result);
        assert_eq!(fixture.committed(), ["written"], "{name}");
    }
}

#[test]
fn leaves_nothing_of_other_runtimes() {
    for name in ["crun", "runc"] {
        let Some(runtime) = with_runtime(name) else { continue };
        for end in [End::Kill, End::Lifeline] {
            let seconds = unique_seconds();
            let fixture = Fixture::new(&["sleep", &seconds]);
            leaves_nothing(&fixture, &runtime, &format!("sleep\0{seconds}"), end);
            remove_cgroups_of(&runtime);
        }
    }
}

/// A runtime that is killed cannot remove what it made outside of the namespace: its cgroups.
fn remove_cgroups_of(runtime: &str) {
    let id = runtime.rsplit(' ').next().unwrap();
    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
    let paths: Vec<_> = hierarchies.chain(["/sys/fs/cgroup".into()]).map(|hierarchy| hierarchy.join(id)).collect();
    // Busy until the last of its processes is reaped.
    eventually("its cgroups are removed", || {
        for path in &paths {
            let _ = fs::remove_dir(path.join("container"));
            let _ = fs::remove_dir(path);
        }
        !paths.iter().any(|path| path.exists())
    });
}

#[test]
fn what_another_runtime_says_of_a_start_that_failed_is_an_error() {
    for name in ["crun", "runc"] {
        let Some(_) = with_runtime(name) else { continue };
        let id = format!("tbuild-test-{}", unique_seconds().replace('.', "-"));
        let runtime = format!("{name} --root state --log runtime.log --log-format json run {id}");
        for (command, code) in [("nope", "run/command-not-found"), ("/etc", "run/command-not-executable")] {
            let output = {
                let fixture = Fixture::new(&[command]);
                fixture.output(shell(&fixture.shell_command(&runtime, "")).output().unwrap())
            };
            assert_eq!(output.error_code(), code, "{name} {command}: {} {}", output.stderr, output.result);
        }
        let mut fixture = Fixture::new(&["true"]);
        fixture.mount(json!({ "destination": "/x", "type": "no-such-type", "source": "x" }));
        let output = fixture.output(shell(&fixture.shell_command(&runtime, "")).output().unwrap());
        assert_eq!(output.error_code(), "native/runtime", "{name}: {}", output.result);
        let fixture = Fixture::new(&["sh", "-c", "exit 1"]);
        let output = fixture.output(shell(&fixture.shell_command(&runtime, "")).output().unwrap());
        assert_eq!((output.status, output.error_code()), (1, ""), "{name}: {}", output.result);
    }
}

#[test]
fn says_that_a_runtime_is_missing_and_that_it_needs_a_pid_namespace() {
    let mut fixture = Fixture::new(&["true"]);
    let run = |fixture: &Fixture| {
        fixture.output(Command::new("sh").args(["-c", &fixture.shell_command("no-such-runtime run x", "")]).output().unwrap())
    };
    let output = run(&fixture);
    assert_eq!((output.error_code(), &output.result["error"]["path"]), ("native/process", &json!("no-such-runtime")), "{}", output.result);
    fixture.config()["linux"]["namespaces"] = json!([{ "type": "mount" }]);
    assert_eq!(run(&fixture).error_code(), "unsupported/feature");
}
