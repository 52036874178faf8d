//! config.json's `linux.resources`, in the specification's names (config-linux.md), and what of it can never be.
//! Zero means what is left out, as in runc, wherever zero is no limit that a container could live with.

use super::device_rules::{self, DeviceRule};
use crate::error::{Result, invalid};
use crate::spec::{list, null_is_default};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

#[derive(Deserialize, Default, Clone, Debug)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    #[serde(deserialize_with = "list")]
    pub devices: Vec<DeviceRule>,
    #[serde(deserialize_with = "null_is_default")]
    pub memory: Memory,
    #[serde(deserialize_with = "null_is_default")]
    pub cpu: Cpu,
    #[serde(deserialize_with = "null_is_default")]
    pub pids: Pids,
    #[serde(rename = "blockIO", deserialize_with = "null_is_default")]
    pub block_io: BlockIo,
    #[serde(deserialize_with = "list")]
    pub hugepage_limits: Vec<HugepageLimit>,
    #[serde(deserialize_with = "null_is_default")]
    pub network: Network,
    #[serde(deserialize_with = "null_is_default")]
    pub rdma: BTreeMap<String, Rdma>,
    #[serde(deserialize_with = "null_is_default")]
    pub unified: BTreeMap<String, String>,
}

/// Bytes; -1 for no limit.
#[derive(Deserialize, Default, Clone, Debug)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    pub limit: Option<i64>,
    pub reservation: Option<i64>,
    /// Memory and swap together.
    pub swap: Option<i64>,
    pub kernel: Option<i64>,
    #[serde(rename = "kernelTCP")]
    pub kernel_tcp: Option<i64>,
    pub swappiness: Option<u64>,
    #[serde(rename = "disableOOMKiller", deserialize_with = "null_is_default")]
    pub disable_oom_killer: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub check_before_update: bool,
}

/// Times in microseconds.
#[derive(Deserialize, Default, Clone, Debug)]
#[serde(rename_all = "camelCase", default)]
pub struct Cpu {
    pub shares: Option<u64>,
    pub quota: Option<i64>,
    pub burst: Option<u64>,
    pub period: Option<u64>,
    pub realtime_runtime: Option<i64>,
    pub realtime_period: Option<u64>,
    #[serde(deserialize_with = "null_is_default")]
    pub cpus: String,
    #[serde(deserialize_with = "null_is_default")]
    pub mems: String,
    pub idle: Option<i64>,
}

#[derive(Deserialize, Default, Clone, Debug)]
#[serde(default)]
pub struct Pids {
    /// Negative: no limit.
    #[serde(deserialize_with = "null_is_default")]
    pub limit: i64,
}

#[derive(Deserialize, Default, Clone, Debug)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockIo {
    pub weight: Option<u16>,
    pub leaf_weight: Option<u16>,
    #[serde(deserialize_with = "list")]
    pub weight_device: Vec<WeightDevice>,
    #[serde(deserialize_with = "list")]
    pub throttle_read_bps_device: Vec<ThrottleDevice>,
    #[serde(deserialize_with = "list")]
    pub throttle_write_bps_device: Vec<ThrottleDevice>,
    #[serde(rename = "throttleReadIOPSDevice", deserialize_with = "list")]
    pub throttle_read_iops_device: Vec<ThrottleDevice>,
    #[serde(rename = "throttleWriteIOPSDevice", deserialize_with = "list")]
    pub throttle_write_iops_device: Vec<ThrottleDevice>,
}

#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub struct WeightDevice {
    pub major: u32,
    pub minor: u32,
    pub weight: Option<u16>,
    pub leaf_weight: Option<u16>,
}

#[derive(Deserialize, Clone, Debug)]
pub struct ThrottleDevice {
    pub major: u32,
    pub minor: u32,
    pub rate: u64,
}

#[derive(Deserialize, Clone, Debug)]
#[serde(rename_all = "camelCase")]
pub struct HugepageLimit {
    /// `2MB`.
    pub page_size: String,
    pub limit: u64,
}

#[derive(Deserialize, Default, Clone, Debug)]
#[serde(default)]
pub struct Network {
    #[serde(rename = "classID")]
    pub class_id: Option<u32>,
    #[serde(deserialize_with = "list")]
    pub priorities: Vec<Priority>,
}

#[derive(Deserialize, Clone, Debug)]
pub struct Priority {
    pub name: String,
    pub priority: u32,
}

#[derive(Deserialize, Default, Clone, Debug)]
#[serde(rename_all = "camelCase", default)]
pub struct Rdma {
    pub hca_handles: Option<u32>,
    pub hca_objects: Option<u32>,
}

/// Documentation/scheduler/sched-bwc.rst, kernel/sched/core.c: microseconds.
const PERIOD: RangeInclusive<u64> = 1_000..=1_000_000;
const QUOTA_MIN: i64 = 1_000;
/// kernel/sched/sched.h: MIN_SHARES, MAX_SHARES.
const SHARES: RangeInclusive<u64> = 2..=262_144;
const WEIGHT: RangeInclusive<u16> = 10..=1000;

