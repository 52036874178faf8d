//! The file observer: what a command asks of traced layers is noted, each question of docs/native.md, and what it sees of them is what it would see of
//! the layers themselves.

#[path = "observer/layers.rs"]
mod layers;
#[path = "observer/probe.rs"]
mod probe;
mod support;

use rustix::fs::{self as kernel, XattrFlags};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use support::{Fixture, Output, eventually, image, is_mounted_below, machine, processes_with, unique_seconds};
use tbuild_layers::{Driver, LayerSummary};

/// How contents are kept.
const DRIVERS: [Driver; 2] = [Driver::Erofs, Driver::Directory];

fn traced(layers: &[&LayerSummary]) -> Value {
    let element = |layer: &&LayerSummary| {
        let is_image = fs::metadata(&layer.data).unwrap().is_file();
        json!({ "index": layer.index, if is_image { "erofs" } else { "directory" }: layer.data })
    };
    json!({ "traced": layers.iter().map(element).collect::<Vec<_>>() })
}

/// A root of busybox and one traced layer.
fn fixture(script: &str, driver: Driver, fill: impl FnOnce(&Path)) -> Fixture {
    let mut fixture = Fixture::new(&["sh", "-c", script]).commit();
    let layer = fixture.pack("traced", driver, fill);
    fixture.spec["layers"].as_array_mut().unwrap().push(traced(&[&layer]));
    fixture
}

/// The questions of one gap, as `L path`.
fn questions(output: &Output, gap: usize) -> BTreeSet<String> {
    let gap = output.result["observed"]["gaps"][gap].as_object().unwrap_or_else(|| panic!("{} {}", output.stderr, output.result));
    let of_kind = |(kind, paths): (&String, &Value)| -> Vec<String> {
        paths.as_array().unwrap().iter().map(|path| format!("{kind} {}", path.as_str().unwrap())).collect()
    };
    gap.iter().flat_map(of_kind).collect()
}

fn sources(root: &Path) {
    fs::create_dir_all(root.join("src/deep")).unwrap();
    fs::write(root.join("src/a.txt"), "content of a\n").unwrap();
    fs::write(root.join("src/b.txt"), "content of b\n").unwrap();
    fs::write(root.join("src/empty"), "").unwrap();
    std::os::unix::fs::symlink("a.txt", root.join("src/link")).unwrap();
    fs::write(root.join("README"), "read me\n").unwrap();
}

#[test]
fn notes_each_question() {
    for driver in DRIVERS {
        for (script, asked, not_asked) in [
            ("cat /src/a.txt", vec!["L src", "L src/a.txt", "C src/a.txt"], vec!["D src", "L src/b.txt", "L README", "C src/b.txt"]),
            ("[ -e /src/none ] || echo none", vec!["L src/none"], vec!["D src"]),
            ("stat -c %s /src/b.txt", vec!["L src/b.txt", "S src/b.txt"], vec!["C src/b.txt", "L src/a.txt"]),
            ("echo /src/*", vec!["D src"], vec!["L src/a.txt", "D ", "D src/deep"]),
            ("readlink /src/link", vec!["L src/link", "R src/link"], vec!["L src/a.txt"]),
            ("cat /src/link", vec!["L src/link", "R src/link", "C src/a.txt"], vec!["D src"]),
            ("cd /src/deep", vec!["L src/deep"], vec!["S src/a.txt", "D src/deep"]),
        ] {
            let output = fixture(script, driver, sources).run();
            assert_eq!(output.status, 0, "{script}: {} {}", output.stderr, output.result);
            let seen = questions(&output, 0);
            asked.iter().for_each(|question| assert!(seen.contains(*question), "{script}: no {question:?} in {seen:?}"));
            not_asked.iter().for_each(|question| assert!(!seen.contains(*question), "{script}: {question:?} in {seen:?}"));
            assert_eq!((&output.result["observed"]["taint"], &output.result["observed"]["lost"]), (&Value::Null, &json!(false)));
        }
    }
}

