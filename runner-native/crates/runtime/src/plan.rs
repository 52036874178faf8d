//! config.json read to the end: every value checked and turned into what the kernel takes, before anything is created.
//! Pure, but for the host's list of capabilities. What this runtime does not have is refused here, never ignored.

use crate::error::{Context, NAMESPACE, Result, invalid, unsupported};
use crate::hooks::Hooks;
use crate::mount_options;
use crate::mounts::PlannedMount;
use crate::resources::Resources;
use crate::scheduling::{ExecAffinity, Scheduling};
use crate::seccomp::{self, Filter};
use crate::spec::{Capabilities, Config, ConsoleSize, Linux, Mount, Namespace, Process, User};
use crate::user_namespace::IdMaps;
use crate::{devices, spec, time_namespace};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountPropagationFlags;
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::CString;
use std::path::{Path, PathBuf};

pub struct Plan {
    pub root: PathBuf,
    pub read_only: bool,
    pub propagation: Option<(MountPropagationFlags, bool)>,
    pub namespaces: Namespaces,
    pub hostname: String,
    pub domainname: String,
    pub mounts: Vec<PlannedMount>,
    pub devices: Vec<spec::Device>,
    pub masked: Vec<PathBuf>,
    pub read_only_paths: Vec<PathBuf>,
    pub sysctls: Vec<(PathBuf, String)>,
    pub seccomp: Option<Filter>,
    pub personality: Option<u64>,
    pub hooks: Hooks,
    pub oci_version: String,
    pub annotations: BTreeMap<String, String>,
    pub cgroups_path: PathBuf,
    pub resources: Option<Resources>,
    pub process: PlannedProcess,
}

impl Plan {
    /// Where the first process must begin, for in a user namespace it may not get to the root by itself.
    pub fn first_directory(&self) -> Option<&Path> {
        self.namespaces.is_own(libc::CLONE_NEWUSER).then_some(&self.root)
    }

    /// Capabilities that cannot be granted are no error, but must be said (runtime-spec, config.md: Linux Process).
    pub fn warnings(&self) -> Vec<String> {
        let refused = self.process.capabilities.refused.iter();
        refused
            .map(|name| format!("process.capabilities: {name} cannot be granted: this process lacks it, or this kernel does not know it"))
            .collect()
    }

    /// The root as the first process finds it.
    pub fn root(&self) -> &Path {
        if self.first_directory().is_some() { Path::new(".") } else { &self.root }
    }
}

#[derive(Default)]
pub struct Namespaces {
    /// CLONE_NEW… of those to make.
    pub new: u64,
    /// CLONE_NEW… and path of those to enter, the user namespace last.
    pub joined: Vec<(i32, PathBuf)>,
    /// Of the user namespace; of one that is entered perhaps unknown.
    pub maps: IdMaps,
    /// Lines for the kernel.
    pub time_offsets: String,
}

impl Namespaces {
    pub fn is_new(&self, kind: i32) -> bool {
        self.new & kind as u64 != 0
    }

    pub fn is_own(&self, kind: i32) -> bool {
        self.is_new(kind) || self.is_joined(kind)
    }

    pub fn is_joined(&self, kind: i32) -> bool {
        self.joined.iter().any(|(joined, _)| *joined == kind)
    }

    /// Whether the first process must pass through those that are joined on its way into the user namespace.
    pub fn needs_passage(&self) -> bool {
        self.is_own(libc::CLONE_NEWUSER) && self.joined.iter().any(|(kind, _)| *kind != libc::CLONE_NEWPID)
    }

    /// All but the pid namespace, which only children enter.
    pub fn open_joined(&self) -> Result<Vec<(i32, OwnedFd)>> {
        let others = self.joined.iter().filter(|(kind, _)| *kind != libc::CLONE_NEWPID);
        let open =
            |path: &Path| rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).at(NAMESPACE, "open the namespace", path);
        others.map(|(kind, path)| open(path).map(|namespace| (*kind, namespace))).collect()
    }
}

pub struct PlannedProcess {
    pub terminal: bool,
    pub console_size: Option<ConsoleSize>,
    pub user: User,
    pub arguments: Vec<CString>,
    pub environment: Vec<CString>,
    pub cwd: PathBuf,
    pub capabilities: PlannedCapabilities,
    pub rlimits: Vec<(Resource, Rlimit)>,
    pub no_new_privileges: bool,
    pub oom_score_adj: Option<i32>,
    pub scheduling: Scheduling,
    pub affinity: ExecAffinity,
}

