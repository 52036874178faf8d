//! How failures get their names: the codes this crate uses, and how a failed call becomes a `NativeError` with its operand.

use std::path::Path;
pub use tbuild_layers::error::{NativeError, Result};

/// config.json, or the root's specification, says something that cannot be.
pub const CONFIG: &str = "native/config";
pub const MOUNT: &str = "native/mount";
pub const NAMESPACE: &str = "native/namespace";
/// Anything that fails while the container's first process gets ready.
pub const PROCESS: &str = "native/process";
pub const USAGE: &str = "native/usage";
pub const NO_NAMESPACE: &str = "unsupported/no-namespace";
/// A user or group that the user namespace has not.
pub const IDS: &str = "unsupported/ids";
/// A file system that idmapped mounts cannot be made of.
pub const IDMAP: &str = "unsupported/idmap";
/// The upper is on a file system that overlayfs does not write to.
pub const UPPER: &str = "unsupported/upper";
/// Another runtime could not start its container.
pub const RUNTIME: &str = "native/runtime";
/// cgroups.
pub const CGROUP: &str = "native/cgroup";
/// A program of config.json's hooks.
pub const HOOK: &str = "native/hook";
/// What is kept of containers, or what may not be done in a container's state.
pub const STATE: &str = "native/state";
/// A field of config.json that this runtime does not have.
pub const FEATURE: &str = "unsupported/feature";
pub const NOT_FOUND: &str = "run/command-not-found";
/// The working directory is none.
pub const WORKDIR: &str = "run/workdir";
/// Arguments and environment are more than the kernel takes.
pub const TOO_LONG: &str = "run/arguments-too-long";
pub const NOT_EXECUTABLE: &str = "run/command-not-executable";

pub trait Context<T> {
    /// Names the operation, under a code of this crate.
    fn during(self, code: &str, op: &str) -> Result<T>;
    /// The same, with the file it was about.
    fn at(self, code: &str, op: &str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<std::io::Error>> Context<T> for std::result::Result<T, E> {
    fn during(self, code: &str, op: &str) -> Result<T> {
        self.map_err(|error| {
            let error = NativeError::io(op, error).or_code(code);
            let detail = format!("cannot {op}: {}", error.detail);
            error.detail(detail)
        })
    }

    fn at(self, code: &str, op: &str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|error| {
            let error = NativeError::io(op, error).or_code(code).path(&path);
            let detail = format!("cannot {op} {}: {}", path.as_ref().display(), error.detail);
            error.detail(detail)
        })
    }
}

pub fn invalid(field: &str, detail: impl std::fmt::Display) -> NativeError {
    NativeError::new(CONFIG, "read the configuration").detail(format!("{field}: {detail}"))
}

pub fn unsupported(field: &str) -> NativeError {
    NativeError::new(FEATURE, "read the configuration").detail(format!("{field} is not supported by this runtime"))
}

/// As docker run exits: 127 and 126 for a command that is missing or cannot be executed, 125 for everything else.
pub fn exit_status(error: &NativeError) -> i32 {
    match error.code.as_str() {
        NOT_FOUND => 127,
        NOT_EXECUTABLE => 126,
        _ => 125,
    }
}