#[test]
fn a_run_without_traced_layers_is_not_observed() {
    let output = Fixture::new(&["true"]).run();
    assert_eq!((output.status, &output.result["observed"]), (0, &Value::Null), "{}", output.result);
    assert!(output.result.get("observerFailed").is_none());
}

#[test]
fn copied_up_directories_have_their_own_times() {
    let mut fixture = fixture("touch -d 2001-02-03 /src/a.txt; chmod 700 /src/deep; echo x > /new", Driver::Erofs, |root| {
        sources(root);
        for directory in ["", "src/deep", "src"] {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
            fs::File::open(root.join(directory)).unwrap().set_modified(time).unwrap();
        }
    });
    fixture.spec["upper"] = json!({ "directory": fixture.path("upper"), "work": fixture.path("work") });
    let output = fixture.run();
    assert_eq!(output.status, 0, "{} {}", output.stderr, output.result);
    assert_eq!(fixture.committed(), ["new", "src", "src/a.txt", "src/deep"]);
    for directory in ["src", "src/deep"] {
        let stat = rustix::fs::stat(fixture.path("out/root").join(directory)).unwrap();
        assert_eq!((stat.st_mtime, stat.st_mtime_nsec), (1_000_000_000, 0), "{directory}");
    }
}

/// Nothing where it is not in a container.
#[test]
fn probe() {
    if let Some(words) = std::env::var_os("PROBE") {
        probe::main(words.to_str().unwrap());
    }
}

/// Has the probe as its command.
fn probing(fixture: &mut Fixture, words: &str) {
    let config = fixture.config();
    config["process"]["args"] = json!([probe::PATH, "--exact", "probe", "--nocapture"]);
    config["process"]["env"] = json!([format!("PROBE={words}")]);
    let own = std::env::current_exe().unwrap();
    fixture.mount(json!({ "destination": probe::PATH, "type": "bind", "source": own, "options": ["rbind", "ro"] }));
    fixture.spec["stub"].as_array_mut().unwrap().push(json!({ "path": &probe::PATH[1..], "type": "file" }));
}

fn said(output: &Output) -> Vec<&str> {
    output.stdout.lines().filter_map(|line| line.strip_prefix(probe::MARK)).collect()
}

/// The same stack twice, served and as it is, and what is committed of each. `word` is what the probe does there.
fn both_ways(word: &str, driver: Driver, has_userns: bool) -> [Output; 2] {
    let mut fixture = Fixture::new(&[]);
    let packed = layers::STACK.map(|(name, fill)| fixture.pack(name, driver, fill));
    let [one, two, three, four, five] = packed.each_ref();
    let exact = |layer: &LayerSummary| match driver {
        Driver::Erofs => image(layer.data.clone()),
        Driver::Directory => json!({ "directory": layer.data }),
    };
    let served = [exact(one), traced(&[two, three]), exact(four), traced(&[five])];
    let mounted = packed.each_ref().map(exact);
    if has_userns {
        layers::give_user_namespace(&mut fixture.spec);
    }
    probing(&mut fixture, word);
    let base = fixture.spec["layers"][0].clone();
    [("served", &served[..]), ("mounted", &mounted[..])].map(|(name, stack)| {
        fixture.spec["layers"] = json!([std::slice::from_ref(&base), stack].concat());
        fixture.spec["commit"] = json!({ "driver": "directory", "out": fixture.path(name) });
        let output = fixture.run();
        let is_done = output.status == 0 && output.result["layer"].is_object();
        assert!(is_done, "{word} {driver:?} {has_userns} {name}: {} {} {}", output.stdout, output.stderr, output.result);
        output
    })
}

