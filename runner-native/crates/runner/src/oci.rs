//! The commands that every OCI runtime has, with runc's and crun's names and flags. Reads arguments, calls one function of the runtime,
//! prints; an error is a line for people on stderr and, with `--log`, one for the caller in the file.

use crate::answers::{pretty, say, table, wants_json};
use crate::arguments::{absolute, number, text, the_one, usage, wrong};
use crate::listen_fds::ListenFds;
use crate::log::{Format, Log};
use crate::{help, oci_limits, oci_spec};
use lexopt::prelude::*;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tbuild_runtime::config_file;
use tbuild_runtime::error::{CONFIG, Context, NativeError, Result, exit_status, unsupported};
use tbuild_runtime::exec::{self, ExecOptions};
use tbuild_runtime::lifecycle::{self, Bundle, CreateOptions, RunEnd};
use tbuild_runtime::record::{self, Record, Status};
use tbuild_runtime::spec::Process;
use tbuild_runtime::{features, own_binary, signals, sys};

/// What stands before the command.
pub struct Global {
    pub root: PathBuf,
    log: Option<PathBuf>,
    format: Format,
    debug: bool,
    without_cgroup: bool,
}

impl Global {
    fn log(&self) -> Log {
        Log::open(self.log.as_deref(), self.format, self.debug)
    }
}

/// True for a command line that begins with one of these commands or with a global flag.
pub fn is_meant(first: &str) -> bool {
    help::is_command(first) || first.starts_with('-')
}

/// Returns the exit status.
pub fn main(arguments: Vec<OsString>) -> i32 {
    let mut parser = lexopt::Parser::from_args(arguments);
    let (global, command) = match read_global(&mut parser) {
        Ok(read) => read,
        Err(error) => return Log::default().fail(&error, 1),
    };
    let log = global.log();
    match dispatch(&command, &global, parser) {
        Ok(status) => status,
        Err(error) => {
            let status = if matches!(command.as_str(), "run" | "exec") { exit_status(&error) } else { 1 };
            log.fail(&error, status)
        }
    }
}

fn read_global(parser: &mut lexopt::Parser) -> Result<(Global, String)> {
    let mut global = Global { root: record::default_root(), log: None, format: Format::Text, debug: false, without_cgroup: false };
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Long("root") => global.root = absolute(parser)?,
            Long("log") => global.log = Some(absolute(parser)?),
            Long("log-format") => global.format = Format::read(&text(parser)?)?,
            Long("debug") => global.debug = true,
            Long("systemd-cgroup") => return Err(no_systemd()),
            Long("cgroup-manager") => match text(parser)?.as_str() {
                "cgroupfs" => {}
                "disabled" => global.without_cgroup = true,
                "systemd" => return Err(no_systemd()),
                other => return Err(usage(format!("--cgroup-manager is cgroupfs or disabled, not {other:?}"))),
            },
            // runc takes these; what the one would switch is found out, and there is no checkpoint to use the other for.
            Long("rootless" | "criu") => drop(parser.value().map_err(wrong)?),
            Long("version") | Short('v' | 'V') => return Ok((global, "--version".into())),
            Long("help") | Short('h' | '?') => return Ok((global, "--help".into())),
            Value(command) => return Ok((global, command.to_string_lossy().into_owned())),
            other => return Err(wrong(other.unexpected())),
        }
    }
    Err(usage(format!("no command: one of {}", help::command_names())))
}

fn no_systemd() -> NativeError {
    let detail = "cgroups through systemd are not supported: use the manager cgroupfs (podman: --cgroup-manager cgroupfs)";
    NativeError::new(tbuild_runtime::error::FEATURE, "choose the cgroup manager").detail(detail)
}

