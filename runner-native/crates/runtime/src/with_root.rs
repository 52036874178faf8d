//! `with-root`: a root made of layers in a private mount namespace, an OCI runtime in it, and the upper as a new layer afterwards.
//! Everything is mounted in the namespace of this process and its children, so nothing is left when they are gone, however they went.

use crate::cgroups::Cgroup;
use crate::container::{self, Ended, OnStart, RunOptions, explain_clone};
use crate::error::{CONFIG, Context, MOUNT, NativeError, PROCESS, Result, WORKDIR};
use crate::from_outside::Sources;
use crate::hooks::Told;
use crate::idmapped::Idmapped;
use crate::inside_root::{self, Kind};
use crate::limits::Limits;
use crate::observer::{Observed, Observer};
use crate::own_network::{self, OwnNetwork};
use crate::relay::readable;
use crate::root_spec::{Commit, FurtherRoot, Layer, MadeDirectory, RootSpec, Upper};
use crate::spec::Config;
use crate::stack::{self, Scratch, UpperDirectories};
use crate::stubs::{self, Hidden};
use crate::{error, files, foreign, mount_attributes, mounts, plan, sys, visit};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, UnmountFlags, unmount};
use rustix::process::Pid;
use serde::Serialize;
use serde_json::value::RawValue;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tbuild_layers::LayerSummary;

pub struct Arguments<'a> {
    pub lifeline: Option<OwnedFd>,
    pub spec: RootSpec,
    pub runtime: Vec<OsString>,
    /// Told before anything starts why the container is on the host's network, though it was to have its own.
    pub say_host_network: &'a dyn Fn(&str),
    /// As `RunOptions::network`. Another runtime's configuration has no network namespace then, but the one that it begins in.
    pub network: Option<&'a dyn Fn(Pid) -> Result<()>>,
    pub on_start: Option<OnStart<'a>>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// As a shell's `$?`.
    pub status: i32,
    pub layer: Option<LayerSummary>,
    pub upper_full: bool,
    /// A process was killed for the container's limit of memory.
    pub killed_for_memory: bool,
    /// What was asked of traced layers, where there were any.
    pub observed: Option<Box<RawValue>>,
    /// Why nothing of all this counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observer_failed: Option<String>,
}

pub fn run(arguments: Arguments) -> Result<Outcome> {
    let mut spec = arguments.spec;
    let mut observer = Observer::start(&mut spec)?;
    let config = crate::config_file::parse(spec.config.get())?;
    let own = match arguments.runtime.first() {
        Some(runtime) if runtime == "self" => OwnRun::read(&arguments.runtime[1..]),
        _ => None,
    };
    if let [runtime, files, words @ ..] = arguments.runtime.as_slice()
        && runtime == "self"
        && files == "files"
    {
        return visit_root(&spec, plan::read(config)?, words, &mut observer);
    }
    // What is wrong in config.json is said before anything is made.
    let program = match own {
        Some(own) => Program::Own(Box::new(plan::read(config)?), own),
        None => Program::Foreign(arguments.runtime, Box::new(config)),
    };
    let _network = enter_own_network(&mut spec, arguments.say_host_network)?;
    match run_observed(&spec, &program, arguments.lifeline, arguments.network, arguments.on_start, &mut observer) {
        Err(error) => match observer.finish(false) {
            Observed::Failed(why) => Ok(Outcome { status: error::exit_status(&error), observer_failed: Some(why), ..Outcome::default() }),
            _ => Err(error),
        },
        outcome => outcome,
    }
}

/// `self files …` (visit.rs): nobody runs in the root, and of config.json the bind mounts count alone.
fn visit_root(spec: &RootSpec, mut plan: plan::Plan, words: &[OsString], observer: &mut Observer) -> Result<Outcome> {
    enter_namespace()?;
    let root = Root::make(spec, observer)?;
    plan.mounts.retain(|mount| mount.options.bind.is_some() && !mount.options.is_remount);
    let sources = Sources::open(&plan)?;
    let directory = mounts::open_root(&root.path, None)?;
    mounts::mount_all(&directory, &plan.mounts, &sources, false)?;
    let status = visit::act(&visit::Place::made(&root.path, root.namespace.as_ref())?, words)?;
    Ok(Outcome { status, ..Outcome::default() })
}