pub struct PlannedCapabilities {
    pub bounding: CapabilitySet,
    pub sets: CapabilitySets,
    pub ambient: CapabilitySet,
    pub refused: BTreeSet<String>,
}

pub fn read(config: Config) -> Result<Plan> {
    let root = config.root.ok_or_else(|| invalid("root", "is missing"))?;
    let process = config.process.ok_or_else(|| invalid("process", "is missing"))?;
    if !config.oci_version.starts_with("1.") {
        return Err(invalid("ociVersion", format!("{:?} is not a version 1", config.oci_version)));
    }
    if root.path.as_os_str().is_empty() {
        return Err(invalid("root.path", "is empty"));
    }
    config.hooks.check()?;
    if !config.linux.mount_label.is_empty() {
        return Err(unsupported("linux.mountLabel"));
    }
    let namespaces = namespaces(&config.linux)?;
    check_names(&namespaces, &config.hostname, &config.domainname)?;
    if !namespaces.is_new(libc::CLONE_NEWNS) && !config.mounts.is_empty() {
        return Err(invalid("mounts", "need a new mount namespace"));
    }
    check_user(&process.user, &namespaces.maps)?;
    let has_user_namespace = namespaces.is_own(libc::CLONE_NEWUSER);
    let linux = config.linux;
    let personality = linux.personality.as_ref().map(personality).transpose()?;
    Ok(Plan {
        root: root.path,
        read_only: root.readonly,
        propagation: propagation(&linux.rootfs_propagation)?,
        sysctls: sysctls(&linux, &namespaces)?,
        namespaces,
        hostname: config.hostname,
        domainname: config.domainname,
        mounts: config.mounts.into_iter().map(|entry| mount(entry, has_user_namespace)).collect::<Result<_>>()?,
        devices: check_devices(linux.devices)?,
        masked: absolute("linux.maskedPaths", linux.masked_paths)?,
        read_only_paths: absolute("linux.readonlyPaths", linux.readonly_paths)?,
        seccomp: linux.seccomp.as_ref().map(seccomp::compile).transpose()?,
        personality,
        hooks: config.hooks,
        oci_version: config.oci_version,
        annotations: config.annotations,
        cgroups_path: linux.cgroups_path,
        resources: linux.resources.map(|resources| resources.check().map(|()| resources)).transpose()?,
        process: plan_process(process, has_user_namespace)?,
    })
}

fn refuse_labels(process: &Process) -> Result<()> {
    let refused =
        [(!process.apparmor_profile.is_empty(), "process.apparmorProfile"), (!process.selinux_label.is_empty(), "process.selinuxLabel")];
    refused.iter().find(|(there, _)| *there).map_or(Ok(()), |(_, field)| Err(unsupported(field)))
}

/// The runtime-spec's names, with the kernel's flags.
pub const NAMESPACES: [(&str, i32); 8] = [
    ("cgroup", libc::CLONE_NEWCGROUP),
    ("ipc", libc::CLONE_NEWIPC),
    ("mount", libc::CLONE_NEWNS),
    ("network", libc::CLONE_NEWNET),
    ("pid", libc::CLONE_NEWPID),
    ("time", libc::CLONE_NEWTIME),
    ("user", libc::CLONE_NEWUSER),
    ("uts", libc::CLONE_NEWUTS),
];

fn namespaces(linux: &Linux) -> Result<Namespaces> {
    let mut namespaces = listed_namespaces(&linux.namespaces)?;
    namespaces.joined.sort_by_key(|(kind, _)| *kind == libc::CLONE_NEWUSER);
    namespaces.maps = IdMaps::read("linux.", linux.uid_mappings.clone(), linux.gid_mappings.clone())?;
    if !namespaces.maps.is_empty() && !namespaces.is_own(libc::CLONE_NEWUSER) {
        return Err(invalid("linux.uidMappings", "need a user namespace"));
    }
    if namespaces.is_new(libc::CLONE_NEWUSER) && (namespaces.maps.host_uid(0).is_none() || namespaces.maps.host_gid(0).is_none()) {
        return Err(invalid("linux.uidMappings", "do not say who 0 is: a new user namespace needs its root mapped"));
    }
    namespaces.time_offsets = time_namespace::offsets(&linux.time_offsets, namespaces.is_new(libc::CLONE_NEWTIME))?;
    Ok(namespaces)
}