fn dispatch(command: &str, global: &Global, parser: lexopt::Parser) -> Result<i32> {
    if help::is_asked_for(parser.clone()) {
        return say(&help::of(command));
    }
    match command {
        "--help" => say(&help::overview()),
        "create" => create(global, parser),
        "start" => on_one(parser, |id| lifecycle::start(&global.root, id)),
        "run" => run(global, parser),
        "exec" => execute(global, parser),
        "state" => on_one(parser, |id| state(&global.root, id)),
        "kill" => kill(global, parser),
        "delete" => delete(global, parser),
        "list" => list(global, parser),
        "ps" => processes(global, parser),
        "pause" => on_one(parser, |id| lifecycle::pause(&global.root, id)),
        "resume" => on_one(parser, |id| lifecycle::resume(&global.root, id)),
        "update" => oci_limits::update(&global.root, parser),
        "events" => oci_limits::events(&global.root, parser),
        "features" => say(&features::describe()),
        "spec" => oci_spec::spec(parser),
        "--version" => say(concat!("tbuild-runner version ", env!("CARGO_PKG_VERSION"), "\nspec: 1.2.0")),
        other => Err(usage(format!("unknown command {other:?}: one of {}", help::command_names()))),
    }
}

/// What `create` and `run` share.
#[derive(Default)]
struct Making {
    bundle: Option<PathBuf>,
    config: Option<PathBuf>,
    options: CreateOptions,
    end: RunEnd,
    ids: Vec<String>,
}

impl Making {
    fn read(global: &Global, parser: &mut lexopt::Parser, is_run: bool) -> Result<Self> {
        let mut making = Self::default();
        making.options.without_cgroup = global.without_cgroup;
        while let Some(argument) = parser.next().map_err(wrong)? {
            match argument {
                Long("bundle") | Short('b') => making.bundle = Some(absolute(parser)?),
                Long("config") | Short('f') => making.config = Some(absolute(parser)?),
                Long("console-socket") => making.options.console_socket = Some(absolute(parser)?),
                Long("pid-file") => making.options.pid_file = Some(absolute(parser)?),
                Long("preserve-fds") => making.options.ways.preserved = preserved(parser)?,
                Long("no-pivot") => making.options.ways.keeps_old_root = true,
                Long("no-new-keyring") => making.options.ways.keeps_keyring = true,
                Long("detach") | Short('d') if is_run => making.end = RunEnd::Detached,
                Long("keep") if is_run => making.end = RunEnd::Kept,
                // Orphans are adopted only where nothing else would end them.
                Long("no-subreaper") => {}
                Value(id) => making.ids.push(id.to_string_lossy().into_owned()),
                other => return Err(wrong(other.unexpected())),
            }
        }
        making.id()?; // that one is missing is said first
        Ok(making)
    }

    fn bundle(&mut self) -> Result<Bundle> {
        if let Some(bundle) = &self.bundle {
            std::env::set_current_dir(bundle).at(CONFIG, "enter the bundle", bundle)?;
        }
        let mut bundle = Bundle::read(self.config.as_deref().unwrap_or(Path::new("config.json")))?;
        let sockets = ListenFds::of_this_process()?;
        self.options.ways.preserved = all_open(self.options.ways.preserved.saturating_add(sockets.count), "LISTEN_FDS")?;
        bundle.set_environment(&sockets.environment);
        Ok(bundle)
    }

    fn id(&self) -> Result<&str> {
        the_one(&self.ids)
    }
}

fn create(global: &Global, mut parser: lexopt::Parser) -> Result<i32> {
    own_binary::protect()?;
    let mut making = Making::read(global, &mut parser, false)?;
    let bundle = making.bundle()?;
    bundle.warnings().iter().for_each(|warning| global.log().warn(warning));
    lifecycle::create(&global.root, making.id()?, &bundle, &making.options)?;
    Ok(0)
}

fn run(global: &Global, mut parser: lexopt::Parser) -> Result<i32> {
    own_binary::protect()?;
    let mut making = Making::read(global, &mut parser, true)?;
    let bundle = making.bundle()?;
    bundle.warnings().iter().for_each(|warning| global.log().warn(warning));
    lifecycle::run(&global.root, making.id()?, &bundle, &making.options, making.end)
}

