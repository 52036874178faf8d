//! linux.seccomp as a BPF program: for each architecture a binary search over system call numbers, so that a call costs some ten
//! comparisons however long the profile is. Follows libseccomp and runc where the specification is silent; the source is named there.
//! Loads nothing but the number and the architecture unless a rule has arguments: the kernel then caches the answer.

use crate::error::{Result, invalid};
use crate::spec::{Seccomp, SeccompArgument, SeccompRule};
use crate::sys::BpfInstruction;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

pub struct Filter {
    pub program: Vec<BpfInstruction>,
    pub flags: u64,
    /// Who answers the calls of SCMP_ACT_NOTIFY; none without such.
    pub agent: Option<Agent>,
}

impl Filter {
    /// Those that older kernels may lack, and that change nothing of what is allowed.
    pub const OPTIONAL_FLAGS: u64 = SPEC_ALLOW | LOG_FLAG | TSYNC | WAIT_KILLABLE_RECV;
}

pub struct Agent {
    pub path: PathBuf,
    pub metadata: String,
}

// SECCOMP_FILTER_FLAG_…
const TSYNC: u64 = 1;
const LOG_FLAG: u64 = 2;
const SPEC_ALLOW: u64 = 4;
const NEW_LISTENER: u64 = 8;
const WAIT_KILLABLE_RECV: u64 = 32;

const KILL_PROCESS: u32 = 0x8000_0000;
const KILL_THREAD: u32 = 0;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const NOTIFY: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;
const ENOSYS: u32 = 38;
const EPERM: u32 = 1;
/// The kernel's limits: MAX_ERRNO and BPF_MAXINSNS.
const ERRNO_MAX: u32 = 4095;
const INSTRUCTIONS_MAX: usize = 4096;

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offsets in struct seccomp_data.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// x32 calls come with the architecture of x86-64 and this bit in the number.
const X32_BIT: u32 = 0x4000_0000;
/// The calls that x32 numbers on its own (arch/x86/entry/syscalls/syscall_64.tbl); all others are x86-64's.
const X32_OWN: [(&str, u32); 36] = [
    ("rt_sigaction", 512),
    ("rt_sigreturn", 513),
    ("ioctl", 514),
    ("readv", 515),
    ("writev", 516),
    ("recvfrom", 517),
    ("sendmsg", 518),
    ("recvmsg", 519),
    ("execve", 520),
    ("ptrace", 521),
    ("rt_sigpending", 522),
    ("rt_sigtimedwait", 523),
    ("rt_sigqueueinfo", 524),
    ("sigaltstack", 525),
    ("timer_create", 526),
    ("mq_notify", 527),
    ("kexec_load", 528),
    ("waitid", 529),
    ("set_robust_list", 530),
    ("get_robust_list", 531),
    ("vmsplice", 532),
    ("move_pages", 533),
    ("preadv", 534),
    ("pwritev", 535),
    ("rt_tgsigqueueinfo", 536),
    ("recvmmsg", 537),
    ("sendmmsg", 538),
    ("process_vm_readv", 539),
    ("process_vm_writev", 540),
    ("setsockopt", 541),
    ("getsockopt", 542),
    ("io_setup", 543),
    ("io_submit", 544),
    ("execveat", 545),
    ("preadv2", 546),
    ("pwritev2", 547),
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Abi {
    X86_64,
    X86,
    X32,
    Aarch64,
    Arm,
}

impl Abi {
    /// What a kernel of this build's architecture can run, the native one first.
    #[cfg(target_arch = "x86_64")]
    const POSSIBLE: [Abi; 3] = [Abi::X86_64, Abi::X86, Abi::X32];
    #[cfg(target_arch = "aarch64")]
    const POSSIBLE: [Abi; 2] = [Abi::Aarch64, Abi::Arm];
    const NATIVE: Abi = Abi::POSSIBLE[0];

    /// AUDIT_ARCH_…
    fn audit(self) -> u32 {
        match self {
            Abi::X86_64 | Abi::X32 => 0xc000_003e,
            Abi::X86 => 0x4000_0003,
            Abi::Aarch64 => 0xc000_00b7,
            Abi::Arm => 0x4000_0028,
        }
    }

    /// Every call this architecture has. (Going over the table once is much cheaper than looking each name up in it.)
    fn calls(self) -> Vec<(&'static str, u32)> {
        use syscalls::{aarch64, arm, x86, x86_64};
        match self {
            Abi::X86_64 => x86_64::Sysno::iter().map(|call| (call.name(), call as u32)).collect(),
            Abi::X86 => x86::Sysno::iter().map(|call| (call.name(), call as u32)).collect(),
            Abi::Aarch64 => aarch64::Sysno::iter().map(|call| (call.name(), call as u32)).collect(),
            Abi::Arm => arm::Sysno::iter().map(|call| (call.name(), call as u32)).collect(),
            Abi::X32 => {
                let own = |name| X32_OWN.iter().find(|(own, _)| *own == name).map(|(_, number)| *number);
                let calls = Abi::X86_64.calls().into_iter();
                calls.map(|(name, number)| (name, own(name).unwrap_or(number) | X32_BIT)).collect()
            }
        }
    }
}

/// The architectures of the list that can occur here, the native one always (as libseccomp does).
fn abis(names: &[String]) -> Result<Vec<Abi>> {
    const OTHERS: [&str; 17] = [
        "MIPS",
        "MIPS64",
        "MIPS64N32",
        "MIPSEL",
        "MIPSEL64",
        "MIPSEL64N32",
        "PPC",
        "PPC64",
        "PPC64LE",
        "S390",
        "S390X",
        "PARISC",
        "PARISC64",
        "RISCV64",
        "LOONGARCH64",
        "M68K",
        "SH",
    ];
    let mut abis = vec![Abi::NATIVE];
    for name in names {
        let abi = match name.strip_prefix("SCMP_ARCH_") {
            Some("X86_64") => Abi::X86_64,
            Some("X86") => Abi::X86,
            Some("X32") => Abi::X32,
            Some("AARCH64") => Abi::Aarch64,
            Some("ARM") => Abi::Arm,
            Some(other) if OTHERS.contains(&other) => continue,
            _ => return Err(invalid("linux.seccomp.architectures", format!("unknown architecture {name:?}"))),
        };
        if Abi::POSSIBLE.contains(&abi) && !abis.contains(&abi) {
            abis.push(abi);
        }
    }
    Ok(abis)
}

pub const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_TRAP",
];
pub const ARCHITECTURES: [&str; 5] = ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"];
pub const OPERATORS: [&str; 7] =
    ["SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"];
