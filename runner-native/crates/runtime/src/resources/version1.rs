//! Limits as files of cgroups of version 1 (Documentation/admin-guide/cgroup-v1).

use super::wanted::{BlockIo, Cpu, Memory, Resources, ThrottleDevice};
use super::{Write, conversions};

pub fn writes(resources: &Resources) -> Vec<Write> {
    let mut writes = Vec::new();
    cpu(&resources.cpu, &mut writes);
    memory(&resources.memory, &mut writes);
    if resources.pids.limit != 0 {
        writes.push(Write::new("pids", "pids", "pids.max", conversions::or_max(resources.pids.limit)));
    }
    block_io(&resources.block_io, &mut writes);
    for limit in &resources.hugepage_limits {
        let file = |kind: &str| format!("hugetlb.{}{kind}.limit_in_bytes", limit.page_size);
        writes.push(Write::new("hugepageLimits", "hugetlb", file(""), limit.limit));
        writes.push(Write::new("hugepageLimits", "hugetlb", file(".rsvd"), limit.limit).if_there());
    }
    if let Some(class) = resources.network.class_id.filter(|class| *class != 0) {
        writes.push(Write::new("network.classID", "net_cls", "net_cls.classid", class));
    }
    for priority in &resources.network.priorities {
        let value = format!("{} {}", priority.name, priority.priority);
        writes.push(Write::new("network.priorities", "net_prio", "net_prio.ifpriomap", value));
    }
    writes.extend(super::version2::rdma(&resources.rdma));
    writes
}

fn cpu(cpu: &Cpu, writes: &mut Vec<Write>) {
    for (field, file, list) in [("cpu.cpus", "cpuset.cpus", &cpu.cpus), ("cpu.mems", "cpuset.mems", &cpu.mems)] {
        if !list.is_empty() {
            writes.push(Write::new(field, "cpuset", file, list));
        }
    }
    let numbers = [
        ("cpu.shares", "cpu.shares", cpu.shares),
        ("cpu.period", "cpu.cfs_period_us", cpu.period),
        ("cpu.burst", "cpu.cfs_burst_us", cpu.burst),
        ("cpu.realtimePeriod", "cpu.rt_period_us", cpu.realtime_period),
    ];
    let signed = [("cpu.quota", "cpu.cfs_quota_us", cpu.quota), ("cpu.realtimeRuntime", "cpu.rt_runtime_us", cpu.realtime_runtime)];
    writes.extend(numbers.into_iter().filter_map(|(field, file, value)| Some(Write::new(field, "cpu", file, value.filter(|v| *v != 0)?))));
    writes.extend(signed.into_iter().filter_map(|(field, file, value)| Some(Write::new(field, "cpu", file, value.filter(|v| *v != 0)?))));
    writes.extend(cpu.idle.map(|idle| Write::new("cpu.idle", "cpu", "cpu.idle", idle)));
}

fn memory(memory: &Memory, writes: &mut Vec<Write>) {
    // Who lifts the limit of memory means swap as well, where the kernel counts it.
    let lifts_both = memory.limit == Some(-1) && memory.swap.is_none_or(|swap| swap == 0);
    if lifts_both {
        writes.push(Write::new("memory.swap", "memory", "memory.memsw.limit_in_bytes", -1).if_there());
    }
    let limits = [
        ("memory.limit", "memory.limit_in_bytes", memory.limit),
        ("memory.swap", "memory.memsw.limit_in_bytes", memory.swap),
        ("memory.reservation", "memory.soft_limit_in_bytes", memory.reservation),
        ("memory.kernel", "memory.kmem.limit_in_bytes", memory.kernel),
        ("memory.kernelTCP", "memory.kmem.tcp.limit_in_bytes", memory.kernel_tcp),
    ];
    writes
        .extend(limits.into_iter().filter_map(|(field, file, value)| Some(Write::new(field, "memory", file, value.filter(|v| *v != 0)?))));
    writes.extend(memory.swappiness.map(|value| Write::new("memory.swappiness", "memory", "memory.swappiness", value)));
    if memory.disable_oom_killer {
        writes.push(Write::new("memory.disableOOMKiller", "memory", "memory.oom_control", 1));
    }
}

fn block_io(block_io: &BlockIo, writes: &mut Vec<Write>) {
    if let Some(weight) = block_io.weight.filter(|weight| *weight != 0) {
        writes.push(Write::new("blockIO.weight", "blkio", "blkio.weight", weight).or("blkio.bfq.weight", weight));
    }
    if let Some(weight) = block_io.leaf_weight.filter(|weight| *weight != 0) {
        writes.push(Write::new("blockIO.leafWeight", "blkio", "blkio.leaf_weight", weight));
    }
    for device in &block_io.weight_device {
        let of = |weight: u16| format!("{}:{} {weight}", device.major, device.minor);
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            let write = Write::new("blockIO.weightDevice", "blkio", "blkio.weight_device", of(weight));
            writes.push(write.or("blkio.bfq.weight_device", of(weight)));
        }
        if let Some(weight) = device.leaf_weight.filter(|weight| *weight != 0) {
            writes.push(Write::new("blockIO.weightDevice", "blkio", "blkio.leaf_weight_device", of(weight)));
        }
    }
    let throttles: [(&'static str, &str, &[ThrottleDevice]); 4] = [
        ("blockIO.throttleReadBpsDevice", "blkio.throttle.read_bps_device", &block_io.throttle_read_bps_device),
        ("blockIO.throttleWriteBpsDevice", "blkio.throttle.write_bps_device", &block_io.throttle_write_bps_device),
        ("blockIO.throttleReadIOPSDevice", "blkio.throttle.read_iops_device", &block_io.throttle_read_iops_device),
        ("blockIO.throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", &block_io.throttle_write_iops_device),
    ];
    for (field, file, devices) in throttles {
        let value = |device: &ThrottleDevice| format!("{}:{} {}", device.major, device.minor, device.rate);
        writes.extend(devices.iter().map(|device| Write::new(field, "blkio", file, value(device))));
    }
}
