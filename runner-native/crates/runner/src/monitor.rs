//! `monitor VERB DIR …`: the containers that are kept (docs/native.md, "Monitor").

use crate::answers::say;
use crate::arguments::usage;
use std::ffi::OsString;
use std::path::Path;
use tbuild_monitor::{Attach, DetachKeys, Streams};
use tbuild_runtime::error::Result;
use tbuild_runtime::{own_binary, own_ids};

pub fn main(arguments: &[OsString]) -> Result<i32> {
    let [verb, directory, rest @ ..] = arguments else { return Err(usage("monitor wants a verb and a container's directory")) };
    let directory = Path::new(directory);
    match verb.to_str().unwrap_or_default() {
        "start" => start(directory, rest),
        "attach" => {
            let options = Options::read(rest, &["--no-stdin", "--detach-keys", "--no-sig-proxy"])?;
            tbuild_monitor::attach(directory, &options.attach(Streams { stdin: !options.has_no_stdin, stdout: true, stderr: true }))
        }
        "control" => {
            let [request] = rest else { return Err(usage("monitor control wants a request, a JSON object")) };
            say(&tbuild_monitor::control(directory, &request.to_string_lossy())?)
        }
        "clean" => {
            own_ids::enter()?;
            tbuild_monitor::clean(directory).map(|()| 0)
        }
        other => Err(usage(format!("unknown verb {other:?}: one of start, attach, control, clean"))),
    }
}

fn start(directory: &Path, rest: &[OsString]) -> Result<i32> {
    // Before any descriptor is opened, for it executes this binary again.
    own_binary::protect()?;
    own_ids::enter()?;
    let options = Options::read(rest, &["--attach", "--detach-keys", "--no-sig-proxy"])?;
    let attach = options.streams()?.map(|streams| options.attach(streams));
    tbuild_monitor::start(directory, attach.as_ref())
}

#[derive(Default)]
struct Options {
    attach: Option<String>,
    detach_keys: DetachKeys,
    has_no_stdin: bool,
    has_no_sig_proxy: bool,
}

impl Options {
    fn read(arguments: &[OsString], known: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next().map_err(crate::arguments::wrong)? {
            let name = match argument {
                lexopt::Arg::Long(name) if known.iter().any(|known| known[2..] == *name) => name.to_owned(),
                other => return Err(crate::arguments::wrong(other.unexpected())),
            };
            match name.as_str() {
                "attach" => options.attach = Some(crate::arguments::text(&mut parser)?),
                "detach-keys" => options.detach_keys = DetachKeys::read(&crate::arguments::text(&mut parser)?)?,
                "no-stdin" => options.has_no_stdin = true,
                _ => options.has_no_sig_proxy = true,
            }
        }
        Ok(options)
    }

    fn streams(&self) -> Result<Option<Streams>> {
        let Some(list) = &self.attach else { return Ok(None) };
        let mut streams = Streams::default();
        for name in list.split(',').filter(|name| !name.is_empty()) {
            match name {
                "stdin" => streams.stdin = true,
                "stdout" => streams.stdout = true,
                "stderr" => streams.stderr = true,
                _ => return Err(usage(format!("--attach takes stdin, stdout and stderr, not {name:?}"))),
            }
        }
        Ok(Some(streams))
    }

    fn attach(&self, streams: Streams) -> Attach {
        Attach { streams, detach_keys: self.detach_keys.clone(), proxies_signals: !self.has_no_sig_proxy }
    }
}
