//! What version 1 counts in other units than version 2. The formulas are those of runc (opencontainers/cgroups, utils.go).

use crate::error::{Result, invalid};

/// Shares of 2 … 262144 as a weight of 1 … 10000, so that the defaults meet: 1024 is 100.
pub fn weight_of_shares(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    let log = (shares as f64).log2();
    10_f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0).ceil() as u64
}

/// 10 … 1000 as 1 … 10000.
pub fn io_weight(block_io_weight: u16) -> u64 {
    1 + u64::from(block_io_weight.saturating_sub(10)) * 9999 / 990
}

/// Swap alone, of memory and swap together. `None`: nothing is asked for; -1: no limit.
pub fn swap_alone(memory_and_swap: Option<i64>, memory: Option<i64>) -> Result<Option<i64>> {
    match (memory_and_swap.filter(|swap| *swap != 0), memory.filter(|memory| *memory != 0)) {
        // Who lifts the limit of memory means swap as well.
        (None, Some(-1)) => Ok(Some(-1)),
        (None, _) => Ok(None),
        (Some(-1), _) => Ok(Some(-1)),
        (Some(_), None | Some(-1)) => Err(invalid("linux.resources.memory.swap", "a limit needs one of memory")),
        (Some(both), Some(memory)) if both < memory => {
            Err(invalid("linux.resources.memory.swap", format!("{both} is memory and swap together, and less than memory alone, {memory}")))
        }
        (Some(both), Some(memory)) => Ok(Some(both - memory)),
    }
}

/// Version 2's word for no limit.
pub fn or_max(value: i64) -> String {
    if value < 0 { "max".into() } else { value.to_string() }
}