/// Where one is asked for, and can be had.
fn enter_own_network(spec: &mut RootSpec, say_host_network: &dyn Fn(&str)) -> Result<Option<OwnNetwork>> {
    if spec.own_network.is_none() {
        return Ok(None);
    }
    match own_network::enter()? {
        Ok(network) => {
            spec.take_files_of_own_network();
            Ok(Some(network))
        }
        Err(why) => {
            say_host_network(&why);
            Ok(None)
        }
    }
}

fn run_observed(
    spec: &RootSpec,
    program: &Program,
    lifeline: Option<OwnedFd>,
    network: Option<&dyn Fn(Pid) -> Result<()>>,
    on_start: Option<OnStart>,
    observer: &mut Observer,
) -> Result<Outcome> {
    enter_namespace()?;
    let root = Root::make(spec, observer)?;
    observer.open_door()?;
    let mut fullness = Fullness::of(&root);
    let pid_file = if let Program::Own(_, own) = program { own.pid_file.clone() } else { None };
    let limits = program.limits()?;
    let (watched, observer_pid) = (lifeline.as_ref().map(AsFd::as_fd), observer.pid());
    let tick: Option<Box<dyn FnMut()>> = if root.is_tmpfs { Some(Box::new(|| fullness.look())) } else { None };
    let options = RunOptions { lifeline: watched, other_child: observer_pid, tick, pid_file, limits, network, on_start };
    let Ended { status, killed_for_memory, watcher } = match program {
        Program::Own(plan, own) => container::run(plan, &Told::of(plan, &own.id, &spec.scratch.join("bundle")), options)?,
        Program::Foreign(runtime, config) => foreign::run(runtime, config, options)?,
    };
    fullness.look();
    let upper_full = fullness.was_full;
    let (observed, observer_failed) = match observer.finish(true) {
        Observed::Nothing => (None, None),
        Observed::Seen(observed) => (Some(observed), None),
        Observed::Failed(why) => (None, Some(why)),
    };
    let layer = match &spec.commit {
        Some(commit) if (status == 0 || commit.of_failed) && observer_failed.is_none() => {
            die_with(lifeline);
            Some(root.commit(commit, observer)?)
        }
        _ => None,
    };
    drop(watcher);
    Ok(Outcome { status, layer, upper_full, killed_for_memory, observed, observer_failed })
}

/// A commit that nobody waits for any more ends at once. A thread may do this now: nothing is forked after the container.
fn die_with(lifeline: Option<OwnedFd>) {
    let Some(lifeline) = lifeline else { return };
    std::thread::spawn(move || {
        while rustix::event::poll(&mut [readable(lifeline.as_fd())], None).is_err() {}
        sys::exit_now(1)
    });
}

fn malformed(what: &str, error: &serde_json::Error) -> NativeError {
    NativeError::new(CONFIG, "read the configuration").detail(format!("{what} is not as docs/native.md describes it: {error}"))
}

enum Program {
    Own(Box<plan::Plan>, OwnRun),
    Foreign(Vec<OsString>, Box<Config>),
}

impl Program {
    /// A cgroup is made only where one is asked for; what another runtime makes is its own, and removed after it.
    fn limits(&self) -> Result<Option<Limits<'_>>> {
        let (path, resources, id) = match self {
            Self::Own(plan, own) => (&plan.cgroups_path, plan.resources.as_ref(), own.id.as_str()),
            Self::Foreign(_, config) => (&config.linux.cgroups_path, None, ""),
        };
        let makes = matches!(self, Self::Own(..));
        if path.as_os_str().is_empty() && resources.is_none() {
            return Ok(None);
        }
        Ok(Some(Limits { cgroup: Cgroup::choose(path, id)?, resources, makes }))
    }
}

/// `self run [--pid-file FILE] ID`: done in this process, which saves an exec.
struct OwnRun {
    id: String,
    pid_file: Option<PathBuf>,
}

impl OwnRun {
    fn read(arguments: &[OsString]) -> Option<Self> {
        match arguments {
            [run, id] if run == "run" => Some(Self { id: id.to_string_lossy().into(), pid_file: None }),
            [run, option, file, id] if run == "run" && option == "--pid-file" => {
                Some(Self { id: id.to_string_lossy().into(), pid_file: Some(file.into()) })
            }
            _ => None,
        }
    }
}

fn enter_namespace() -> Result<()> {
    sys::unshare(libc::CLONE_NEWNS).map_err(explain_clone)?;
    mount_attributes::propagate(CWD, Path::new("/"), MountPropagationFlags::DOWNSTREAM, true).during(MOUNT, "keep mounts to ourselves")
}

