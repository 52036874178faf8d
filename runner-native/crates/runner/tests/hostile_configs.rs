//! Configurations and arguments that are to break the runtime itself: broken, huge, deep, many, and with what no string of the kernel's can
//! hold. Each is refused in words, soon, in little memory, or it runs; and nothing is left of it.

mod support;

use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::RUNNER;
use support::bundle::{Bundle, cgroups, id};

const MEMORY_KIB_MAX: u32 = 512 << 10;

/// `run`, in little memory; says how it ended, when it has ended soon and left nothing.
fn run(bundle: &Bundle, test: &str) -> (i32, String) {
    let (id, start) = (id(test), Instant::now());
    let script = format!("ulimit -v {MEMORY_KIB_MAX}; exec {RUNNER} --root states run {id}");
    let output = Command::new("sh").args(["-c", &script]).current_dir(bundle.dir.path()).stdin(Stdio::null()).output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(30), "{test}: {:?}", start.elapsed());
    assert!(!bundle.path("states").join(&id).exists(), "{test}: {:?}", ended(&output));
    assert_eq!(cgroups(&id), 0, "{test}");
    ended(&output)
}

/// A crash, or an error without words, is none of these.
fn ended(output: &Output) -> (i32, String) {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let status = output.status.code().unwrap_or_else(|| panic!("killed by a signal: {error}"));
    assert!(!error.contains("panicked") && !error.contains("memory allocation"), "{error}");
    assert!(status == 0 || !error.is_empty(), "{status}");
    (status, error)
}

fn run_text(text: &[u8], test: &str) -> (i32, String) {
    let bundle = Bundle::new("true");
    fs::write(bundle.path("config.json"), text).unwrap();
    run(&bundle, test)
}

#[test]
fn huge_ones_are_refused_unread() {
    // A hundred megabytes: of one string, of white space, of lists.
    for (begin, part, end) in [("{\"hostname\":\"", "x", "\"}"), ("{", " ", "}"), ("{\"mounts\":[", "{},", "{}]}"), ("[", "[],", "[]]")] {
        let text = [begin, &part.repeat((100 << 20) / part.len()), end].concat();
        let (status, error) = run_text(text.as_bytes(), "huge");
        assert_eq!(status, 125);
        assert!(error.contains("config.json: is larger than 8 MiB"), "{error}");
    }
}

#[test]
fn what_is_just_not_too_large_takes_little_memory() {
    // The most that one byte can cost: an entry of a list, of which the smallest is two bytes.
    let lists =
        ["mounts", "linux/devices", "linux/namespaces", "linux/seccomp/syscalls", "hooks/prestart", "process/rlimits", "process/env"];
    for list in lists {
        let entry = if list == "process/env" { "\"\"," } else { "{}," };
        let entries = entry.repeat((8 << 20) / entry.len() - 100);
        let mut text = format!("[{}]", entries.trim_end_matches(','));
        for name in list.split('/').rev() {
            text = format!("{{\"{name}\":{text}}}");
        }
        let (status, error) = run_text(text.as_bytes(), "large");
        assert_eq!(status, 125, "{list}: {error}");
    }
}

#[test]
fn deep_ones_do_not_overflow_the_stack() {
    let deep = |open: &str, close: &str| [open.repeat(500_000), close.repeat(500_000)].concat();
    for field in ["unknown", "mounts", "annotations", "linux", "hooks"] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let (status, _) = run_text(format!("{{\"{field}\":{}}}", deep(open, close)).as_bytes(), "deep");
            assert_eq!(status, 125, "{field} {open}");
        }
    }
}