#[test]
fn what_is_served_is_what_the_layers_show() {
    for (driver, has_userns) in [(Driver::Erofs, false), (Driver::Directory, false), (Driver::Erofs, true), (Driver::Directory, true)] {
        if has_userns && !machine()["withoutUserns"].is_null() {
            eprintln!("skipped: no user namespaces here: {}", machine()["withoutUserns"]);
            continue;
        }
        let [served, mounted] = both_ways("dump /files", driver, has_userns);
        let (served, mounted) = (said(&served), said(&mounted));
        served.iter().zip(&mounted).for_each(|(served, mounted)| assert_eq!(served, mounted, "{driver:?} {has_userns}"));
        assert!(served.len() == mounted.len() && served.len() > 50, "{} {}", served.len(), mounted.len());
    }
}

#[test]
fn what_is_copied_up_of_it_is_what_would_be_of_the_layers() {
    for has_userns in [false, true] {
        if has_userns && !machine()["withoutUserns"].is_null() {
            continue;
        }
        let [served, mounted] = both_ways("change /files", Driver::Erofs, has_userns);
        assert_eq!(served.result["layer"]["entries"], mounted.result["layer"]["entries"], "{has_userns}");
        assert_eq!(served.result["layer"]["tree"], mounted.result["layer"]["tree"], "{has_userns}");
    }
}

fn bound(fixture: &mut Fixture, number: usize, name: &str) {
    let source = fixture.path("scratch/m").join(number.to_string());
    fixture.mount(json!({ "destination": format!("/{name}"), "type": "bind", "source": source, "options": ["rbind"] }));
    fixture.spec["stub"].as_array_mut().unwrap().push(json!({ "path": name, "type": "dir" }));
}

#[test]
fn bind_mounts_are_gaps_of_their_own_behind_the_root_s() {
    let script = "cat /ro/README; echo x 2>/dev/null > /ro/x || echo refused; echo new > /rw/src/a.txt; cat /rw/src/a.txt; [ -e /src/none ]; cat /exact/file";
    let mut fixture = Fixture::new(&["sh", "-c", script]).commit();
    let exact = fixture.layer("exact", |root| fs::write(root.join("file"), "exact\n").unwrap());
    let layers = ["one", "two", "three"].map(|name| fixture.pack(name, Driver::Erofs, sources));
    let [one, two, three] = layers.each_ref().map(|layer| traced(&[layer]));
    fixture.spec["layers"].as_array_mut().unwrap().push(one);
    fixture.spec["mounts"] = json!([
        { "layers": [two], "writable": false }, { "layers": [exact], "writable": false }, { "layers": [three], "writable": true },
    ]);
    ["ro", "exact", "rw"].iter().enumerate().for_each(|(number, name)| bound(&mut fixture, number, name));
    let output = fixture.run();
    assert_eq!(output.stdout, "read me\nrefused\nnew\nexact\n", "{} {}", output.stderr, output.result);
    assert_eq!(output.result["observed"]["gaps"].as_array().unwrap().len(), 3);
    let gaps: [BTreeSet<String>; 3] = [0, 1, 2].map(|gap| questions(&output, gap));
    let where_is = |question: &str| [0, 1, 2].map(|gap: usize| gaps[gap].contains(question));
    assert_eq!(where_is("L src/none"), [true, false, false]);
    assert_eq!(where_is("C README"), [false, true, false]);
    assert_eq!(where_is("L src/a.txt"), [false, false, true]);
    assert_eq!(fixture.committed(), Vec::<String>::new());
}

