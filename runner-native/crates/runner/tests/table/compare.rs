//! What is the same and what is not, of one row: fact by fact over all runtimes that could run it. Decides only.

use crate::accepted::{Difference, EVERYWHERE};
use crate::case::Case;
use crate::runtimes::{Facts, Seen, Who};
use std::collections::BTreeSet;

#[derive(Default)]
pub struct Comparison {
    /// So many were the same under ours and at least one other.
    pub facts: usize,
    pub others: Vec<&'static str>,
    /// For the reader: who could not run it and why, what differs as it may.
    pub notes: Vec<String>,
    pub problems: Vec<String>,
    /// The reasons of the differences for all rows that this row has.
    pub used: BTreeSet<&'static str>,
}

pub fn compare(case: &Case, seen: &[Seen]) -> Comparison {
    if case.is_refused {
        return compare_refusals(seen);
    }
    let mut comparison = Comparison::default();
    for Seen { who, error, .. } in seen {
        match (who, error) {
            (Who::Ours, Some(error)) => comparison.problems.push(format!("tbuild-runner cannot run it: {error}")),
            (_, Some(error)) => comparison.notes.push(format!("{} cannot run it here: {error}", who.name())),
            (Who::Ours, None) => {}
            (_, None) => comparison.others.push(who.name()),
        }
    }
    let ran: Vec<(Who, &Facts)> = seen.iter().filter(|seen| seen.error.is_none()).map(|seen| (seen.who, &seen.facts)).collect();
    let mut used_here = BTreeSet::new();
    let keys: BTreeSet<&str> = ran.iter().flat_map(|(_, facts)| facts.keys().map(String::as_str)).collect();
    for key in keys {
        let values: Vec<(Who, Option<&str>)> = ran.iter().map(|(who, facts)| (*who, facts.get(key).map(String::as_str))).collect();
        let accepted = |who: Who| {
            let covers = |difference: &&Difference| difference.of == who && difference.keys.iter().any(|pattern| matches(pattern, key));
            case.accepted.iter().find(covers).or(EVERYWHERE.iter().find(covers))
        };
        let (excused, held): (Vec<_>, Vec<_>) = values.iter().copied().partition(|(who, _)| accepted(*who).is_some());
        if held.windows(2).any(|pair| pair[0].1 != pair[1].1) {
            let list: Vec<String> = held
                .iter()
                .map(|(who, value)| format!("{} {}", who.name(), value.map_or("none".into(), |value| format!("{value:?}"))))
                .collect();
            comparison.problems.push(format!("{key}: {}", list.join(", ")));
        } else if held.len() > 1 && held[0].0 == Who::Ours {
            comparison.facts += 1;
        }
        for (who, value) in excused {
            if values.iter().any(|(_, other)| *other != value)
                && let Some(difference) = accepted(who)
            {
                used_here.insert(difference.why);
            }
        }
    }
    for difference in &case.accepted {
        match used_here.contains(difference.why) {
            true => comparison.notes.push(format!("{} differs: {}", difference.of.name(), difference.why)),
            false if difference.is_certain && ran.len() > 1 && ran.iter().any(|(who, _)| *who == difference.of) => {
                comparison.problems.push(format!("{} does not differ any more: {}", difference.of.name(), difference.why));
            }
            false => {}
        }
    }
    comparison.used = used_here;
    comparison
}

/// All must say no; how they say it is their own.
fn compare_refusals(seen: &[Seen]) -> Comparison {
    let mut comparison = Comparison::default();
    for Seen { who, error, .. } in seen {
        match (who, error) {
            (Who::Ours, None) => comparison.problems.push("tbuild-runner runs it".into()),
            (Who::Ours, Some(error)) => comparison.notes.push(format!("tbuild-runner: {error}")),
            (_, None) => comparison.notes.push(format!("{} runs it", who.name())),
            (_, Some(_)) => comparison.others.push(who.name()),
        }
    }
    comparison.facts = usize::from(!comparison.others.is_empty());
    comparison
}

/// `*` is any text.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => {
            text.strip_prefix(start).is_some_and(|tail| (0..=tail.len()).any(|at| tail.is_char_boundary(at) && matches(rest, &tail[at..])))
        }
    }
}
