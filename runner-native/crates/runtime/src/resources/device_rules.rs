//! `linux.resources.devices`: a list of rules, each over those before it, as what it comes to: everything or nothing, but for exceptions.
//! Follows runc's emulation of the devices cgroup (opencontainers/cgroups, devices), so that both versions allow the same.

use super::Write;
use crate::error::{Result, invalid};
use crate::spec::null_is_default;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize, Default, Clone, Debug)]
#[serde(default)]
pub struct DeviceRule {
    pub allow: bool,
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    pub kind: String,
    pub major: Option<i64>,
    pub minor: Option<i64>,
    #[serde(deserialize_with = "null_is_default")]
    pub access: String,
}

/// BPF_DEVCG_DEV_… of <linux/bpf.h>.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Kind {
    Block = 1,
    Char = 2,
}

/// BPF_DEVCG_ACC_… of <linux/bpf.h>.
pub const ACCESS: [(char, u8); 3] = [('r', 2), ('w', 4), ('m', 1)];
pub const FULL_ACCESS: u8 = 7;

/// None: any.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Devices {
    pub kind: Kind,
    pub major: Option<u32>,
    pub minor: Option<u32>,
}

#[derive(PartialEq, Eq, Debug, Default)]
pub struct Rules {
    pub allows_by_default: bool,
    /// What is the other way round, with the access it is about.
    pub exceptions: BTreeMap<Devices, u8>,
}

/// What every container has (runc: specconv, AllowedDevices): any node may be made, and the usual ones used.
const ALWAYS: [(Kind, Option<u32>, Option<u32>, u8); 10] = [
    (Kind::Char, None, None, 1),
    (Kind::Block, None, None, 1),
    (Kind::Char, Some(1), Some(3), FULL_ACCESS),
    (Kind::Char, Some(1), Some(5), FULL_ACCESS),
    (Kind::Char, Some(1), Some(7), FULL_ACCESS),
    (Kind::Char, Some(1), Some(8), FULL_ACCESS),
    (Kind::Char, Some(1), Some(9), FULL_ACCESS),
    (Kind::Char, Some(5), Some(0), FULL_ACCESS),
    (Kind::Char, Some(5), Some(2), FULL_ACCESS),
    (Kind::Char, Some(136), None, FULL_ACCESS),
];

pub fn read(list: &[DeviceRule]) -> Result<Rules> {
    let mut rules = Rules::default();
    for rule in list {
        let access = access(&rule.access)?;
        let kind = match rule.kind.as_str() {
            "" | "a" => {
                // The kernel looks at nothing else of such a rule.
                rules = Rules { allows_by_default: rule.allow, exceptions: BTreeMap::new() };
                continue;
            }
            "b" => Kind::Block,
            "c" | "u" => Kind::Char,
            other => return Err(bad(format!("unknown type {other:?}"))),
        };
        rules.add(rule.allow, Devices { kind, major: number(rule.major)?, minor: number(rule.minor)? }, access)?;
    }
    for (kind, major, minor, access) in ALWAYS {
        rules.add(true, Devices { kind, major, minor }, access)?;
    }
    Ok(rules)
}

fn access(text: &str) -> Result<u8> {
    let known = |letter: char| ACCESS.iter().find(|(known, _)| *known == letter).map(|(_, bit)| *bit);
    let bits = text.chars().map(|letter| known(letter).ok_or_else(|| bad(format!("{text:?} is no access: r, w and m are"))));
    match bits.collect::<Result<Vec<u8>>>()?.as_slice() {
        [] => Err(bad("a rule has no access")),
        bits => Ok(bits.iter().fold(0, |all, bit| all | bit)),
    }
}

/// -1 is any, too.
fn number(number: Option<i64>) -> Result<Option<u32>> {
    const NUMBER_MAX: i64 = (1 << 20) - 1;
    match number {
        None | Some(-1) => Ok(None),
        Some(number @ 0..=NUMBER_MAX) => Ok(Some(number as u32)),
        Some(number) => Err(bad(format!("{number} is no number of a device"))),
    }
}

fn bad(detail: impl std::fmt::Display) -> crate::error::NativeError {
    invalid("linux.resources.devices", detail)
}

impl Rules {
    fn add(&mut self, allow: bool, devices: Devices, access: u8) -> Result<()> {
        if allow != self.allows_by_default {
            *self.exceptions.entry(devices).or_default() |= access;
            return Ok(());
        }
        let wider =
            [Devices { major: None, ..devices }, Devices { minor: None, ..devices }, Devices { major: None, minor: None, ..devices }];
        if wider.iter().any(|wider| *wider != devices && self.exceptions.get(wider).is_some_and(|known| known & access != 0)) {
            return Err(bad(format!("{} is a part of an earlier rule, from which nothing can be taken", describe(devices, access))));
        }
        if let Some(known) = self.exceptions.get_mut(&devices) {
            *known &= !access;
        }
        self.exceptions.retain(|_, access| *access != 0);
        Ok(())
    }

    /// For version 1, in this order, on a cgroup that is new.
    pub(super) fn writes(&self) -> Vec<Write> {
        let (whole, other) = if self.allows_by_default { ("devices.allow", "devices.deny") } else { ("devices.deny", "devices.allow") };
        let exceptions =
            self.exceptions.iter().map(|(devices, access)| Write::new("devices", "devices", other, describe(*devices, *access)));
        std::iter::once(Write::new("devices", "devices", whole, "a")).chain(exceptions).collect()
    }
}

/// `c 1:* rw`, as version 1 takes it.
fn describe(devices: Devices, access: u8) -> String {
    let kind = if devices.kind == Kind::Block { 'b' } else { 'c' };
    let number = |number: Option<u32>| number.map_or("*".into(), |number| number.to_string());
    let letters: String = ACCESS.iter().filter(|(_, bit)| access & bit != 0).map(|(letter, _)| *letter).collect();
    format!("{kind} {}:{} {letters}", number(devices.major), number(devices.minor))
}
