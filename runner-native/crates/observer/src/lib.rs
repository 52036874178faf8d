//! The file observer: serves traced layers to the kernel by FUSE, and notes what is asked of them (the questions; tbuild answers them from the same
//! indexes). Each path is asked for once, for the kernel may keep every answer for ever. Nothing that it serves can be written to.
//! Assumes a process of its own that holds nothing but what is given; the descriptors are /dev/fuse's, each mounted by somebody else.

mod attributes;
mod connection;
mod log;
mod owners;
mod protocol;
mod report;
mod serve;

pub use attributes::DIRECTORY_MTIME;
pub use connection::Connection;
pub use owners::Owners;
pub use serve::serve;

#[cfg(fuzzing)]
pub mod fuzzing;
