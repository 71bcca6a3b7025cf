//! What is due again and again: names, expired sessions, the expiry of certificates.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::certificates::Certificates;
use super::pool::Pool;
use super::state::State;
use crate::rendezvous::session::Timestamp;

/// Expired sessions are absent at once; this is how long they may still take memory.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Runs what is due.
pub(super) struct Housekeeping {
    state: Arc<State>,
    certificates: Option<Arc<Certificates>>,
}

impl Housekeeping {
    /// Looks after `state` and the metrics of `certificates`.
    #[must_use]
    pub(super) fn new(state: Arc<State>, certificates: Option<Arc<Certificates>>) -> Self {
        Self { state, certificates }
    }

    fn report_certificates(&self) {
        let Some(certificates) = &self.certificates else { return };
        // By file: an ECDSA and an RSA certificate have the same names.
        let expiries = certificates.expiries().into_iter();
        let named: Vec<_> = expiries.map(|expiry| (expiry.cert.display().to_string(), expiry.not_after)).collect();
        self.state.metrics.certificates(named.iter().map(|(name, end)| (name.as_str(), *end)));
    }
}

#[async_trait]
impl BackgroundService for Housekeeping {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let every = |period| {
            let mut interval = interval_at(Instant::now() + period, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let mut sweep = every(SWEEP_EVERY);
        let mut resolve = every(Pool::resolve_every());
        loop {
            tokio::select! {
                _ = sweep.tick() => {
                    self.state.store.sweep(Timestamp::from(SystemTime::now())).await;
                    self.state.running().throttle.sweep();
                    self.report_certificates();
                }
                _ = resolve.tick() => {
                    for pool in self.state.running().pools.iter() {
                        pool.resolve().await;
                    }
                }
                _ = shutdown.changed() => return,
            }
        }
    }
}
