//! Whether the processes are there that others write through: the main process, and the writers of streams.
//!
//! A process of Synapse that loses one of them in the middle of a request answers the request with 502
//! (`synapse/replication/http/_base.py`): it cannot tell whether what it wanted was done. A connection that is refused it
//! makes again by itself, so that the same request, sent again, waits until the other one is back.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::health::answers;
use super::pool::Pool;
use super::state::Running;
use crate::role::Role;
use crate::upstream::Upstream;

/// How long an answer holds.
const HOLDS: Duration = Duration::from_millis(100);

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Writers {
    last: Mutex<Option<(Instant, Option<String>)>>,
}

impl Writers {
    /// The name of one that is gone. They are asked at most ten times a second, however many want to know.
    pub(super) async fn gone(&self, running: &Running) -> Option<String> {
        // Those who ask meanwhile wait for the one answer.
        let mut last = self.last.lock().await;
        if let Some((asked, gone)) = &*last
            && asked.elapsed() < HOLDS
        {
            return gone.clone();
        }
        let gone = look(running).await;
        *last = Some((Instant::now(), gone.clone()));
        gone
    }
}

async fn look(running: &Running) -> Option<String> {
    let writes = |upstream: &Upstream| upstream.roles.iter().any(|role| matches!(role, Role::Main | Role::Stream(_)));
    let all = running.gateway.upstreams.as_slice().iter().zip(running.pools.iter());
    let pools: Vec<&Pool> = all.filter(|(upstream, _)| writes(upstream)).map(|(_, pool)| pool).collect();
    let known = pools.iter().find(|pool| !pool.is_up());
    if let Some(gone) = known {
        return Some(gone.name().to_owned());
    }
    for writer in pools {
        if !answers(writer).await {
            return Some(writer.name().to_owned());
        }
    }
    None
}