/// To the kernel it means that an id stays as it is: root's (CVE-2024-40635).
const NO_ID: u32 = u32::MAX;
/// <linux/limits.h>: NGROUPS_MAX
const GROUPS_MAX: usize = 65_536;

/// Ids that nobody maps cannot be had.
pub fn check_user(user: &User, maps: &IdMaps) -> Result<()> {
    let mut groups = std::iter::once(user.gid).chain(user.additional_gids.iter().copied());
    if user.uid == NO_ID || groups.clone().any(|gid| gid == NO_ID) {
        return Err(invalid("process.user", format!("{NO_ID} is no id")));
    }
    if user.additional_gids.len() > GROUPS_MAX {
        return Err(invalid("process.user.additionalGids", format!("are more than the {GROUPS_MAX} that Linux takes")));
    }
    if maps.is_empty() {
        return Ok(());
    }
    if maps.host_uid(user.uid).is_none() {
        return Err(invalid("process.user", format!("the uid {} is not in linux.uidMappings", user.uid)));
    }
    match groups.find(|gid| maps.host_gid(*gid).is_none()) {
        Some(gid) => Err(invalid("process.user", format!("the gid {gid} is not in linux.gidMappings"))),
        None => Ok(()),
    }
}

fn listed_namespaces(list: &[Namespace]) -> Result<Namespaces> {
    let mut namespaces = Namespaces::default();
    for namespace in list {
        let known = NAMESPACES.iter().find(|(name, _)| *name == namespace.kind);
        let Some((_, kind)) = known.copied() else {
            return Err(invalid("linux.namespaces", format!("unknown type {:?}", namespace.kind)));
        };
        if namespaces.is_own(kind) {
            return Err(invalid("linux.namespaces", format!("{} is there twice", namespace.kind)));
        }
        if namespace.path.as_os_str().is_empty() {
            namespaces.new |= kind as u64;
        } else if namespace.path.is_absolute() {
            namespaces.joined.push((kind, namespace.path.clone()));
        } else {
            return Err(invalid("linux.namespaces", format!("the path {} is not absolute", namespace.path.display())));
        }
    }
    Ok(namespaces)
}

fn check_names(namespaces: &Namespaces, hostname: &str, domainname: &str) -> Result<()> {
    const NAME_BYTES_MAX: usize = 64;
    for (field, name) in [("hostname", hostname), ("domainname", domainname)] {
        if name.len() > NAME_BYTES_MAX {
            return Err(invalid(field, format!("{name:?} is longer than {NAME_BYTES_MAX} bytes")));
        }
        if !name.is_empty() && !namespaces.is_own(libc::CLONE_NEWUTS) {
            return Err(invalid(field, "needs a uts namespace"));
        }
    }
    Ok(())
}

fn mount(mount: Mount, has_user_namespace: bool) -> Result<PlannedMount> {
    let destination = &mount.destination;
    if mount.destination.components().all(|part| matches!(part, std::path::Component::RootDir | std::path::Component::CurDir)) {
        return Err(invalid("mounts", format!("the destination {destination:?} is the root itself")));
    }
    let options = mount_options::parse(&mount)?;
    if options.bind.is_none() && mount.kind.is_empty() && !options.is_remount {
        return Err(invalid("mounts", format!("{} has no type", destination.display())));
    }
    if options.bind.is_some() && mount.source.as_os_str().is_empty() && !options.is_remount {
        return Err(invalid("mounts", format!("{} has no source", destination.display())));
    }
    if options.idmap.as_ref().is_some_and(|idmap| options.bind.is_none() || idmap.maps.is_empty() && !has_user_namespace) {
        let detail =
            format!("{} is to be idmapped: that needs a bind mount, and mappings of its own or a user namespace", destination.display());
        return Err(invalid("mounts", detail));
    }
    // Relative destinations are old; they start at the root all the same (runtime-spec, config.md: Mounts).
    Ok(PlannedMount { destination: Path::new("/").join(destination), kind: mount.kind, source: mount.source, options })
}

