//! The container side of tbuild: an OCI runtime (`run`), the roots made of layers that it runs in (`with_root`), and the test of what this
//! machine can mount (`probe`). Assumes a process of one thread: namespaces are entered by it and by what it forks.

mod cgroup_mounts;
pub mod cgroups;
mod channel;
pub mod container;
mod devices;
pub mod error;
pub mod exec;
pub mod features;
mod files;
mod foreign;
pub mod hooks;
mod identity;
mod init;
mod inside_root;
pub mod lifecycle;
mod loop_device;
mod mount_options;
mod mounts;
pub mod own_binary;
pub mod plan;
pub mod probe;
pub mod record;
mod relay;
mod root_spec;
mod seccomp;
pub mod signals;
pub mod spec;
mod stack;
mod streams;
mod stubs;
pub mod sys;
mod terminal;
mod watcher;
pub mod with_root;
