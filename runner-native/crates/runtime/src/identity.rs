//! Who the command is: limits, user and groups, capabilities, seccomp filter. The order is the kernel's: each step takes away the right
//! to do the one before.

use crate::error::{Context, IDS, NativeError, PROCESS, Result};
use crate::plan::{PlannedCapabilities, PlannedProcess};
use crate::seccomp_agent::Guard;
use crate::user_namespace;
use rustix::fs::{FileType, Gid, Mode, Uid, fchown, fstat};
use rustix::io::Errno;
use rustix::stdio::{stderr, stdin, stdout};
use rustix::thread::{
    CapabilitySet, clear_ambient_capability_set, configure_capability_in_ambient_set, remove_capability_from_bounding_set,
    set_capabilities, set_keep_capabilities, set_no_new_privs, set_thread_res_gid, set_thread_res_uid,
};

/// Raising a hard limit needs CAP_SYS_RESOURCE: without it the container keeps ours.
pub fn set_rlimits(process: &PlannedProcess) {
    for (resource, limit) in &process.rlimits {
        if let Err(errno) = rustix::process::setrlimit(*resource, *limit)
            && std::env::var_os("TBUILD_DEBUG").is_some()
        {
            eprintln!("debug: cannot set {resource:?} to {limit:?}: {errno}");
        }
    }
}

/// So that the container's user can open /dev/stdout and /dev/stderr (runc: fixStdioPermissions). Only pipes: nobody else's files.
pub fn give_streams(uid: u32) {
    for stream in [stdin(), stdout(), stderr()] {
        if fstat(stream).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo && stat.st_uid != uid) {
            let _ = fchown(stream, Some(Uid::from_raw(uid)), None::<Gid>);
        }
    }
}

/// Leaves a filter that needs no privilege to the caller: the later it is set, the fewer of our own calls it must allow.
pub fn assume(process: &PlannedProcess, filter: Option<&Guard>) -> Result<()> {
    let user = &process.user;
    if process.no_new_privileges {
        set_no_new_privs(true).during(PROCESS, "set no_new_privs")?;
    } else if let Some(filter) = filter {
        filter.set()?; // needs CAP_SYS_ADMIN, which is about to go
    }
    limit_bounding_set(process.capabilities.bounding)?;
    set_keep_capabilities(true).during(PROCESS, "keep capabilities")?;
    let groups: Vec<Gid> = user.additional_gids.iter().copied().map(Gid::from_raw).collect();
    user_namespace::set_groups(&groups).map_err(|error| explain_id(error, &format!("one of the groups {:?}", user.additional_gids)))?;
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    let group = format!("the group {}", user.gid);
    set_thread_res_gid(gid, gid, gid).during(PROCESS, &format!("become {group}")).map_err(|error| explain_id(error, &group))?;
    let name = format!("the user {}", user.uid);
    set_thread_res_uid(uid, uid, uid).during(PROCESS, &format!("become {name}")).map_err(|error| explain_id(error, &name))?;
    rustix::process::umask(Mode::from_raw_mode(user.umask.unwrap_or(0o022)));
    set_capability_sets(&process.capabilities)
}

/// What nobody is mapped to is no id (setresuid(2)).
fn explain_id(error: NativeError, who: &str) -> NativeError {
    match error.errno.as_deref() {
        Some("EINVAL") => {
            let detail = format!("cannot become {who}: the container's user namespace has no such id");
            NativeError { code: IDS.into(), ..error }.detail(detail)
        }
        _ => error,
    }
}

fn limit_bounding_set(keep: CapabilitySet) -> Result<()> {
    for number in 0..CapabilitySet::empty().bits().count_zeros() {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if keep.contains(capability) {
            continue;
        }
        match remove_capability_from_bounding_set(capability) {
            Err(Errno::INVAL) => break, // past the last that this kernel has
            result => result.during(PROCESS, "limit the capabilities")?,
        }
    }
    Ok(())
}

fn set_capability_sets(capabilities: &PlannedCapabilities) -> Result<()> {
    set_capabilities(None, capabilities.sets).during(PROCESS, "set the capabilities")?;
    match clear_ambient_capability_set() {
        Ok(()) | Err(Errno::INVAL) => {}
        result => return result.during(PROCESS, "clear the ambient capabilities"),
    }
    let mut ambient = capabilities.ambient.iter();
    let raised = ambient.try_for_each(|capability| configure_capability_in_ambient_set(capability, true));
    raised.during(PROCESS, "set the ambient capabilities")
}