pub const FLAGS: [&str; 4] =
    ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"];

/// Those that this machine can run, as config.json has them.
pub fn own_architectures() -> Vec<&'static str> {
    let name = |abi: &Abi| match abi {
        Abi::X86_64 => "SCMP_ARCH_X86_64",
        Abi::X86 => "SCMP_ARCH_X86",
        Abi::X32 => "SCMP_ARCH_X32",
        Abi::Aarch64 => "SCMP_ARCH_AARCH64",
        Abi::Arm => "SCMP_ARCH_ARM",
    };
    Abi::POSSIBLE.iter().map(name).collect()
}

/// Of a call as the kernel tells of it.
pub fn name_of(architecture: u32, number: u32) -> Option<&'static str> {
    let abis = Abi::POSSIBLE.iter().filter(|abi| abi.audit() == architecture);
    abis.flat_map(|abi| abi.calls()).find(|(_, own)| *own == number).map(|(name, _)| name)
}

fn action(name: &str, errno: Option<u32>) -> Result<u32> {
    if errno.is_some() && !matches!(name, "SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE") {
        return Err(invalid("linux.seccomp", format!("errnoRet is nothing that {name} could give")));
    }
    let errno = errno.unwrap_or(EPERM);
    if errno > ERRNO_MAX {
        return Err(invalid("linux.seccomp", format!("errnoRet {errno} is not an error number")));
    }
    Ok(match name {
        "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => KILL_THREAD,
        "SCMP_ACT_KILL_PROCESS" => KILL_PROCESS,
        "SCMP_ACT_TRAP" => TRAP,
        "SCMP_ACT_ERRNO" => ERRNO | errno,
        "SCMP_ACT_TRACE" => TRACE | errno,
        "SCMP_ACT_LOG" => LOG,
        "SCMP_ACT_ALLOW" => ALLOW,
        "SCMP_ACT_NOTIFY" => NOTIFY,
        _ => return Err(invalid("linux.seccomp", format!("unknown action {name:?}"))),
    })
}