#[test]
fn broken_ones_are_refused_wherever_they_break() {
    let whole = fs::read(Bundle::new("true").path("config.json")).unwrap();
    let bundle = Bundle::new("true");
    for cut in (0..whole.len()).step_by(61) {
        let mut flipped = whole.clone();
        flipped[cut] ^= 0x55;
        for text in [&whole[..cut], &flipped] {
            fs::write(bundle.path("config.json"), text).unwrap();
            let output = bundle.call(&["run", &id("broken")]);
            let (status, error) = ended(&output);
            assert!(status == 0 || error.len() < 1000, "{cut}: {error}");
        }
    }
    for odd in ["", "null", "[]", "\"\"", "0", "{}", "{\"process\":null,\"root\":null}", "\u{feff}{}", "{\"ociVersion\":1e999}"] {
        assert_eq!(run_text(odd.as_bytes(), "odd").0, 125, "{odd}");
    }
    assert_eq!(run_text(b"{\"hostname\":\"\xff\xfe\"}", "utf8").0, 125);
    let bundle = Bundle::new("true");
    fs::remove_file(bundle.path("config.json")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", bundle.path("config.json")).unwrap();
    assert!(run(&bundle, "endless").1.contains("larger than 8 MiB"));
}

#[test]
fn limits_without_end_are_refused_unread() {
    let bundle = Bundle::new("true");
    assert!(bundle.error(&["update", "--resources", "/dev/zero", "any"]).contains("/dev/zero: is larger than 8 MiB"));
    let endless = fs::File::open("/dev/zero").unwrap();
    let output = bundle.command(&["update", "--resources", "-", "any"]).stdin(endless).output().unwrap();
    assert!(ended(&output).1.contains("-: is larger than 8 MiB"));
}

#[test]
fn a_zero_byte_is_refused_in_every_string() {
    // A path that ends at a zero byte is another one to the kernel than to who has checked it.
    let places = [
        "/root/path",
        "/process/cwd",
        "/process/args/0",
        "/process/env/0",
        "/hostname",
        "/mounts/1/destination",
        "/mounts/1/source",
        "/mounts/1/options/3",
        "/mounts/1/type",
        "/linux/maskedPaths/0",
        "/linux/readonlyPaths/0",
    ];
    let more = [
        ("/linux/cgroupsPath", json!("/a\0b")),
        ("/linux/devices", json!([{ "path": "/dev/x\0y", "type": "c", "major": 1, "minor": 3 }])),
        ("/linux/sysctl", json!({ "net.ipv4.ip_forward": "1\0" })),
        ("/hooks", json!({ "poststop": [{ "path": "/bin/true\0" }] })),
        ("/annotations", json!({ "a": "\0" })),
    ];
    let places = places.map(|place| (place, Value::Null)).into_iter().chain(more);
    for (place, value) in places {
        let bundle = Bundle::new("true");
        bundle.change(|config| {
            let (above, name) = place.rsplit_once('/').unwrap();
            match config.pointer_mut(place) {
                Some(text) if value.is_null() => *text = json!(format!("{}\0x", text.as_str().unwrap())),
                _ => config.pointer_mut(above).unwrap()[name] = value,
            }
        });
        let (status, error) = run(&bundle, "zero");
        assert_eq!(status, 125, "{place}");
        assert!(error.contains("zero byte"), "{place}: {error}");
    }
}

#[test]
fn many_of_everything_is_done_or_refused() {
    let many = |count: usize, one: &dyn Fn(usize) -> Value| Value::from((0..count).map(one).collect::<Vec<_>>());
    let tmpfs = |n: usize| json!({ "destination": format!("/m/{n}"), "type": "tmpfs", "source": "x", "options": ["size=4k"] });
    let bind = |_: usize| json!({ "destination": "/tmp", "type": "bind", "source": "/usr", "options": ["rbind"] });
    let rule =
        |n: usize| json!({ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": [{ "index": 0, "value": n, "op": "SCMP_CMP_EQ" }] });
    let device = |n: usize| json!({ "path": format!("/dev/d/{n}"), "type": "c", "major": 1, "minor": 3 });
    let cases: [(&str, &str, Value, Option<i32>); 9] = [
        ("mounts", "/mounts", many(3000, &tmpfs), Some(0)),
        ("on top of each other", "/mounts", many(1000, &bind), Some(0)),
        ("devices", "/linux/devices", many(2000, &device), Some(0)),
        ("masks", "/linux/maskedPaths", many(2000, &|n| json!(format!("/etc/{n}"))), Some(0)),
        ("variables", "/process/env", many(90_000, &|n| json!(format!("V{n}=value of the variable"))), Some(125)),
        (
            "arguments",
            "/process/args",
            many(90_000, &|n| json!(if n == 0 { "true".into() } else { format!("an argument like many others, but for its number: {n}") })),
            Some(125),
        ),
        ("groups", "/process/user/additionalGids", many(70_000, &|n| json!(n)), Some(125)),
        ("rules", "/linux/seccomp", json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": many(20_000, &rule) }), None),
        ("annotations", "/annotations", Value::Object((0..50_000).map(|n| (n.to_string(), json!("x"))).collect()), Some(0)),
    ];
    for (what, place, value, expected) in cases {
        let bundle = Bundle::new("true");
        bundle.change(|config| {
            let (above, name) = place.rsplit_once('/').unwrap();
            match (place, value) {
                ("/mounts", Value::Array(more)) => config["mounts"].as_array_mut().unwrap().extend(more),
                (_, value) => config.pointer_mut(above).unwrap()[name] = value,
            }
        });
        let (status, error) = run(&bundle, "many");
        assert!(expected.is_none_or(|expected| expected == status), "{what}: {status} {error}");
        assert!(error.len() < 4000, "{what}: {error}");
    }
}

#[test]
fn numbers_beyond_all_bounds_are_refused() {
    let cases = [
        ("/hooks", json!({ "prestart": [{ "path": "/bin/true", "timeout": i64::MAX }] }), 0),
        ("/hooks", json!({ "prestart": [{ "path": "/bin/true", "timeout": -1 }] }), 125),
        ("/process/oomScoreAdj", json!(i32::MIN), 125),
        // CVE-2024-40635: to the kernel that one means "as it is", which is root.
        ("/process/user/uid", json!(u32::MAX), 125),
        ("/process/user/gid", json!(u32::MAX), 125),
        ("/process/user/additionalGids", json!([0, u32::MAX]), 125),
        ("/linux/devices", json!([{ "path": "/dev/x", "type": "p", "uid": u32::MAX }]), 125),
        ("/process/user/umask", json!(u32::MAX), 125),
        ("/process/rlimits", json!([{ "type": "RLIMIT_NOFILE", "soft": 0, "hard": 0 }]), 0),
        ("/process/consoleSize", json!({ "height": 65536, "width": 0 }), 125),
        ("/linux/devices", json!([{ "path": "/dev/x", "type": "c", "major": 1u64 << 33, "minor": -1 }]), 125),
        ("/linux/personality", json!({ "domain": "SVR4" }), 125),
        ("/linux/resources", json!({ "pids": { "limit": i64::MIN } }), 0),
        ("/linux/resources", json!({ "memory": { "limit": 1 } }), 125),
        ("/linux/cgroupsPath", json!("x/".repeat(3000)), 125),
        ("/linux/cgroupsPath", json!("/"), 125),
        ("/linux/cgroupsPath", json!("/../.."), 125),
    ];
    for (place, value, expected) in cases {
        let bundle = Bundle::new("true");
        bundle.change(|config| {
            let (above, name) = place.rsplit_once('/').unwrap();
            config.pointer_mut(above).unwrap()[name] = value.clone();
        });
        let (status, error) = run(&bundle, "number");
        assert_eq!(status, expected, "{place} {value}: {error}");
    }
}

#[test]
fn a_cgroup_that_is_somebody_s_is_not_taken_over() {
    // With the container whatever is in its cgroup is killed: another's processes, by a path that names their cgroup.
    let own = |bundle: &Bundle| bundle.path("states").join("other");
    let (other, bundle) = (Bundle::new("sleep 100"), Bundle::new("true"));
    let (first, path) = (id("owner"), format!("/tbuild-test-{}-owned", std::process::id()));
    for bundle in [&other, &bundle] {
        bundle.change(|config| config["linux"]["cgroupsPath"] = json!(path));
        assert!(!own(bundle).exists());
    }
    assert!(other.create(&[&first]), "{}", other.out());
    for command in ["run", "create"] {
        let output = bundle.call(&[command, &id("thief")]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains("is somebody else's"), "{error}");
    }
    bundle.change(|config| config["linux"]["cgroupsPath"] = json!(format!("{path}/..{path}")));
    assert!(bundle.error(&["run", &id("thief")]).contains("leads upwards"));
    other.ok(&["start", &first]);
    assert_eq!(other.status(&first), "running");
    other.ok(&["delete", "--force", &first]);
}

#[test]
fn an_id_is_no_path_to_any_command() {
    let bundle = Bundle::new("true");
    fs::create_dir_all(bundle.path("outside")).unwrap();
    fs::write(bundle.path("outside/state.json"), "{}").unwrap();
    let long = "x".repeat(1025);
    for id in ["", ".", "..", "../outside", "a/../../outside", "/outside", "a/b", "a\\b", "-", "a b", "a\nb", "ü", "*", long.as_str()] {
        for command in ["create", "run", "start", "state", "exec", "kill", "delete", "pause", "resume", "ps", "update", "events"] {
            let mut arguments = vec![command];
            if command == "delete" {
                arguments.push("--force");
            }
            arguments.extend(["--", id]);
            let output = bundle.command(&arguments).arg("true").output().unwrap();
            assert!(!output.status.success(), "{command} {id:?}");
        }
        let output = bundle.call(&["delete", "--force", "--", id]);
        assert!(!output.status.success() || id == "-", "{id:?}");
    }
    assert!(bundle.path("outside/state.json").exists());
    let states: Vec<_> = fs::read_dir(bundle.path("states")).into_iter().flatten().collect();
    assert!(states.is_empty(), "{states:?}");
}

#[test]
fn a_state_that_is_damaged_is_said_and_can_be_deleted() {
    let bundle = Bundle::new("true");
    for (name, text) in [("cut", "{\"ociVersion\":"), ("empty", ""), ("deep", &"[".repeat(100_000)), ("other", "[1,2]")] {
        let folder = bundle.path("states").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("state.json"), text).unwrap();
        assert!(bundle.error(&["state", name]).contains("state.json"));
        assert!(!bundle.ok(&["list", "-q"]).contains(name));
        bundle.ok(&["delete", "--force", name]);
        assert!(!folder.exists());
    }
}