/// The root as it is mounted at `<scratch>/bundle/rootfs`.
struct Root {
    path: PathBuf,
    upper: Option<UpperDirectories>,
    upper_path: PathBuf,
    is_tmpfs: bool,
    hidden: Hidden,
    /// The container's user namespace, or one like it.
    namespace: Option<OwnedFd>,
}

impl Root {
    fn make(spec: &RootSpec, observer: &mut Observer) -> Result<Self> {
        let scratch = Scratch::mount(&spec.scratch)?;
        let bundle = scratch.make_directory("bundle")?;
        let path = scratch.path.join("bundle/rootfs");
        stack::make_directory(&bundle, "rootfs").at(MOUNT, "make", &path)?;
        let stub = scratch.make_directory("stub")?;
        stubs::make_tree(&stub, &spec.stub)?;

        let idmapped = Idmapped::of(spec.userns.as_ref())?;
        let mut lowers = vec![idmapped.directory(stub, &scratch.path)?];
        lowers.extend(stack::open_layers(&spec.layers, &scratch, &idmapped, observer)?);
        let (upper, upper_path) = upper(spec.upper.as_ref(), &scratch, &idmapped)?;
        if let (Some(upper), [_, .., top]) = (&upper, lowers.as_slice())
            && !upper.was_used
        {
            copy_attributes(top, &upper.upper).at(MOUNT, "give the upper the attributes of the root below", &upper_path)?;
        }
        let lowers: Vec<&OwnedFd> = lowers.iter().collect();
        let acting = idmapped.acting()?;
        let overlay = match (&upper, lowers.as_slice()) {
            // overlayfs without an upper takes two lowers at least
            (None, [_stub]) => stack::read_only_root(&lowers, false, &scratch)?.unwrap_or_else(|| unreachable!("there is a stub")),
            (upper, lowers) => {
                stack::overlay(lowers, upper.as_ref(), &scratch).map_err(|error| explain_upper(error, spec.upper.as_ref()))?
            }
        };
        mounts::attach_at(&overlay, &path).at(MOUNT, "mount the root at", &path)?;
        let hidden = match &upper {
            Some(upper) => stubs::make_hidden(&overlay, &path, &upper.upper, &spec.stub)?,
            None => Hidden::default(),
        };
        if upper.is_some() {
            spec.make.iter().try_for_each(|directory| make_directory(&overlay, directory, &idmapped))?;
        }
        drop(acting);
        files::write(&scratch, &spec.files, &idmapped)?;
        spec.mounts.iter().enumerate().try_for_each(|(number, root)| further_root(&scratch, number, root, &idmapped, observer))?;
        std::fs::write(scratch.path.join("bundle/config.json"), spec.config.get()).at(MOUNT, "write", "config.json")?;
        rustix::process::fchdir(&bundle).at(MOUNT, "enter", scratch.path.join("bundle"))?;
        Ok(Self {
            path,
            upper,
            upper_path,
            is_tmpfs: matches!(spec.upper, Some(Upper::Tmpfs { .. })),
            hidden,
            namespace: idmapped.into_namespace(),
        })
    }

    fn commit(&self, commit: &Commit, observer: &Observer) -> Result<LayerSummary> {
        let Some(UpperDirectories { upper, .. }) = &self.upper else {
            return Err(crate::error::invalid("commit", "there is no upper to commit"));
        };
        match unmount(&self.path, UnmountFlags::empty()) {
            // A runtime's own copy of the mount may take a moment to go; nobody writes to it any more.
            Err(Errno::BUSY) => unmount(&self.path, UnmountFlags::DETACH),
            result => result,
        }
        .at(MOUNT, "unmount", &self.path)?;
        self.hidden.remove_from(upper)?;
        observer.restore_times(upper, &self.upper_path)?;
        tbuild_layers::pack_upper(commit.driver, &commit.out, &self.upper_path, commit.mtime)
    }
}

