//! The file observer beside a container: mounts what it serves, starts its process, and hears from it what was observed. That process has neither our
//! mount namespace nor any descriptor but its own, and ends after the container: processes of it whose files do not answer any more cannot end.

use crate::error::{CONFIG, Context, MOUNT, NativeError, PROCESS, Result};
use crate::root_spec::{Layer, RootSpec, TracedLayer, UserNamespace};
use crate::sys::{self, Clone};
use crate::taints::{self, Agent, Door, Taint};
use crate::{stubs, user_namespace};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen};
use rustix::process::{Pid, WaitOptions, waitpid};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use tbuild_layers::{Gap, GapLayer, Kind};
use tbuild_observer::{Connection, DIRECTORY_MTIME, Owners};

const DEVICE: &str = "/dev/fuse";
/// What is said for each mount: before it the device cannot be read from.
const MOUNTED: u8 = b'm';

/// Without anything to observe it is nothing at all.
#[derive(Default)]
pub struct Observer {
    process: Option<Process>,
    /// For the traced elements of SPEC that are not mounted yet, in their order.
    devices: VecDeque<OwnedFd>,
    gaps: Vec<Arc<Gap>>,
    door: Option<Door>,
}

struct Process {
    pid: Pid,
    control: UnixStream,
}

pub enum Observed {
    Nothing,
    /// `observed` of the result.
    Seen(Box<RawValue>),
    /// Nothing that the container did counts.
    Failed(String),
}

impl Observer {
    /// Before there is a mount namespace of ours, and before the configuration is read: what cannot be noted is to be told of (taints.rs).
    pub fn start(spec: &mut RootSpec) -> Result<Self> {
        let taint = Taint::default();
        if spec.is_traced() {
            match taints::watched(spec.config.get())? {
                Some(config) => {
                    spec.config = RawValue::from_string(config).map_err(std::io::Error::from).during(CONFIG, "write config.json")?
                }
                None => drop(taint.set("seccomp")),
            }
        }
        let all = spec.layers.iter().chain(spec.mounts.iter().flat_map(|root| &root.layers));
        let traced: Vec<&[TracedLayer]> = all.filter_map(Layer::traced).collect();
        if traced.is_empty() {
            return Ok(Self::default());
        }
        let owners = owners(spec.userns.as_ref());
        let has_user_marks = !user_namespace::is_initial();
        let (mut connections, mut devices, mut gaps) = (Vec::new(), VecDeque::new(), Vec::new());
        for layers in traced {
            let layers: Vec<GapLayer> = layers.iter().map(TracedLayer::files).collect();
            let device = fs::open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).at(MOUNT, "open", DEVICE)?;
            devices.push_back(device.try_clone().during(PROCESS, "copy a descriptor")?);
            let gap = Arc::new(Gap::read(&layers)?);
            connections.push(Connection::new(gap.clone(), device, owners, has_user_marks));
            gaps.push(gap);
        }
        let (door, agent) = taints::prepare(taint)?;
        let process = Process::start(connections, agent)?;
        Ok(Self { process: Some(process), devices, gaps, door: Some(door) })
    }

    /// The next one mounted, in the order of SPEC, in a mount namespace of ours: in a user namespace nobody may mount in another. Its root's owner and mode
    /// are asked for here: an overlay without an upper has those that the kernel knows when it is made, and would have nobody's.
    pub fn take_mount(&mut self) -> Result<OwnedFd> {
        let Some((device, process)) = self.devices.pop_front().zip(self.process.as_mut()) else {
            return Err(NativeError::new(MOUNT, "mount traced layers").detail("there are more than were read"));
        };
        let mounted = mount(&device).during(MOUNT, "mount traced layers by FUSE")?;
        // The kernel ends a connection with its last descriptor, which is to be the observer's.
        drop(device);
        process.control.write_all(&[MOUNTED]).during(PROCESS, "tell the file observer")?;
        fs::fstat(&mounted).during(MOUNT, "look at the root of traced layers")?;
        Ok(mounted)
    }

    /// In the bundle, before the container starts.
    pub fn open_door(&mut self) -> Result<()> {
        self.door.take().map_or(Ok(()), Door::open)
    }

    /// A child of ours that is no process of the container's.
    pub fn pid(&self) -> Option<Pid> {
        self.process.as_ref().map(|process| process.pid)
    }

    /// After the container's end: nothing is served any more. `has_run`: there was one, for which all was mounted, and still is.
    pub fn finish(&mut self, has_run: bool) -> Observed {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Report {
            failed: Option<String>,
            was_cut: bool,
            observed: Box<RawValue>,
        }
        let Some(mut process) = self.process.take() else { return Observed::Nothing };
        let mut text = String::new();
        let heard = process.control.shutdown(Shutdown::Write).and_then(|()| process.control.read_to_string(&mut text));
        match heard.ok().and_then(|_| serde_json::from_str(&text).ok()) {
            Some(Report { failed: None, was_cut: true, .. }) if has_run => {
                Observed::Failed("the connection to the file observer ended before the container did".into())
            }
            Some(Report { failed: None, observed, .. }) => Observed::Seen(observed),
            Some(Report { failed: Some(why), .. }) => Observed::Failed(why),
            None => Observed::Failed("the file observer ended before the container did".into()),
        }
    }

    /// Directories that were copied up from traced layers get their times back, which are not served: a trace says nothing of them.
    pub fn restore_times(&self, upper: &OwnedFd, upper_path: &Path) -> Result<()> {
        let restore = |gap: &Arc<Gap>| restore_below(gap, 0, upper).at(MOUNT, "restore times of directories in", upper_path);
        self.gaps.iter().rev().try_for_each(restore)
    }
}

