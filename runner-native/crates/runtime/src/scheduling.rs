//! When and where the kernel runs a container's command: process.scheduler, ioPriority and execCPUAffinity. Checked when config.json is read,
//! given by the parent to a child that waits in its cgroup: a user namespace's root may raise no priority.

use crate::error::{Context, PROCESS, Result, invalid};
use crate::spec::{ExecCpuAffinity, IoPriority, Scheduler};
use crate::sys::{self, SchedulerAttributes};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

#[derive(Default)]
pub struct Scheduling {
    scheduler: Option<SchedulerAttributes>,
    io_priority: Option<u16>,
}

/// <linux/sched.h>.
const POLICIES: [(&str, u32); 7] = [
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_ISO", 4),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];
const FLAGS: [(&str, u64); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];
/// <linux/ioprio.h>.
const IO_CLASSES: [(&str, u16); 3] = [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];
const IO_CLASS_SHIFT: u32 = 13;

impl Scheduling {
    pub fn read(scheduler: Option<&Scheduler>, io_priority: Option<&IoPriority>) -> Result<Self> {
        let io_priority = io_priority.map(read_io_priority).transpose()?;
        Ok(Self { scheduler: scheduler.map(read_scheduler).transpose()?, io_priority })
    }

    pub fn give_to(&self, process: Pid) -> Result<()> {
        if let Some(priority) = self.io_priority {
            sys::set_io_priority(process, priority).during(PROCESS, "set process.ioPriority")?;
        }
        if let Some(attributes) = self.scheduler {
            sys::set_scheduler(process, attributes).during(PROCESS, "set process.scheduler")?;
        }
        Ok(())
    }
}

fn read_scheduler(scheduler: &Scheduler) -> Result<SchedulerAttributes> {
    let Scheduler { policy, nice, priority, flags, runtime, deadline, period } = scheduler;
    let number = named(&POLICIES, policy).ok_or_else(|| invalid("process.scheduler", format!("unknown policy {policy:?}")))?;
    if !(-20..=19).contains(nice) {
        return Err(invalid("process.scheduler", format!("nice {nice} is not from -20 to 19")));
    }
    let priorities = if matches!(policy.as_str(), "SCHED_FIFO" | "SCHED_RR") { 1..=99 } else { 0..=0 };
    if !priorities.contains(priority) {
        let (first, last) = (priorities.start(), priorities.end());
        return Err(invalid("process.scheduler", format!("the priority {priority} of {policy} is not from {first} to {last}")));
    }
    if policy != "SCHED_DEADLINE" && (*runtime, *deadline, *period) != (0, 0, 0) {
        return Err(invalid("process.scheduler", format!("runtime, deadline and period are of SCHED_DEADLINE, not of {policy}")));
    }
    let flags = flags.iter().try_fold(0, |flags, name| {
        let flag = named(&FLAGS, name).ok_or_else(|| invalid("process.scheduler", format!("unknown flag {name:?}")))?;
        Ok(flags | flag)
    })?;
    let (runtime, deadline, period) = (*runtime, *deadline, *period);
    Ok(SchedulerAttributes { size: 0, policy: number, flags, nice: *nice, priority: priority.unsigned_abs(), runtime, deadline, period })
}

fn read_io_priority(wanted: &IoPriority) -> Result<u16> {
    let IoPriority { class, priority } = wanted;
    let class = named(&IO_CLASSES, class).ok_or_else(|| invalid("process.ioPriority", format!("unknown class {class:?}")))?;
    match u16::try_from(*priority) {
        Ok(level) if level < 8 => Ok(class << IO_CLASS_SHIFT | level),
        _ => Err(invalid("process.ioPriority", format!("the priority {priority} is not from 0 to 7"))),
    }
}

fn named<T: Copy>(known: &[(&str, T)], name: &str) -> Option<T> {
    known.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
}

/// Where a process of `exec` runs: before it is in the container's cgroup, and afterwards.
#[derive(Default)]
pub struct ExecAffinity {
    initial: Option<CpuSet>,
    last: Option<CpuSet>,
}

impl ExecAffinity {
    pub fn read(wanted: Option<&ExecCpuAffinity>) -> Result<Self> {
        let Some(ExecCpuAffinity { initial, last }) = wanted else { return Ok(Self::default()) };
        Ok(Self { initial: cpus("initial", initial)?, last: cpus("final", last)? })
    }

    /// `enter` takes the process into the cgroup.
    pub fn around(&self, process: Pid, enter: impl FnOnce() -> Result<()>) -> Result<()> {
        let set = |cpus: &CpuSet| sched_setaffinity(Some(process), cpus).during(PROCESS, "set process.execCPUAffinity");
        self.initial.as_ref().map_or(Ok(()), set)?;
        enter()?;
        match (&self.last, &self.initial) {
            (Some(cpus), _) => set(cpus),
            // The cgroup's own: since Linux 6.2 what was set before would stay (kernel/sched: user_cpus_ptr).
            (None, Some(_)) => set(&every_cpu()),
            (None, None) => Ok(()),
        }
    }
}

fn every_cpu() -> CpuSet {
    let mut all = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
    all
}

/// `0-3,7`; nothing for an empty list.
fn cpus(field: &str, list: &str) -> Result<Option<CpuSet>> {
    if list.trim().is_empty() {
        return Ok(None);
    }
    let wrong = || invalid(&format!("process.execCPUAffinity.{field}"), format!("{list:?} is not a list of CPUs, as 0-3,7"));
    let number = |text: &str| text.trim().parse::<usize>().ok().filter(|cpu| *cpu < CpuSet::MAX_CPU).ok_or_else(wrong);
    let mut cpus = CpuSet::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(wrong());
        }
        (first..=last).for_each(|cpu| cpus.set(cpu));
    }
    Ok(Some(cpus))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn scheduler(value: Value) -> Result<SchedulerAttributes> {
        read_scheduler(&serde_json::from_value(value).unwrap())
    }

    #[test]
    fn a_policy_has_what_belongs_to_it() {
        let read =
            scheduler(json!({ "policy": "SCHED_FIFO", "priority": 10, "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN"] }));
        assert_eq!(read.unwrap(), SchedulerAttributes { policy: 1, priority: 10, flags: 5, ..Default::default() });
        assert_eq!(scheduler(json!({ "policy": "SCHED_BATCH", "nice": -3 })).unwrap().nice, -3);
        let wrong = [
            (json!({}), "unknown policy \"\""),
            (json!({ "policy": "SCHED_NORMAL" }), "unknown policy"),
            (json!({ "policy": "SCHED_OTHER", "nice": 20 }), "not from -20 to 19"),
            (json!({ "policy": "SCHED_OTHER", "priority": 1 }), "not from 0 to 0"),
            (json!({ "policy": "SCHED_RR" }), "not from 1 to 99"),
            (json!({ "policy": "SCHED_OTHER", "runtime": 1 }), "are of SCHED_DEADLINE"),
            (json!({ "policy": "SCHED_OTHER", "flags": ["RESET"] }), "unknown flag \"RESET\""),
        ];
        for (value, expected) in wrong {
            let error = scheduler(value.clone()).unwrap_err();
            assert!(error.detail.contains(expected), "{value}: {}", error.detail);
        }
    }

    #[test]
    fn an_io_priority_is_a_class_and_a_level() {
        let read = |class: &str, priority| read_io_priority(&IoPriority { class: class.into(), priority });
        assert_eq!(read("IOPRIO_CLASS_IDLE", 7).unwrap(), 0x6007);
        assert!(read("IOPRIO_CLASS_BE", 8).is_err());
        assert!(read("IOPRIO_CLASS_BE", -1).is_err());
        assert!(read("IOPRIO_CLASS_NONE", 0).is_err());
    }

    #[test]
    fn cpus_are_numbers_and_ranges() {
        let read = |list: &str| {
            cpus("final", list).map(|set| set.map(|set| (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect::<Vec<_>>()))
        };
        assert_eq!(read("0-2, 7").unwrap(), Some(vec![0, 1, 2, 7]));
        assert_eq!(read(" ").unwrap(), None);
        for list in ["x", "3-1", "0,", "-1", "1024", "0-18446744073709551615"] {
            assert!(read(list).is_err(), "{list}");
        }
    }
}
