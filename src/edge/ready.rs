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
        let alone = roles_without_anybody(running);
        if ready && alone.is_empty() {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            return Reply::document(StatusCode::OK, text, "OK").cors(CorsKind::None);
        }
        let mut error = failure::unavailable(Cause::UpstreamRefused);
        if ready {
            error.message = format!("Nobody answers for {}", alone.join(", ")).into();
        }
        error.into()
    }
}

/// The roles that have processes, none of which can answer now, and for which nobody may stand in.
fn roles_without_anybody(running: &Running) -> Vec<&'static str> {
    let is_alone = |role: &Role, writes| {
        let plan = running.gateway.upstreams.plan(*role, writes).filter(|plan| !plan.is_empty());
        let is_available = |id| running.pools.get(id).is_some_and(Pool::is_available);
        plan.is_some_and(|plan| !plan.members().any(is_available))
    };
    Role::ALL.into_iter().filter(|role| is_alone(role, false) || is_alone(role, true)).map(Role::as_str).collect()
}
