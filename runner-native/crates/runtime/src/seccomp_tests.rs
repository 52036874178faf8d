//! Compiled filters, run by an interpreter of the BPF they are made of, against a reading of the profile rule by rule.

use super::*;
use crate::spec::Config;

/// What the kernel would do with one call.
fn interpret(program: &[BpfInstruction], audit: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let load = |offset: u32| match offset {
        NUMBER => number,
        ARCHITECTURE => audit,
        _ => {
            let argument = arguments[((offset - ARGUMENTS) / 8) as usize];
            if (offset - ARGUMENTS).is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
        }
    };
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let BpfInstruction { code, jump_true, jump_false, k } = program[at];
        at += 1;
        let branch = |condition: bool| usize::from(if condition { jump_true } else { jump_false });
        match code {
            LOAD => accumulator = load(k),
            AND => accumulator &= k,
            JUMP => at += k as usize,
            JUMP_EQUAL => at += branch(accumulator == k),
            JUMP_GREATER => at += branch(accumulator > k),
            JUMP_AT_LEAST => at += branch(accumulator >= k),
            RETURN => return k,
            _ => panic!("unknown instruction {code:#x}"),
        }
    }
}

fn profile(text: serde_json::Value) -> Seccomp {
    let config: Config = serde_json::from_value(serde_json::json!({ "linux": { "seccomp": text } })).unwrap();
    config.linux.seccomp.unwrap()
}

fn holds(argument: &SeccompArgument, values: [u64; 6]) -> bool {
    let actual = values[argument.index as usize];
    match argument.op.as_str() {
        "SCMP_CMP_EQ" => actual == argument.value,
        "SCMP_CMP_NE" => actual != argument.value,
        "SCMP_CMP_LT" => actual < argument.value,
        "SCMP_CMP_LE" => actual <= argument.value,
        "SCMP_CMP_GT" => actual > argument.value,
        "SCMP_CMP_GE" => actual >= argument.value,
        _ => actual & argument.value == argument.value_two & argument.value,
    }
}

/// The profile's own words: rules with arguments first, in order; then the first without; then the default.
fn read_slowly(profile: &Seccomp, name: &str, values: [u64; 6]) -> u32 {
    let named = || profile.syscalls.iter().filter(|rule| rule.names.iter().any(|known| known == name));
    let matching = named().find(|rule| {
        let repeated = rule.args.iter().enumerate().any(|(i, a)| rule.args[..i].iter().any(|b| a.index == b.index));
        let mut holds = rule.args.iter().map(|argument| holds(argument, values));
        !rule.args.is_empty() && if repeated { holds.any(|it| it) } else { holds.all(|it| it) }
    });
    match matching.or_else(|| named().find(|rule| rule.args.is_empty())) {
        Some(rule) => action(&rule.action, rule.errno_ret).unwrap(),
        None => action(&profile.default_action, profile.default_errno_ret).unwrap(),
    }
}

/// A small generator (xorshift) suffices: it only has to vary, and to vary the same way each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[(self.next() % list.len() as u64) as usize]
    }
}

const OPERATORS: [&str; 7] =
    ["SCMP_CMP_EQ", "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_GT", "SCMP_CMP_GE", "SCMP_CMP_MASKED_EQ"];
/// Where mistakes are made: around nothing, and around the border of the two halves.
const VALUES: [u64; 9] = [0, 1, 2, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, 0x2_0000_0000, u64::MAX - 1, u64::MAX];

fn random_profile(numbers: &mut Numbers, names: &[(&str, u32)]) -> Seccomp {
    let actions = ["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG", "SCMP_ACT_TRAP", "SCMP_ACT_TRACE"];
    let rules: Vec<_> = (0..=numbers.next() % 10)
        .map(|_| {
            let names: Vec<&str> = (0..=numbers.next() % 12).map(|_| numbers.pick(names).0).collect();
            let arguments = if numbers.next().is_multiple_of(2) { 0 } else { 1 + numbers.next() % 4 };
            let args: Vec<_> = (0..arguments)
                .map(|_| {
                    let (value, two) = (*numbers.pick(&VALUES), *numbers.pick(&VALUES));
                    serde_json::json!({ "index": numbers.next() % 6, "value": value, "valueTwo": two, "op": numbers.pick(&OPERATORS) })
                })
                .collect();
            let mut rule = serde_json::json!({ "names": names, "action": numbers.pick(&actions), "args": args });
            add_errno(numbers, &mut rule, "action", "errnoRet");
            rule
        })
        .collect();
    let mut whole = serde_json::json!({
        "defaultAction": numbers.pick(&actions),
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        "syscalls": rules,
    });
    add_errno(numbers, &mut whole, "defaultAction", "defaultErrnoRet");
    profile(whole)
}

