//! The OCI runtime-spec's config.json (1.2), as far as this runtime reads it: data only, in the names the specification uses.
//! Fields that are not here are ignored; fields that are here only to be refused say so in `validate`.

use crate::user_namespace::IdRange;
use serde::Deserialize;
use serde::de::{Error, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt::Formatter;
use std::marker::PhantomData;
use std::path::PathBuf;

/// Go programs write `null` for empty lists and structs.
pub fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// More than Linux has of anything that is listed (fs.mount-max is as much). An entry of two bytes can take hundreds when it is read.
const ENTRIES_MAX: usize = 100_000;

/// A list, perhaps `null`.
pub fn list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Entries<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
        type Value = Vec<T>;

        fn expecting(&self, to: &mut Formatter<'_>) -> std::fmt::Result {
            to.write_str("a list")
        }

        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
            let mut read = Vec::new();
            while let Some(entry) = entries.next_element()? {
                if read.len() == ENTRIES_MAX {
                    return Err(A::Error::custom(format_args!("a list has more than {ENTRIES_MAX} entries")));
                }
                read.push(entry);
            }
            Ok(read)
        }
    }
    deserializer.deserialize_any(Entries(PhantomData))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    pub oci_version: String,
    pub root: Option<Root>,
    #[serde(deserialize_with = "list")]
    pub mounts: Vec<Mount>,
    pub process: Option<Process>,
    #[serde(deserialize_with = "null_is_default")]
    pub hostname: String,
    #[serde(deserialize_with = "null_is_default")]
    pub domainname: String,
    #[serde(deserialize_with = "null_is_default")]
    pub hooks: crate::hooks::Hooks,
    #[serde(deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    pub linux: Linux,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Root {
    pub path: PathBuf,
    pub readonly: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Mount {
    pub destination: PathBuf,
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    pub kind: String,
    #[serde(deserialize_with = "null_is_default")]
    pub source: PathBuf,
    #[serde(deserialize_with = "list")]
    pub options: Vec<String>,
    #[serde(deserialize_with = "list")]
    pub uid_mappings: Vec<IdRange>,
    #[serde(deserialize_with = "list")]
    pub gid_mappings: Vec<IdRange>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Process {
    pub terminal: bool,
    pub console_size: Option<ConsoleSize>,
    #[serde(deserialize_with = "null_is_default")]
    pub user: User,
    #[serde(deserialize_with = "list")]
    pub args: Vec<String>,
    #[serde(deserialize_with = "list")]
    pub env: Vec<String>,
    pub cwd: PathBuf,
    pub capabilities: Option<Capabilities>,
    #[serde(deserialize_with = "list")]
    pub rlimits: Vec<Rlimit>,
    pub no_new_privileges: bool,
    pub oom_score_adj: Option<i32>,
    #[serde(deserialize_with = "null_is_default")]
    pub apparmor_profile: String,
    #[serde(deserialize_with = "null_is_default")]
    pub selinux_label: String,
    pub scheduler: Option<Scheduler>,
    pub io_priority: Option<IoPriority>,
    #[serde(rename = "execCPUAffinity")]
    pub exec_cpu_affinity: Option<ExecCpuAffinity>,
}

impl Process {
    /// To be had at once; none that others could inherit (CVE-2022-29162).
    pub fn add_capabilities(&mut self, names: &[String]) {
        let sets = self.capabilities.get_or_insert_default();
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.extend(names.iter().cloned());
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Scheduler {
    pub policy: String,
    pub nice: i32,
    pub priority: i32,
    #[serde(deserialize_with = "list")]
    pub flags: Vec<String>,
    /// Nanoseconds, as the next two.
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

#[derive(Deserialize)]
pub struct IoPriority {
    pub class: String,
    pub priority: i32,
}

/// Lists of CPUs, as `0-3,7`.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct ExecCpuAffinity {
    #[serde(deserialize_with = "null_is_default")]
    pub initial: String,
    #[serde(rename = "final", deserialize_with = "null_is_default")]
    pub last: String,
}

#[derive(Deserialize)]
pub struct ConsoleSize {
    pub height: u16,
    pub width: u16,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub umask: Option<u32>,
    #[serde(deserialize_with = "list")]
    pub additional_gids: Vec<u32>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Capabilities {
    #[serde(deserialize_with = "list")]
    pub bounding: Vec<String>,
    #[serde(deserialize_with = "list")]
    pub effective: Vec<String>,
    #[serde(deserialize_with = "list")]
    pub inheritable: Vec<String>,
    #[serde(deserialize_with = "list")]
    pub permitted: Vec<String>,
    #[serde(deserialize_with = "list")]
    pub ambient: Vec<String>,
}

#[derive(Deserialize)]
pub struct Rlimit {
    #[serde(rename = "type")]
    pub kind: String,
    pub soft: u64,
    pub hard: u64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Linux {
    #[serde(deserialize_with = "list")]
    pub namespaces: Vec<Namespace>,
    #[serde(deserialize_with = "list")]
    pub uid_mappings: Vec<IdRange>,
    #[serde(deserialize_with = "list")]
    pub gid_mappings: Vec<IdRange>,
    /// By clock.
    #[serde(deserialize_with = "null_is_default")]
    pub time_offsets: BTreeMap<String, TimeOffset>,
    #[serde(deserialize_with = "list")]
    pub devices: Vec<Device>,
    #[serde(deserialize_with = "null_is_default")]
    pub sysctl: BTreeMap<String, String>,
    pub seccomp: Option<Seccomp>,
    #[serde(deserialize_with = "null_is_default")]
    pub rootfs_propagation: String,
    #[serde(deserialize_with = "list")]
    pub masked_paths: Vec<PathBuf>,
    #[serde(deserialize_with = "list")]
    pub readonly_paths: Vec<PathBuf>,
    #[serde(deserialize_with = "null_is_default")]
    pub mount_label: String,
    #[serde(deserialize_with = "null_is_default")]
    pub cgroups_path: PathBuf,
    pub resources: Option<crate::resources::Resources>,
    pub personality: Option<Personality>,
}

#[derive(Deserialize)]
pub struct Namespace {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub path: PathBuf,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(default)]
pub struct TimeOffset {
    pub secs: i64,
    pub nanosecs: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    #[serde(rename = "type")]
    pub kind: String,
    pub path: PathBuf,
    #[serde(default)]
    pub major: i64,
    #[serde(default)]
    pub minor: i64,
    pub file_mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

#[derive(Deserialize)]
pub struct Personality {
    pub domain: String,
    #[serde(default, deserialize_with = "list")]
    pub flags: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Seccomp {
    pub default_action: String,
    pub default_errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "list")]
    pub architectures: Vec<String>,
    /// Absent is not empty: without the list runc sets SPEC_ALLOW.
    pub flags: Option<Vec<String>>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub listener_path: PathBuf,
    #[serde(default, deserialize_with = "null_is_default")]
    pub listener_metadata: String,
    #[serde(default, deserialize_with = "list")]
    pub syscalls: Vec<SeccompRule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeccompRule {
    pub names: Vec<String>,
    pub action: String,
    pub errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "list")]
    pub args: Vec<SeccompArgument>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeccompArgument {
    pub index: u32,
    pub value: u64,
    #[serde(default)]
    pub value_two: u64,
    pub op: String,
}