#[test]
fn modes_are_those_of_the_layer_for_who_is_not_root_too() {
    let script = "cat /files/mine; cat /files/root-s; ls /closed; cat /m/files/root-s; ls /m/closed; id -u; stat -c '%u %g %a' /m /";
    for user in [0, 1000] {
        let mut fixture = Fixture::new(&["sh", "-c", script]);
        let layer = fixture.pack("traced", Driver::Erofs, |root| {
            use std::os::unix::fs::{PermissionsExt, chown};
            fs::create_dir(root.join("files")).unwrap();
            fs::create_dir(root.join("closed")).unwrap();
            for (name, owner) in [("mine", 1000), ("root-s", 0)] {
                fs::write(root.join("files").join(name), format!("{name}\n")).unwrap();
                fs::set_permissions(root.join("files").join(name), fs::Permissions::from_mode(0o600)).unwrap();
                chown(root.join("files").join(name), Some(owner), Some(owner)).unwrap();
            }
            fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
            fs::set_permissions(root, fs::Permissions::from_mode(0o711)).unwrap();
            chown(root, Some(5), Some(6)).unwrap();
        });
        fixture.spec["layers"].as_array_mut().unwrap().push(traced(&[&layer]));
        fixture.spec["mounts"] = json!([{ "layers": [traced(&[&layer])], "writable": false }]);
        bound(&mut fixture, 0, "m");
        fixture.config()["process"]["user"] = json!({ "uid": user, "gid": user });
        if user != 0 {
            fixture.config()["process"]["capabilities"] = json!({});
        }
        let output = fixture.run();
        let expected = if user == 0 { "mine\nroot-s\nroot-s\n0\n" } else { "mine\n1000\n" };
        assert_eq!(output.stdout, format!("{expected}5 6 711\n5 6 711\n"), "{} {}", output.stderr, output.result);
    }
}

#[test]
fn each_way_of_asking_is_noted() {
    for (words, question) in [
        ("statx-birth /src/a.txt", "S src/a.txt"),
        ("seek-hole /src/a.txt", "Z src/a.txt"),
        ("seek-end /src/a.txt", "S src/a.txt"),
        ("at 3 /src/a.txt", "C src/a.txt"),
        ("attributes /src/a.txt", "A src/a.txt"),
        ("attribute user.name /src/a.txt", "X src/a.txt\0user.name"),
        ("attribute security.capability /src/a.txt", "X src/a.txt\0security.capability"),
    ] {
        let mut fixture = fixture("", Driver::Erofs, |root| {
            sources(root);
            // Where nothing has any, nobody is asked for each.
            kernel::lsetxattr(root.join("README"), "user.other", b"1", XattrFlags::empty()).unwrap();
        });
        probing(&mut fixture, words);
        let output = fixture.run();
        let seen = questions(&output, 0);
        assert!(output.status == 0 && seen.contains(question), "{words}: {} {} {seen:?}", output.stdout, output.stderr);
    }
}

#[test]
fn that_nothing_has_attributes_is_one_observation() {
    for words in ["attribute user.name /src/a.txt", "attribute security.capability /src/a.txt", "at 3 /src/a.txt"] {
        let mut fixture = fixture("", Driver::Erofs, sources);
        probing(&mut fixture, words);
        let seen = questions(&fixture.run(), 0);
        assert!(
            seen.contains("P ") && seen.contains("O src") && !seen.iter().any(|question| question.starts_with('X')),
            "{words}: {seen:?}"
        );
    }
}

#[test]
fn other_runtimes_are_observed_the_same() {
    for name in ["crun", "runc"] {
        let Some(runtime) = command_of(name) else { continue };
        let fixture = fixture("cat /src/a.txt; echo x > /src/new", Driver::Erofs, sources);
        let output = fixture.output(Command::new("sh").args(["-c", &fixture.shell_command(&runtime, "")]).output().unwrap());
        assert_eq!((output.status, output.stdout.as_str()), (0, "content of a\n"), "{name}: {} {}", output.stderr, output.result);
        assert!(questions(&output, 0).contains("C src/a.txt"), "{name}: {}", output.result);
        assert_eq!(fixture.committed(), ["src", "src/new"], "{name}");
    }
}

