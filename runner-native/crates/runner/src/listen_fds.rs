//! Sockets that systemd opened for who started us (sd_listen_fds(3)): they are the container's, from descriptor 3 on, before those of
//! `--preserve-fds`, and its first process is told so.

use crate::arguments::usage;
use tbuild_runtime::error::Result;

#[derive(Default)]
pub struct ListenFds {
    pub count: u32,
    /// For the container's command.
    pub environment: Vec<String>,
}

impl ListenFds {
    /// None, where they are meant for another process.
    pub fn of_this_process() -> Result<Self> {
        let Ok(count) = std::env::var("LISTEN_FDS") else { return Ok(Self::default()) };
        if std::env::var("LISTEN_PID").is_ok_and(|pid| pid != std::process::id().to_string()) {
            return Ok(Self::default());
        }
        let count = count.parse().map_err(|_| usage(format!("LISTEN_FDS is a number, not {count:?}")))?;
        let mut environment = vec![format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()];
        environment.extend(std::env::var("LISTEN_FDNAMES").map(|names| format!("LISTEN_FDNAMES={names}")));
        Ok(Self { count, environment })
    }
}