fn propagation(word: &str) -> Result<Option<(MountPropagationFlags, bool)>> {
    if word.is_empty() {
        return Ok(None);
    }
    let known = mount_options::propagation(word);
    known.map(Some).ok_or_else(|| invalid("linux.rootfsPropagation", format!("unknown value {word:?}")))
}

fn absolute(field: &str, paths: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    match paths.iter().find(|path| !path.is_absolute()) {
        Some(path) => Err(invalid(field, format!("{} is not absolute", path.display()))),
        None => Ok(paths),
    }
}

fn check_devices(devices: Vec<spec::Device>) -> Result<Vec<spec::Device>> {
    for device in &devices {
        let path = device.path.display();
        devices::file_type(device)?;
        if !device.path.is_absolute() {
            return Err(invalid("linux.devices", format!("{path} is not absolute")));
        }
        if ![device.major, device.minor].into_iter().all(|number| u32::try_from(number).is_ok()) {
            return Err(invalid("linux.devices", format!("{path} has no such number")));
        }
        if device.uid == Some(NO_ID) || device.gid == Some(NO_ID) {
            return Err(invalid("linux.devices", format!("the owner of {path} is {NO_ID}, which is no id")));
        }
    }
    Ok(devices)
}

/// Only those that a namespace of the container's own holds (runc: libcontainer/configs/validate, sysctl).
fn sysctls(linux: &Linux, namespaces: &Namespaces) -> Result<Vec<(PathBuf, String)>> {
    const IPC: [&str; 9] = ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced", "msg_next_id"];
    let mut sysctls = Vec::new();
    for (name, value) in &linux.sysctl {
        let path = if name.contains('/') { name.clone() } else { name.replace('.', "/") };
        let (family, rest) = path.split_once('/').unwrap_or((&path, ""));
        let kind = match family {
            "net" => libc::CLONE_NEWNET,
            "fs" if rest.starts_with("mqueue/") => libc::CLONE_NEWIPC,
            "kernel" if IPC.contains(&rest) => libc::CLONE_NEWIPC,
            "kernel" if matches!(rest, "domainname" | "hostname") => libc::CLONE_NEWUTS,
            _ => return Err(invalid("linux.sysctl", format!("{name} does not belong to a namespace"))),
        };
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(invalid("linux.sysctl", format!("{name} is not a name")));
        }
        if !namespaces.is_own(kind) {
            return Err(invalid("linux.sysctl", format!("{name} is not in a namespace of the container's own")));
        }
        sysctls.push((Path::new("/proc/sys").join(path), value.clone()));
    }
    Ok(sysctls)
}

pub fn personality(personality: &spec::Personality) -> Result<u64> {
    if !personality.flags.is_empty() {
        return Err(unsupported("linux.personality.flags"));
    }
    match personality.domain.as_str() {
        "LINUX" => Ok(0),
        "LINUX32" => Ok(8),
        other => Err(invalid("linux.personality", format!("unknown domain {other:?}"))),
    }
}

pub fn plan_process(process: Process, has_user_namespace: bool) -> Result<PlannedProcess> {
    refuse_labels(&process)?;
    if process.args.is_empty() || process.args[0].is_empty() {
        return Err(invalid("process.args", "names no command"));
    }
    if !process.cwd.is_absolute() {
        return Err(invalid("process.cwd", format!("{:?} is not absolute", process.cwd)));
    }
    if process.oom_score_adj.is_some_and(|score| !(-1000..=1000).contains(&score)) {
        return Err(invalid("process.oomScoreAdj", "is not from -1000 to 1000"));
    }
    if let Some(umask) = process.user.umask.filter(|umask| *umask > 0o777) {
        return Err(invalid("process.user.umask", format!("{umask} is more than 0777")));
    }
    // A later entry wins, as in Docker: C libraries would find the first.
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut environment: Vec<CString> = Vec::with_capacity(process.env.len());
    for entry in &process.env {
        let name = entry.split('=').next().unwrap_or_default();
        // Not with its value, which may be a secret.
        let text = CString::new(entry.as_str()).map_err(|_| invalid("process.env", format!("{name:?} contains a zero byte")))?;
        match places.get(name) {
            Some(place) => environment[*place] = text,
            None => {
                places.insert(name, environment.len());
                environment.push(text);
            }
        }
    }
    Ok(PlannedProcess {
        terminal: process.terminal,
        console_size: process.console_size,
        user: process.user,
        arguments: process.args.iter().map(|argument| c_string("process.args", argument)).collect::<Result<_>>()?,
        environment,
        cwd: process.cwd,
        capabilities: capabilities(&process.capabilities.unwrap_or_default(), has_user_namespace),
        rlimits: rlimits(&process.rlimits)?,
        no_new_privileges: process.no_new_privileges,
        oom_score_adj: process.oom_score_adj,
        scheduling: Scheduling::read(process.scheduler.as_ref(), process.io_priority.as_ref())?,
        affinity: ExecAffinity::read(process.exec_cpu_affinity.as_ref())?,
    })
}