fn execute(global: &Global, mut parser: lexopt::Parser) -> Result<i32> {
    own_binary::protect()?;
    let mut options = ExecOptions::default();
    let mut wanted = Wanted::default();
    let mut id = None;
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Long("detach") | Short('d') => options.detached = true,
            Long("console-socket") => options.console_socket = Some(absolute(&mut parser)?),
            Long("pid-file") => options.pid_file = Some(absolute(&mut parser)?),
            Long("process") | Short('p') => wanted.file = Some(absolute(&mut parser)?),
            // crun takes --tty=false
            Long("tty") => wanted.terminal = parser.optional_value().is_none_or(|value| value != "false"),
            Short('t') => wanted.terminal = true,
            Long(flag @ ("process-label" | "apparmor" | "cgroup")) => return Err(unsupported(&format!("--{flag}"))),
            Long("cwd") => wanted.cwd = Some(absolute(&mut parser)?),
            Long("env") | Short('e') => wanted.env.push(text(&mut parser)?),
            Long("user") | Short('u') => wanted.user = Some(text(&mut parser)?),
            Long("additional-gids") | Short('g') => wanted.groups.push(number(&mut parser, "--additional-gids")?),
            Long("cap") | Short('c') => wanted.capabilities.push(text(&mut parser)?),
            Long("no-new-privs") => wanted.no_new_privileges = true,
            Long("preserve-fds") => options.preserved = preserved(&mut parser)?,
            Long("ignore-paused") => options.may_be_paused = true,
            Value(value) if id.is_none() => {
                id = Some(value.to_string_lossy().into_owned());
                // Flags after it are the command's.
                wanted.args = parser.raw_args().map_err(wrong)?.map(|word| word.to_string_lossy().into_owned()).collect();
                if wanted.args.first().is_some_and(|first| first == "--") {
                    wanted.args.remove(0);
                }
            }
            other => return Err(wrong(other.unexpected())),
        }
    }
    let id = id.ok_or_else(|| usage("a container's id is missing"))?;
    exec::exec(&global.root, &id, |process| wanted.apply(process), &options)
}

/// What `exec` says of the process.
#[derive(Default)]
struct Wanted {
    /// A file with a whole process of config.json.
    file: Option<PathBuf>,
    terminal: bool,
    cwd: Option<PathBuf>,
    env: Vec<String>,
    user: Option<String>,
    groups: Vec<u32>,
    capabilities: Vec<String>,
    no_new_privileges: bool,
    args: Vec<String>,
}

impl Wanted {
    fn apply(self, base: Process) -> Result<Process> {
        if let Some(file) = &self.file {
            return config_file::parse_as(&file.to_string_lossy(), &config_file::read(file)?);
        }
        if self.args.is_empty() {
            return Err(usage("a command is missing, or --process with a file that names it"));
        }
        let mut process = Process { terminal: self.terminal, console_size: None, args: self.args, ..base };
        process.env.extend(self.env);
        process.cwd = self.cwd.unwrap_or(process.cwd);
        process.no_new_privileges |= self.no_new_privileges;
        process.user.additional_gids.extend(self.groups);
        if let Some(user) = &self.user {
            let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
            let read = |id: &str| id.parse().map_err(|_| usage(format!("--user is UID[:GID], not {user:?}")));
            (process.user.uid, process.user.gid) = (read(uid)?, read(gid)?);
        }
        if !self.capabilities.is_empty() {
            process.add_capabilities(&self.capabilities);
        }
        Ok(process)
    }
}

fn state(root: &Path, id: &str) -> Result<()> {
    let (record, status) = record::look(root, id)?;
    say(&pretty(&state_of(&record, status))).map(drop)
}

/// As runc prints it: the runtime-spec's state and a little more.
fn state_of(record: &Record, status: Status) -> serde_json::Value {
    let pid = record.process.filter(|_| status != Status::Stopped).map_or(0, |process| process.pid);
    serde_json::json!({
        "ociVersion": record.oci_version,
        "id": record.id,
        "pid": pid,
        "status": status.word(),
        "bundle": record.bundle,
        "rootfs": record.rootfs,
        "created": record.created,
        "owner": record.owner_uid.to_string(),
        "annotations": record.annotations,
    })
}