#[test]
fn what_cannot_be_noted_is_said() {
    for runtime in ["self run test", "crun", "runc"] {
        let Some(runtime) = command_of(runtime) else { continue };
        for (words, taint) in [
            ("statx-cached /src/a.txt", json!("statx")),
            ("statx-nothing /src/a.txt", json!("statx")),
            ("unread /src/a.txt", json!("FIONREAD")),
            ("io-uring", json!("io_uring")),
            ("unread-pipe", Value::Null),
            ("statx-birth /src/a.txt", Value::Null),
        ] {
            for has_filter in [false, true] {
                let mut fixture = fixture("", Driver::Erofs, sources);
                probing(&mut fixture, words);
                if has_filter {
                    let rules = json!([
                        { "names": ["getpid", "ioctl", "statx", "io_uring_setup"], "action": "SCMP_ACT_ALLOW" },
                        { "names": ["reboot"], "action": "SCMP_ACT_ERRNO" },
                    ]);
                    fixture.config()["linux"]["seccomp"] = json!({ "defaultAction": "SCMP_ACT_LOG", "syscalls": rules });
                }
                let output = fixture.output(Command::new("sh").args(["-c", &fixture.shell_command(&runtime, "")]).output().unwrap());
                assert_eq!(output.status, 0, "{runtime} {words}: {} {} {}", output.stdout, output.stderr, output.result);
                assert_eq!(output.result["observed"]["taint"], taint, "{runtime} {words} {has_filter}");
            }
        }
    }
}

/// A runtime's command, for `with-root`. None: it is not on this machine.
fn command_of(runtime: &str) -> Option<String> {
    if runtime.starts_with("self") {
        return Some(runtime.into());
    }
    if Command::new(runtime).arg("--version").output().is_err() {
        eprintln!("skipped: no {runtime} on this machine");
        return None;
    }
    Some(format!("{runtime} --root state run tbuild-test-{}", unique_seconds().replace('.', "-")))
}

/// Nobody's on this machine: it has no name, and no line in /etc/subuid.
const ACCOUNT: u32 = 54_321;

#[test]
fn an_account_that_is_not_root_is_observed_the_same() {
    let home = tempfile::tempdir().unwrap();
    let mut fixture =
        Fixture::new(&["sh", "-c", "cat /src/a.txt; [ -e /src/none ]; ls /merged; echo x > /src/new; stat -c %u /src/a.txt"]).commit();
    let directory = |layer: LayerSummary| json!({ "directory": layer.data });
    let base = directory(fixture.pack("as-directory", Driver::Directory, support::fill_root));
    let below = directory(fixture.pack("below", Driver::Directory, |root| {
        fs::create_dir(root.join("merged")).unwrap();
        ["one", "gone"].iter().for_each(|name| fs::write(root.join("merged").join(name), "x").unwrap());
    }));
    let layer = fixture.pack("traced", Driver::Directory, |root| {
        sources(root);
        std::os::unix::fs::chown(root.join("src/a.txt"), Some(1000), Some(1000)).unwrap();
        fs::create_dir(root.join("merged")).unwrap();
        fs::write(root.join("merged/two"), "x").unwrap();
        support::whiteout(&root.join("merged/gone"));
    });
    fixture.spec["layers"] = json!([base, below, traced(&[&layer])]);
    // A directory that the account can get to, and a device that it may open.
    let (dir, runner) = (home.path().display(), home.path().join("runner"));
    fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let text = fixture.spec.to_string().replace(&fixture.dir.path().display().to_string(), &format!("{dir}/store"));
    let prepare = format!(
        "cp {} {runner:?}; cp -a {} {dir}/store; chown -R --no-dereference {ACCOUNT}:{ACCOUNT} {dir}; \
         mknod {dir}/fuse c 10 229; chmod 666 {dir}/fuse; mount --bind {dir}/fuse /dev/fuse",
        support::RUNNER,
        fixture.dir.path().display()
    );
    fs::write(home.path().join("spec.json"), text).unwrap();
    let run = format!("{runner:?} with-root --result 3 {dir}/spec.json -- self run test 3>{}", fixture.path("result").display());
    let script = format!("{prepare}; exec setpriv --reuid {ACCOUNT} --regid {ACCOUNT} --clear-groups {run}");
    let output = fixture.output(Command::new("unshare").args(["-m", "sh", "-ec", &script]).output().unwrap());
    assert_eq!(output.stdout, "content of a\none\ntwo\n0\n", "{} {}", output.stderr, output.result);
    let seen = questions(&output, 0);
    assert!(["C src/a.txt", "L src/none", "D merged", "O merged"].iter().all(|question| seen.contains(*question)), "{seen:?}");
    assert_eq!(output.result["layer"]["entries"], json!(3));
}

