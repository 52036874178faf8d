//! A container's monitor: one process for each container that is kept. It runs the container in a forked child, keeps its log, restarts it, checks
//! its health, and lets any number of others attach to it, run commands in it and control it. Everything ends with it: it leaves files in the
//! container's directory, which docs/native.md describes ("Monitor"), and what `clean` removes where it was killed. Assumes processes of one thread.

mod attach;
mod checker;
mod clean;
mod connections;
mod container;
mod control;
mod daemon;
mod detach_keys;
mod directory;
mod events;
mod exec;
mod exec_client;
mod health;
mod log;
mod network;
mod outbox;
mod packets;
mod published_ports;
mod restart;
mod spec;
mod start;
mod state;

pub use attach::{Attach, attach};
pub use clean::clean;
pub use connections::Streams;
pub use control::control;
pub use detach_keys::DetachKeys;
pub use exec_client::{Exec, ExecFlags, exec};
pub use start::start;
