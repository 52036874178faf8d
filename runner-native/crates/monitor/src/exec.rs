//! `exec`: one more process in the container, by the runtime's own code (tbuild_runtime::exec), in a forked child of the monitor's for each. The
//! process has the caller's descriptors as its streams, so nothing that it writes goes through the monitor; its terminal's other side is the
//! caller's too. The child tells the caller how the process ended, and is gone with it. Assumes one thread.

use crate::directory::not_running;
use crate::packets::{Kind, Packets};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::net::SendFlags;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::PathBuf;
use tbuild_runtime::cgroups::Cgroup;
use tbuild_runtime::container;
use tbuild_runtime::error::{Context, NativeError, PROCESS, Result, USAGE};
use tbuild_runtime::exec::{self, ExecOptions, Executed, Place};
use tbuild_runtime::foreign::{self, ForeignExec};
use tbuild_runtime::plan;
use tbuild_runtime::record::InitProcess;
use tbuild_runtime::relay::Relay;
use tbuild_runtime::sys;

/// What is executed, and how its caller is connected to it.
#[derive(Serialize, Deserialize, Clone, Default)]
#[serde(rename_all = "camelCase")]
pub struct ExecRequest {
    pub args: Vec<String>,
    /// In the place of the container's own of the same names.
    #[serde(default)]
    pub env: Vec<String>,
    pub cwd: Option<PathBuf>,
    pub user: Option<ExecUser>,
    /// All capabilities.
    #[serde(default)]
    pub privileged: bool,
    #[serde(default)]
    pub tty: bool,
    #[serde(default)]
    pub detach: bool,
    /// Rows and columns.
    pub size: Option<(u16, u16)>,
}

#[derive(Serialize, Deserialize, Clone)]
pub struct ExecUser {
    pub uid: u32,
    pub gid: u32,
    #[serde(default)]
    pub groups: Vec<u32>,
}

impl ExecRequest {
    /// config.json's process as it is to be, from the container's own.
    pub fn process(&self, config: &str) -> Result<Value> {
        #[derive(Deserialize)]
        struct Part {
            process: Option<Value>,
        }
        let part: Part =
            serde_json::from_str(config).map_err(std::io::Error::from).during(PROCESS, "read the container's configuration")?;
        let mut process = part.process.unwrap_or_default();
        process["terminal"] = self.tty.into();
        process["args"] = json!(self.args);
        process["consoleSize"] = json!(self.size.map(|(height, width)| json!({ "height": height, "width": width })));
        let mut environment: Vec<String> = serde_json::from_value(process["env"].take()).unwrap_or_default();
        if let Some(ExecUser { uid, gid, groups }) = &self.user {
            process["user"] = json!({ "uid": uid, "gid": gid, "additionalGids": groups });
            environment.retain(|entry| !entry.starts_with("HOME=")); // the runtime finds this one's
        }
        self.env.iter().for_each(|entry| set_variable(&mut environment, entry));
        if self.tty && !environment.iter().any(|entry| entry.starts_with("TERM=")) {
            environment.push("TERM=xterm".into());
        }
        process["env"] = json!(environment);
        if let Some(cwd) = &self.cwd {
            process["cwd"] = json!(cwd);
        }
        if self.privileged {
            // None that others could inherit (CVE-2022-29162).
            for set in ["bounding", "effective", "permitted"] {
                process["capabilities"][set] = json!(plan::capability_names());
            }
        }
        Ok(process)
    }
}

/// One without a name is none.
fn set_variable(environment: &mut Vec<String>, entry: &str) {
    let Some(name) = entry.find('=').filter(|length| *length > 0).map(|length| &entry[..=length]) else { return };
    environment.retain(|known| !known.starts_with(name));
    environment.push(entry.to_owned());
}

/// The container, as the monitor knows it.
pub struct Target {
    pub id: String,
    pub first: InitProcess,
    pub cgroup: Cgroup,
    /// config.json.
    pub config: String,
    /// argv prefix of another runtime, with its `run`.
    pub runtime: Option<Vec<OsString>>,
}

impl Target {
    /// As a child of ours, which dies when this is dropped. Our streams become its own.
    pub fn execute(&self, request: &ExecRequest) -> Result<Begun> {
        let process = request.process(&self.config)?;
        if let Some(runtime) = &self.runtime {
            let first = Pid::from_raw(self.first.pid).filter(|_| self.first.is_alive()).ok_or_else(not_running)?;
            return foreign::execute(runtime, &self.id, first, &process, request.detach).map(Begun::Foreign);
        }
        let place = Place::without_record(self.first, self.cgroup.clone(), &self.id, &self.config)?;
        let process = serde_json::from_value(process).map_err(std::io::Error::from).during(USAGE, "execute in the container")?;
        exec::execute(&place, |_| Ok(process), &ExecOptions::default()).map(Begun::Own)
    }
}

