//! The table: one bundle after the other runs under tbuild-runner, crun and runc, with a probe in it that writes down all it sees, and what the
//! three probes saw is compared fact by fact. A difference is a failure, unless it is listed with its reason (accepted.rs, and beside its row).
//! This program is the probe as well, for it is static. It prints the table itself, so it has no test harness. Needs root.

#[path = "table/accepted.rs"]
mod accepted;
#[path = "table/case.rs"]
mod case;
#[path = "table/compare.rs"]
mod compare;
#[path = "table/probe.rs"]
mod probe;
#[path = "table/probe_calls.rs"]
mod probe_calls;
#[path = "table/rows.rs"]
mod rows;
#[path = "table/rows_files.rs"]
mod rows_files;
#[path = "table/rows_isolation.rs"]
mod rows_isolation;
#[path = "table/rows_process.rs"]
mod rows_process;
#[path = "table/runtimes.rs"]
mod runtimes;
mod support;

use compare::Comparison;
use rows::Row;
use runtimes::{Seen, Who, Workshop};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

/// So many rows must really be compared with crun or runc.
const COMPARED_MIN: usize = 60;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments[0] == probe::PATH {
        return probe::main(&arguments[1..]);
    }
    // The one argument of `cargo test` that is of use here: rows whose names have it.
    let wanted = arguments.get(1).filter(|word| !word.starts_with('-'));
    let began = Instant::now();
    let mut table = Table::default();
    let workshop = Workshop::open();
    for row in rows::all().into_iter().filter(|row| wanted.is_none_or(|wanted| row.name.contains(wanted.as_str()))) {
        table.add(&row, &workshop);
    }
    table.end(began, wanted.is_none(), &workshop.installed)
}

#[derive(Default)]
struct Table {
    rows: usize,
    compared: usize,
    problems: usize,
    /// Those of accepted.rs that some row had, by their reason.
    used: BTreeMap<&'static str, usize>,
}

impl Table {
    fn add(&mut self, row: &Row, workshop: &Workshop) {
        let (case, seen) = workshop.run(row);
        let name = row.name;
        let Comparison { facts, others, notes, problems, used } = compare::compare(&case, &seen);
        self.rows += 1;
        self.compared += usize::from(!others.is_empty());
        self.problems += problems.len();
        used.into_iter().for_each(|why| *self.used.entry(why).or_default() += 1);
        let verdict = if problems.is_empty() { "ok" } else { "DIFFERENT" };
        say(&format!(
            "{name}: {verdict}, {facts} facts as under {}",
            if others.is_empty() { "no other".to_owned() } else { others.join(" and ") }
        ));
        notes.iter().chain(&problems).for_each(|line| say(&format!("    {line}")));
        if !problems.is_empty() {
            seen.iter().for_each(|seen| {
                if let Seen { who, error: Some(error), .. } = seen {
                    say(&format!("    {} said: {error}", who.name()))
                }
            });
        }
    }

    fn end(mut self, began: Instant, is_whole: bool, installed: &[Who]) -> ExitCode {
        say("\nAccepted in every row:");
        for difference in accepted::EVERYWHERE {
            let rows = self.used.get(difference.why).copied().unwrap_or_default();
            say(&format!("    {} ({rows} rows): {}", difference.of.name(), difference.why));
            if rows == 0 && is_whole && installed.len() > 1 && installed.contains(&difference.of) {
                self.problems += 1;
                say("        PROBLEM: no row has it any more");
            }
        }
        let Self { rows, compared, problems, .. } = self;
        say(&format!("\n{rows} rows, {compared} of them compared, {problems} problems, {:.1} s", began.elapsed().as_secs_f32()));
        if installed.len() == 1 {
            say("nothing was compared: neither crun nor runc is installed");
        }
        let is_enough = compared >= COMPARED_MIN || !is_whole || installed.len() == 1;
        if problems == 0 && is_enough { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
