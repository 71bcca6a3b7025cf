//! Whether a process counts as there, judged by what was seen of it.
//!
//! Only connections that cannot be made and probes that fail count against a process. Slow answers and errors do not:
//! they are told to whoever asked, and taking a busy process out of service makes its neighbours busier still.

use std::time::Duration;

/// When a process is taken for gone, and when for back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthPolicy {
    /// How often each process is probed.
    pub interval: Duration,
    /// So many good signs in a row bring a process back.
    pub rise: u32,
    /// So many bad signs in a row take a process out.
    pub fall: u32,
}

/// What is seen of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A probe was answered with 200.
    Healthy,
    /// A probe failed.
    Unhealthy,
    /// A request's connection could not be made. Nobody listens, so nothing more needs to be seen.
    Refused,
    /// A request's connection was made.
    Connected,
}

/// What became of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is taken for gone.
    Down,
    /// It is taken for back.
    Up,
}

/// What is known of a process. At first it is taken for there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    down: bool,
    /// Signs in a row that speak against the present state.
    streak: u32,
}

impl Health {
    /// Whether the process is taken for there.
    #[must_use]
    pub const fn is_up(self) -> bool {
        !self.down
    }

    /// Takes note of a sign; what became of the process, if anything did.
    pub fn see(&mut self, sign: Sign, policy: &HealthPolicy) -> Option<Turn> {
        let (against, enough) = match (sign, self.down) {
            (Sign::Refused, false) => (true, 1),
            (Sign::Unhealthy, false) => (true, policy.fall),
            (Sign::Healthy, true) => (true, policy.rise),
            // A port that accepts may belong to a process that is still starting: only a probe tells.
            (Sign::Connected, _) => return None,
            (Sign::Refused | Sign::Unhealthy, true) | (Sign::Healthy, false) => (false, 0),
        };
        if !against {
            self.streak = 0;
            return None;
        }
        self.streak += 1;
        if self.streak < enough {
            return None;
        }
        *self = Self { down: !self.down, streak: 0 };
        Some(if self.down { Turn::Down } else { Turn::Up })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: HealthPolicy = HealthPolicy { interval: Duration::from_secs(2), rise: 2, fall: 3 };

    /// Shows signs one by one, and compares what becomes of the process.
    fn check(signs: &[(Sign, Option<Turn>)]) {
        let mut health = Health::default();
        assert!(health.is_up());
        for (number, (sign, turn)) in signs.iter().enumerate() {
            assert_eq!(health.see(*sign, &POLICY), *turn, "sign {number} of {signs:?}");
            match turn {
                Some(Turn::Down) => assert!(!health.is_up()),
                Some(Turn::Up) => assert!(health.is_up()),
                None => {}
            }
        }
    }

    #[test]
    fn several_failed_probes_in_a_row_take_a_process_out() {
        use Sign::{Healthy, Unhealthy};
        check(&[(Unhealthy, None), (Unhealthy, None), (Unhealthy, Some(Turn::Down)), (Unhealthy, None)]);
        check(&[(Unhealthy, None), (Unhealthy, None), (Healthy, None), (Unhealthy, None), (Unhealthy, None)]);
    }

    #[test]
    fn a_refused_connection_takes_it_out_at_once() {
        check(&[(Sign::Refused, Some(Turn::Down)), (Sign::Refused, None)]);
    }

    #[test]
    fn only_probes_bring_it_back() {
        use Sign::{Connected, Healthy, Refused, Unhealthy};
        let down = (Refused, Some(Turn::Down));
        check(&[down, (Connected, None), (Connected, None), (Connected, None)]);
        check(&[down, (Healthy, None), (Healthy, Some(Turn::Up)), (Healthy, None)]);
        check(&[down, (Healthy, None), (Unhealthy, None), (Healthy, None), (Healthy, Some(Turn::Up))]);
    }
}
