//! `linux.resources`: what it may say, checked before anything is made, and how it reaches a cgroup. What is not asked for is not touched;
//! what is asked for and cannot be had is an error. Values and their conversions are runc's (opencontainers/cgroups).

mod conversions;
mod device_program;
mod device_rules;
pub mod stats;
mod version1;
mod version2;
mod wanted;

pub use wanted::{BlockIo, Cpu, Memory, Pids, Resources};

use crate::cgroups::Cgroup;
use crate::error::{CGROUP, Context, FEATURE, NativeError, Result, unsupported};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

/// One value for one file of a cgroup.
#[derive(Debug, PartialEq, Eq)]
struct Write {
    /// What of config.json asks for it.
    field: &'static str,
    controller: &'static str,
    /// File and value, by the names that different kernels have: the first that is there is written.
    choices: Vec<(String, String)>,
    /// No such file is no error.
    is_optional: bool,
}

impl Write {
    fn new(field: &'static str, controller: &'static str, file: impl Into<String>, value: impl ToString) -> Self {
        Self { field, controller, choices: vec![(file.into(), value.to_string())], is_optional: false }
    }

    fn or(mut self, file: impl Into<String>, value: impl ToString) -> Self {
        self.choices.push((file.into(), value.to_string()));
        self
    }

    fn if_there(self) -> Self {
        Self { is_optional: true, ..self }
    }

    fn perform(&self, cgroup: &Cgroup) -> Result<()> {
        let Some(directory) = cgroup.path_of(self.controller) else { return self.without(cgroup, self.controller) };
        for (file, value) in &self.choices {
            match write_existing(&directory.join(file), value) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => return result.at(CGROUP, &format!("set linux.resources.{} to {value:?} by", self.field), directory.join(file)),
            }
        }
        if self.is_optional { Ok(()) } else { self.without(cgroup, &self.choices[0].0) }
    }

    fn without(&self, cgroup: &Cgroup, what: &str) -> Result<()> {
        let why = match cgroup.withheld_by(self.controller) {
            Some(above) => format!("{} has processes of its own, and gives no controller to cgroups below it", above.display()),
            None => format!("this machine's cgroups lack {what}"),
        };
        Err(NativeError::new(FEATURE, "set limits").detail(format!("linux.resources.{} cannot be had: {why}", self.field)))
    }
}

/// Never makes a file: one that a cgroup does not have is missing.
fn write_existing(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).truncate(true).open(path)?.write_all(value.as_bytes())
}

impl Resources {
    /// What is not listed may not be opened.
    pub fn guards_devices(&self) -> bool {
        !self.devices.is_empty() && device_rules::read(&self.devices).is_ok_and(|rules| !rules.allows_by_default)
    }

    /// On a cgroup that exists.
    pub fn apply(&self, cgroup: &Cgroup) -> Result<()> {
        self.apply_limits(cgroup)?;
        if self.devices.is_empty() {
            return Ok(());
        }
        let rules = device_rules::read(&self.devices)?;
        if cgroup.is_unified() {
            return device_program::attach(&device_program::generate(&rules), cgroup.path_of("").unwrap_or(Path::new("")));
        }
        rules.writes().iter().try_for_each(|write| write.perform(cgroup))
    }

    /// All but the devices, which do not change while a container lives.
    pub fn apply_limits(&self, cgroup: &Cgroup) -> Result<()> {
        self.check_usage(cgroup)?;
        let writes = match cgroup.is_unified() {
            true => version2::writes(self, cgroup)?,
            false if !self.unified.is_empty() => return Err(unsupported("linux.resources.unified on cgroups of version 1")),
            false => version1::writes(self),
        };
        // One limit may be taken only after another: a period after its quota, memory after memory and swap.
        let mut refused = Vec::new();
        for write in &writes {
            match write.perform(cgroup) {
                Err(error) if error.errno.as_deref() == Some("EINVAL") => refused.push(write),
                result => result?,
            }
        }
        refused.iter().try_for_each(|write| write.perform(cgroup))
    }

    /// `checkBeforeUpdate`: better no new limit than one that kills at once.
    fn check_usage(&self, cgroup: &Cgroup) -> Result<()> {
        let (true, Some(limit)) = (self.memory.check_before_update, self.memory.limit.filter(|limit| *limit > 0)) else { return Ok(()) };
        let file = if cgroup.is_unified() { "memory.current" } else { "memory.usage_in_bytes" };
        match cgroup.path_of("memory").and_then(|directory| stats::number(&directory.join(file))) {
            Some(usage) if usage > limit.unsigned_abs() => {
                let detail = format!("linux.resources.memory.limit: {usage} bytes are in use already, more than {limit}");
                Err(NativeError::new(CGROUP, "set limits").detail(detail))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
