//! What commands print on standard output: lines, JSON, tables as runc's.

use crate::arguments::usage;
use std::io::Write;
use tbuild_runtime::error::{Context, PROCESS, Result};

/// Returns the exit status.
pub fn say(text: &str) -> Result<i32> {
    writeln!(std::io::stdout(), "{text}").during(PROCESS, "write")?;
    Ok(0)
}

pub fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let line = |row: &[String; N]| -> String {
        let cells: Vec<String> = row.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = width(column))).collect();
        cells.join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

pub fn wants_json(format: &str) -> Result<bool> {
    match format {
        "json" => Ok(true),
        "table" => Ok(false),
        other => Err(usage(format!("--format is table or json, not {other:?}"))),
    }
}