fn owners(userns: Option<&UserNamespace>) -> Owners {
    match userns {
        Some(&UserNamespace { first, count }) => Owners::Shifted { first, count },
        None if user_namespace::is_initial() => Owners::Own,
        None => Owners::Known { uids: mapped_in("/proc/self/uid_map"), gids: mapped_in("/proc/self/gid_map") },
    }
}

/// How many ids from 0 on are somebody's. Lines of: first one here, first one there, how many.
fn mapped_in(map: &str) -> u32 {
    let text = std::fs::read_to_string(map).unwrap_or_default();
    let mut lines: Vec<Vec<u64>> =
        text.lines().map(|line| line.split_whitespace().filter_map(|word| word.parse().ok()).collect()).collect();
    lines.sort();
    let total = lines.iter().fold(0, |end, line| if line.first() == Some(&end) { end + line.get(2).unwrap_or(&0) } else { end });
    u32::try_from(total).unwrap_or(u32::MAX)
}

/// Detached, and asked for nothing before it is used. Whoever comes by the overlay is not its server's user: allow_other. Rights are overlayfs's to check,
/// who sees the same modes and owners; default_permissions would ask for them at every step of a path.
fn mount(device: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", "tbuild")?;
    let number = device.as_raw_fd().to_string();
    for (key, value) in [("fd", number.as_str()), ("rootmode", "40000"), ("user_id", "0"), ("group_id", "0")] {
        fsconfig_set_string(&context, key, value)?;
    }
    fsconfig_set_flag(&context, "allow_other")?;
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY | MountAttrFlags::MOUNT_ATTR_NODEV)
}

impl Process {
    fn start(connections: Vec<Connection>, agent: Agent) -> Result<Self> {
        let (ours, theirs) = UnixStream::pair().during(PROCESS, "make a socket")?;
        match sys::clone(0).during(PROCESS, "start the file observer")? {
            Clone::Parent { pid, .. } => Ok(Self { pid, control: ours }),
            Clone::Child => {
                let own = connections.iter().flat_map(Connection::descriptors).chain(agent.descriptors());
                let _ = sys::close_all_but(&mut own.chain([theirs.as_raw_fd()]).collect::<Vec<_>>());
                let _ = sys::block_signals();
                let taint = agent.taint();
                std::thread::spawn(move || agent.run());
                tbuild_observer::serve(connections, theirs, || taint.get().copied());
                sys::exit_now(0)
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.pid, rustix::process::Signal::KILL);
        let _ = rustix::io::retry_on_intr(|| waitpid(Some(self.pid), WaitOptions::empty()));
    }
}

/// `directory` is an entry of the gap, and open in the upper. What is not copied up has nothing below it that is.
fn restore_below(gap: &Gap, directory: usize, upper: &OwnedFd) -> rustix::io::Result<()> {
    let stat = fs::fstat(upper)?;
    if let Some(entry) = gap.entry(directory).filter(|_| (stat.st_mtime, stat.st_mtime_nsec) == (DIRECTORY_MTIME, 0)) {
        stubs::set_times(upper, (entry.mtime.seconds, entry.mtime.nanos.into()))?;
    }
    for &child in gap.children(directory) {
        if gap.entry(child as usize).is_none_or(|entry| entry.kind != Kind::Directory) {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::openat(upper, gap.name(child as usize), flags, Mode::empty()) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            opened => restore_below(gap, child as usize, &opened?)?,
        }
    }
    Ok(())
}

/// Why nothing can be observed on this machine; none: it can.
pub fn probe() -> Option<String> {
    let device = match fs::openat(CWD, DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        Err(errno) => return Some(format!("cannot open {DEVICE}: {errno}")),
        Ok(device) => device,
    };
    mount(&device).err().map(|errno| format!("cannot mount by FUSE: {errno}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said at the end of a connection that is, or is not, cut before.
    fn report(is_cut: bool) -> serde_json::Value {
        assert!(rustix::process::getuid().is_root(), "this test needs root");
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("root")).unwrap();
        let layer =
            tbuild_layers::pack_dir(tbuild_layers::Driver::Erofs, &directory.path().join("layer"), &directory.path().join("root"), false)
                .unwrap();
        let gap = Gap::read(&[GapLayer { index: layer.index.into(), data: layer.data.into() }]).unwrap();
        let device = fs::open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let mut mounted = Some(mount(&device).unwrap());
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let connection = Connection::new(Arc::new(gap), device, Owners::Own, false);
        let server = std::thread::spawn(|| tbuild_observer::serve(vec![connection], theirs, || None));
        ours.write_all(&[MOUNTED]).unwrap();
        fs::fstat(mounted.as_ref().unwrap()).unwrap();
        if is_cut {
            mounted.take();
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        ours.shutdown(Shutdown::Write).unwrap();
        let mut text = String::new();
        ours.read_to_string(&mut text).unwrap();
        drop(mounted);
        server.join().unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_connection_that_was_cut_is_told_of() {
        assert_eq!(report(true)["wasCut"], serde_json::json!(true));
        let whole = report(false);
        let gap = serde_json::json!({ "S": [""] });
        let observed = serde_json::json!({ "gaps": [gap], "taint": null, "lost": false });
        assert_eq!(whole, serde_json::json!({ "failed": null, "wasCut": false, "observed": observed }));
    }
}
