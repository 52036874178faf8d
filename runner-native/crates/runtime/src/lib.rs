//! The container side of tbuild: an OCI runtime (`run`), the roots made of layers that it runs in (`with_root`), and the test of what this
//! machine can mount (`probe`). Assumes a process of one thread: namespaces are entered by it and by what it forks.

mod cgroup_mounts;
mod channel;
pub mod container;
mod devices;
pub mod error;
mod files;
mod foreign;
mod identity;
mod init;
mod inside_root;
mod loop_device;
mod mount_options;
mod mounts;
pub mod own_binary;
pub mod plan;
pub mod probe;
mod relay;
mod root_spec;
mod seccomp;
pub mod spec;
mod stack;
mod streams;
mod stubs;
pub mod sys;
mod terminal;
mod watcher;
pub mod with_root;
