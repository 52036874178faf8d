//! What a cgroup has taken so far, in the form of runc's `events --stats` (types/events.go), which podman and containerd read.
//! What is not there is left out.

use crate::cgroups::Cgroup;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// `max` is the largest number.
pub fn number(path: &Path) -> Option<u64> {
    match fs::read_to_string(path).ok()?.trim() {
        "max" => Some(u64::MAX),
        text => text.parse().ok(),
    }
}

/// How often the kernel killed for the limit of memory.
pub fn memory_kills(cgroup: &Cgroup) -> u64 {
    let file = if cgroup.is_unified() { "memory.events" } else { "memory.oom_control" };
    cgroup.path_of("memory").and_then(|directory| keyed(&directory.join(file)).get("oom_kill")?.as_u64()).unwrap_or(0)
}

pub fn read(cgroup: &Cgroup) -> Value {
    let directory = |controller: &str| cgroup.path_of(controller).unwrap_or(Path::new("/nowhere"));
    let (cpu, memory, block_io) = match cgroup.is_unified() {
        true => (cpu_v2(directory("")), memory_v2(directory("")), block_io_v2(directory(""))),
        false => (cpu_v1(directory("cpuacct"), directory("cpu")), memory_v1(directory("memory")), block_io_v1(directory("blkio"))),
    };
    json!({
        "cpu": cpu,
        "memory": memory,
        "pids": pids(directory("pids")),
        "blkio": block_io,
        "hugetlb": hugetlb(directory("hugetlb"), cgroup.is_unified()),
        "intel_rdt": {},
        "network_interfaces": null,
    })
}

fn cpu_v1(accounting: &Path, scheduling: &Path) -> Value {
    // USER_HZ is 100 on every platform that this runs on.
    const TICK_NS: u64 = 10_000_000;
    let of = |map: &Map<String, Value>, key: &str| map.get(key).and_then(Value::as_u64).unwrap_or(0);
    let (ticks, throttled) = (keyed(&accounting.join("cpuacct.stat")), keyed(&scheduling.join("cpu.stat")));
    let per_cpu = fs::read_to_string(accounting.join("cpuacct.usage_percpu")).unwrap_or_default();
    json!({
        "usage": {
            "total": number(&accounting.join("cpuacct.usage")),
            "percpu": per_cpu.split_whitespace().filter_map(|text| text.parse().ok()).collect::<Vec<u64>>(),
            "kernel": of(&ticks, "system") * TICK_NS,
            "user": of(&ticks, "user") * TICK_NS,
        },
        "throttling": {
            "periods": of(&throttled, "nr_periods"),
            "throttledPeriods": of(&throttled, "nr_throttled"),
            "throttledTime": of(&throttled, "throttled_time"),
        },
    })
}

fn cpu_v2(directory: &Path) -> Value {
    let stat = keyed(&directory.join("cpu.stat"));
    let of = |key: &str| stat.get(key).and_then(Value::as_u64).unwrap_or(0);
    json!({
        "usage": { "total": of("usage_usec") * 1000, "kernel": of("system_usec") * 1000, "user": of("user_usec") * 1000 },
        "throttling": {
            "periods": of("nr_periods"), "throttledPeriods": of("nr_throttled"), "throttledTime": of("throttled_usec") * 1000,
        },
    })
}

fn memory_v1(directory: &Path) -> Value {
    let entry = |kind: &str| {
        let value = |what: &str| number(&directory.join(format!("memory.{kind}{what}"))).unwrap_or(0);
        json!({
            "limit": value("limit_in_bytes"), "usage": value("usage_in_bytes"),
            "max": value("max_usage_in_bytes"), "failcnt": value("failcnt"),
        })
    };
    let raw = keyed(&directory.join("memory.stat"));
    json!({
        "cache": raw.get("cache"), "usage": entry(""), "swap": entry("memsw."), "kernel": entry("kmem."), "kernelTCP": entry("kmem.tcp."),
        "raw": raw,
    })
}

