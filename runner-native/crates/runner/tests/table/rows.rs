//! The rows: what each changes in a configuration like Docker's, and in what runtimes may differ then.

use crate::accepted::{Difference, difference};
use crate::case::Case;
use crate::runtimes::Who;
use crate::{rows_files, rows_isolation, rows_process};

pub struct Row {
    pub name: &'static str,
    pub set_up: Box<dyn Fn(&mut Case)>,
    pub accepted: Vec<Difference>,
}

pub fn row(name: &'static str, set_up: impl Fn(&mut Case) + 'static) -> Row {
    Row { name, set_up: Box::new(set_up), accepted: Vec::new() }
}

impl Row {
    /// These facts of that runtime are not compared.
    pub fn but(mut self, of: Who, keys: &'static [&'static str], why: &'static str) -> Self {
        self.accepted.push(difference(of, keys, why));
        self
    }

    pub fn perhaps(mut self, of: Who, keys: &'static [&'static str], why: &'static str) -> Self {
        self.accepted.push(Difference { is_certain: false, ..difference(of, keys, why) });
        self
    }
}

pub fn all() -> Vec<Row> {
    let all = [
        rows_isolation::namespaces(),
        rows_files::root_and_paths(),
        rows_files::binds(),
        rows_files::other_mounts(),
        rows_isolation::cgroups(),
        rows_isolation::devices(),
        rows_process::identity(),
        rows_process::limits_and_settings(),
        rows_process::seccomp(),
        rows_process::terminals(),
        rows_process::hooks(),
        rows_process::execs(),
        rows_isolation::refusals(),
    ];
    all.into_iter().flatten().collect()
}
