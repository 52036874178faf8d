//! The cgroup of a container that nothing is kept of: made when its first process waits to go on, gone with the container. Where this process
//! is killed meanwhile, the watcher removes it.

use crate::cgroups::Cgroup;
use crate::error::Result;
use crate::resources::{Resources, stats};
use rustix::process::Pid;

pub struct Limits<'a> {
    pub cgroup: Cgroup,
    pub resources: Option<&'a Resources>,
    /// Else another runtime does, and leaves it to us only where it was killed.
    pub makes: bool,
}

/// Ends with whatever is in it.
pub struct Limited(Cgroup);

impl Limits<'_> {
    pub fn impose(self, first: Pid) -> Result<Limited> {
        let limited = Limited(self.cgroup);
        if self.makes {
            limited.0.make()?;
            self.resources.map_or(Ok(()), |resources| resources.apply(&limited.0))?;
            limited.0.add(first)?;
        }
        Ok(limited)
    }
}

impl Limited {
    pub fn cgroup(&self) -> &Cgroup {
        &self.0
    }

    pub fn was_killed_for_memory(&self) -> bool {
        stats::memory_kills(&self.0) > 0
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = self.0.kill_all().and_then(|()| self.0.remove());
    }
}