impl Resources {
    pub fn check(&self) -> Result<()> {
        device_rules::read(&self.devices)?;
        self.memory.check()?;
        self.cpu.check()?;
        self.block_io.check()?;
        for HugepageLimit { page_size, .. } in &self.hugepage_limits {
            // It becomes a part of a file's name.
            let digits = page_size.strip_suffix("KB").or(page_size.strip_suffix("MB")).or(page_size.strip_suffix("GB")).unwrap_or_default();
            if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(bad("hugepageLimits", format!("{page_size:?} is no size of pages")));
            }
        }
        for name in self.network.priorities.iter().map(|priority| &priority.name).chain(self.rdma.keys()) {
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(bad("network and rdma", format!("{name:?} is no device")));
            }
        }
        if let Some((name, limits)) = self.rdma.iter().find(|(_, limits)| limits.hca_handles.is_none() && limits.hca_objects.is_none()) {
            return Err(bad("rdma", format!("{name} has neither hcaHandles nor hcaObjects: {limits:?}")));
        }
        let is_file = |name: &str| name.contains('.') && !name.starts_with('.') && !name.contains('/') && !name.contains('\0');
        match self.unified.keys().find(|name| !is_file(name)) {
            Some(name) => Err(bad("unified", format!("{name:?} is no file of a cgroup"))),
            None => Ok(()),
        }
    }
}

impl Memory {
    fn check(&self) -> Result<()> {
        let all = [
            ("limit", self.limit),
            ("reservation", self.reservation),
            ("swap", self.swap),
            ("kernel", self.kernel),
            ("kernelTCP", self.kernel_tcp),
        ];
        if let Some((name, value)) = all.iter().find(|(_, value)| value.is_some_and(|bytes| bytes < -1)) {
            return Err(bad(&format!("memory.{name}"), format!("{} is neither bytes nor -1", value.unwrap_or_default())));
        }
        match (self.limit, self.swap) {
            (Some(limit), Some(swap)) if limit > 0 && swap > 0 && swap < limit => {
                return Err(bad("memory.swap", format!("{swap} is memory and swap together, and less than the limit of memory, {limit}")));
            }
            (Some(-1), Some(swap)) if swap > 0 => return Err(bad("memory.swap", "a limit needs one of memory")),
            _ => {}
        }
        match self.swappiness {
            Some(value) if value > 100 => Err(bad("memory.swappiness", format!("{value} is not from 0 to 100"))),
            _ => Ok(()),
        }
    }
}

impl Cpu {
    fn check(&self) -> Result<()> {
        if let Some(shares) = self.shares.filter(|shares| *shares != 0 && !SHARES.contains(shares)) {
            return Err(bad("cpu.shares", format!("{shares} is not from {} to {}", SHARES.start(), SHARES.end())));
        }
        if let Some(period) = self.period.filter(|period| *period != 0 && !PERIOD.contains(period)) {
            return Err(bad("cpu.period", format!("{period} is not from {} to {} microseconds", PERIOD.start(), PERIOD.end())));
        }
        if let Some(quota) = self.quota.filter(|quota| *quota > 0 && *quota < QUOTA_MIN) {
            return Err(bad("cpu.quota", format!("{quota} is less than {QUOTA_MIN} microseconds")));
        }
        if let Some(idle) = self.idle.filter(|idle| !matches!(idle, 0 | 1)) {
            return Err(bad("cpu.idle", format!("{idle} is neither 0 nor 1")));
        }
        match [("cpu.cpus", &self.cpus), ("cpu.mems", &self.mems)].into_iter().find(|(_, list)| !is_list(list)) {
            Some((field, list)) => Err(bad(field, format!("{list:?} is not a list of numbers, as 0-3,7"))),
            None => Ok(()),
        }
    }
}

/// cpuset(7): `0-4,9`.
fn is_list(text: &str) -> bool {
    let number = |text: &str| text.parse::<u32>().ok();
    text.is_empty()
        || text.trim().split(',').all(|part| match part.split_once('-') {
            Some((first, last)) => matches!((number(first), number(last)), (Some(first), Some(last)) if first <= last),
            None => number(part).is_some(),
        })
}

impl BlockIo {
    fn check(&self) -> Result<()> {
        let devices = self.weight_device.iter().flat_map(|device| [device.weight, device.leaf_weight]);
        match devices.chain([self.weight, self.leaf_weight]).flatten().find(|weight| *weight != 0 && !WEIGHT.contains(weight)) {
            Some(weight) => Err(bad("blockIO", format!("the weight {weight} is not from {} to {}", WEIGHT.start(), WEIGHT.end()))),
            None => Ok(()),
        }
    }
}

fn bad(field: &str, detail: impl std::fmt::Display) -> crate::error::NativeError {
    invalid(&format!("linux.resources.{field}"), detail)
}
