//! `monitor clean`: what a monitor that was killed could not take along. With the lock in our hands nothing runs here, and nothing starts; where a
//! monitor has it nothing is to be done.

use crate::directory::Directory;
use crate::network;
use crate::spec::Spec;
use crate::state::{State, Status, now_ms};
use std::path::Path;
use tbuild_runtime::cgroups::Cgroup;
use tbuild_runtime::error::Result;

pub fn clean(path: &Path) -> Result<()> {
    let directory = Directory::open(path)?;
    let Some(_lock) = directory.lock()? else { return Ok(()) };
    directory.remove_socket();
    let spec = Spec::read(&directory)?;
    if let Some(mut state) = State::read(&directory).filter(|state| state.status != Status::Exited) {
        remove_cgroup(&spec)?;
        spec.network.as_ref().map_or(Ok(()), |spec| network::clean(spec, &directory))?;
        if !spec.remove_at_end {
            // Its end was that of its monitor, by a signal that nobody can refuse.
            if state.pid != 0 {
                state.exit_code = 128 + libc::SIGKILL;
                state.finished_at = now_ms();
            }
            (state.status, state.pid, state.monitor_pid) = (Status::Exited, 0, 0);
            return state.write(&directory);
        }
    }
    if spec.remove_at_end { directory.remove() } else { Ok(()) }
}

fn remove_cgroup(spec: &Spec) -> Result<()> {
    let path = spec.cgroups_path();
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    let cgroup = Cgroup::named(&path, &spec.id)?;
    cgroup.kill_all()?;
    cgroup.remove()
}
