//! What `--help` says: of all commands, or of one. The only list of them.

pub const USAGE: &str = "tbuild-runner [GLOBAL OPTION…] COMMAND [OPTION…]";

const GLOBAL: &str = "  --root DIR              where containers' states are kept
  --log FILE              errors go there, too
  --log-format FORMAT     of that file: text (default) or json
  --debug                 errors with their codes
  --cgroup-manager NAME   cgroupfs (default), or disabled: containers get no cgroup, and no limits
  --systemd-cgroup        an error: cgroups are made without systemd
  --rootless VALUE        taken; found out in any case
  --criu PATH             taken; there is no checkpoint
  -v, --version
  -h, --help";

const MAKING: &str = "  -b, --bundle DIR        the bundle (default: the working directory)
  -f, --config FILE       its configuration (default: config.json)
  --console-socket SOCKET gets the terminal's descriptor
  --pid-file FILE         gets the first process's number
  --preserve-fds N        descriptors from 3 on that the command gets, after those of LISTEN_FDS
  --no-pivot              move the root in place of pivot_root, for an initramfs
  --no-new-keyring        keep the session's keyring
  --no-subreaper          taken";

struct Command {
    name: &'static str,
    operands: &'static str,
    what: &'static str,
    /// Lines, and more lines.
    options: [&'static str; 2],
}

const fn command(name: &'static str, operands: &'static str, what: &'static str, options: [&'static str; 2]) -> Command {
    Command { name, operands, what, options }
}

const FORMAT: &str = "  -f, --format FORMAT     table (default) or json";

const COMMANDS: [Command; 15] = [
    command("create", "ID", "make a container", [MAKING, ""]),
    command("start", "ID", "let a container's command begin", ["", ""]),
    command(
        "run",
        "ID",
        "make, start and remove a container",
        [MAKING, "  -d, --detach            do not wait for its end\n  --keep                  do not remove it"],
    ),
    command(
        "exec",
        "ID [COMMAND [ARG…]]",
        "one more process in a container",
        [
            "  -p, --process FILE      a process as config.json has it, in place of COMMAND
  -d, --detach            do not wait for its end
  -t, --tty               with a terminal
  --console-socket SOCKET gets the terminal's descriptor
  --pid-file FILE         gets the process's number",
            "  --cwd DIR               working directory
  -e, --env NAME=VALUE    a variable
  -u, --user UID[:GID]
  -g, --additional-gids GID
  -c, --cap CAPABILITY    one more
  --no-new-privs          nothing that is executed gives more rights
  --preserve-fds N        descriptors from 3 on that it gets
  --ignore-paused         in a paused container, too",
        ],
    ),
    command("state", "ID", "what is known of a container, as JSON", ["", ""]),
    command("kill", "ID [SIGNAL]", "send a signal, TERM by default", ["  -a, --all               to each of its processes", ""]),
    command("delete", "ID", "remove a container", ["  -f, --force             one that runs as well; none is no error", ""]),
    command("list", "", "the containers", [FORMAT, "  -q, --quiet             names only"]),
    command("ps", "ID", "a container's processes", [FORMAT, ""]),
    command("pause", "ID", "stop a container's processes", ["", ""]),
    command("resume", "ID", "let them go on", ["", ""]),
    command(
        "update",
        "ID",
        "change a container's limits",
        [
            "  -r, --resources FILE    as config.json's linux.resources; - is standard input; nothing else counts then",
            "  --memory, --memory-reservation, --memory-swap, --kernel-memory, --kernel-memory-tcp BYTES
  --cpu-period, --cpu-quota, --cpu-burst, --cpu-rt-period, --cpu-rt-runtime MICROSECONDS
  --cpu-share, --cpu-idle, --pids-limit, --blkio-weight NUMBER
  --cpuset-cpus, --cpuset-mems LIST",
        ],
    ),
    command(
        "events",
        "ID",
        "what a container takes, again and again, as JSON",
        ["  --stats                 once", "  --interval TIME         between two (default: 5s)"],
    ),
    command("features", "", "what this runtime can do, as JSON", ["", ""]),
    command(
        "spec",
        "",
        "write a configuration to begin with",
        [
            "  -b, --bundle DIR        where (default: the working directory)\n  -f, --file FILE         its name (default: config.json)",
            "  --rootless              for who has no rights on the host",
        ],
    ),
];

pub fn is_command(word: &str) -> bool {
    COMMANDS.iter().any(|command| command.name == word)
}

pub fn command_names() -> String {
    COMMANDS.map(|command| command.name).join(", ")
}

/// Right after the command: later words may be those of a command in the container.
pub fn is_asked_for(mut rest: lexopt::Parser) -> bool {
    matches!(rest.next(), Ok(Some(lexopt::Arg::Long("help") | lexopt::Arg::Short('h' | '?'))))
}

pub fn overview() -> String {
    let lines: Vec<String> = COMMANDS.iter().map(|command| format!("  {:10} {}", command.name, command.what)).collect();
    format!("Usage: {USAGE}\n\nAn OCI runtime.\n\nCommands:\n{}\n\nGlobal options:\n{GLOBAL}", lines.join("\n"))
}

pub fn of(name: &str) -> String {
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else { return overview() };
    let usage = format!("Usage: tbuild-runner {name} [OPTION…] {}", command.operands);
    let options: Vec<&str> = command.options.into_iter().filter(|lines| !lines.is_empty()).collect();
    let listed = if options.is_empty() { String::new() } else { format!("\n\nOptions:\n{}", options.join("\n")) };
    format!("{}\n\n{}{listed}", usage.trim_end(), command.what)
}