#[test]
fn a_program_of_a_traced_layer_runs() {
    let fixture = fixture(
        "/tool/busybox echo from there; mkdir /new; cat /tool/busybox > /new/busybox; chmod 755 /new/busybox; /new/busybox echo copied",
        Driver::Erofs,
        |root| {
            fs::create_dir(root.join("tool")).unwrap();
            fs::copy("/bin/busybox", root.join("tool/busybox")).unwrap();
        },
    );
    let output = fixture.run();
    assert_eq!(output.stdout, "from there\ncopied\n", "{} {}", output.stderr, output.result);
    assert!(questions(&output, 0).contains("C tool/busybox"));
}

#[test]
fn directories_of_a_hundred_thousand_are_listed_whole() {
    const COUNT: usize = 100_000;
    let fixture = fixture("echo /many/* | wc -w; ls /many/file-099999", Driver::Erofs, |root| {
        fs::create_dir(root.join("many")).unwrap();
        (0..COUNT).for_each(|number| drop(fs::File::create(root.join(format!("many/file-{number:06}"))).unwrap()));
    });
    let output = fixture.run();
    assert_eq!(output.stdout, format!("{COUNT}\n/many/file-099999\n"), "{} {}", output.stderr, output.result);
    assert!(!questions(&output, 0).contains("L many/file-000000"));
}

/// The observer's process: the container's runtime has two children that are no container, and this one has /dev/fuse open.
fn observer_of(runner: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{runner}/task/{runner}/children")).ok()?;
    children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid: &u32| {
        let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        links.filter_map(|link| fs::read_link(link.path()).ok()).any(|link| link == Path::new("/dev/fuse"))
    })
}

fn kill(pid: u32) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid as i32).unwrap(), rustix::process::Signal::KILL).unwrap();
}

/// A container that waits for `/go` in its root, and then looks.
fn waiting(script: &str) -> (Fixture, Child, String) {
    let seconds = unique_seconds();
    let mut fixture = fixture(&format!("sleep {seconds} & while ! [ -e /gate/go ]; do :; done; {script}"), Driver::Erofs, sources);
    fs::create_dir(fixture.path("gate")).unwrap();
    let gate = fixture.path("gate");
    fixture.mount(json!({ "destination": "/gate", "type": "bind", "source": gate, "options": ["rbind"] }));
    fixture.spec["stub"].as_array_mut().unwrap().push(json!({ "path": "gate", "type": "dir" }));
    let child = fixture.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let marker = format!("sleep\\0{seconds}").replace("\\0", "\0");
    eventually("the container runs", || !processes_with(&marker).is_empty());
    (fixture, child, marker)
}

#[test]
fn nothing_counts_once_the_observer_has_died() {
    let (fixture, child, _) = waiting("[ -e /src/a.txt ] && echo there; exit 0");
    kill(observer_of(child.id()).expect("there is an observer"));
    fs::write(fixture.path("gate/go"), "").unwrap();
    let output = fixture.output(child.wait_with_output().unwrap());
    assert_eq!((output.status, output.stdout.as_str()), (0, ""), "{} {}", output.stderr, output.result);
    assert!(output.result["observerFailed"].as_str().unwrap().contains("ended"), "{}", output.result);
    assert_eq!((&output.result["observed"], &output.result["layer"]), (&Value::Null, &Value::Null));
    assert!(!fixture.path("served").exists());
}

