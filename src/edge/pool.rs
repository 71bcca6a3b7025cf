//! The addresses of upstreams: resolved in the background, kept when resolving fails, tried in turn.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use log::{info, warn};
use pingora_core::upstreams::peer::{H1UpgradePolicy, HttpPeer, HttpUpstreamRequestPolicy};

use crate::decide::Forward;
use crate::limits::Timeouts;
use crate::upstream::Upstream;
use crate::upstream_address::UpstreamAddress;

/// How often names are resolved again.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// A resolver that hangs must not hold up the others.
const RESOLVE_WITHIN: Duration = Duration::from_secs(5);

/// One upstream and where it is now.
#[derive(Debug)]
pub(super) struct Pool {
    name: String,
    host: Option<(String, u16)>,
    peers: ArcSwap<Vec<HttpPeer>>,
    /// The address that answered last, so that `localhost` is not tried on the wrong family again and again.
    preferred: AtomicUsize,
    timeouts: Timeouts,
}

impl Pool {
    /// A pool for an upstream. Names have no address until [`Pool::resolve`] has run.
    #[must_use]
    pub(super) fn new(upstream: &Upstream, timeouts: &Timeouts) -> Self {
        let (host, peers) = match &upstream.address {
            UpstreamAddress::Unix(path) => (None, unix(path).into_iter().collect()),
            UpstreamAddress::Tcp { host, port } => match host.parse::<IpAddr>() {
                Ok(address) => (None, vec![tcp(SocketAddr::new(address, *port))]),
                Err(_) => (Some((host.clone(), *port)), Vec::new()),
            },
        };
        let peers = peers.into_iter().map(|peer| with_timeouts(peer, timeouts)).collect();
        Self {
            name: upstream.name.clone(),
            host,
            peers: ArcSwap::from_pointee(peers),
            preferred: AtomicUsize::new(0),
            timeouts: *timeouts,
        }
    }

    /// The name in logs.
    #[must_use]
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How many addresses there are to try.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.peers.load().len()
    }

    /// The peer for the n-th attempt of a request; None while the name has no address.
    #[must_use]
    pub(super) fn peer(&self, attempt: usize, forward: &Forward) -> Option<HttpPeer> {
        let peers = self.peers.load();
        let index = (self.preferred.load(Ordering::Relaxed) + attempt).checked_rem(peers.len())?;
        let mut peer = peers.get(index)?.clone();
        peer.options.read_timeout = Some(forward.silence);
        if !forward.websocket {
            peer.options.http_upstream_request_policy.h1_upgrade = H1UpgradePolicy::Deny;
        }
        Some(peer)
    }

    /// The peer for a question of our own.
    #[must_use]
    pub(super) fn probe(&self, attempt: usize, within: Duration) -> Option<HttpPeer> {
        let mut peer = self.peers.load().get(attempt)?.clone();
        peer.options.connection_timeout = Some(within);
        peer.options.read_timeout = Some(within);
        Some(peer)
    }

    /// Remembers that the n-th attempt connected.
    pub(super) fn connected(&self, attempt: usize) {
        if attempt > 0
            && let Some(index) = (self.preferred.load(Ordering::Relaxed) + attempt).checked_rem(self.len())
        {
            self.preferred.store(index, Ordering::Relaxed);
        }
    }

    /// Looks the name up. A failure keeps the addresses that were good before.
    pub(super) async fn resolve(&self) {
        let Some((host, port)) = &self.host else { return };
        let lookup = tokio::time::timeout(RESOLVE_WITHIN, tokio::net::lookup_host((host.as_str(), *port)));
        match lookup.await {
            Ok(Ok(addresses)) => self.move_to(host, addresses.collect()),
            Ok(Err(error)) => warn!("upstream {}: {host} has no address: {error}", self.name),
            Err(_) => warn!("upstream {}: {host} could not be resolved in {RESOLVE_WITHIN:?}", self.name),
        }
    }

    fn move_to(&self, host: &str, mut addresses: Vec<SocketAddr>) {
        // Resolvers rotate their answers; the order only matters when the set changes.
        addresses.sort_unstable();
        addresses.dedup();
        let peers: Vec<HttpPeer> =
            addresses.iter().map(|&address| with_timeouts(tcp(address), &self.timeouts)).collect();
        let known = self.peers.load();
        let same =
            known.len() == peers.len() && known.iter().zip(&peers).all(|(old, new)| old._address == new._address);
        if !same && !peers.is_empty() {
            info!("upstream {}: {host} is at {addresses:?}", self.name);
            self.preferred.store(0, Ordering::Relaxed);
            self.peers.store(Arc::new(peers));
        }
    }

    /// How long to wait before [`Pool::resolve`] is due again.
    #[must_use]
    pub(super) const fn resolve_every() -> Duration {
        RESOLVE_EVERY
    }
}

fn tcp(address: SocketAddr) -> HttpPeer {
    HttpPeer::new(address, false, String::new())
}

fn unix(path: &std::path::Path) -> Option<HttpPeer> {
    let path = path.to_str()?;
    HttpPeer::new_uds(path, false, String::new()).ok()
}

fn with_timeouts(mut peer: HttpPeer, timeouts: &Timeouts) -> HttpPeer {
    peer.options.connection_timeout = Some(timeouts.connect);
    peer.options.total_connection_timeout = Some(timeouts.connect);
    peer.options.write_timeout = Some(timeouts.write);
    peer.options.idle_timeout = Some(timeouts.upstream_idle);
    peer.options.http_upstream_request_policy = HttpUpstreamRequestPolicy::standard();
    peer
}

#[cfg(test)]
mod tests;
