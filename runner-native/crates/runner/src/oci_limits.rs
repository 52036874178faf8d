//! `update` and `events`, with runc's flags: new limits for a container that runs, and what it takes.

use crate::answers::say;
use crate::arguments::{text, the_one, usage, wrong};
use lexopt::prelude::*;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use tbuild_runtime::error::{Result, unsupported};
use tbuild_runtime::resources::Resources;
use tbuild_runtime::{config_file, events, lifecycle};

pub fn update(root: &Path, mut parser: lexopt::Parser) -> Result<i32> {
    let (mut resources, mut ids, mut file) = (Resources::default(), Vec::new(), None);
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Long("resources") | Short('r') => file = Some(text(&mut parser)?),
            Long(flag) => {
                let flag = flag.to_owned();
                set(&mut resources, &flag, &text(&mut parser)?)?;
            }
            Value(id) => ids.push(id.to_string_lossy().into_owned()),
            other => return Err(wrong(other.unexpected())),
        }
    }
    if let Some(file) = file {
        // As with runc nothing else counts then.
        resources = read(&file)?;
    }
    lifecycle::update(root, the_one(&ids)?, &resources)?;
    Ok(0)
}

fn read(file: &str) -> Result<Resources> {
    let json = match file {
        "-" => config_file::read_from(std::io::stdin(), Path::new(file))?,
        path => config_file::read(Path::new(path))?,
    };
    config_file::parse_as(file, &json)
}

fn set(resources: &mut Resources, flag: &str, value: &str) -> Result<()> {
    let Resources { memory, cpu, pids, block_io, .. } = resources;
    match flag {
        "memory" => memory.limit = Some(bytes(flag, value)?),
        "memory-reservation" => memory.reservation = Some(bytes(flag, value)?),
        "memory-swap" => memory.swap = Some(bytes(flag, value)?),
        "kernel-memory" => memory.kernel = Some(bytes(flag, value)?),
        "kernel-memory-tcp" => memory.kernel_tcp = Some(bytes(flag, value)?),
        "cpu-period" => cpu.period = Some(number(flag, value)?),
        "cpu-quota" => cpu.quota = Some(number(flag, value)?),
        "cpu-burst" => cpu.burst = Some(number(flag, value)?),
        "cpu-share" => cpu.shares = Some(number(flag, value)?),
        "cpu-rt-period" => cpu.realtime_period = Some(number(flag, value)?),
        "cpu-rt-runtime" => cpu.realtime_runtime = Some(number(flag, value)?),
        "cpu-idle" => cpu.idle = Some(number(flag, value)?),
        "cpuset-cpus" => cpu.cpus = value.into(),
        "cpuset-mems" => cpu.mems = value.into(),
        "pids-limit" => pids.limit = number(flag, value)?,
        "blkio-weight" => block_io.weight = Some(number(flag, value)?),
        "l3-cache-schema" | "mem-bw-schema" => return Err(unsupported(&format!("--{flag} (Intel RDT)"))),
        _ => return Err(usage(format!("invalid option '--{flag}'"))),
    }
    Ok(())
}

fn number<T: FromStr>(flag: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| usage(format!("--{flag} takes a number, not {value:?}")))
}

/// `536870912`, `512m`, `1.5GiB`: powers of 1024 (docker/go-units, RAMInBytes); -1 is no limit.
fn bytes(flag: &str, value: &str) -> Result<i64> {
    let wrong = || usage(format!("--{flag} takes bytes, as 512m, or -1, not {value:?}"));
    if value == "-1" {
        return Ok(-1);
    }
    let digits = value.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = value[digits.len()..].trim_start().to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if unit != "ib" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(wrong()),
    };
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let count: f64 = digits.parse().ok().filter(|_| is_plain).ok_or_else(wrong)?;
    let bytes = count * f64::from(2).powi(power);
    if (0.0..9.2e18).contains(&bytes) { Ok(bytes as i64) } else { Err(wrong()) }
}

pub fn events(root: &Path, mut parser: lexopt::Parser) -> Result<i32> {
    let (mut once, mut interval, mut ids) = (false, Duration::from_secs(5), Vec::new());
    while let Some(argument) = parser.next().map_err(wrong)? {
        match argument {
            Long("stats") => once = true,
            Long("interval") => interval = duration(&text(&mut parser)?)?,
            Value(id) => ids.push(id.to_string_lossy().into_owned()),
            other => return Err(wrong(other.unexpected())),
        }
    }
    let (root, id): (&Path, &str) = (root, the_one(&ids)?);
    if once {
        return say(&events::stats(root, id)?.to_string());
    }
    events::follow(root, id, interval, |event| say(&event.to_string()).map(drop))?;
    Ok(0)
}

/// As Go's time.ParseDuration reads the simple ones: `5s`, `500ms`, `1.5m`.
fn duration(text: &str) -> Result<Duration> {
    let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit_s = match &text[number.len()..] {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => 0.0,
    };
    let seconds = number.parse::<f64>().map_or(0.0, |count| count * unit_s);
    let duration = Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero());
    duration.ok_or_else(|| usage(format!("--interval takes a time, as 5s, not {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units() {
        for (text, expected) in [("0", 0), ("1024", 1024), ("512m", 512 << 20), ("1.5GiB", 3 << 29), ("2 kb", 2048), ("5b", 5), ("-1", -1)]
        {
            assert_eq!(bytes("memory", text).unwrap(), expected, "{text}");
        }
        for text in ["", "m", "-2", "1x", "1ib", "one", "1e3", "99999999p"] {
            assert!(bytes("memory", text).is_err(), "{text}");
        }
    }

    #[test]
    fn intervals_have_units() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("1.5m").unwrap(), Duration::from_secs(90));
        for text in ["", "5", "0s", "-1s", "s", "5x", "1e400s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