fn memory_v2(directory: &Path) -> Value {
    let value = |file: &str| number(&directory.join(file)).unwrap_or(0);
    let (limit, usage) = (value("memory.max"), value("memory.current"));
    let raw = keyed(&directory.join("memory.stat"));
    let failures = keyed(&directory.join("memory.events")).get("max").and_then(Value::as_u64).unwrap_or(0);
    json!({
        "cache": raw.get("file"),
        "usage": { "limit": limit, "usage": usage, "max": value("memory.peak"), "failcnt": failures },
        // Memory and swap together, as version 1 counts it.
        "swap": {
            "limit": limit.saturating_add(value("memory.swap.max")), "usage": usage + value("memory.swap.current"), "failcnt": 0,
        },
        "kernel": { "limit": 0, "failcnt": 0 }, "kernelTCP": { "limit": 0, "failcnt": 0 },
        "raw": raw,
    })
}

fn pids(directory: &Path) -> Value {
    let limit = number(&directory.join("pids.max")).filter(|limit| *limit != u64::MAX);
    json!({ "current": number(&directory.join("pids.current")).unwrap_or(0), "limit": limit.unwrap_or(0) })
}

/// `8:0 Read 4096`.
fn block_io_v1(directory: &Path) -> Value {
    let entries = |what: &str| -> Vec<Value> {
        // With BFQ as the scheduler its own files count, else those of the throttling.
        let texts = ["bfq", "throttle"].map(|from| fs::read_to_string(directory.join(format!("blkio.{from}.{what}"))).unwrap_or_default());
        let all = texts.iter().map(|text| text.lines().filter_map(block_io_line).collect::<Vec<_>>());
        all.into_iter().find(|entries| !entries.is_empty()).unwrap_or_default()
    };
    json!({ "ioServiceBytesRecursive": entries("io_service_bytes_recursive"), "ioServicedRecursive": entries("io_serviced_recursive") })
}

fn block_io_line(line: &str) -> Option<Value> {
    let mut words = line.split_whitespace();
    let (major, minor) = words.next()?.split_once(':')?;
    let (operation, value) = (words.next()?, words.next()?);
    Some(block_io_entry(major.parse().ok()?, minor.parse().ok()?, operation, value.parse().ok()?))
}

fn block_io_entry(major: u64, minor: u64, operation: &str, value: u64) -> Value {
    json!({ "major": major, "minor": minor, "op": operation, "value": value })
}

/// `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 …`.
fn block_io_v2(directory: &Path) -> Value {
    let text = fs::read_to_string(directory.join("io.stat")).unwrap_or_default();
    let entries = |names: [(&str, &str); 3]| -> Vec<Value> {
        let of_line = |line: &str| {
            let mut words = line.split_whitespace();
            let device = words.next().and_then(|word| word.split_once(':'));
            let device = device.and_then(|(major, minor)| Some((major.parse::<u64>().ok()?, minor.parse::<u64>().ok()?)));
            let entry = |word: &str| {
                let ((name, value), (major, minor)) = (word.split_once('=')?, device?);
                let (_, operation) = names.iter().find(|(known, _)| *known == name)?;
                Some(block_io_entry(major, minor, operation, value.parse().ok()?))
            };
            words.filter_map(entry).collect::<Vec<_>>()
        };
        text.lines().flat_map(of_line).collect()
    };
    json!({
        "ioServiceBytesRecursive": entries([("rbytes", "Read"), ("wbytes", "Write"), ("dbytes", "Discard")]),
        "ioServicedRecursive": entries([("rios", "Read"), ("wios", "Write"), ("dios", "Discard")]),
    })
}

/// By the size of pages.
fn hugetlb(directory: &Path, is_unified: bool) -> Map<String, Value> {
    // Version 2 does not keep the most that was used.
    let (usage, max) = if is_unified { ("current", "peak") } else { ("usage_in_bytes", "max_usage_in_bytes") };
    let names = fs::read_dir(directory).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let sizes = names.filter_map(|name| Some(name.strip_prefix("hugetlb.")?.strip_suffix(usage)?.strip_suffix('.')?.to_owned()));
    let sizes = sizes.filter(|size| !size.contains('.'));
    sizes
        .map(|size| {
            let value = |what: &str| number(&directory.join(format!("hugetlb.{size}.{what}"))).unwrap_or(0);
            let entry = json!({ "usage": value(usage), "max": value(max), "failcnt": value("failcnt") });
            (size, entry)
        })
        .collect()
}

/// `key number` lines.
fn keyed(path: &Path) -> Map<String, Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(key, value)| Some((key.to_owned(), Value::from(value.trim().parse::<u64>().ok()?)))).collect()
}
