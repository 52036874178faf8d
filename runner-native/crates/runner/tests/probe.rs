//! `probe`, and the small commands.

mod support;

use serde_json::Value;
use std::process::Command;
use support::RUNNER;

fn probe(directory: &std::path::Path) -> Value {
    let output = Command::new(RUNNER).arg("probe").arg(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn finds_a_driver_and_leaves_nothing() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let found = probe(directory.path());
    let driver = found["driver"].as_str().unwrap();
    let position = ["erofs", "erofs-loop", "directory"].iter().position(|known| *known == driver).unwrap();
    assert_eq!(found["reasons"].as_array().unwrap().len(), position, "{found}");
    assert_eq!(found["kernel"].as_str().unwrap(), std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    assert!(!support::is_mounted_below(directory.path()));
}

#[test]
fn finds_a_driver_on_tmpfs_and_on_overlayfs() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let found = probe(directory.path());
    assert!(["erofs", "erofs-loop", "directory"].contains(&found["driver"].as_str().unwrap()), "{found}");
    let script = "mount -t tmpfs t $0 && mkdir $0/l $0/u $0/w $0/m && mount -t overlay o -o lowerdir=$0/l,upperdir=$0/u,workdir=$0/w $0/m && exec $1 probe $0/m";
    let output = Command::new("unshare").args(["-m", "sh", "-c", script]).arg(directory.path()).arg(RUNNER).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert!(["erofs", "erofs-loop", "directory"].contains(&found["driver"].as_str().unwrap()), "{found}");
}

#[test]
fn tries_only_the_driver_that_is_asked_for() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let run = |driver: &str| Command::new(RUNNER).arg("probe").arg(directory.path()).arg(driver).output().unwrap();
    let found: Value = serde_json::from_slice(&run("directory").stdout).unwrap();
    assert_eq!((found["driver"].as_str(), found["reasons"].as_array().map(Vec::len)), (Some("directory"), Some(0)), "{found}");
    // No kernel reads an image through tmpfs.
    let error: Value = serde_json::from_slice(&run("erofs").stderr).unwrap();
    assert_eq!(error["code"], "unsupported/no-driver");
    assert!(
        error["detail"].as_str().unwrap().contains(": erofs: ") && !error["detail"].as_str().unwrap().contains("directory: "),
        "{error}"
    );
    let error: Value = serde_json::from_slice(&run("ext4").stderr).unwrap();
    assert_eq!(error["code"], "native/usage");
}

#[test]
fn says_what_to_do_where_no_namespace_can_be_made() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new("setpriv")
        .args(["--bounding-set", "-sys_admin", "--inh-caps", "-all", RUNNER, "probe"])
        .arg(directory.path())
        .output()
        .unwrap();
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((output.status.code(), error["code"].as_str()), (Some(125), Some("unsupported/no-namespace")));
    assert!(error["detail"].as_str().unwrap().contains("run tbuild as root"), "{error}");
}

#[test]
fn knows_its_version_and_features_and_refuses_other_words() {
    let run = |arguments: &[&str]| Command::new(RUNNER).args(arguments).output().unwrap();
    assert!(run(&["--version"]).stdout.starts_with(b"tbuild-runner "));
    let features: Value = serde_json::from_slice(&run(&["features"]).stdout).unwrap();
    assert_eq!(features["ociVersionMax"], "1.2.0");
    for wrong in [&[][..], &["with-root", "/x"], &["probe"], &["no-such"]] {
        let output = run(wrong);
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        assert_eq!((output.status.code(), error["code"].as_str()), (Some(125), Some("native/usage")), "{wrong:?}");
    }
    // What an OCI runtime has is said to people.
    let cases: [(&[&str], i32, &str); 6] = [
        (&["create"], 1, "a container's id is missing"),
        (&["run"], 125, "a container's id is missing"),
        (&["run", "--bundle"], 125, "missing argument for option '--bundle'"),
        (&["run", "--no-such", "x"], 125, "invalid option '--no-such'"),
        (&["state", "a", "b"], 1, "one container's id is enough: \"b\" is too much"),
        (&["--systemd-cgroup", "list"], 1, "cgroups through systemd are not supported"),
    ];
    for (arguments, status, message) in cases {
        let output = run(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        assert!(text.starts_with(&format!("tbuild-runner: {message}")), "{arguments:?}: {text}");
    }
}