fn c_string(field: &str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| invalid(field, format!("{text:?} contains a zero byte")))
}

fn capabilities(capabilities: &Capabilities, has_user_namespace: bool) -> PlannedCapabilities {
    let ours = match has_user_namespace {
        true => known_capabilities(), // who enters one has them all there
        false => rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.permitted),
    };
    let mut refused = BTreeSet::new();
    let mut set = |names: &[String]| {
        names.iter().fold(CapabilitySet::empty(), |set, name| match name.strip_prefix("CAP_").and_then(CapabilitySet::from_name) {
            Some(one) if ours.contains(one) => set | one,
            _ => {
                refused.insert(name.clone());
                set
            }
        })
    };
    let permitted = set(&capabilities.permitted);
    let inheritable = set(&capabilities.inheritable);
    let (bounding, effective, ambient) = (set(&capabilities.bounding), set(&capabilities.effective), set(&capabilities.ambient));
    PlannedCapabilities {
        bounding,
        sets: CapabilitySets { effective: effective & permitted, permitted, inheritable },
        ambient: ambient & permitted & inheritable,
        refused,
    }
}

/// Those that this kernel has.
fn known_capabilities() -> CapabilitySet {
    let is_known =
        |capability: &CapabilitySet| !matches!(rustix::thread::capability_is_in_bounding_set(*capability), Err(rustix::io::Errno::INVAL));
    CapabilitySet::all().iter().filter(is_known).fold(CapabilitySet::empty(), |all, one| all | one)
}

pub fn capability_names() -> Vec<String> {
    known_capabilities().iter_names().map(|(name, _)| format!("CAP_{name}")).collect()
}

fn rlimits(list: &[spec::Rlimit]) -> Result<Vec<(Resource, Rlimit)>> {
    let mut rlimits: Vec<(Resource, Rlimit)> = Vec::new();
    for limit in list {
        let resource = match limit.kind.as_str() {
            "RLIMIT_AS" => Resource::As,
            "RLIMIT_CORE" => Resource::Core,
            "RLIMIT_CPU" => Resource::Cpu,
            "RLIMIT_DATA" => Resource::Data,
            "RLIMIT_FSIZE" => Resource::Fsize,
            "RLIMIT_LOCKS" => Resource::Locks,
            "RLIMIT_MEMLOCK" => Resource::Memlock,
            "RLIMIT_MSGQUEUE" => Resource::Msgqueue,
            "RLIMIT_NICE" => Resource::Nice,
            "RLIMIT_NOFILE" => Resource::Nofile,
            "RLIMIT_NPROC" => Resource::Nproc,
            "RLIMIT_RSS" => Resource::Rss,
            "RLIMIT_RTPRIO" => Resource::Rtprio,
            "RLIMIT_RTTIME" => Resource::Rttime,
            "RLIMIT_SIGPENDING" => Resource::Sigpending,
            "RLIMIT_STACK" => Resource::Stack,
            other => return Err(invalid("process.rlimits", format!("unknown type {other:?}"))),
        };
        if rlimits.iter().any(|(known, _)| *known == resource) {
            return Err(invalid("process.rlimits", format!("{} is there twice", limit.kind)));
        }
        if limit.soft > limit.hard {
            return Err(invalid("process.rlimits", format!("the soft {} is above the hard one", limit.kind)));
        }
        let value = |limit| (limit != u64::MAX).then_some(limit);
        rlimits.push((resource, Rlimit { current: value(limit.soft), maximum: value(limit.hard) }));
    }
    Ok(rlimits)
}