#[test]
fn what_cannot_be_read_fails_the_observation() {
    let (fixture, child, _) = waiting("cat /src/a.txt || exit 0");
    fs::OpenOptions::new().write(true).open(fixture.path("traced.erofs")).unwrap().set_len(0).unwrap();
    fs::write(fixture.path("gate/go"), "").unwrap();
    let output = fixture.output(child.wait_with_output().unwrap());
    assert_eq!((output.status, output.stdout.as_str()), (0, ""), "{} {}", output.stderr, output.result);
    assert!(output.result["observerFailed"].as_str().unwrap().contains("src/a.txt"), "{}", output.result);
}

#[test]
fn dropped_caches_change_nothing() {
    let (fixture, child, _) = waiting("cat /src/a.txt; stat -c %s /src/b.txt");
    fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    fs::write(fixture.path("gate/go"), "").unwrap();
    eventually("it has ended", || observer_of(child.id()).is_none());
    let output = fixture.output(child.wait_with_output().unwrap());
    assert_eq!(output.stdout, "content of a\n13\n", "{} {}", output.stderr, output.result);
    assert!(["C src/a.txt", "S src/b.txt"].iter().all(|question| questions(&output, 0).contains(*question)));
}

#[test]
fn a_full_upper_is_no_fault_of_the_observer() {
    let mut fixture =
        fixture("cat /large > /copy || exit 3", Driver::Erofs, |root| fs::write(root.join("large"), vec![7; 4 << 20]).unwrap());
    fixture.spec["upper"] = json!({ "tmpfs": 1 << 20 });
    let output = fixture.run();
    assert_eq!((output.status, &output.result["upperFull"]), (3, &json!(true)), "{} {}", output.stderr, output.result);
    assert!(output.result["observed"].is_object());
}

#[test]
fn what_cannot_be_mounted_is_an_error_of_its_own() {
    for position in [1, 2] {
        let mut fixture = fixture("true", Driver::Erofs, sources);
        fixture.spec["layers"].as_array_mut().unwrap().insert(position, json!({ "directory": "/not/there" }));
        let output = fixture.run();
        assert_eq!((output.error_code(), &output.result["error"]["path"]), ("native/mount", &json!("/not/there")), "{}", output.result);
    }
    let mut fixture = fixture("true", Driver::Erofs, sources);
    fs::write(fixture.path("traced.index"), "no index").unwrap();
    assert_eq!(fixture.run().error_code(), "store/damaged");
    fixture.spec["layers"][1] = json!({ "traced": [{ "index": "/not/there", "erofs": "/not/there" }] });
    assert_eq!(fixture.run().result["error"]["path"], json!("/not/there"));
}

#[test]
fn leaves_nothing_when_it_is_killed() {
    for kills_observer_first in [false, true] {
        let (fixture, mut child, marker) = waiting("true");
        let observer = observer_of(child.id()).expect("there is an observer");
        let connections = || fs::read_dir("/sys/fs/fuse/connections").map_or(0, Iterator::count);
        let before = connections();
        if kills_observer_first {
            kill(observer);
        }
        kill(child.id());
        child.wait().unwrap();
        let is_gone = || !Path::new(&format!("/proc/{observer}/fd/0")).exists() && !processes_with(&marker).iter().any(|_| true);
        eventually("the container is gone", is_gone);
        eventually("the observer is gone", || observer_is_gone(observer));
        assert!(before == 0 || connections() < before);
        assert!(!is_mounted_below(fixture.dir.path()));
        assert_eq!(fs::read_dir(fixture.path("scratch")).unwrap().count(), 0);
    }
}

/// Gone, or dead and waited for by nobody but the machine's first process.
fn observer_is_gone(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z ") || !stat.contains("tbuild-runner"))
}
