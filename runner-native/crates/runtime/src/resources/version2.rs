//! Limits as files of a cgroup of version 2 (Documentation/admin-guide/cgroup-v2.rst). What version 1 alone has is an error here.

use super::conversions::{io_weight, or_max, swap_alone, weight_of_shares};
use super::wanted::{BlockIo, Cpu, Memory, Rdma, Resources, ThrottleDevice};
use super::{Write, stats};
use crate::cgroups::Cgroup;
use crate::error::{Result, unsupported};
use std::collections::BTreeMap;

/// Reads of the cgroup what a new value depends on.
pub fn writes(resources: &Resources, cgroup: &Cgroup) -> Result<Vec<Write>> {
    refuse(resources)?;
    let mut writes = Vec::new();
    cpu(&resources.cpu, cgroup, &mut writes);
    memory(&resources.memory, cgroup, &mut writes)?;
    if resources.pids.limit != 0 {
        writes.push(Write::new("pids", "pids", "pids.max", or_max(resources.pids.limit)));
    }
    block_io(&resources.block_io, &mut writes);
    for limit in &resources.hugepage_limits {
        let file = |kind: &str| format!("hugetlb.{}{kind}.max", limit.page_size);
        writes.push(Write::new("hugepageLimits", "hugetlb", file(""), limit.limit));
        writes.push(Write::new("hugepageLimits", "hugetlb", file(".rsvd"), limit.limit).if_there());
    }
    writes.extend(rdma(&resources.rdma));
    writes.extend(resources.unified.iter().map(|(file, value)| Write::new("unified", "", file, value)));
    Ok(writes)
}

fn refuse(resources: &Resources) -> Result<()> {
    let (memory, cpu, block_io) = (&resources.memory, &resources.cpu, &resources.block_io);
    let is_set = |value: Option<i64>| value.is_some_and(|value| value != 0);
    let refused = [
        (is_set(memory.kernel), "memory.kernel"),
        (is_set(memory.kernel_tcp), "memory.kernelTCP"),
        (memory.swappiness.is_some(), "memory.swappiness"),
        (memory.disable_oom_killer, "memory.disableOOMKiller"),
        (is_set(cpu.realtime_runtime), "cpu.realtimeRuntime"),
        (cpu.realtime_period.is_some_and(|period| period != 0), "cpu.realtimePeriod"),
        (block_io.leaf_weight.is_some_and(|weight| weight != 0), "blockIO.leafWeight"),
        (block_io.weight_device.iter().any(|device| device.leaf_weight.is_some_and(|weight| weight != 0)), "blockIO.leafWeight"),
        (resources.network.class_id.is_some_and(|class| class != 0), "network.classID"),
        (!resources.network.priorities.is_empty(), "network.priorities"),
    ];
    match refused.iter().find(|(there, _)| *there) {
        Some((_, field)) => Err(unsupported(&format!("linux.resources.{field} on cgroups of version 2"))),
        None => Ok(()),
    }
}

fn cpu(cpu: &Cpu, cgroup: &Cgroup, writes: &mut Vec<Write>) {
    for (field, file, list) in [("cpu.cpus", "cpuset.cpus", &cpu.cpus), ("cpu.mems", "cpuset.mems", &cpu.mems)] {
        if !list.is_empty() {
            writes.push(Write::new(field, "cpuset", file, list));
        }
    }
    writes.extend(cpu.idle.map(|idle| Write::new("cpu.idle", "cpu", "cpu.idle", idle)));
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        writes.push(Write::new("cpu.shares", "cpu", "cpu.weight", weight_of_shares(shares)));
    }
    let (quota, period) = (cpu.quota.filter(|quota| *quota != 0), cpu.period.filter(|period| *period != 0));
    if quota.is_some() || period.is_some() {
        // `QUOTA PERIOD`: of what is not said the quota stays as it is, and so does a period that is left out.
        let old = cgroup.path_of("cpu").and_then(|directory| std::fs::read_to_string(directory.join("cpu.max")).ok()).unwrap_or_default();
        let quota = quota.map_or_else(|| old.split_whitespace().next().unwrap_or("max").to_owned(), or_max);
        let value = period.map_or_else(|| quota.clone(), |period| format!("{quota} {period}"));
        writes.push(Write::new("cpu.quota", "cpu", "cpu.max", value));
    }
    writes.extend(cpu.burst.map(|burst| Write::new("cpu.burst", "cpu", "cpu.max.burst", burst)));
}

fn memory(memory: &Memory, cgroup: &Cgroup, writes: &mut Vec<Write>) -> Result<()> {
    let is_given = |value: &i64| *value != 0;
    let old = || cgroup.path_of("memory").and_then(|directory| stats::number(&directory.join("memory.max"))?.try_into().ok());
    let limit = memory.limit.filter(is_given).or_else(|| memory.swap.filter(|swap| *swap > 0).and_then(|_| old()));
    if let Some(swap) = swap_alone(memory.swap, limit)? {
        let write = Write::new("memory.swap", "memory", "memory.swap.max", or_max(swap));
        // A kernel without swap has neither to lift nor to take away.
        writes.push(if swap <= 0 { write.if_there() } else { write });
    }
    writes.extend(memory.limit.filter(is_given).map(|limit| Write::new("memory.limit", "memory", "memory.max", or_max(limit))));
    let reservation = memory.reservation.filter(is_given);
    writes.extend(reservation.map(|bytes| Write::new("memory.reservation", "memory", "memory.low", or_max(bytes))));
    Ok(())
}

fn block_io(block_io: &BlockIo, writes: &mut Vec<Write>) {
    // BFQ counts as version 1 does.
    if let Some(weight) = block_io.weight.filter(|weight| *weight != 0) {
        writes.push(Write::new("blockIO.weight", "io", "io.bfq.weight", weight).or("io.weight", io_weight(weight)));
    }
    for device in &block_io.weight_device {
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            let of = |weight: u64| format!("{}:{} {weight}", device.major, device.minor);
            let write = Write::new("blockIO.weightDevice", "io", "io.bfq.weight", of(weight.into()));
            writes.push(write.or("io.weight", of(io_weight(weight))));
        }
    }
    let throttles: [(&'static str, &str, &[ThrottleDevice]); 4] = [
        ("blockIO.throttleReadBpsDevice", "rbps", &block_io.throttle_read_bps_device),
        ("blockIO.throttleWriteBpsDevice", "wbps", &block_io.throttle_write_bps_device),
        ("blockIO.throttleReadIOPSDevice", "riops", &block_io.throttle_read_iops_device),
        ("blockIO.throttleWriteIOPSDevice", "wiops", &block_io.throttle_write_iops_device),
    ];
    for (field, word, devices) in throttles {
        let value = |device: &ThrottleDevice| format!("{}:{} {word}={}", device.major, device.minor, device.rate);
        writes.extend(devices.iter().map(|device| Write::new(field, "io", "io.max", value(device))));
    }
}

/// The same in both versions.
pub fn rdma(limits: &BTreeMap<String, Rdma>) -> impl Iterator<Item = Write> {
    limits.iter().map(|(device, limit)| {
        let words = [("hca_handle", limit.hca_handles), ("hca_object", limit.hca_objects)];
        let words = words.iter().filter_map(|(word, value)| Some(format!(" {word}={}", value.as_ref()?)));
        Write::new("rdma", "rdma", "rdma.max", words.fold(device.clone(), |line, word| line + &word))
    })
}
