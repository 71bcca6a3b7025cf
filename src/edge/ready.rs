//! `/ready`: whether Synapse answers, asked at most once a second however many ask us.

use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode};
use tokio::sync::Mutex;

use super::failure;
use super::health::answers;
use super::pool::Pool;

use crate::matrix::Cause;
use crate::reply::{CorsKind, Reply};

/// How long an answer of Synapse holds.
const HOLDS: Duration = Duration::from_secs(1);

/// What is known about Synapse.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    last: Mutex<Option<(Instant, bool)>>,
}

impl Readiness {
    /// 200, or 503 with Retry-After.
    pub(super) async fn reply(&self, main: Option<&Pool>) -> Reply {
        // Those who ask meanwhile wait for the one answer.
        let mut last = self.last.lock().await;
        let fresh = last.filter(|(asked, _)| asked.elapsed() < HOLDS).map(|(_, ready)| ready);
        let ready = match (fresh, main) {
            (Some(ready), _) => ready,
            (None, Some(main)) => answers(main).await,
            (None, None) => false,
        };
        if fresh.is_none() {
            *last = Some((Instant::now(), ready));
        }
        drop(last);
        if ready {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            return Reply::document(StatusCode::OK, text, "OK").cors(CorsKind::None);
        }
        failure::unavailable(Cause::UpstreamRefused).into()
    }
}
