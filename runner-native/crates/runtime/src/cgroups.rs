//! A container's cgroup: a directory in each hierarchy of version 1 that is mounted, or one in version 2's where that has the
//! controllers. Makes it, moves processes in, freezes, kills, and removes it with whatever the container made below it.

use crate::error::{CGROUP, Context, FEATURE, NativeError, Result, invalid};
use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// Empty: the container stays where its runtime is.
#[derive(Serialize, Deserialize, Clone, Default, Debug, PartialEq, Eq)]
pub struct Cgroup {
    directories: Vec<Directory>,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
struct Directory {
    /// `cpu`, `name=systemd` …; none: version 2.
    controllers: Vec<String>,
    /// Where the hierarchy is mounted.
    mount: PathBuf,
    path: PathBuf,
}

/// As long as the kernel may take to forget processes that have ended.
const PATIENCE: Duration = Duration::from_secs(10);

impl Cgroup {
    /// `wanted`: config.json's cgroupsPath; absolute from the hierarchy's root, else from the runtime's own cgroup or, in version 2, the one
    /// above. Makes nothing. Refuses one that has processes: with the container they would be killed.
    pub fn choose(wanted: &Path, id: &str) -> Result<Self> {
        let chosen = Self::named(wanted, id)?;
        match chosen.processes().first() {
            None => Ok(chosen),
            Some(pid) => Err(invalid(
                "linux.cgroupsPath",
                format!("{} is somebody else's: the process {} is in it", wanted.display(), pid.as_raw_nonzero()),
            )),
        }
    }

    /// The same, whoever is in it.
    pub fn named(wanted: &Path, id: &str) -> Result<Self> {
        if wanted.components().any(|part| part == Component::ParentDir) {
            return Err(invalid("linux.cgroupsPath", format!("{} leads upwards", wanted.display())));
        }
        let wanted = if wanted.as_os_str().is_empty() { Path::new(id) } else { wanted };
        if !wanted.components().any(|part| matches!(part, Component::Normal(_))) {
            return Err(invalid("linux.cgroupsPath", format!("{} is the root of all cgroups, and no container's", wanted.display())));
        }
        let hierarchies = read_hierarchies()?;
        let has_version_1 = hierarchies.iter().any(|hierarchy| hierarchy.controllers.iter().any(|name| !name.starts_with("name=")));
        let directories = hierarchies.into_iter().filter(|hierarchy| has_version_1 != hierarchy.controllers.is_empty());
        Ok(Self { directories: directories.map(|hierarchy| hierarchy.directory(wanted)).collect() })
    }

    pub fn is_unified(&self) -> bool {
        matches!(self.directories.as_slice(), [only] if only.controllers.is_empty())
    }

    /// The directory that a controller's files are in.
    pub fn path_of(&self, controller: &str) -> Option<&Path> {
        let holds =
            |directory: &&Directory| directory.controllers.is_empty() || directory.controllers.iter().any(|name| name == controller);
        self.directories.iter().find(holds).map(|directory| directory.path.as_path())
    }

    /// Version 2: the cgroup above that cannot give this one the controller, though it has it.
    pub fn withheld_by(&self, controller: &str) -> Option<&Path> {
        let [only] = self.directories.as_slice() else { return None };
        let has = |directory: &Path| read_words(directory, "cgroup.controllers").is_ok_and(|all| all.iter().any(|name| name == controller));
        only.path.ancestors().skip(1).find(|above| has(above)).filter(|above| has_own_processes(above))
    }

    /// Whether this process has the right to.
    pub fn may_be_made(&self) -> bool {
        self.directories.iter().all(|directory| {
            let there = directory.path.ancestors().find(|path| path.exists());
            there.is_none_or(|path| access(path, Access::WRITE_OK).is_ok())
        })
    }

    pub fn make(&self) -> Result<()> {
        self.directories.iter().try_for_each(|directory| {
            let made = directory.make().at(CGROUP, "make the cgroup", &directory.path);
            made.map_err(|error| match error.errno.as_deref() {
                Some("EACCES" | "EPERM" | "EROFS") => {
                    let detail = format!("{}: limits take root, or a cgroup that is delegated to this account", error.detail);
                    NativeError { code: FEATURE.into(), ..error }.detail(detail)
                }
                _ => error,
            })
        })
    }