fn kill(global: &Global, mut parser: lexopt::Parser) -> Result<i32> {
    let (mut everyone, mut words) = (false, Vec::new());
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Long("all") | Short('a') => everyone = true,
            Long("regex") | Short('r') => return Err(unsupported("--regex")),
            Value(word) => words.push(word.to_string_lossy().into_owned()),
            other => return Err(wrong(other.unexpected())),
        }
    }
    let (id, signal) = match words.as_slice() {
        [id] => (id, libc_sigterm()),
        [id, signal] => (id, signals::number(signal).ok_or_else(|| usage(format!("{signal:?} is no signal")))?),
        _ => return Err(usage("kill takes an id and a signal")),
    };
    lifecycle::kill(&global.root, id, signal, everyone)?;
    Ok(0)
}

fn libc_sigterm() -> i32 {
    signals::number("TERM").unwrap_or(15)
}

fn delete(global: &Global, mut parser: lexopt::Parser) -> Result<i32> {
    let (mut force, mut ids) = (false, Vec::new());
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Long("force") | Short('f') => force = true,
            Long("regex") | Short('r') => return Err(unsupported("--regex")),
            Value(id) => ids.push(id.to_string_lossy().into_owned()),
            other => return Err(wrong(other.unexpected())),
        }
    }
    lifecycle::delete(&global.root, the_one(&ids)?, force)?;
    Ok(0)
}

fn list(global: &Global, mut parser: lexopt::Parser) -> Result<i32> {
    let (mut quiet, mut json) = (false, false);
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Long("quiet") | Short('q') => quiet = true,
            Long("format") | Short('f') => json = wants_json(&text(&mut parser)?)?,
            other => return Err(wrong(other.unexpected())),
        }
    }
    let all = record::list(&global.root)?;
    if quiet {
        return all.iter().try_for_each(|(record, _)| say(&record.id).map(drop)).map(|()| 0);
    }
    if json {
        let states: Vec<_> = all.iter().map(|(record, status)| state_of(record, *status)).collect();
        return say(&serde_json::json!(states).to_string());
    }
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(String::from)];
    rows.extend(all.iter().map(|(record, status)| {
        let pid = record.process.filter(|_| *status != Status::Stopped).map_or(0, |process| process.pid);
        let (bundle, owner) = (record.bundle.display().to_string(), record.owner_uid.to_string());
        [record.id.clone(), pid.to_string(), status.word().into(), bundle, record.created.clone(), owner]
    }));
    say(&table(&rows))
}

fn processes(global: &Global, mut parser: lexopt::Parser) -> Result<i32> {
    let (mut json, mut ids) = (false, Vec::new());
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Long("format") | Short('f') => json = wants_json(&text(&mut parser)?)?,
            Value(id) => ids.push(id.to_string_lossy().into_owned()),
            other => return Err(wrong(other.unexpected())),
        }
    }
    let pids = lifecycle::processes(&global.root, the_one(&ids)?)?;
    if json {
        return say(&serde_json::json!(pids).to_string());
    }
    let lines: Vec<String> = std::iter::once("PID".to_owned()).chain(pids.iter().map(i32::to_string)).collect();
    say(&lines.join("\n"))
}

fn on_one(mut parser: lexopt::Parser, act: impl FnOnce(&str) -> Result<()>) -> Result<i32> {
    let mut ids = Vec::new();
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Value(id) => ids.push(id.to_string_lossy().into_owned()),
            other => return Err(wrong(other.unexpected())),
        }
    }
    act(the_one(&ids)?).map(|()| 0)
}

fn preserved(parser: &mut lexopt::Parser) -> Result<u32> {
    let count = number(parser, "--preserve-fds")?;
    all_open(count, &format!("--preserve-fds {count}"))
}

/// So many descriptors from 3 on. One that the caller has not opened could be one of ours by the time the container has it.
fn all_open(count: u32, why: &str) -> Result<u32> {
    let is_missing = |fd: &u32| !i32::try_from(*fd).is_ok_and(sys::is_inherited);
    match (3..count.saturating_add(3)).find(is_missing) {
        Some(fd) => Err(usage(format!("{why}: the descriptor {fd} is not open"))),
        None => Ok(count),
    }
}