fn flags(names: Option<&Vec<String>>) -> Result<u64> {
    let Some(names) = names else { return Ok(SPEC_ALLOW) };
    names.iter().try_fold(0, |flags, name| {
        Ok(flags
            | match name.as_str() {
                "SECCOMP_FILTER_FLAG_TSYNC" => TSYNC,
                "SECCOMP_FILTER_FLAG_LOG" => LOG_FLAG,
                "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" => WAIT_KILLABLE_RECV,
                "SECCOMP_FILTER_FLAG_SPEC_ALLOW" => SPEC_ALLOW,
                _ => return Err(invalid("linux.seccomp.flags", format!("unknown flag {name:?}"))),
            })
    })
}

/// What happens to one system call: rules with arguments in their order, then one for all other arguments.
#[derive(Clone, Default, PartialEq, Eq)]
struct Verdict {
    conditional: Vec<(Vec<Condition>, u32)>,
    otherwise: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Condition {
    index: u32,
    comparison: Comparison,
    value: u64,
    mask: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

fn condition(argument: &SeccompArgument) -> Result<Condition> {
    use Comparison::*;
    if argument.index > 5 {
        return Err(invalid("linux.seccomp.syscalls.args", format!("index {} is not below 6", argument.index)));
    }
    let (comparison, value, mask) = match argument.op.as_str() {
        "SCMP_CMP_EQ" => (Equal, argument.value, u64::MAX),
        "SCMP_CMP_NE" => (NotEqual, argument.value, u64::MAX),
        "SCMP_CMP_LT" => (Less, argument.value, u64::MAX),
        "SCMP_CMP_LE" => (LessOrEqual, argument.value, u64::MAX),
        "SCMP_CMP_GT" => (Greater, argument.value, u64::MAX),
        "SCMP_CMP_GE" => (GreaterOrEqual, argument.value, u64::MAX),
        "SCMP_CMP_MASKED_EQ" => (Equal, argument.value_two & argument.value, argument.value),
        op => return Err(invalid("linux.seccomp.syscalls.args", format!("unknown operator {op:?}"))),
    };
    Ok(Condition { index: argument.index, comparison, value, mask })
}

/// The ways in which a rule can match. Several conditions on one argument are alternatives (runc: seccomp_linux.go, matchCall).
fn alternatives(rule: &SeccompRule) -> Result<Vec<Vec<Condition>>> {
    let conditions = rule.args.iter().map(condition).collect::<Result<Vec<_>>>()?;
    let repeated = conditions.iter().enumerate().any(|(i, a)| conditions[..i].iter().any(|b| a.index == b.index));
    Ok(if repeated { conditions.into_iter().map(|one| vec![one]).collect() } else { vec![conditions] })
}

pub fn compile(seccomp: &Seccomp) -> Result<Filter> {
    let default = action(&seccomp.default_action, seccomp.default_errno_ret)?;
    if default == NOTIFY {
        return Err(invalid("linux.seccomp.defaultAction", "SCMP_ACT_NOTIFY would ask about the very call by which the agent is told"));
    }
    let rules = Rules::read(&seccomp.syscalls)?;
    let abis = abis(&seccomp.architectures)?;
    let mut program = vec![load(ARCHITECTURE)];
    let mut audits: Vec<u32> = abis.iter().map(|abi| abi.audit()).collect();
    audits.sort_unstable();
    audits.dedup();
    for audit in audits {
        let spaces: Vec<Abi> = abis.iter().copied().filter(|abi| abi.audit() == audit).collect();
        let mut body = vec![load(NUMBER)];
        body.extend(search(&segments(&spaces, &rules, default)));
        program.push(jump_if(JUMP_EQUAL, audit, 1, 0));
        program.push(jump(body.len()));
        program.extend(body);
    }
    program.push(give(KILL_THREAD)); // libseccomp: the default action for an architecture that the filter does not have
    if program.len() > INSTRUCTIONS_MAX {
        return Err(invalid(
            "linux.seccomp",
            format!("the filter has {} instructions, the kernel takes {INSTRUCTIONS_MAX}", program.len()),
        ));
    }
    let agent = agent(seccomp)?;
    let flags = flags(seccomp.flags.as_ref())?;
    // The kernel takes the one only with a listener, the other only without; there is one thread.
    let flags = if agent.is_some() { flags & !TSYNC | NEW_LISTENER } else { flags & !WAIT_KILLABLE_RECV };
    Ok(Filter { program, flags, agent })
}

/// None where no call is left to an agent.
fn agent(seccomp: &Seccomp) -> Result<Option<Agent>> {
    let (path, metadata) = (&seccomp.listener_path, &seccomp.listener_metadata);
    let has_path = !path.as_os_str().is_empty();
    if !has_path && !metadata.is_empty() {
        return Err(invalid("linux.seccomp.listenerMetadata", "is for the agent at listenerPath, which is not there"));
    }
    let mut asking = seccomp.syscalls.iter().filter(|rule| rule.action == "SCMP_ACT_NOTIFY").peekable();
    if asking.peek().is_none() {
        return Ok(None);
    }
    if !has_path {
        return Err(invalid("linux.seccomp.listenerPath", "is missing: SCMP_ACT_NOTIFY needs an agent"));
    }
    // Before the agent has the listener nobody would answer (runc refuses `write`, by which it hands the listener on).
    match asking.flat_map(|rule| &rule.names).find(|name| matches!(name.as_str(), "sendmsg" | "shutdown")) {
        Some(name) => Err(invalid("linux.seccomp.syscalls", format!("{name} cannot be left to the agent: the agent is told by it"))),
        None => Ok(Some(Agent { path: path.clone(), metadata: metadata.clone() })),
    }
}

/// The profile's rules with their meaning, and which of them (in order) a call is named in.
struct Rules<'a> {
    list: Vec<(u32, Vec<Vec<Condition>>)>,
    by_name: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Rules<'a> {
    fn read(rules: &'a [SeccompRule]) -> Result<Self> {
        let mut list = Vec::with_capacity(rules.len());
        let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
        for (position, rule) in rules.iter().enumerate() {
            list.push((action(&rule.action, rule.errno_ret)?, alternatives(rule)?));
            if rule.names.is_empty() {
                return Err(invalid("linux.seccomp.syscalls", "a rule names no call"));
            }
            for name in &rule.names {
                by_name.entry(name).or_default().push(position);
            }
        }
        Ok(Self { list, by_name })
    }
}

/// The verdicts over one architecture's numbers: each holds from its number to the next one's.
fn segments(spaces: &[Abi], rules: &Rules, default: u32) -> Vec<(u32, Verdict)> {
    let always = |action| Verdict { conditional: Vec::new(), otherwise: Some(action) };
    let mut segments = vec![(0, always(default))];
    let mut put = |start: u32, verdict: Verdict| match segments.last_mut() {
        Some((last, old)) if *last == start => *old = verdict,
        Some((_, old)) if *old == verdict => {}
        _ => segments.push((start, verdict)),
    };
    for &abi in spaces {
        let verdicts = verdicts(abi, rules, default);
        let end = verdicts.keys().next_back().map_or(0, |last| last + 1);
        if abi == Abi::X32 {
            put(X32_BIT, always(default));
        }
        for (number, verdict) in verdicts {
            put(number, verdict);
            put(number + 1, always(default));
        }
        put(end, always(beyond(default)));
    }
    if spaces.contains(&Abi::X86_64) && !spaces.contains(&Abi::X32) {
        put(X32_BIT, always(KILL_THREAD)); // libseccomp: x32 is another architecture
    }
    // Overwriting a start can leave equal neighbours.
    segments.dedup_by(|later, earlier| later.1 == earlier.1);
    segments
}

/// Calls newer than every call the profile knows do not exist, so that programs fall back to older ones (runc: patchbpf).
fn beyond(default: u32) -> u32 {
    if matches!(default, ALLOW | LOG) || default & 0xffff_0000 == TRACE { default } else { ERRNO | ENOSYS }
}

fn verdicts(abi: Abi, rules: &Rules, default: u32) -> BTreeMap<u32, Verdict> {
    let mut verdicts: BTreeMap<u32, Verdict> = BTreeMap::new();
    for (name, number) in abi.calls() {
        let Some(positions) = rules.by_name.get(name) else { continue };
        let mut verdict = Verdict::default();
        for (action, alternatives) in positions.iter().map(|position| &rules.list[*position]) {
            for conditions in alternatives {
                if conditions.is_empty() {
                    verdict.otherwise.get_or_insert(*action);
                } else {
                    verdict.conditional.push((conditions.clone(), *action));
                }
            }
        }
        verdict.otherwise.get_or_insert(default);
        verdicts.insert(number, verdict);
    }
    verdicts
}

/// Code that, with the number loaded, ends with the verdict of the segment it lies in.
fn search(segments: &[(u32, Verdict)]) -> Vec<BpfInstruction> {
    if let [(_, verdict)] = segments {
        return decide(verdict);
    }
    let (left, right) = segments.split_at(segments.len() / 2);
    let pivot = right[0].0;
    let mut code = search(left);
    let skip = code.len();
    match u8::try_from(skip) {
        Ok(near) => code.insert(0, jump_if(JUMP_AT_LEAST, pivot, near, 0)),
        Err(_) => {
            code.splice(0..0, [jump_if(JUMP_AT_LEAST, pivot, 0, 1), jump(skip)]);
        }
    }
    code.extend(search(right));
    code
}

fn decide(verdict: &Verdict) -> Vec<BpfInstruction> {
    let mut code = Vec::new();
    for (conditions, action) in &verdict.conditional {
        // From the last condition to the first: each must know how far the rule's end is.
        let mut rule = vec![give(*action)];
        for condition in conditions.iter().rev() {
            let mut test = test(condition, rule.len());
            test.append(&mut rule);
            rule = test;
        }
        code.append(&mut rule);
    }
    code.push(give(verdict.otherwise.unwrap_or(KILL_THREAD)));
    code
}

/// Falls through when the condition holds, jumps over the `rest` of its rule when it does not. Six conditions of six instructions stay
/// far below the 255 that a conditional jump can reach.
fn test(condition: &Condition, rest: usize) -> Vec<BpfInstruction> {
    use Comparison::*;
    let low = ARGUMENTS + 8 * condition.index;
    let (high, high_mask) = ((condition.value >> 32) as u32, (condition.mask >> 32) as u32);
    let (value, mask) = (condition.value as u32, condition.mask as u32);
    let fail = rest as u8;
    if condition.mask != u64::MAX {
        return vec![
            load(low + 4),
            BpfInstruction { code: AND, jump_true: 0, jump_false: 0, k: high_mask },
            jump_if(JUMP_EQUAL, high, 0, fail + 3),
            load(low),
            BpfInstruction { code: AND, jump_true: 0, jump_false: 0, k: mask },
            jump_if(JUMP_EQUAL, value, 0, fail),
        ];
    }
    // The upper half decides unless it is equal; 2 and 3 are the distances to the end of the test.
    match condition.comparison {
        Equal => vec![load(low + 4), jump_if(JUMP_EQUAL, high, 0, fail + 2), load(low), jump_if(JUMP_EQUAL, value, 0, fail)],
        NotEqual => vec![load(low + 4), jump_if(JUMP_EQUAL, high, 0, 2), load(low), jump_if(JUMP_EQUAL, value, fail, 0)],
        Greater | GreaterOrEqual => vec![
            load(low + 4),
            jump_if(JUMP_GREATER, high, 3, 0),
            jump_if(JUMP_EQUAL, high, 0, fail + 2),
            load(low),
            jump_if(if condition.comparison == Greater { JUMP_GREATER } else { JUMP_AT_LEAST }, value, 0, fail),
        ],
        Less | LessOrEqual => vec![
            load(low + 4),
            jump_if(JUMP_GREATER, high, fail + 3, 0),
            jump_if(JUMP_EQUAL, high, 0, 2),
            load(low),
            jump_if(if condition.comparison == Less { JUMP_AT_LEAST } else { JUMP_GREATER }, value, fail, 0),
        ],
    }
}

fn load(offset: u32) -> BpfInstruction {
    BpfInstruction { code: LOAD, jump_true: 0, jump_false: 0, k: offset }
}

fn give(action: u32) -> BpfInstruction {
    BpfInstruction { code: RETURN, jump_true: 0, jump_false: 0, k: action }
}

fn jump(distance: usize) -> BpfInstruction {
    BpfInstruction { code: JUMP, jump_true: 0, jump_false: 0, k: distance as u32 }
}

fn jump_if(code: u16, k: u32, jump_true: u8, jump_false: u8) -> BpfInstruction {
    BpfInstruction { code, jump_true, jump_false, k }
}

#[cfg(test)]
#[path = "seccomp_tests.rs"]
mod tests;
