//! `/ready`: whether Synapse's main process answers, which is asked at most once a second, however many ask us; and
//! whether somebody does for each role that it may not stand in for.

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

/// How long an answer of the main process holds.
const HOLDS: Duration = Duration::from_secs(1);

/// What is known of the main process.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    last: Mutex<Option<(Instant, bool)>>,
}

impl Readiness {
    /// 200, or 503 with Retry-After and the roles that nobody answers for.
    pub(super) async fn reply(&self, running: &Running) -> Reply {
        let main_answers = self.answers(running.pools.main()).await;
        // Of the others, what health has seen last will do.
        let available = |id| {
            let answers = |pool: &Pool| if id == Upstreams::MAIN { main_answers } else { pool.is_up() };
            running.pools.get(id).is_some_and(|pool| answers(pool) && !pool.is_drained())
        };
        let unserved = running.gateway.upstreams.unserved(available);
        if unserved.is_empty() {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            return Reply::document(StatusCode::OK, text, "OK").cors(CorsKind::None);
        }
        let roles: Vec<&str> = unserved.into_iter().map(Role::as_str).collect();
        let mut error = failure::unavailable(Cause::UpstreamRefused);
        error.message = format!("Nobody answers for {}", roles.join(", ")).into();
        error.with("org.matrix.gateway.unserved_roles", roles).into()
    }

    /// Whether the main process answers.
    async fn answers(&self, main: Option<&Pool>) -> bool {
        // Those who ask meanwhile wait for the one answer.
        let mut last = self.last.lock().await;
        if let Some((asked, answered)) = *last
            && asked.elapsed() < HOLDS
        {
            return answered;
        }
        let answered = match main {
            Some(main) => answers(main).await,
            None => false,
        };
        *last = Some((Instant::now(), answered));
        answered
    }
}
