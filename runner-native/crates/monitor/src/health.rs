//! A container's health: a command is executed in it again and again, and what its exits say is `starting`, `healthy` or `unhealthy`
//! (moby: daemon/health.go, whose rules these are). A child of the monitor's does that, which sleeps and waits as it likes; it sends the
//! health, a line of JSON, after each check. It never changes the container: the monitor does.

use crate::exec::{Begun, ExecRequest, Target};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tbuild_runtime::container::Container;
use tbuild_runtime::error::{Context, PROCESS, Result};
use tbuild_runtime::sys;

const OUTPUT_BYTES_MAX: usize = 4096;
const KEPT_CHECKS: usize = 5;

/// Of monitor.json. Times in milliseconds; 0 is docker's default.
#[derive(Deserialize, Clone, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthSpec {
    pub args: Vec<String>,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    pub start_period_ms: u64,
    pub start_interval_ms: u64,
    pub retries: u32,
    pub on_failure: OnFailure,
}

/// What becomes of a container that has just become unhealthy.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    #[default]
    None,
    /// Its restart policy decides what follows.
    Kill,
    Restart,
    Stop,
}

impl HealthSpec {
    fn interval(&self) -> Duration {
        or_default(self.interval_ms, 30_000)
    }

    fn timeout(&self) -> Duration {
        or_default(self.timeout_ms, 30_000)
    }

    fn start_interval(&self) -> Duration {
        or_default(self.start_interval_ms, 5_000)
    }

    fn start_period(&self) -> Duration {
        Duration::from_millis(self.start_period_ms)
    }

    fn retries(&self) -> u32 {
        if self.retries == 0 { 3 } else { self.retries }
    }
}

fn or_default(given_ms: u64, default_ms: u64) -> Duration {
    Duration::from_millis(if given_ms == 0 { default_ms } else { given_ms })
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    #[default]
    Starting,
    Healthy,
    Unhealthy,
}

impl std::fmt::Display for HealthStatus {
    fn fmt(&self, text: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        text.write_str(match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        })
    }
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    pub status: HealthStatus,
    pub failing_streak: u32,
    /// The latest.
    pub log: Vec<Check>,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// ms since the epoch, as the next.
    pub start: u64,
    pub end: u64,
    /// -1: there is none.
    pub exit_code: i32,
    pub output: String,
}

impl Health {
    /// Of a container that starts again: what was checked before is still told.
    #[must_use]
    pub fn restarted(self) -> Self {
        Self { log: self.log, ..Self::default() }
    }

    /// `age`: of the container when the check began.
    fn take(&mut self, spec: &HealthSpec, age: Duration, check: Check) {
        let is_good = check.exit_code == 0;
        self.log.push(check);
        self.log.drain(..self.log.len().saturating_sub(KEPT_CHECKS));
        if is_good {
            (self.status, self.failing_streak) = (HealthStatus::Healthy, 0);
            return;
        }
        if self.status == HealthStatus::Starting && age < spec.start_period() {
            return;
        }
        self.failing_streak += 1;
        if self.failing_streak >= spec.retries() {
            self.status = HealthStatus::Unhealthy;
        }
    }

    /// From the end of one check, or the container's start, to the next.
    fn pause(&self, spec: &HealthSpec, age: Duration) -> Duration {
        let is_starting = self.status == HealthStatus::Starting && age < spec.start_period();
        if is_starting { spec.start_interval() } else { spec.interval() }
    }
}

