//! What all connections share: the running configuration, swapped whole, and what outlives it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use http::HeaderValue;
use tokio::sync::watch;

use super::access_log::AccessLog;
use super::metrics::{GatewayMetrics, ProcessCounters};
use super::pool::Pools;
use super::recognition::Recognition;
use super::store::Store;
use super::synapse_watch::Watched;
use super::throttle::Throttle;
use crate::decide::Gateway;
use crate::observe::ClientAddresses;
use crate::routing::Release;
use crate::upstream::{Sign, Turn};
use crate::upstream_address::UpstreamId;

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
    /// What is counted of each upstream.
    pub(super) counters: ProcessCounters,
    /// Path prefixes below which everything is secret.
    pub(super) hidden: Vec<String>,
    /// The files of Synapse's own configuration, as they were; None if nothing is taken from them.
    pub(super) synapse_files: Option<Watched>,
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct State {
    running: ArcSwap<Running>,
    /// What was in use before, for as long as requests go by it.
    former: Mutex<Vec<Weak<Running>>>,
    /// The processes that get no new requests. They outlive a reload.
    drained: Mutex<BTreeSet<String>>,
    /// The release of the Synapse behind us, as far as it is known.
    release: ArcSwap<Release>,
    /// The rendezvous sessions; they outlive a reload.
    pub(super) store: Store,
    /// What is counted.
    pub(super) metrics: Arc<GatewayMetrics>,
    /// Where requests are written down.
    pub(super) access_log: AccessLog,
    stopping: watch::Sender<bool>,
}

impl State {
    /// Starts with a configuration.
    #[must_use]
    pub(super) fn new(running: Running, store: Store, metrics: Arc<GatewayMetrics>, access_log: AccessLog) -> Self {
        let (running, release) = (ArcSwap::from_pointee(running), ArcSwap::from_pointee(Release::OLDEST));
        let (former, drained) = (Mutex::default(), Mutex::default());
        Self { running, former, drained, release, store, metrics, access_log, stopping: watch::Sender::new(false) }
    }

    /// From now on, each request is the last of its connection.
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Whether each request is the last of its connection.
    #[must_use]
    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Tells when that begins.
    #[must_use]
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// The release of Synapse that was found out.
    #[must_use]
    pub(super) fn release(&self) -> Release {
        **self.release.load()
    }

    /// Takes note of the release that was found out.
    pub(super) fn is_release(&self, release: Release) {
        self.release.store(Arc::new(release));
    }

    /// The configuration in use.
    #[must_use]
    pub(super) fn running(&self) -> Arc<Running> {
        self.running.load_full()
    }

    /// Puts another configuration in use, for requests from now on.
    pub(super) fn replace(&self, running: Running) {
        // Held throughout, so that no order to drain falls between the two.
        let mut drained = locked(&self.drained);
        let known = |name: &String| running.gateway.upstreams.as_slice().iter().any(|upstream| upstream.name == *name);
        drained.retain(known);
        for name in &*drained {
            running.pools.drain(name, true);
        }
        let before = self.running.swap(Arc::new(running));
        let mut former = locked(&self.former);
        former.retain(|running| running.strong_count() > 0);
        former.push(Arc::downgrade(&before));
    }

    /// Gives a process no new requests, or gives it some again.
    pub(super) fn drain(&self, process: &str, drain: bool) {
        let mut drained = locked(&self.drained);
        if drain {
            drained.insert(process.to_owned());
        } else {
            drained.remove(process);
        }
        // Requests that began under a former configuration may yet have to be placed.
        for running in self.in_use() {
            running.pools.drain(process, drain);
        }
    }

    /// Takes note of what was seen of an upstream.
    pub(super) fn see(&self, running: &Running, id: UpstreamId, sign: Sign) {
        if running.pools.see(id, sign, &running.gateway.health) == Some(Turn::Down) {
            self.metrics.outage(running.gateway.upstreams.name(id));
        }
    }

    /// The processes that get no new requests.
    #[must_use]
    pub(super) fn drained(&self) -> Vec<String> {
        locked(&self.drained).iter().cloned().collect()
    }

    /// Whether a process gets no new requests.
    #[must_use]
    pub(super) fn is_drained(&self, process: &str) -> bool {
        locked(&self.drained).contains(process)
    }

    /// How many requests and how many long polls a process has, under this configuration and those before it.
    #[must_use]
    pub(super) fn in_flight(&self, process: &str) -> (u32, u32) {
        let (mut requests, mut long_polls) = (0, 0);
        for running in self.in_use() {
            for pool in running.pools.iter().filter(|pool| pool.name() == process) {
                let usage = pool.usage();
                requests += usage.requests + usage.waiting;
                long_polls += usage.long_polls;
            }
        }
        (requests, long_polls)
    }

    /// The configurations by which requests go, the present one last.
    fn in_use(&self) -> Vec<Arc<Running>> {
        let former = locked(&self.former);
        former.iter().filter_map(Weak::upgrade).chain([self.running()]).collect()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
