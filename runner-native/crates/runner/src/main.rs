//! `tbuild-runner`: argv to one of its faces. An OCI runtime's commands are in `oci`; those of tbuild itself are here: errors are one JSON
//! line on stderr (docs/native.md), exit statuses those of docker run: the container's own, 127 and 126 for a command that is missing or cannot
//! be executed, 125 for everything else.

mod answers;
mod arguments;
mod help;
mod listen_fds;
mod log;
mod monitor;
mod oci;
mod oci_limits;
mod oci_spec;
mod options;

use answers::say;
use arguments::usage;
use options::Options;
use std::ffi::OsString;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use tbuild_runtime::error::{Context, PROCESS, Result, USAGE, exit_status};
use tbuild_runtime::{init_process, own_binary, own_ids, probe, sys, visit, with_root};

fn main() {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let command = arguments.first().and_then(|argument| argument.to_str()).unwrap_or_default();
    if oci::is_meant(command) {
        std::process::exit(oci::main(arguments));
    }
    let done = match command {
        "serve" => own_ids::enter().and_then(|ids| tbuild_serve::main(&serde_json::json!(ids)).during(PROCESS, "serve").map(|()| 0)),
        "with-root" => own_ids::enter().and_then(|_| with_root(&arguments[1..])),
        "probe" => own_ids::enter().and_then(|_| probe(&arguments[1..])),
        "monitor" => monitor::main(&arguments[1..]),
        "read" => own_ids::enter().and_then(|_| read(&arguments[1..])),
        "remove" => own_ids::enter().and_then(|_| remove(&arguments[1..])),
        "files" => files(&arguments[1..]),
        "tree-tar" => own_ids::enter().and_then(|_| tree_tar()),
        "init-process" => init_process(&arguments[1..]),
        _ => Err(usage(format!(
            "unknown command {command:?}: one of serve, with-root, monitor, probe, tree-tar, files, read, remove, {}",
            help::command_names()
        ))),
    };
    std::process::exit(done.unwrap_or_else(|error| {
        let _ = writeln!(std::io::stderr(), "{}", serde_json::to_string(&error).unwrap_or_default());
        exit_status(&error)
    }));
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
    let result = descriptor(&options, "--result")?.map(std::fs::File::from);
    let say_host_network = |why: &str| {
        let _ = match result.as_ref() {
            Some(mut result) => writeln!(result, "{}", serde_json::json!({ "hostNetwork": why })),
            None => writeln!(std::io::stderr(), "network: the host's ({why})"),
        };
    };
    let outcome = protected.and_then(|()| with_root::read_spec(Path::new(spec))).and_then(|spec| {
        with_root::run(with_root::Arguments { lifeline, spec, runtime, say_host_network: &say_host_network, network: None, on_start: None })
    });
    let Some(mut result) = result else { return outcome.map(|outcome| outcome.status) };
    let (line, status) = match &outcome {
        Ok(outcome) => (serde_json::to_string(outcome), outcome.status),
        Err(error) => (serde_json::to_string(&serde_json::json!({ "error": error })), exit_status(error)),
    };
    let line = line.map_err(std::io::Error::from).during(PROCESS, "write the result")?;
    writeln!(result, "{line}").during(PROCESS, "write the result")?;
    Ok(status)
}

fn descriptor(options: &Options, name: &str) -> Result<Option<OwnedFd>> {
    let Some(given) = options.value(&[name]) else { return Ok(None) };
    let number = given.to_str().and_then(|number| number.parse().ok()).filter(|number| *number > 2);
    let number = number.ok_or_else(|| usage(format!("{name} wants the number of an open descriptor above 2")))?;
    sys::inherited(number).map(Some).during(USAGE, &format!("take over the descriptor of {name}"))
}

/// `init-process -- COMMAND [ARG…]`, in a container.
fn init_process(arguments: &[OsString]) -> Result<i32> {
    match arguments {
        [separator, command @ ..] if separator == "--" && !command.is_empty() => init_process::main(command),
        _ => Err(usage("init-process wants -- COMMAND [ARG…]")),
    }
}

/// `probe DIR [DRIVER]`
fn probe(arguments: &[OsString]) -> Result<i32> {
    let (directory, only) = match arguments {
        [directory] => (directory, None),
        [directory, only] => (directory, Some(only.to_string_lossy())),
        _ => return Err(usage("probe wants a directory, and a driver if no other is to be tried")),
    };
    let found = probe::run(Path::new(directory), only.as_deref())?;
    say(&serde_json::to_string(&found).map_err(std::io::Error::from).during(PROCESS, "write")?)
}

fn tree_tar() -> Result<i32> {
    sys::die_with_parent().during(PROCESS, "tie the process to its parent")?;
    tbuild_serve::tree_tar().map(|()| 0)
}

/// `files [--pid PID] find|read|write …`, of this machine or of a container that runs. As who we are: no user namespace but the container's.
fn files(arguments: &[OsString]) -> Result<i32> {
    sys::die_with_parent().during(PROCESS, "tie the process to its parent")?;
    let (place, words) = match arguments {
        [option, pid, words @ ..] if option == "--pid" => {
            let pid = pid.to_str().and_then(|pid| pid.parse().ok()).ok_or_else(|| usage("--pid wants a number"))?;
            (visit::Place::of_process(pid)?, words)
        }
        words => (visit::Place::here()?, words),
    };
    visit::act(&place, words)
}

/// `read FILE OFFSET LENGTH`: of a file that an account's further ids may read and its own may not.
fn read(arguments: &[OsString]) -> Result<i32> {
    let number = |text: &OsString| text.to_str().and_then(|text| text.parse::<u64>().ok());
    let [path, offset, length] = arguments else { return Err(usage("read wants a file, an offset and a length")) };
    let (Some(offset), Some(length)) = (number(offset), number(length)) else { return Err(usage("read wants numbers")) };
    tbuild_layers::read_range(Path::new(path), offset, length, std::io::stdout()).map(|()| 0)
}

/// `remove PATH…`: files of an account, and of its further ids.
fn remove(paths: &[OsString]) -> Result<i32> {
    paths.iter().try_for_each(|path| tbuild_layers::remove(Path::new(path))).map(|()| 0)
}
