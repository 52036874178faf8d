//! The command line against those of Debian's runc and crun: what they take is taken, or refused by its name. And what stands in `--help`.

mod support;

use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};
use support::bundle::{Bundle, cgroups, id};
use support::{RUNNER, eventually};

/// In a directory of its own, for some of the flags make files.
fn text_of(program: &str, arguments: &[&str]) -> Option<String> {
    let scratch = tempfile::tempdir().unwrap();
    let output = Command::new(program).args(arguments).current_dir(scratch.path()).stdin(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// `--bundle`, `-b` … as they stand at the beginnings of lines, with whether they take a value.
fn flags_in(help: &str) -> Vec<(String, bool)> {
    let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| line.split("  ").next().unwrap_or_default().split(", "));
    let flags = words.map(|word| {
        let end = word.find(['=', ' ', '[']).unwrap_or(word.len());
        (word[..end].trim_end_matches(',').to_owned(), word.len() > end && !word[end..].starts_with('['))
    });
    flags.filter(|(flag, _)| !matches!(flag.as_str(), "--help" | "--usage" | "-?" | "-h")).collect()
}

const COMMANDS: [&str; 15] =
    ["", "create", "start", "run", "state", "kill", "delete", "exec", "list", "ps", "pause", "resume", "update", "events", "spec"];

#[test]
fn every_flag_of_runc_and_crun_is_known() {
    let mut compared = 0;
    for other in ["runc", "crun"] {
        if text_of(other, &["--version"]).is_none() {
            eprintln!("skipped: no {other} on this machine");
            continue;
        }
        for command in COMMANDS {
            let before: &[&str] = if command.is_empty() { &[] } else { &[command] };
            let help = text_of(other, &[before, &["--help"]].concat()).unwrap();
            for (flag, has_value) in flags_in(&help) {
                // No id follows: whatever is said then, it must not be that nobody knows the flag.
                let value: &[&str] = if has_value { &["1"] } else { &[] };
                let said = text_of(RUNNER, &[before, &[flag.as_str()], value].concat()).unwrap();
                assert!(!said.contains("invalid option"), "{other} {command} {flag}: {said}");
                compared += 1;
            }
        }
    }
    eprintln!("{compared} flags are known");
}

#[test]
fn what_is_in_the_help_is_taken() {
    for command in COMMANDS {
        let before: &[&str] = if command.is_empty() { &[] } else { &[command] };
        let help = text_of(RUNNER, &[before, &["--help"]].concat()).unwrap();
        assert!(help.starts_with("Usage: tbuild-runner "), "{help}");
        for (flag, has_value) in flags_in(&help) {
            let value: &[&str] = if has_value { &["1"] } else { &[] };
            let said = text_of(RUNNER, &[before, &[flag.as_str()], value].concat()).unwrap();
            assert!(!said.contains("invalid option"), "{command} {flag}: {said}");
        }
    }
    assert!(text_of(RUNNER, &["exec", "x", "--help"]).unwrap().contains("does not exist"), "a word after the id is the command's");
}

#[test]
fn sockets_of_systemd_are_handed_on() {
    let (bundle, id) = (Bundle::new("cat <&3; cat <&4; echo $LISTEN_FDS $LISTEN_PID $LISTEN_FDNAMES"), id("listen"));
    let run = |pid: &str| {
        fs::write(bundle.path("one"), "one\n").unwrap();
        fs::write(bundle.path("two"), "two\n").unwrap();
        let script = format!(
            "exec 3<one 4<two; LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PID={pid} exec {RUNNER} --root states run --preserve-fds 1 {id} 2>&1",
        );
        text_of("sh", &["-c", &format!("cd {}; {script}", bundle.dir.path().display())]).unwrap()
    };
    assert_eq!(run("$$"), "one\ntwo\n1 1 web\n");
    assert!(run("1").starts_with("one\nsh: "), "{}", run("1"));
}

#[test]
fn a_container_can_do_without_a_cgroup() {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let change = |config: &mut Value| {
        config["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "cgroup");
        config["linux"]["resources"] = json!({ "pids": { "limit": 1 } });
    };
    let (bundle, id) = (Bundle::with("cat /proc/self/cgroup; sleep 60 & wait", change), id("no-cgroup"));
    let out = fs::File::create(bundle.path("out")).unwrap();
    let mut create = bundle.command(&["--cgroup-manager", "disabled", "create", &id]);
    assert!(create.stdout(out.try_clone().unwrap()).stderr(out).status().unwrap().success(), "{}", bundle.out());
    bundle.ok(&["start", &id]);
    eventually("out", || bundle.out().len() >= own.len());
    assert_eq!(bundle.out(), own);
    assert_eq!(cgroups(&id), 0);
    assert!(bundle.error(&["pause", &id]).contains("no freezer"));
    assert_eq!(bundle.ok(&["exec", &id, "echo", "in"]), "in\n");
    bundle.ok(&["delete", "--force", &id]);
}

#[test]
fn run_keeps_what_it_is_told_to() {
    let (bundle, id) = (Bundle::new("exit 3"), id("kept"));
    assert_eq!(bundle.call(&["run", "--keep", &id]).status.code(), Some(3));
    assert_eq!(bundle.status(&id), "stopped");
    bundle.ok(&["delete", &id]);
}

/// podman exits 127 or 126 when it finds these words in the log, and 126 or 125 when it does not.
#[test]
fn errors_about_the_command_have_the_words_that_engines_look_for() {
    for (command, words) in [
        ("nope", "nope is not in the container's PATH: executable file not found"),
        ("/nope", "/nope does not exist in the container: executable file not found"),
        ("/etc", "/etc is a directory: permission denied"),
        ("/etc/data", "/etc/data is not executable for the container's user: permission denied"),
    ] {
        let (bundle, id) = (Bundle::with("", |config| config["process"]["args"] = json!([command])), id("words"));
        fs::write(bundle.path("rootfs/etc/data"), "").unwrap();
        assert!(!bundle.create(&[&id]));
        assert!(bundle.out().contains(words), "{}", bundle.out());
    }
}

#[test]
fn spec_is_a_configuration_that_runs() {
    let (bundle, id) = (Bundle::new(""), id("spec"));
    for flags in [&["--file", "here.json"][..], &["--rootless", "--file", "rootless.json"]] {
        bundle.ok(&[&["spec"], flags].concat());
        assert!(bundle.error(&[&["spec"], flags].concat()).contains("file exists"));
        let file = flags[flags.len() - 1];
        let mut config: Value = serde_json::from_str(&fs::read_to_string(bundle.path(file)).unwrap()).unwrap();
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["cat", "/proc/self/uid_map"]);
        fs::write(bundle.path(file), config.to_string()).unwrap();
        let map = bundle.ok(&["run", "--config", file, &id]);
        assert_eq!(map.split_whitespace().next_back(), Some(if file == "here.json" { "4294967295" } else { "1" }), "{map}");
    }
}
