//! The line that `systemctl status` shows.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;
use tokio::time::sleep;

use super::ServiceManager;
use crate::edge::listener::Listeners;
use crate::edge::pool::Pool;
use crate::edge::state::State;
use crate::routing::Release;

/// How often it may change.
const EVERY: Duration = Duration::from_secs(5);

/// Keeps the line up to date.
pub(in crate::edge) struct StatusLine {
    service: Arc<ServiceManager>,
    state: Arc<State>,
    listeners: Arc<Listeners>,
}

impl StatusLine {
    /// Says how things are with these.
    pub(in crate::edge) fn new(service: Arc<ServiceManager>, state: Arc<State>, listeners: Arc<Listeners>) -> Self {
        Self { service, state, listeners }
    }

    fn text(&self) -> String {
        let running = self.state.running();
        let release = running.gateway.synapse(self.state.release()).release;
        // What it is taken for as long as it has not said.
        let release = if release == Release::OLDEST { String::new() } else { format!(" {release}") };
        let main = running.pools.main().is_some_and(Pool::is_up);
        let connections = self.listeners.connections();
        format!("{connections} connections; Synapse{release} is {}", if main { "up" } else { "down" })
    }
}

#[async_trait]
impl BackgroundService for StatusLine {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut told = String::new();
        while self.service.is_there() {
            let text = self.text();
            if text != told && self.service.speaks() {
                self.service.status(&text);
                told = text;
            }
            tokio::select! {
                () = sleep(EVERY) => {}
                _ = shutdown.changed() => return,
            }
        }
    }
}
