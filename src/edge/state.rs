//! What all connections share: the running configuration, swapped whole, and what outlives it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;

use super::access_log::AccessLog;
use super::metrics::GatewayMetrics;
use super::pool::Pool;
use super::store::Store;
use super::throttle::Throttle;
use crate::decide::Gateway;
use crate::observe::ClientAddresses;

/// One configuration in use. Requests keep the one they began with.
#[derive(Debug)]
pub(super) struct Running {
    /// What decides.
    pub(super) gateway: Gateway,
    /// The upstreams, by their ids.
    pub(super) pools: Vec<Pool>,
    /// `Strict-Transport-Security`, for listeners that serve clients over TLS.
    pub(super) hsts: Option<HeaderValue>,
    /// How client addresses are written down.
    pub(super) client_addresses: ClientAddresses,
    /// How often clients may open, read and write rendezvous sessions. Everybody starts afresh after a reload.
    pub(super) throttle: Throttle,
    /// Path prefixes below which everything is secret.
    pub(super) hidden: Vec<String>,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct State {
    running: ArcSwap<Running>,
    /// The rendezvous sessions; they outlive a reload.
    pub(super) store: Store,
    /// What is counted.
    pub(super) metrics: Arc<GatewayMetrics>,
    /// Where requests are written down.
    pub(super) access_log: AccessLog,
}

impl State {
    /// Starts with a configuration.
    #[must_use]
    pub(super) fn new(running: Running, store: Store, metrics: Arc<GatewayMetrics>, access_log: AccessLog) -> Self {
        Self { running: ArcSwap::from_pointee(running), store, metrics, access_log }
    }

    /// The configuration in use.
    #[must_use]
    pub(super) fn running(&self) -> Arc<Running> {
        self.running.load_full()
    }

    /// Puts another configuration in use, for requests from now on.
    pub(super) fn replace(&self, running: Running) {
        self.running.store(Arc::new(running));
    }
}
