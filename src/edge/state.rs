//! What all connections share: the running configuration, swapped whole, and what outlives it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;

use super::access_log::AccessLog;
use super::metrics::GatewayMetrics;
use super::pool::Pools;
use super::recognition::Recognition;
use super::store::Store;
use super::throttle::Throttle;
use crate::decide::Gateway;
use crate::observe::ClientAddresses;
use crate::routing::{Release, Synapse, SynapseFiles};

/// One configuration in use. Requests keep the one they began with.
#[derive(Debug)]
pub(super) struct Running {
    /// What decides.
    pub(super) gateway: Gateway,
    /// The upstreams, by their ids.
    pub(super) pools: Pools,
    /// `Strict-Transport-Security`, for listeners that serve clients over TLS.
    pub(super) hsts: Option<HeaderValue>,
    /// How client addresses are written down.
    pub(super) client_addresses: ClientAddresses,
    /// How often clients may open, read and write rendezvous sessions. Everybody starts afresh after a reload.
    pub(super) throttle: Throttle,
    /// Which workers know which endpoints.
    pub(super) recognition: Recognition,
    /// Path prefixes below which everything is secret.
    pub(super) hidden: Vec<String>,
    /// Where Synapse's own configuration is; None if nothing is taken from it.
    pub(super) synapse_files: Option<SynapseFiles>,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct State {
    running: ArcSwap<Running>,
    /// The Synapse behind us, as far as it is known.
    synapse: ArcSwap<Synapse>,
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
        let synapse = Synapse { release: Release::OLDEST, delegated: false };
        let (running, synapse) = (ArcSwap::from_pointee(running), ArcSwap::from_pointee(synapse));
        Self { running, synapse, store, metrics, access_log }
    }

    /// The Synapse that requests are decided for: as configured, or as found out.
    #[must_use]
    pub(super) fn synapse(&self) -> Synapse {
        let known = **self.synapse.load();
        let pinned = self.running.load().gateway.release;
        Synapse { release: pinned.unwrap_or(known.release), ..known }
    }

    /// Takes note of what was found out.
    pub(super) fn is_synapse(&self, synapse: Synapse) {
        self.synapse.store(Arc::new(synapse));
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
