//! Probes the processes of Synapse.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use http::header::HOST;
use pingora::http::RequestHeader;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::pool::Pool;
use super::question::ask;
use super::release;
use super::state::{Running, State};
use crate::upstream::Sign;
use crate::upstream_address::UpstreamId;

/// How often it is looked at who is to be probed. While requests wait for a process, each look is a probe of it.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a process may take: its `/health` does no work.
const WITHIN: Duration = Duration::from_secs(2);
/// The pauses between the questions to a process that has lost a request, in milliseconds. One that ends refuses
/// connections by the last of them.
const LOST: [u64; 5] = [50, 100, 200, 200, 200];

/// Looks after the health of the upstreams of `state`.
pub(super) struct HealthWatch {
    state: Arc<State>,
}

impl HealthWatch {
    /// Looks after `state`.
    #[must_use]
    pub(super) const fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    /// Starts the probes that are due. They do not wait for each other.
    fn look(&self) {
        let running = self.state.running();
        for (place, upstream) in running.gateway.upstreams.as_slice().iter().enumerate() {
            let id = UpstreamId(place);
            let is_synapse = !upstream.roles.is_empty();
            let due =
                running.pools.get(id).is_some_and(|pool| is_synapse && pool.is_due(running.gateway.health.interval));
            if due {
                tokio::spawn(probe(Arc::clone(&self.state), Arc::clone(&running), id));
            }
        }
    }
}

async fn probe(state: Arc<State>, running: Arc<Running>, id: UpstreamId) {
    let Some(pool) = running.pools.get(id) else { return };
    let sign = if answers(pool).await { Sign::Healthy } else { Sign::Unhealthy };
    state.see(&running, id, sign);
    pool.was_probed();
}

/// Waits until a process that has lost a request answers, or is known to be gone, but not for long: while one ends, the
/// kernel goes on taking connections for it.
pub(super) async fn settle(pool: &Pool) {
    for pause in LOST {
        if pool.is_well(answers).await || !pool.is_up() {
            return;
        }
        sleep(Duration::from_millis(pause)).await;
    }
}

/// Asks Synapse's `/health` (`synapse/rest/health.py`).
pub(super) async fn answers(pool: &Pool) -> bool {
    let Ok(mut request) = RequestHeader::build("GET", b"/health", Some(1)) else { return false };
    request.insert_header(HOST, "localhost").is_ok() && ask(pool, &request, WITHIN).await == Some(StatusCode::OK)
}

#[async_trait]
impl BackgroundService for HealthWatch {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut look = interval(LOOK_EVERY);
        let mut ask = interval(release::ASK_EVERY);
        for interval in [&mut look, &mut ask] {
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                _ = look.tick() => self.look(),
                _ = ask.tick() => {
                    let state = Arc::clone(&self.state);
                    tokio::spawn(async move { release::detect(&state).await });
                }
                _ = shutdown.changed() => return,
            }
        }
    }
}