pub enum Begun {
    Own(Executed),
    /// It is the runtime that is executed.
    Foreign(ForeignExec),
}

impl Begun {
    pub fn executed(&mut self) -> &mut Executed {
        match self {
            Self::Own(executed) => executed,
            Self::Foreign(foreign) => &mut foreign.executed,
        }
    }

    /// As a shell says it. Waits for the end.
    pub fn exit_status(&mut self) -> Result<i32> {
        let status = container::exit_status(&self.executed().container)?;
        if let Self::Foreign(foreign) = self {
            foreign.check(status)?;
        }
        Ok(status)
    }
}

/// What a forked child of the monitor does; its answer is its exit status. `streams`: the caller's 0, 1 and 2, or none.
pub fn serve(target: Result<Target>, request: &ExecRequest, streams: Vec<OwnedFd>, caller: &Packets) -> i32 {
    match target.and_then(|target| begin(&target, request, streams, caller)).and_then(|begun| attend(begun, request, caller)) {
        Ok(()) => 0,
        Err(error) => {
            let _ = caller.send(Kind::Failed, &serde_json::to_vec(&error).unwrap_or_default());
            1
        }
    }
}

fn begin(target: &Target, request: &ExecRequest, streams: Vec<OwnedFd>, caller: &Packets) -> Result<Begun> {
    sys::die_with_parent().during(PROCESS, "tie the process to the monitor")?;
    if request.args.first().is_none_or(String::is_empty) {
        return Err(NativeError::new(USAGE, "execute in the container").detail("no command is given"));
    }
    take(streams)?;
    // The lock and the log are the monitor's alone.
    sys::close_all_but(&mut [0, 1, 2, caller.as_fd().as_raw_fd()]).during(PROCESS, "close descriptors")?;
    target.execute(request)
}

fn take(streams: Vec<OwnedFd>) -> Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).at(PROCESS, "open", "/dev/null")?;
    for number in 0..3 {
        let stream = streams.get(number).unwrap_or(&null);
        sys::replace_descriptor(stream.as_raw_fd(), number as i32).during(PROCESS, "take the caller's streams")?;
    }
    Ok(())
}

/// Until the process has ended, or nobody wants to know.
fn attend(mut begun: Begun, request: &ExecRequest, caller: &Packets) -> Result<()> {
    // The streams are the process's own: in our hands a pipe would stay open.
    take(Vec::new())?;
    if request.detach {
        return leave_detached(begun, caller);
    }
    let master = begun.executed().master.take();
    let theirs: Vec<_> = master.iter().map(AsFd::as_fd).collect();
    let _ = caller.send_with(Kind::Started, b"{}", &theirs, SendFlags::NOSIGNAL);
    loop {
        let mut fds = [PollFd::new(&begun.executed().container.pidfd, PollFlags::IN), caller.poll_fd(PollFlags::IN)];
        let _ = poll(&mut fds, None);
        let [has_ended, has_caller_spoken] = fds.map(|fd| !fd.revents().is_empty());
        if has_ended {
            let answer = json!({ "exitCode": begun.exit_status()? });
            let _ = caller.send(Kind::Answer, answer.to_string().as_bytes());
            return Ok(());
        }
        if has_caller_spoken {
            // Else its terminal hangs up, as its input has ended.
            let detaches = matches!(caller.receive(), Ok(Some(packet)) if packet.kind == Kind::Detach);
            if detaches {
                return linger(begun, master);
            }
            drop(master);
            release(begun);
            return Ok(());
        }
    }
}

fn leave_detached(mut begun: Begun, caller: &Packets) -> Result<()> {
    if let Begun::Foreign(_) = &begun {
        begun.exit_status()?; // of the runtime, which goes when the command has started
    }
    let _ = caller.send(Kind::Started, b"{}");
    let master = begun.executed().master.take();
    linger(begun, master)
}

/// It goes on without us.
fn release(begun: Begun) {
    match begun {
        Begun::Own(executed) => executed.container.release(),
        Begun::Foreign(foreign) => drop(container::exit_status(&foreign.executed.container)), // it is the runtime's child
    }
}

/// Nobody looks any more. A terminal stays until the process has ended, and what is printed there goes nowhere.
fn linger(mut begun: Begun, master: Option<OwnedFd>) -> Result<()> {
    if let Some(master) = master {
        let null = rustix::fs::open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).at(PROCESS, "open", "/dev/null")?;
        let mut relay = Relay::output(master, null);
        while !relay.is_over() {
            let mut fds = [PollFd::new(&begun.executed().container.pidfd, PollFlags::IN), relay.poll_fd()];
            let _ = poll(&mut fds, None);
            let [has_ended, can_go_on] = fds.map(|fd| !fd.revents().is_empty());
            if has_ended {
                break;
            }
            if can_go_on {
                relay.step();
            }
        }
    }
    release(begun);
    Ok(())
}
