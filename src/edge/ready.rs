//! `/ready`: whether Synapse answers, and somebody for every role. Asked at most once a second, however many ask us.

use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode};
use tokio::sync::Mutex;

use super::failure;
use super::health::answers;
use super::pool::Pool;
use super::state::Running;
use crate::matrix::Cause;
use crate::reply::{CorsKind, Reply};
use crate::role::Role;
use crate::upstream::Upstreams;

/// How long an answer of Synapse holds.
const HOLDS: Duration = Duration::from_secs(1);

/// What is known about Synapse.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    last: Mutex<Option<(Instant, bool)>>,
}

impl Readiness {
    /// 200, or 503 with Retry-After.
    pub(super) async fn reply(&self, running: &Running) -> Reply {
        // Those who ask meanwhile wait for the one answer.
        let mut last = self.last.lock().await;
        let fresh = last.filter(|(asked, _)| asked.elapsed() < HOLDS).map(|(_, ready)| ready);
        let ready = match (fresh, running.pools.main()) {
            (Some(ready), _) => ready,
            (None, Some(main)) => answers(main).await,
            (None, None) => false,
        };
        if fresh.is_none() {
            *last = Some((Instant::now(), ready));
        }
        drop(last);
        // The main process has just been asked.
        let is_up = |id, pool: &Pool| id == Upstreams::MAIN || pool.is_up();
        let is_available = |id| running.pools.get(id).is_some_and(|pool| is_up(id, pool) && !pool.is_drained());
        let unserved = running.gateway.upstreams.unserved(is_available);
        if ready && unserved.is_empty() {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            return Reply::document(StatusCode::OK, text, "OK").cors(CorsKind::None);
        }
        let mut error = failure::unavailable(Cause::UpstreamRefused);
        if ready {
            let roles: Vec<_> = unserved.into_iter().map(Role::as_str).collect();
            error.message = format!("Nobody answers for {}", roles.join(", ")).into();
        }
        error.into()
    }
}
