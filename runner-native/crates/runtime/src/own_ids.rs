//! Who is not root makes himself root of a user namespace before any file work: 0 in it is his own account, and the ids from 1 on are
//! those that /etc/subuid and /etc/subgid give him. So owners on disk are real ones, the same for every process that does this. Without
//! such ids, or the programs that hand them out, there is his own alone. Assumes a process of one thread.

use crate::channel::{self, Message};
use crate::error::{Context, NAMESPACE, NO_NAMESPACE, NativeError, PROCESS, Result};
use crate::id_helpers;
use crate::sys::{self, Clone};
use crate::user_namespace::{IdMaps, IdRange};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, getegid, geteuid, getpid, waitpid};
use serde::Serialize;

/// Ids that files and processes can have.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnIds {
    pub uids: u64,
    pub gids: u64,
    /// Why there is only one.
    pub why_one: Option<String>,
}

/// Nothing for root, who has them all.
pub fn enter() -> Result<Option<OwnIds>> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    if uid == 0 {
        return Ok(None);
    }
    let why_one = match id_helpers::ids_of_account(uid) {
        Ok((others_uids, others_gids)) => {
            let (uids, gids) = (from_zero(uid, &others_uids), from_zero(gid, &others_gids));
            let ids = OwnIds { uids: total(&uids), gids: total(&gids), why_one: None };
            match enter_with(&IdMaps::read("", uids, gids)?)? {
                None => return Ok(Some(ids)),
                Some(why) => why,
            }
        }
        Err(why) => {
            make_namespace()?;
            why
        }
    };
    let alone = IdMaps::read("", from_zero(uid, &[]), from_zero(gid, &[]))?;
    alone.give_to(getpid())?;
    Ok(Some(OwnIds { uids: 1, gids: 1, why_one: Some(why_one) }))
}

fn from_zero(own: u32, others: &[(u32, u32)]) -> Vec<IdRange> {
    let mut next: u32 = 0;
    let ranges = std::iter::once((own, 1)).chain(others.iter().copied());
    let ranges = ranges.map(|(host, size)| {
        let container = next;
        next = next.saturating_add(size);
        IdRange { container, host, size }
    });
    ranges.collect()
}

fn total(ranges: &[IdRange]) -> u64 {
    ranges.iter().map(|range| u64::from(range.size)).sum()
}

/// Some: why these ids could not be had. In the namespace then nobody is mapped yet.
fn enter_with(maps: &IdMaps) -> Result<Option<String>> {
    let (parent, child) = channel::pair()?;
    let us = getpid();
    // The programs have their rights where we are now, which we are about to leave.
    let helper = match sys::clone(0).during(PROCESS, "start a process")? {
        Clone::Child => {
            drop(parent);
            match child.wait_for_go().and_then(|()| maps.give_by_helpers(us)) {
                Ok(()) => drop(child.say_ready()),
                Err(error) => child.send_error(error),
            }
            sys::exit_now(0)
        }
        Clone::Parent { pid, .. } => pid,
    };
    drop(child);
    let said = make_namespace().and_then(|()| parent.go()).and_then(|()| parent.receive());
    drop(parent);
    wait_for(helper);
    match said? {
        Message::Ready => Ok(None),
        Message::Failed(error) if error.op == id_helpers::FIRST => Ok(Some(error.detail)),
        Message::Failed(error) => Err(error),
        _ => Err(NativeError::new(NAMESPACE, "map ids").detail("the process that was to map ids ended before it had")),
    }
}

fn wait_for(process: Pid) {
    let _ = rustix::io::retry_on_intr(|| waitpid(Some(process), WaitOptions::empty()));
}

fn make_namespace() -> Result<()> {
    sys::unshare(libc::CLONE_NEWUSER).map_err(|errno| {
        let error = NativeError { code: NO_NAMESPACE.into(), ..NativeError::io("make a user namespace", errno) };
        let detail = match errno {
            Errno::NOSPC => "no more user namespaces are allowed here: raise /proc/sys/user/max_user_namespaces".to_owned(),
            Errno::PERM | Errno::ACCESS => "only root may make user namespaces here: allow it (sysctl kernel.unprivileged_userns_clone=1, \
                 kernel.apparmor_restrict_unprivileged_userns=0), or run tbuild as root"
                .to_owned(),
            _ => format!("cannot make a user namespace: {}", error.detail),
        };
        error.detail(detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_root_and_its_further_ids_follow() {
        let ranges = from_zero(1000, &[(100_000, 65_536), (300_000, 10)]);
        let shown: Vec<_> = ranges.iter().map(|range| (range.container, range.host, range.size)).collect();
        assert_eq!(shown, [(0, 1000, 1), (1, 100_000, 65_536), (65_537, 300_000, 10)]);
        assert_eq!(total(&ranges), 65_547);
    }
}
