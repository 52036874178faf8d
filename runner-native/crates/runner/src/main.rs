//! `tbuild-runner`: argv to one of its faces. Errors are one JSON line on stderr (docs/native.md); exit statuses are those of docker run:
//! the container's own, 127 and 126 for a command that is missing or cannot be executed, 125 for everything else.

mod options;

use options::{Options, usage};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use tbuild_runtime::container::{self, RunOptions};
use tbuild_runtime::error::{CONFIG, Context, NOT_EXECUTABLE, NOT_FOUND, NativeError, PROCESS, Result, USAGE};
use tbuild_runtime::{own_binary, plan, probe, spec, sys, with_root};

const STATUS_FAILED: i32 = 125;

fn main() {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let command = arguments.first().and_then(|argument| argument.to_str()).unwrap_or_default();
    let done = match command {
        "serve" => tbuild_serve::main().during(PROCESS, "serve").map(|()| 0),
        "with-root" => with_root(&arguments[1..]),
        "probe" => probe(&arguments[1..]),
        "tree-tar" => tree_tar(),
        "run" => run(&arguments[1..]),
        "features" => print(FEATURES),
        "--version" => print(concat!("tbuild-runner ", env!("CARGO_PKG_VERSION"), "\nspec: 1.2.0")),
        _ => Err(usage(format!("unknown command {command:?}: one of serve, with-root, probe, tree-tar, run, features, --version"))),
    };
    std::process::exit(done.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "{}", serde_json::to_string(&error).unwrap_or_default());
        status_of(&error)
    }));
}

fn status_of(error: &NativeError) -> i32 {
    match error.code.as_str() {
        NOT_FOUND => 127,
        NOT_EXECUTABLE => 126,
        _ => STATUS_FAILED,
    }
}

fn print(text: &str) -> Result<i32> {
    writeln!(std::io::stdout(), "{text}").during(PROCESS, "write")?;
    Ok(0)
}

/// `run [--bundle DIR] [--root DIR] [--pid-file F] ID`; `--root` is where the container's root is, in place of config.json's root.path.
fn run(arguments: &[OsString]) -> Result<i32> {
    own_binary::protect()?;
    let options = Options::read(arguments, &["--bundle", "-b", "--root", "--pid-file"])?;
    let [_id] = options.operands else { return Err(usage("run wants the container's id")) };
    let absolute = |path: &OsStr| std::path::absolute(path).at(USAGE, "resolve", path);
    let root = options.value(&["--root"]).map(absolute).transpose()?;
    let pid_file = options.value(&["--pid-file"]).map(absolute).transpose()?;
    if let Some(bundle) = options.value(&["--bundle", "-b"]) {
        std::env::set_current_dir(bundle).at(CONFIG, "enter the bundle", bundle)?;
    }
    let text = std::fs::read_to_string("config.json").at(CONFIG, "read", "config.json")?;
    let mut config: spec::Config = serde_json::from_str(&text)
        .map_err(|error| NativeError::new(CONFIG, "read").path("config.json").detail(format!("config.json: {error}")))?;
    if let (Some(path), Some(root_in_config)) = (root, &mut config.root) {
        root_in_config.path = path;
    }
    sys::die_with_parent().during(PROCESS, "tie the process to its parent")?;
    container::run(&plan::read(config)?, RunOptions { pid_file, ..Default::default() }).map(|ended| ended.status)
}

/// `with-root [--lifeline FD] [--result FD] SPEC -- RUNTIME [ARG…]`
fn with_root(arguments: &[OsString]) -> Result<i32> {
    // Before any descriptor is taken over, for it executes this binary again; what it says goes where all results go.
    let protected = own_binary::protect();
    sys::die_with_parent().during(PROCESS, "tie the process to its parent")?;
    let options = Options::read(arguments, &["--lifeline", "--result"])?;
    let (spec, runtime) = match options.operands {
        [spec, separator, runtime @ ..] if separator == "--" && !runtime.is_empty() => (spec, runtime.to_vec()),
        _ => return Err(usage("with-root wants SPEC -- RUNTIME [ARG…]")),
    };
    let lifeline = descriptor(&options, "--lifeline")?;
    let result = descriptor(&options, "--result")?;
    let outcome = protected
        .and_then(|()| with_root::read_spec(Path::new(spec)))
        .and_then(|spec| with_root::run(with_root::Arguments { lifeline, spec, runtime }));
    let Some(result) = result else { return outcome.map(|outcome| outcome.status) };
    let (line, status) = match &outcome {
        Ok(outcome) => (serde_json::to_string(outcome), outcome.status),
        Err(error) => (serde_json::to_string(&serde_json::json!({ "error": error })), status_of(error)),
    };
    let line = line.map_err(std::io::Error::from).during(PROCESS, "write the result")?;
    writeln!(std::fs::File::from(result), "{line}").during(PROCESS, "write the result")?;
    Ok(status)
}

fn descriptor(options: &Options, name: &str) -> Result<Option<OwnedFd>> {
    let Some(given) = options.value(&[name]) else { return Ok(None) };
    let number = given.to_str().and_then(|number| number.parse().ok()).filter(|number| *number > 2);
    let number = number.ok_or_else(|| usage(format!("{name} wants the number of an open descriptor above 2")))?;
    sys::inherited(number).map(Some).during(USAGE, &format!("take over the descriptor of {name}"))
}

/// `probe DIR [DRIVER]`
fn probe(arguments: &[OsString]) -> Result<i32> {
    let (directory, only) = match arguments {
        [directory] => (directory, None),
        [directory, only] => (directory, Some(only.to_string_lossy())),
        _ => return Err(usage("probe wants a directory, and a driver if no other is to be tried")),
    };
    let found = probe::run(Path::new(directory), only.as_deref())?;
    print(&serde_json::to_string(&found).map_err(std::io::Error::from).during(PROCESS, "write")?)
}

fn tree_tar() -> Result<i32> {
    sys::die_with_parent().during(PROCESS, "tie the process to its parent")?;
    tbuild_serve::tree_tar().map(|()| 0)
}

/// The runtime-spec's features.md.
const FEATURES: &str = r#"{"ociVersionMin":"1.0.0","ociVersionMax":"1.2.0","hooks":[],"linux":{"namespaces":["cgroup","ipc","mount","network","pid","uts"],"cgroup":{"v1":false,"v2":false,"systemd":false,"systemdUser":false,"rdma":false},"seccomp":{"enabled":true,"actions":["SCMP_ACT_ALLOW","SCMP_ACT_ERRNO","SCMP_ACT_KILL","SCMP_ACT_KILL_PROCESS","SCMP_ACT_KILL_THREAD","SCMP_ACT_LOG","SCMP_ACT_TRACE","SCMP_ACT_TRAP"],"operators":["SCMP_CMP_EQ","SCMP_CMP_GE","SCMP_CMP_GT","SCMP_CMP_LE","SCMP_CMP_LT","SCMP_CMP_MASKED_EQ","SCMP_CMP_NE"],"knownFlags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW","SECCOMP_FILTER_FLAG_TSYNC"]},"apparmor":{"enabled":false},"selinux":{"enabled":false},"intelRdt":{"enabled":false},"mountExtensions":{"idmap":{"enabled":false}}}}"#;