/// What a forked child of the monitor does until the container has ended, nobody listens, or it gets SIGTERM: a check that runs then is killed.
/// Assumes one thread.
pub fn keep_checking(target: &Target, spec: &HealthSpec, mut health: Health, started: Instant, sink: OwnedFd) -> Result<()> {
    sys::die_with_parent().during(PROCESS, "tie the health checks to the monitor")?;
    give_null_streams()?;
    sys::close_all_but(&mut [0, 1, 2, sink.as_raw_fd()]).during(PROCESS, "close descriptors")?;
    let signals = sys::signals().during(PROCESS, "block signals")?;
    let mut sink = std::fs::File::from(sink);
    loop {
        if is_told_to_end(&signals, health.pause(spec, started.elapsed())) {
            return Ok(());
        }
        let (age, start) = (started.elapsed(), now_ms());
        let Some((exit_code, output)) = check(target, spec, &signals) else { return Ok(()) };
        if !target.first.is_alive() {
            return Ok(()); // it failed for the container's end
        }
        health.take(spec, age, Check { start, end: now_ms(), exit_code, output });
        let mut line = serde_json::to_vec(&health).map_err(std::io::Error::from).during(PROCESS, "tell the health")?;
        line.push(b'\n');
        sink.write_all(&line).during(PROCESS, "tell the health")?;
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

fn is_told_to_end(signals: &OwnedFd, within: Duration) -> bool {
    let until = Instant::now() + within;
    loop {
        let rest = until.saturating_duration_since(Instant::now());
        let ready = poll(&mut [PollFd::new(signals, PollFlags::IN)], Some(&timespec(rest)));
        while let Some(signal) = sys::next_signal(signals.as_fd()) {
            if signal == libc::SIGTERM {
                return true;
            }
        }
        if rest.is_zero() || matches!(ready, Ok(0)) {
            return false;
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: i64::from(duration.subsec_nanos()) }
}

/// None: told to end meanwhile.
fn check(target: &Target, spec: &HealthSpec, signals: &OwnedFd) -> Option<(i32, String)> {
    let begun = begin(target, spec);
    let _ = give_null_streams();
    match begun {
        Ok((begun, output)) => attend(begun, Output { from: output, kept: Vec::new(), is_cut: false, is_over: false }, spec, signals),
        Err(error) => Some((-1, error.detail)),
    }
}

fn give_null_streams() -> Result<()> {
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).at(PROCESS, "open", "/dev/null")?;
    sys::replace_stdio(&null).during(PROCESS, "replace standard streams")
}

fn begin(target: &Target, spec: &HealthSpec) -> Result<(Begun, OwnedFd)> {
    let (from, to) = pipe_with(PipeFlags::CLOEXEC).during(PROCESS, "make a pipe")?;
    rustix::io::ioctl_fionbio(&from, true).during(PROCESS, "make a pipe")?;
    for number in [1, 2] {
        sys::replace_descriptor(to.as_raw_fd(), number).during(PROCESS, "replace standard streams")?;
    }
    Ok((target.execute(&ExecRequest { args: spec.args.clone(), ..ExecRequest::default() })?, from))
}

fn attend(mut begun: Begun, mut output: Output, spec: &HealthSpec, signals: &OwnedFd) -> Option<(i32, String)> {
    let until = Instant::now() + spec.timeout();
    loop {
        let rest = until.saturating_duration_since(Instant::now());
        let mut fds = vec![PollFd::new(&begun.executed().container.pidfd, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
        if !output.is_over {
            fds.push(PollFd::new(&output.from, PollFlags::IN));
        }
        let _ = poll(&mut fds, Some(&timespec(rest)));
        let has_ended = !fds[0].revents().is_empty();
        output.read();
        if has_ended {
            return Some(match begun.exit_status() {
                Ok(status) => (status, output.text()),
                Err(error) => (-1, error.detail),
            });
        }
        while let Some(signal) = sys::next_signal(signals.as_fd()) {
            if signal == libc::SIGTERM {
                kill(&begun.executed().container);
                std::mem::forget(begun); // one that is frozen ends when it is not, and is not waited for
                return None;
            }
        }
        if rest.is_zero() {
            kill(&begun.executed().container);
            let _ = begun.exit_status();
            output.read();
            let (limit, text) = (go_duration(spec.timeout()), output.text());
            let colon = if text.is_empty() { "" } else { ": " };
            return Some((-1, format!("Health check exceeded timeout ({limit}){colon}{text}")));
        }
    }
}

/// With what it has started: it has a session of its own.
fn kill(container: &Container) {
    let _ = kill_process_group(container.pid, Signal::KILL);
    let _ = sys::pidfd_send_signal(container.pidfd.as_fd(), libc::SIGKILL);
}

/// What a check prints, to the limit.
struct Output {
    from: OwnedFd,
    kept: Vec<u8>,
    is_cut: bool,
    is_over: bool,
}

impl Output {
    /// What is there; of one that prints without end not all at once.
    fn read(&mut self) {
        let mut buffer = [0; OUTPUT_BYTES_MAX];
        for _ in 0..16 {
            match rustix::io::read(&self.from, &mut buffer) {
                Ok(0) => {
                    self.is_over = true;
                    return;
                }
                Ok(count) => {
                    let kept = count.min(OUTPUT_BYTES_MAX - self.kept.len());
                    self.kept.extend_from_slice(&buffer[..kept]);
                    self.is_cut |= kept < count;
                }
                Err(_) => return,
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned() + if self.is_cut { "..." } else { "" }
    }
}

/// As Go prints a time.Duration of whole milliseconds: `500ms`, `1.5s`, `1m0s`.
fn go_duration(duration: Duration) -> String {
    let (seconds, milliseconds) = (duration.as_secs(), duration.subsec_millis());
    if seconds == 0 {
        return format!("{milliseconds}ms");
    }
    let fraction = if milliseconds == 0 { String::new() } else { format!(".{milliseconds:03}").trim_end_matches('0').to_owned() };
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}{fraction}s"),
        (0, _) => format!("{minutes}m{rest}{fraction}s"),
        _ => format!("{hours}h{minutes}m{rest}{fraction}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn spec() -> HealthSpec {
        HealthSpec { start_period_ms: 10_000, ..HealthSpec::default() }
    }

    fn exits(health: &mut Health, spec: &HealthSpec, age: Duration, exit_code: i32) -> (HealthStatus, u32) {
        health.take(spec, age, Check { exit_code, ..Check::default() });
        (health.status, health.failing_streak)
    }

    #[test]
    fn three_failures_in_a_row_are_unhealthy_and_one_success_is_healthy() {
        let mut health = Health::default();
        let spec = HealthSpec::default();
        let mut after = |exit_code| exits(&mut health, &spec, SECOND, exit_code);
        assert_eq!(after(1), (HealthStatus::Starting, 1));
        assert_eq!(after(-1), (HealthStatus::Starting, 2));
        assert_eq!(after(137), (HealthStatus::Unhealthy, 3));
        assert_eq!(after(1), (HealthStatus::Unhealthy, 4));
        assert_eq!(after(0), (HealthStatus::Healthy, 0));
        assert_eq!(after(1), (HealthStatus::Healthy, 1));
    }

    #[test]
    fn failures_of_the_start_period_do_not_count_until_one_has_succeeded() {
        let mut health = Health::default();
        for _ in 0..4 {
            assert_eq!(exits(&mut health, &spec(), SECOND, 1), (HealthStatus::Starting, 0));
        }
        assert_eq!(exits(&mut health, &spec(), SECOND, 0), (HealthStatus::Healthy, 0));
        assert_eq!(exits(&mut health, &spec(), SECOND, 1), (HealthStatus::Healthy, 1));
        assert_eq!(exits(&mut Health::default(), &spec(), 10 * SECOND, 1), (HealthStatus::Starting, 1));
    }

    #[test]
    fn the_latest_five_are_kept_over_a_restart_too() {
        let mut health = Health::default();
        for exit_code in 1..=7 {
            exits(&mut health, &HealthSpec::default(), SECOND, exit_code);
        }
        let health = health.restarted();
        assert_eq!(health.log.iter().map(|check| check.exit_code).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
        assert_eq!((health.status, health.failing_streak), (HealthStatus::Starting, 0));
    }

    #[test]
    fn the_start_interval_is_for_the_start_period_until_it_is_healthy() {
        let mut health = Health::default();
        assert_eq!(health.pause(&HealthSpec::default(), SECOND), 30 * SECOND);
        assert_eq!(health.pause(&spec(), SECOND), 5 * SECOND);
        assert_eq!(health.pause(&spec(), 10 * SECOND), 30 * SECOND);
        exits(&mut health, &spec(), SECOND, 0);
        assert_eq!(health.pause(&spec(), SECOND), 30 * SECOND);
    }

    #[test]
    fn durations_are_printed_as_go_does() {
        let texts = [5, 500, 1_000, 1_500, 60_000, 61_250, 3_600_000].map(|ms| go_duration(Duration::from_millis(ms)));
        assert_eq!(texts, ["5ms", "500ms", "1s", "1.5s", "1m0s", "1m1.25s", "1h0m0s"]);
    }
}