/// Only where the action has one.
fn add_errno(numbers: &mut Numbers, value: &mut serde_json::Value, action: &str, errno: &str) {
    if matches!(value[action].as_str(), Some("SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE")) {
        value[errno] = (numbers.next() % 100).into();
    }
}

#[test]
fn means_what_the_profile_says_on_every_architecture() {
    let mut numbers = Numbers(0x5eed);
    for _ in 0..60 {
        let all = Abi::NATIVE.calls();
        let profile = random_profile(&mut numbers, &all);
        let program = compile(&profile).unwrap().program;
        for abi in Abi::POSSIBLE {
            let calls = abi.calls();
            let known = |name: &str| profile.syscalls.iter().any(|rule| rule.names.iter().any(|known| known == name));
            let last = calls.iter().filter(|(name, _)| known(name)).map(|(_, number)| *number).max();
            for (name, number) in &calls {
                if Some(*number) > last {
                    continue; // newer than the profile
                }
                for _ in 0..4 {
                    let values = std::array::from_fn(|_| *numbers.pick(&VALUES));
                    let (got, expected) = (interpret(&program, abi.audit(), *number, values), read_slowly(&profile, name, values));
                    assert_eq!(got, expected, "{name} ({number}) of {abi:?} with {values:x?}");
                }
            }
        }
    }
}

#[test]
fn says_enosys_to_calls_newer_than_the_profile_unless_it_allows_by_default() {
    let rules = serde_json::json!([{ "names": ["read", "openat2"], "action": "SCMP_ACT_ALLOW" }]);
    for (default, expected) in [("SCMP_ACT_ERRNO", ERRNO | ENOSYS), ("SCMP_ACT_KILL", ERRNO | ENOSYS), ("SCMP_ACT_LOG", LOG)] {
        let profile = profile(serde_json::json!({ "defaultAction": default, "syscalls": rules }));
        let program = compile(&profile).unwrap().program;
        let newest = Abi::NATIVE.calls().iter().find(|(name, _)| *name == "openat2").unwrap().1;
        assert_eq!(interpret(&program, Abi::NATIVE.audit(), newest, [0; 6]), ALLOW);
        assert_eq!(interpret(&program, Abi::NATIVE.audit(), newest + 1, [0; 6]), expected);
        assert_eq!(interpret(&program, Abi::NATIVE.audit(), newest - 1, [0; 6]), action(default, None).unwrap());
    }
}

#[test]
fn kills_what_comes_from_an_architecture_that_is_not_listed() {
    let profile = profile(serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"] }));
    let program = compile(&profile).unwrap().program;
    assert_eq!(interpret(&program, Abi::NATIVE.audit(), 1, [0; 6]), ALLOW);
    assert_eq!(interpret(&program, Abi::Arm.audit(), 1, [0; 6]), KILL_THREAD);
    if Abi::NATIVE == Abi::X86_64 {
        assert_eq!(interpret(&program, Abi::X86.audit(), 1, [0; 6]), KILL_THREAD);
        assert_eq!(interpret(&program, Abi::X32.audit(), 1 | X32_BIT, [0; 6]), KILL_THREAD);
    }
}

#[test]
fn refuses_words_it_does_not_know() {
    let cases = [
        serde_json::json!({ "defaultAction": "ALLOW" }),
        serde_json::json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096 }),
        serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_PDP11"] }),
        serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_NEW"] }),
        serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": [], "action": "SCMP_ACT_LOG" }] }),
        serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1 }),
        serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 1 }] }),
        serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_NOTIFY" }] }),
        serde_json::json!({ "defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/a" }),
        serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/a", "syscalls": [{ "names": ["sendmsg"], "action": "SCMP_ACT_NOTIFY" }] }),
        serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "a" }),
        serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW",
            "args": [{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }] }] }),
        serde_json::json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW",
            "args": [{ "index": 0, "value": 0, "op": "EQ" }] }] }),
    ];
    for case in cases {
        assert!(compile(&profile(case.clone())).is_err(), "{case}");
    }
}