/// With what is missing above it.
fn make_directory(root: &OwnedFd, directory: &MadeDirectory, idmapped: &Idmapped) -> Result<()> {
    let mut made = Vec::new();
    let mut note = |parent: &OwnedFd, name: &std::ffi::OsStr| made.push((parent.try_clone(), name.to_owned()));
    inside_root::open_or_make(root, inside_root::relative(&directory.path), Kind::Directory, &mut note).map_err(|error| {
        let is_in_the_way = error.errno.as_deref() == Some("ENOTDIR");
        let detail = format!("/{} cannot be made in the container: something above it is no directory", directory.path.display());
        if is_in_the_way { NativeError { code: WORKDIR.into(), ..error }.detail(detail) } else { error }
    })?;
    let (uid, gid) = idmapped.owner(directory.uid, directory.gid)?;
    made.into_iter().try_for_each(|(parent, name)| {
        // The parent was opened for its path only: by that the name in it is reached.
        let parent = parent.at(MOUNT, "keep open the parent of", &name)?;
        tbuild_layers::set_owner_at(parent, Path::new(&name), uid, gid).at(MOUNT, "give its owner to", &directory.path)
    })
}

/// And the path at which its files have the owners that a layer gets.
fn upper(upper: Option<&Upper>, scratch: &Scratch, idmapped: &Idmapped) -> Result<(Option<UpperDirectories>, PathBuf)> {
    match upper {
        None => Ok((None, PathBuf::new())),
        Some(Upper::Tmpfs { size_bytes }) => {
            let size = size_bytes.to_string();
            let place = scratch.path.join("u");
            scratch.make_directory("u")?;
            let tmpfs = mounts::detached("tmpfs", "tbuild-upper", &[("mode", "700"), ("size", &size)], MountAttrFlags::empty());
            mounts::attach_at(tmpfs.during(MOUNT, "make a tmpfs for the upper")?, &place).at(MOUNT, "mount a tmpfs at", &place)?;
            let directories = open_upper(&place.join("upper"), &place.join("work"), scratch, idmapped)?;
            Ok((Some(directories), place.join("upper")))
        }
        Some(Upper::Directory { directory, work, lasts }) => {
            let directories = open_upper(directory, work, scratch, idmapped)?;
            Ok((Some(UpperDirectories { lasts: *lasts, ..directories }), directory.clone()))
        }
    }
}

/// What overlayfs says of an upper on itself and on most network file systems, which lack what it needs there.
fn explain_upper(error: NativeError, upper: Option<&Upper>) -> NativeError {
    match (upper, error.errno.as_deref()) {
        (Some(Upper::Directory { directory, .. }), Some("EINVAL")) => {
            let detail = format!(
                "what is written cannot be kept on the file system of {}: overlayfs takes no upper there (it is an overlay itself, or a network \
                 file system); let it fit into memory, or move the store to a local disk (TBUILD_ROOT; in a container: a volume)",
                directory.display()
            );
            NativeError { code: crate::error::UPPER.into(), path: Some(directory.to_string_lossy().into_owned()), ..error }.detail(detail)
        }
        _ => error,
    }
}

fn open_upper(upper: &Path, work: &Path, scratch: &Scratch, idmapped: &Idmapped) -> Result<UpperDirectories> {
    for path in [upper, work] {
        match fs::mkdir(path, Mode::from_raw_mode(0o755)) {
            Err(errno) if errno != Errno::EXIST => return Err(errno).at(MOUNT, "open the upper", path),
            _ => {}
        }
    }
    forget_volatile(work);
    let was_used = work.join("work").exists();
    Ok(UpperDirectories { was_used, ..idmapped.upper((upper, work), "v", scratch)? })
}

/// overlayfs takes no upper again that was once mounted volatile, since a crash of the machine may have cost anything of it. Who uses one again
/// knows that there was none, or does not mind (Linux: Documentation/filesystems/overlayfs.rst, "Volatile mount").
fn forget_volatile(work: &Path) {
    let mark = work.join("work/incompat");
    let _ = fs::unlink(mark.join("volatile/dirty"));
    let _ = fs::rmdir(mark.join("volatile"));
    let _ = fs::rmdir(&mark);
}