    pub fn exists(&self) -> bool {
        self.directories.iter().any(|directory| directory.path.is_dir())
    }

    pub fn add(&self, pid: Pid) -> Result<()> {
        let pid = pid.as_raw_nonzero().to_string();
        self.directories.iter().try_for_each(|directory| {
            fs::write(directory.path.join("cgroup.procs"), &pid).at(CGROUP, "move the process into", &directory.path)
        })
    }

    /// All of them, those in cgroups below included.
    pub fn processes(&self) -> Vec<Pid> {
        let Some(first) = self.directories.iter().find(|directory| directory.path.is_dir()) else { return Vec::new() };
        let mut found = Vec::new();
        visit(&first.path, &mut |directory| {
            let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)));
        });
        found.sort_unstable_by_key(|pid| pid.as_raw_nonzero());
        found
    }

    pub fn is_frozen(&self) -> bool {
        match self.freezer() {
            Some((directory, true)) => fs::read_to_string(directory.join("cgroup.freeze")).is_ok_and(|text| text.trim() == "1"),
            Some((directory, false)) => {
                fs::read_to_string(directory.join("freezer.state")).is_ok_and(|text| matches!(text.trim(), "FROZEN" | "FREEZING"))
            }
            None => false,
        }
    }

    pub fn freeze(&self, frozen: bool) -> Result<()> {
        let Some((directory, unified)) = self.freezer() else {
            return Err(NativeError::new(CGROUP, "freeze the container").detail("there is no freezer controller on this machine"));
        };
        let (file, value) = match (unified, frozen) {
            (true, true) => ("cgroup.freeze", "1"),
            (true, false) => ("cgroup.freeze", "0"),
            (false, true) => ("freezer.state", "FROZEN"),
            (false, false) => ("freezer.state", "THAWED"),
        };
        let until = Instant::now() + PATIENCE;
        loop {
            fs::write(directory.join(file), value).at(CGROUP, "write to", directory.join(file))?;
            // A process that forks meanwhile keeps version 1 at FREEZING until it is told again.
            if has_frozen(directory, unified) == frozen {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(NativeError::new(CGROUP, "freeze the container").detail("the container's processes do not stop"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn freezer(&self) -> Option<(&Path, bool)> {
        let unified = self.is_unified();
        self.path_of(if unified { "" } else { "freezer" }).map(|directory| (directory, unified))
    }

    pub fn signal_all(&self, signal: Signal) {
        for pid in self.processes() {
            let _ = kill_process(pid, signal);
        }
    }

    /// Returns when no process is left.
    pub fn kill_all(&self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !self.processes().is_empty() {
            let kill_file = self.path_of("").map(|directory| directory.join("cgroup.kill"));
            if kill_file.is_none_or(|file| fs::write(file, "1").is_err()) {
                self.signal_all(Signal::KILL);
            }
            if self.is_frozen() {
                self.freeze(false)?;
            }
            if Instant::now() > until {
                return Err(NativeError::new(CGROUP, "end the container").detail("processes of the container do not end"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    pub fn remove(&self) -> Result<()> {
        self.directories.iter().try_for_each(Directory::remove)
    }
}

fn has_frozen(directory: &Path, unified: bool) -> bool {
    match unified {
        true => fs::read_to_string(directory.join("cgroup.events")).is_ok_and(|text| text.lines().any(|line| line == "frozen 1")),
        false => fs::read_to_string(directory.join("freezer.state")).is_ok_and(|text| text.trim() == "FROZEN"),
    }
}

impl Directory {
    fn make(&self) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        match self.controllers.as_slice() {
            [] => self.enable_controllers(),
            controllers if controllers.iter().any(|name| name == "cpuset") => self.copy_cpuset(),
            _ => Ok(()),
        }
    }

    /// Version 2: what a cgroup offers, its parent must have turned on. What cannot be had is missed only when a limit asks for it.
    fn enable_controllers(&self) -> io::Result<()> {
        let below_mount = self.below_mount();
        for parent in &below_mount[..below_mount.len() - 1] {
            let (offered, enabled) = (read_words(parent, "cgroup.controllers")?, read_words(parent, "cgroup.subtree_control")?);
            let missing: Vec<&String> = offered.iter().filter(|controller| !enabled.contains(controller)).collect();
            if missing.is_empty() {
                continue;
            }
            if has_own_processes(parent) {
                return Ok(());
            }
            for controller in missing {
                // A realtime process is in the way of cpu, say.
                let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
            }
        }
        Ok(())
    }

    /// Version 1: a new cgroup has neither CPUs nor memory nodes, and takes no process before it has.
    fn copy_cpuset(&self) -> io::Result<()> {
        for directory in self.below_mount() {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let own = fs::read_to_string(directory.join(file))?;
                if own.trim().is_empty()
                    && let Some(parent) = directory.parent()
                {
                    fs::write(directory.join(file), fs::read_to_string(parent.join(file))?)?;
                }
            }
        }
        Ok(())
    }

    /// The mount, and every directory on the way down to this one.
    fn below_mount(&self) -> Vec<PathBuf> {
        let mut all: Vec<PathBuf> =
            self.path.ancestors().take_while(|ancestor| ancestor.starts_with(&self.mount)).map(Path::to_path_buf).collect();
        all.reverse();
        all
    }

    fn remove(&self) -> Result<()> {
        // Most containers make none below their own.
        if matches!(rustix::fs::rmdir(&self.path), Ok(()) | Err(Errno::NOENT)) {
            return Ok(());
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let mut directories = Vec::new();
            visit(&self.path, &mut |directory| directories.push(directory.to_path_buf()));
            let last = directories.iter().rev().map(rustix::fs::rmdir).find(std::result::Result::is_err);
            match last {
                None => return Ok(()),
                Some(Err(Errno::BUSY)) if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
                Some(Err(Errno::NOENT)) => {}
                Some(result) => return result.at(CGROUP, "remove the cgroup", &self.path),
            }
        }
    }
}

fn read_words(directory: &Path, file: &str) -> io::Result<Vec<String>> {
    Ok(fs::read_to_string(directory.join(file))?.split_whitespace().map(str::to_owned).collect())
}

/// Of version 2. Such a cgroup has nothing to give to cgroups below: memory is refused, and with cpu or pids turned on those below could
/// take no process. The hierarchy's root, which has no type, is the exception.
fn has_own_processes(directory: &Path) -> bool {
    directory.join("cgroup.type").exists() && fs::read(directory.join("cgroup.procs")).is_ok_and(|processes| !processes.is_empty())
}

/// Every cgroup from `top` down, parents first.
fn visit(top: &Path, each: &mut dyn FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(top) else { return };
    each(top);
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        visit(&entry.path(), each);
    }
}

struct Hierarchy {
    controllers: Vec<String>,
    mount: PathBuf,
    /// What of the hierarchy is mounted there.
    root: PathBuf,
    /// This process's cgroup in it.
    own: PathBuf,
}

impl Hierarchy {
    fn directory(self, wanted: &Path) -> Directory {
        let below_root = match wanted.strip_prefix("/") {
            Ok(absolute) => absolute.to_path_buf(),
            Err(_) => {
                let own = self.own.strip_prefix(&self.root).or(self.own.strip_prefix("/")).unwrap_or(Path::new(""));
                // Beside our own in version 2, as with runc: below it, where we are, there is nothing to be had.
                let start = if self.controllers.is_empty() { own.parent().unwrap_or(own) } else { own };
                start.join(wanted)
            }
        };
        Directory { path: self.mount.join(below_root), controllers: self.controllers, mount: self.mount }
    }
}

/// Where this process's cgroup can be seen: that of a controller's hierarchy, or for `""` version 2's.
pub fn own_directory(controller: &str) -> Option<PathBuf> {
    let is_it = |hierarchy: &Hierarchy| match controller {
        "" => hierarchy.controllers.is_empty(),
        name => hierarchy.controllers.iter().any(|known| known == name),
    };
    read_hierarchies().ok()?.into_iter().find(is_it).map(|hierarchy| hierarchy.directory(Path::new("")).path)
}

fn read_hierarchies() -> Result<Vec<Hierarchy>> {
    let read = |path: &str| fs::read_to_string(path).at(CGROUP, "read", path);
    Ok(parse_hierarchies(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?))
}

/// proc(5): `36 35 98:0 ROOT POINT OPTIONS … - TYPE SOURCE SUPEROPTIONS`, and `4:memory:/path`.
fn parse_hierarchies(mountinfo: &str, own: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((mount, file_system)) = line.split_once(" - ") else { continue };
        let (mount, file_system): (Vec<&str>, Vec<&str>) = (mount.split(' ').collect(), file_system.split(' ').collect());
        let ([_, _, _, root, point, ..], [kind, _, options, ..]) = (mount.as_slice(), file_system.as_slice()) else { continue };
        let controllers = match *kind {
            "cgroup2" => Vec::new(),
            "cgroup" => controllers_in(options, own),
            _ => continue,
        };
        let Some(path) = own_path(own, &controllers) else { continue };
        if !found.iter().any(|known| known.controllers == controllers) {
            found.push(Hierarchy { controllers, mount: unescape(point).into(), root: unescape(root).into(), own: path.into() });
        }
    }
    found
}

/// The super options that are controllers; which are, /proc/self/cgroup tells.
fn controllers_in(options: &str, own: &str) -> Vec<String> {
    let known: Vec<&str> = own.lines().filter_map(|line| line.split(':').nth(1)).flat_map(|list| list.split(',')).collect();
    options.split(',').filter(|option| known.contains(option)).map(str::to_owned).collect()
}

fn own_path<'a>(own: &'a str, controllers: &[String]) -> Option<&'a str> {
    own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (list, path) = (fields.next()?, fields.next()?);
        let is_it = match controllers.first() {
            None => list.is_empty(),
            Some(first) => list.split(',').any(|name| name == first),
        };
        is_it.then_some(path)
    })
}

/// Blanks and the like in mountinfo are octal.
pub fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
30 20 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 /outer /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
    const OWN: &str = "3:cpu,cpuacct:/\n2:memory:/outer/inner\n0::/init";

    fn paths(wanted: &str) -> Vec<String> {
        let all = parse_hierarchies(MOUNTS, OWN).into_iter().map(|hierarchy| hierarchy.directory(Path::new(wanted)));
        all.map(|directory| directory.path.display().to_string()).collect()
    }

    #[test]
    fn a_path_starts_at_the_hierarchy_or_at_the_own_cgroup() {
        assert_eq!(paths("/a/b"), ["/sys/fs/cgroup/cpu,cpuacct/a/b", "/sys/fs/cgroup/memory/a/b", "/sys/fs/cgroup/unified/a/b"]);
        assert_eq!(paths("c"), ["/sys/fs/cgroup/cpu,cpuacct/c", "/sys/fs/cgroup/memory/inner/c", "/sys/fs/cgroup/unified/c"]);
    }

    #[test]
    fn controllers_are_told_from_mount_options() {
        let all: Vec<Vec<String>> = parse_hierarchies(MOUNTS, OWN).into_iter().map(|hierarchy| hierarchy.controllers).collect();
        assert_eq!(all, [vec!["cpu", "cpuacct"], vec!["memory"], vec![]]);
    }

    #[test]
    fn upwards_is_refused() {
        assert!(Cgroup::choose(Path::new("/a/../b"), "id").is_err());
    }

    #[test]
    fn the_root_of_all_is_no_container_s() {
        for root in ["/", "//", ".", "/.", "./."] {
            assert!(Cgroup::named(Path::new(root), "id").unwrap_err().detail.contains("the root of all"), "{root}");
        }
    }

    #[test]
    fn one_that_is_made_is_gone_when_it_is_removed() {
        let cgroup = Cgroup::choose(Path::new(""), &format!("tbuild-test-{}", std::process::id())).unwrap();
        if let Err(error) = cgroup.make() {
            eprintln!("skipped: no cgroup can be made here: {}", error.detail);
            return;
        }
        fs::create_dir(cgroup.directories[0].path.join("below")).unwrap();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        cgroup.add(Pid::from_child(&child)).unwrap();
        assert_eq!(cgroup.processes(), [Pid::from_child(&child)]);
        let taken = Cgroup::choose(Path::new(""), &format!("tbuild-test-{}", std::process::id()));
        assert!(taken.unwrap_err().detail.contains("somebody else's"));
        cgroup.freeze(true).unwrap();
        assert!(cgroup.is_frozen());
        cgroup.signal_all(Signal::KILL);
        cgroup.freeze(false).unwrap();
        child.wait().unwrap();
        cgroup.kill_all().unwrap();
        cgroup.remove().unwrap();
        assert!(!cgroup.exists());
    }
}
