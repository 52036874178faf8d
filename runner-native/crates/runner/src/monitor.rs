//! `monitor VERB DIR …`: the containers that are kept (docs/native.md, "Monitor").

use crate::answers::say;
use crate::arguments::{number, text, usage, wrong};
use std::ffi::OsString;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use tbuild_monitor::{Attach, DetachKeys, Exec, ExecFlags, Streams};
use tbuild_runtime::error::{Context, Result, USAGE, exit_status};
use tbuild_runtime::{own_binary, own_ids, sys};

pub fn main(arguments: &[OsString]) -> Result<i32> {
    let Some((verb, rest)) = arguments.split_first() else {
        return Err(usage("monitor wants a verb: start, attach, exec, control, clean"));
    };
    match verb.to_str().unwrap_or_default() {
        "start" => {
            // Before any descriptor is taken over, for it executes this binary again.
            own_binary::protect()?;
            own_ids::enter()?;
            let call = Call::read(rest, &["errors", "attach", "detach-keys", "no-sig-proxy"])?;
            let attach = call.attach.map(|streams| call.attach(streams));
            call.say_errors(call.directory().and_then(|directory| tbuild_monitor::start(directory, attach.as_ref())))
        }
        "attach" => {
            let call = Call::read(rest, &["errors", "no-stdin", "detach-keys", "no-sig-proxy"])?;
            let attach = call.attach(Streams { stdin: !call.has_no_stdin, stdout: true, stderr: true });
            call.say_errors(call.directory().and_then(|directory| tbuild_monitor::attach(directory, &attach)))
        }
        "exec" => {
            let call = Call::read(rest, &["errors", "tty", "interactive", "detach", "detach-keys"])?;
            call.say_errors(call.directory().and_then(|directory| tbuild_monitor::exec(&call.exec(directory)?)))
        }
        "control" => {
            let [directory, request] = rest else { return Err(usage("monitor control wants a directory and a request, a JSON object")) };
            say(&tbuild_monitor::control(Path::new(directory), &request.to_string_lossy())?)
        }
        "clean" => {
            own_ids::enter()?;
            let [directory] = rest else { return Err(usage("monitor clean wants a directory")) };
            tbuild_monitor::clean(Path::new(directory)).map(|()| 0)
        }
        other => Err(usage(format!("unknown verb {other:?}: one of start, attach, exec, control, clean"))),
    }
}

#[derive(Default)]
struct Call {
    directory: Option<PathBuf>,
    attach: Option<Streams>,
    detach_keys: DetachKeys,
    has_no_stdin: bool,
    has_no_sig_proxy: bool,
    exec: ExecFlags,
    request: Option<String>,
    /// Where errors go when standard error is the container's.
    errors: Option<OwnedFd>,
}

impl Call {
    fn read(arguments: &[OsString], known: &[&str]) -> Result<Self> {
        use lexopt::Arg;
        let mut call = Self::default();
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next().map_err(wrong)? {
            match argument {
                Arg::Long(name) if !known.contains(&name) => return Err(usage(format!("unknown option --{name}"))),
                Arg::Long("attach") => call.attach = Some(streams(&text(&mut parser)?)?),
                Arg::Long("detach-keys") => call.detach_keys = DetachKeys::read(&text(&mut parser)?)?,
                Arg::Long("no-stdin") => call.has_no_stdin = true,
                Arg::Long("no-sig-proxy") => call.has_no_sig_proxy = true,
                Arg::Long("tty") => call.exec.tty = true,
                Arg::Long("interactive") => call.exec.interactive = true,
                Arg::Long("detach") => call.exec.detach = true,
                Arg::Long("errors") => {
                    let fd = number(&mut parser, "--errors")?;
                    call.errors = Some(sys::inherited(fd as i32).during(USAGE, "take over the descriptor of --errors")?);
                }
                Arg::Value(directory) if call.directory.is_none() => call.directory = Some(directory.into()),
                Arg::Value(request) if known.contains(&"detach") && call.request.is_none() => {
                    call.request = Some(request.to_string_lossy().into_owned());
                }
                other => return Err(wrong(other.unexpected())),
            }
        }
        Ok(call)
    }

    fn directory(&self) -> Result<&Path> {
        self.directory.as_deref().ok_or_else(|| usage("a container's directory is missing"))
    }

    fn attach(&self, streams: Streams) -> Attach {
        Attach { streams, detach_keys: self.detach_keys.clone(), proxies_signals: !self.has_no_sig_proxy }
    }

    fn exec<'a>(&'a self, directory: &'a Path) -> Result<Exec<'a>> {
        let request = self.request.as_deref().ok_or_else(|| usage("monitor exec wants a request, a JSON object"))?;
        Ok(Exec { directory, request, flags: self.exec, detach_keys: self.detach_keys.clone() })
    }

    fn say_errors(&self, done: Result<i32>) -> Result<i32> {
        match (done, self.errors.as_ref().and_then(|errors| errors.try_clone().ok())) {
            (Err(error), Some(errors)) => {
                let line = serde_json::to_string(&error).unwrap_or_default();
                let _ = writeln!(std::fs::File::from(errors), "{line}");
                Ok(exit_status(&error))
            }
            (done, _) => done,
        }
    }
}

fn streams(list: &str) -> Result<Streams> {
    let mut streams = Streams::default();
    for name in list.split(',').filter(|name| !name.is_empty()) {
        match name {
            "stdin" => streams.stdin = true,
            "stdout" => streams.stdout = true,
            "stderr" => streams.stderr = true,
            _ => return Err(usage(format!("--attach takes stdin, stdout and stderr, not {name:?}"))),
        }
    }
    Ok(streams)
}