/// Mode, owner, extended attributes and mtime.
fn copy_attributes(from: &OwnedFd, to: &OwnedFd) -> rustix::io::Result<()> {
    let from = fs::openat(from, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fs::fstat(&from)?;
    match fs::fchown(to, Some(fs::Uid::from_raw(stat.st_uid)), Some(fs::Gid::from_raw(stat.st_gid))) {
        Err(Errno::INVAL) => {} // somebody who is nobody in our user namespace
        result => result?,
    }
    fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let mut names = vec![0; 64 << 10];
    let count = match fs::flistxattr(&from, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        result => result?,
    };
    for name in names[..count].split(|byte| *byte == 0).filter(|name| !name.is_empty() && !is_mark(name)) {
        let mut value = vec![0; 64 << 10];
        let count = fs::fgetxattr(&from, name, &mut value[..])?;
        fs::fsetxattr(to, name, &value[..count], fs::XattrFlags::empty())?;
    }
    stubs::set_times(to, (stat.st_mtime, stat.st_mtime_nsec as i64))
}

/// overlayfs's own.
fn is_mark(name: &[u8]) -> bool {
    [b"trusted.overlay.".as_slice(), b"user.overlay."].iter().any(|prefix| name.starts_with(prefix))
}

/// What config.json binds from: at `<scratch>/m/<number>`. What is written there is lost.
fn further_root(scratch: &Scratch, number: usize, root: &FurtherRoot, idmapped: &Idmapped, observer: &mut Observer) -> Result<()> {
    let all = scratch.make_directory("m")?;
    let path = scratch.path.join("m").join(number.to_string());
    let place = stack::make_directory(&all, &number.to_string()).at(MOUNT, "make", &path)?;
    let (uid, gid) = idmapped.owner(0, 0)?;
    fs::fchown(&place, Some(fs::Uid::from_raw(uid)), Some(fs::Gid::from_raw(gid))).at(MOUNT, "give its owner to", &path)?;
    let mut lowers = stack::open_layers(&root.layers, scratch, idmapped, observer)?;
    if root.layers.iter().any(|layer| layer.traced().is_some()) {
        // Rights are checked, and whiteouts understood, by an overlay, which takes two lowers at least.
        lowers.insert(0, idmapped.directory(scratch.make_directory("empty")?, &scratch.path)?);
    }
    let lowers: Vec<&OwnedFd> = lowers.iter().collect();
    let is_image = matches!(root.layers.last(), Some(Layer::Erofs { .. }));
    let made = match (root.writable, lowers.last()) {
        (true, Some(top)) => {
            let written = scratch.make_directory(&format!("w{number}"))?;
            let directory = |name| stack::make_directory(&written, name).at(MOUNT, "make", &path);
            directory("upper")?;
            directory("work")?;
            let place = scratch.path.join(format!("w{number}"));
            let upper = idmapped.upper((&place.join("upper"), &place.join("work")), &format!("v{number}"), scratch)?;
            copy_attributes(top, &upper.upper).at(MOUNT, "copy attributes to", &path)?;
            let _acting = idmapped.acting()?;
            Some(stack::overlay(&lowers, Some(&upper), scratch)?)
        }
        _ => stack::read_only_root(&lowers, is_image, scratch)?,
    };
    drop(place);
    // No layers: the empty directory serves.
    made.map_or(Ok(()), |made| mounts::attach_at(made, &path).at(MOUNT, "mount", &path))
}

/// Whether the tmpfs ran full at any time: a program that fails for it often removes what it had written.
struct Fullness {
    upper: Option<OwnedFd>,
    was_full: bool,
}

impl Fullness {
    /// Less than this was of no use to a writer.
    const FREE_BYTES_MIN: u64 = 64 << 10;

    fn of(root: &Root) -> Self {
        let upper = root.upper.as_ref().filter(|_| root.is_tmpfs).and_then(|upper| upper.upper.as_fd().try_clone_to_owned().ok());
        Self { upper, was_full: false }
    }

    fn look(&mut self) {
        if let Some(upper) = &self.upper
            && let Ok(now) = fs::fstatvfs(upper)
        {
            self.was_full |= now.f_bavail * now.f_bsize < Self::FREE_BYTES_MIN || now.f_ffree == 0;
        }
    }
}

/// SPEC of the command line.
pub fn read_spec(path: &Path) -> Result<RootSpec> {
    serde_json::from_str(&read_text(path)?).map_err(|error| malformed("SPEC", &error))
}

/// `/dev/fd/N` is read as the descriptor it is: a socket, which Node.js makes its pipes of, cannot be opened by name.
fn read_text(path: &Path) -> Result<String> {
    use std::io::Read;
    let number = path.strip_prefix("/dev/fd").or(path.strip_prefix("/proc/self/fd")).ok().and_then(|rest| rest.to_str()?.parse().ok());
    let mut file = match number {
        Some(number) => std::fs::File::from(sys::inherited(number).at(PROCESS, "open", path)?),
        None => std::fs::File::open(path).at(PROCESS, "open", path)?,
    };
    let mut text = String::new();
    file.read_to_string(&mut text).at(PROCESS, "read", path)?;
    Ok(text)
}
