//! Version 2 has no file for devices: a program of type BPF_PROG_TYPE_CGROUP_DEVICE, attached to the cgroup, is asked at every access.
//! Made here from the rules, instruction by instruction (Documentation/bpf/standardization/instruction-set.rst).

use super::device_rules::{FULL_ACCESS, Rules};
use crate::error::{CGROUP, Context, Result};
use crate::sys::{self, EbpfInstruction};
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use std::path::Path;

const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_IF_EQUAL: u8 = 0x15;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

/// Registers: the answer (0 or 1), the context at first and then what is computed, and what is asked for.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const SCRATCH: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

const fn instruction(code: u8, to: u8, from: u8, offset: i16, value: i32) -> EbpfInstruction {
    EbpfInstruction { code, registers: to | from << 4, offset, value }
}

/// struct bpf_cgroup_dev_ctx: access << 16 | kind, major, minor.
const BEGINNING: [EbpfInstruction; 6] = [
    instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
    instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
    instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    instruction(MOVE_REGISTER, ACCESS, KIND, 0, 0),
    instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
    instruction(AND, KIND, 0, 0, 0xffff),
];

pub fn generate(rules: &Rules) -> Vec<EbpfInstruction> {
    let answer = |allow: bool| [instruction(MOVE, ANSWER, 0, 0, i32::from(allow)), instruction(EXIT, 0, 0, 0, 0)];
    let mut program = BEGINNING.to_vec();
    for (devices, access) in &rules.exceptions {
        let mut block = vec![instruction(JUMP_UNLESS_EQUAL, KIND, 0, 0, devices.kind as i32)];
        if rules.allows_by_default {
            // Denied is what asks for any of it …
            block.push(instruction(MOVE_REGISTER, SCRATCH, ACCESS, 0, 0));
            block.push(instruction(AND, SCRATCH, 0, 0, (*access).into()));
            block.push(instruction(JUMP_IF_EQUAL, SCRATCH, 0, 0, 0));
        } else if *access != FULL_ACCESS {
            // … and allowed what asks for nothing else.
            block.push(instruction(MOVE_REGISTER, SCRATCH, ACCESS, 0, 0));
            block.push(instruction(AND, SCRATCH, 0, 0, !i32::from(*access)));
            block.push(instruction(JUMP_UNLESS_EQUAL, SCRATCH, 0, 0, 0));
        }
        block.extend(devices.major.map(|major| instruction(JUMP_UNLESS_EQUAL, MAJOR, 0, 0, major as i32)));
        block.extend(devices.minor.map(|minor| instruction(JUMP_UNLESS_EQUAL, MINOR, 0, 0, minor as i32)));
        block.extend(answer(!rules.allows_by_default));
        jump_behind(&mut block);
        program.extend(block);
    }
    program.extend(answer(rules.allows_by_default));
    program
}

fn jump_behind(block: &mut [EbpfInstruction]) {
    let length = block.len();
    for (position, instruction) in block.iter_mut().enumerate() {
        if matches!(instruction.code, JUMP_IF_EQUAL | JUMP_UNLESS_EQUAL) {
            // A block has ten instructions at most.
            instruction.offset = (length - position - 1) as i16;
        }
    }
}

pub fn attach(program: &[EbpfInstruction], cgroup: &Path) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(cgroup, flags, Mode::empty()).at(CGROUP, "open the cgroup", cgroup)?;
    let program = sys::load_device_program(program).during(CGROUP, "load the program that limits devices")?;
    sys::attach_device_program(directory.as_fd(), program.as_fd()).at(CGROUP, "limit the devices of", cgroup)
}

#[cfg(test)]
mod tests {
    use super::super::device_rules::{self, DeviceRule};
    use super::*;

    /// What the kernel would do with it.
    fn interpret(program: &[EbpfInstruction], context: [u32; 3]) -> u64 {
        let mut registers = [0u64; 11];
        let mut next = 0;
        for _ in 0..=program.len() {
            let EbpfInstruction { code, registers: names, offset, value } = program[next];
            let (to, from) = (usize::from(names & 15), usize::from(names >> 4));
            let value = i64::from(value) as u64;
            next += 1;
            let jumps = match code {
                LOAD_WORD => {
                    registers[to] = context[offset as usize / 4].into();
                    false
                }
                MOVE => {
                    registers[to] = value;
                    false
                }
                MOVE_REGISTER => {
                    registers[to] = registers[from];
                    false
                }
                AND => {
                    registers[to] &= value;
                    false
                }
                SHIFT_RIGHT => {
                    registers[to] >>= value;
                    false
                }
                JUMP_IF_EQUAL => registers[to] == value,
                JUMP_UNLESS_EQUAL => registers[to] != value,
                EXIT => return registers[0],
                other => panic!("instruction {other:#x}"),
            };
            if jumps {
                next += offset as usize;
            }
        }
        panic!("no end");
    }

    fn allows(program: &[EbpfInstruction], kind: char, major: u32, minor: u32, access: &str) -> bool {
        let bit = |letter: char| device_rules::ACCESS.iter().find(|(known, _)| *known == letter).unwrap().1;
        let access = access.chars().fold(0, |all, letter| all | u32::from(bit(letter)));
        interpret(program, [access << 16 | if kind == 'b' { 1 } else { 2 }, major, minor]) == 1
    }

    fn program(rules: serde_json::Value) -> Vec<EbpfInstruction> {
        let rules: Vec<DeviceRule> = serde_json::from_value(rules).unwrap();
        generate(&device_rules::read(&rules).unwrap())
    }

    #[test]
    fn nothing_but_what_is_allowed() {
        let program = program(serde_json::json!([
            { "allow": false, "access": "rwm" },
            { "allow": true, "type": "b", "major": 8, "minor": 1, "access": "r" },
            { "allow": true, "type": "c", "major": 10, "access": "rw" },
        ]));
        for (kind, major, minor, access, expected) in [
            ('b', 8, 1, "r", true),
            ('b', 8, 1, "m", true),
            ('b', 8, 1, "rw", false),
            ('b', 8, 2, "r", false),
            ('c', 8, 1, "r", false),
            ('c', 10, 200, "rw", true),
            ('c', 10, 200, "rwm", false),
            ('c', 1, 3, "rwm", true),
            ('c', 1, 1, "r", false),
            ('c', 136, 7, "rw", true),
        ] {
            assert_eq!(allows(&program, kind, major, minor, access), expected, "{kind} {major}:{minor} {access}");
        }
    }

    #[test]
    fn everything_but_what_is_denied() {
        let program = program(serde_json::json!([
            { "allow": true, "access": "rwm" },
            { "allow": false, "type": "c", "major": 10, "minor": 232, "access": "rw" },
        ]));
        for (kind, major, minor, access, expected) in [
            ('c', 10, 232, "r", false),
            ('c', 10, 232, "rw", false),
            ('c', 10, 232, "m", true),
            ('c', 10, 233, "rwm", true),
            ('b', 10, 232, "rwm", true),
        ] {
            assert_eq!(allows(&program, kind, major, minor, access), expected, "{kind} {major}:{minor} {access}");
        }
    }
}
