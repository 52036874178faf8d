//! A new time namespace: made by the parent, for only a process's children are born into it, and its clocks can be set only before.

use crate::container::explain_clone;
use crate::error::{Context, NAMESPACE, Result, invalid};
use crate::plan::Namespaces;
use crate::spec::TimeOffset;
use crate::sys;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::collections::BTreeMap;

/// Lines as the kernel takes them (time_namespaces(7)).
pub fn offsets(offsets: &BTreeMap<String, TimeOffset>, is_new: bool) -> Result<String> {
    if !offsets.is_empty() && !is_new {
        return Err(invalid("linux.timeOffsets", "need a new time namespace"));
    }
    let mut lines = String::new();
    for (clock, TimeOffset { secs, nanosecs }) in offsets {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(invalid("linux.timeOffsets", format!("there is no clock {clock:?}: monotonic or boottime is meant")));
        }
        if *nanosecs > 999_999_999 {
            return Err(invalid("linux.timeOffsets", format!("{nanosecs} nanoseconds of {clock} are a second or more")));
        }
        lines.push_str(&format!("{clock} {secs} {nanosecs}\n"));
    }
    Ok(lines)
}

/// While it lives children are born into a new namespace; ours after the container belong to our own.
pub struct ForChildren(OwnedFd);

impl ForChildren {
    pub fn make(namespaces: &Namespaces) -> Result<Option<Self>> {
        if !namespaces.is_new(libc::CLONE_NEWTIME) {
            return Ok(None);
        }
        let open = rustix::fs::open("/proc/self/ns/time", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let own = Self(open.during(NAMESPACE, "open our time namespace")?);
        sys::unshare(libc::CLONE_NEWTIME).map_err(explain_clone)?;
        if !namespaces.time_offsets.is_empty() {
            std::fs::write("/proc/self/timens_offsets", &namespaces.time_offsets).at(NAMESPACE, "set", "/proc/self/timens_offsets")?;
        }
        Ok(Some(own))
    }
}

impl Drop for ForChildren {
    fn drop(&mut self) {
        let _ = sys::set_namespace(self.0.as_fd(), libc::CLONE_NEWTIME);
    }
}
