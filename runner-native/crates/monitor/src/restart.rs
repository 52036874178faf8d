//! Whether and when a container that has ended is started again: docker's rules (moby: daemon/internal/restartmanager).

use crate::spec::{Policy, RestartSpec};
use std::time::Duration;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// Who ran as long as this was well.
const HEALTHY: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Restarts {
    delay: Option<Duration>,
}

impl Restarts {
    /// None: it stays as it is.
    pub fn after(&mut self, spec: RestartSpec, exit_code: i32, ran: Duration, count: u32) -> Option<Duration> {
        let is_wanted = match spec.policy {
            Policy::No => false,
            Policy::Always | Policy::UnlessStopped => true,
            Policy::OnFailure => exit_code != 0 && (spec.maximum_retries == 0 || count < spec.maximum_retries),
        };
        if !is_wanted {
            return None;
        }
        let delay = match self.delay.filter(|_| ran < HEALTHY) {
            None => FIRST_DELAY,
            Some(last) => (last * 2).min(LONGEST_DELAY),
        };
        self.delay = Some(delay);
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(5);

    fn spec(policy: Policy, maximum_retries: u32) -> RestartSpec {
        RestartSpec { policy, maximum_retries }
    }

    #[test]
    fn each_wait_is_twice_the_last_one_up_to_a_minute() {
        let mut restarts = Restarts::default();
        let delays: Vec<u128> =
            (0..12).map(|count| restarts.after(spec(Policy::Always, 0), 0, SHORT, count).unwrap().as_millis()).collect();
        assert_eq!(delays, [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000]);
        assert_eq!(restarts.after(spec(Policy::Always, 0), 0, HEALTHY, 13), Some(FIRST_DELAY));
    }

    #[test]
    fn policies() {
        let after = |policy, maximum, exit_code, count| Restarts::default().after(spec(policy, maximum), exit_code, SHORT, count).is_some();
        assert!(!after(Policy::No, 0, 1, 0));
        assert!(after(Policy::Always, 0, 0, 0) && after(Policy::UnlessStopped, 0, 0, 9));
        assert!(!after(Policy::OnFailure, 0, 0, 0) && after(Policy::OnFailure, 0, 1, 99));
        assert!(after(Policy::OnFailure, 3, 1, 2) && !after(Policy::OnFailure, 3, 1, 3));
    }
}
