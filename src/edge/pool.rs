//! One upstream at run time: its addresses, which are resolved in the background, kept when resolving fails and tried in
//! turn; whether it is there; and how many requests it has.

mod lane;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use log::{info, warn};
use pingora_core::upstreams::peer::{H1UpgradePolicy, HttpPeer, HttpUpstreamRequestPolicy};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

pub(super) use self::lane::{AtDoor, Lane, NoPlace, Place};
use super::metrics::UpstreamUsage;
use crate::decide::Forward;
use crate::limits::Timeouts;
use crate::upstream::{Health, HealthPolicy, Sign, Standing, Turn, Upstream, Upstreams};
use crate::upstream_address::{UpstreamAddress, UpstreamId};

/// How often names are resolved again.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// Whoever has waited for a process counts as let in by now, even if there is no answer yet.
const LET_IN_AFTER: Duration = Duration::from_secs(2);
/// That of a long poll, whose answer says nothing about it.
const POLL_LET_IN_AFTER: Duration = Duration::from_millis(250);
/// How long it holds that a process answers, or does not.
const WELL_FOR: Duration = Duration::from_millis(100);
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
    health: Mutex<Health>,
    /// What `health` says, for requests to look at.
    up: AtomicBool,
    /// Whether an administrator wants it to get no new requests.
    drained: AtomicBool,
    /// Requests that wait for it to come back.
    wanted: AtomicUsize,
    /// When it was probed last, and whether it is being probed.
    probed: Mutex<Option<Instant>>,
    probing: AtomicBool,
    /// When it was last asked for a request that it had lost, and whether it answered.
    well: tokio::sync::Mutex<Option<(Instant, bool)>>,
    /// Places for all requests but long polls.
    requests: Lane,
    /// Places for long polls.
    polls: Lane,
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
            health: Mutex::default(),
            up: AtomicBool::new(true),
            drained: AtomicBool::new(false),
            wanted: AtomicUsize::new(0),
            probed: Mutex::default(),
            probing: AtomicBool::new(false),
            well: tokio::sync::Mutex::default(),
            requests: Lane::new(upstream.max_concurrent, LET_IN_AFTER),
            polls: Lane::new(upstream.max_long_polls, POLL_LET_IN_AFTER),
        }
    }

    /// What a request that is to be placed needs to know.
    #[must_use]
    pub(super) fn standing(&self) -> Standing {
        Standing { available: self.is_available(), load: self.requests.load().saturating_add(self.polls.load()) }
    }

    /// Whether it is taken for there.
    #[must_use]
    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Whether it is taken for there, and gets new requests.
    #[must_use]
    pub(super) fn is_available(&self) -> bool {
        self.is_up() && !self.is_drained()
    }

    /// Whether it gets no new requests.
    #[must_use]
    pub(super) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// What the metrics tell.
    #[must_use]
    pub(super) fn usage(&self) -> UpstreamUsage {
        UpstreamUsage {
            name: self.name.clone(),
            up: self.is_up(),
            drained: self.is_drained(),
            requests: self.requests.taken(),
            long_polls: self.polls.taken(),
            waiting: self.requests.waiting() + self.polls.waiting(),
        }
    }

    /// The places for requests of a kind.
    #[must_use]
    pub(super) fn lane(&self, long_poll: bool) -> &Lane {
        if long_poll { &self.polls } else { &self.requests }
    }

    fn see(&self, sign: Sign, policy: &HealthPolicy) -> Option<Turn> {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = health.see(sign, policy);
        self.up.store(health.is_up(), Ordering::Relaxed);
        turn
    }

    /// Whether to probe it now: when it is due, and at every look while somebody waits for it. Whoever is told so says
    /// so when it is done, with [`Pool::was_probed`].
    pub(super) fn is_due(&self, interval: Duration) -> bool {
        let mut probed = self.probed.lock().unwrap_or_else(PoisonError::into_inner);
        let last = *probed.get_or_insert_with(Instant::now);
        let wanted = !self.is_up() && self.wanted.load(Ordering::Relaxed) > 0;
        let due = (wanted || last.elapsed() >= interval) && !self.probing.swap(true, Ordering::Relaxed);
        if due {
            *probed = Some(Instant::now());
        }
        due
    }

    /// The probe is over.
    pub(super) fn was_probed(&self) {
        self.probing.store(false, Ordering::Relaxed);
    }

    /// Whether it answers `ask`, for a request that it has just lost. They ask one at a time, and believe what the one
    /// before was told for a moment.
    pub(super) async fn is_well(&self, ask: impl AsyncFnOnce(&Self) -> bool) -> bool {
        let mut well = self.well.lock().await;
        if !self.is_up() {
            return false;
        }
        if let Some((asked, answers)) = *well
            && asked.elapsed() < WELL_FOR
        {
            return answers;
        }
        let answers = ask(self).await;
        *well = Some((Instant::now(), answers));
        answers
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

/// All upstreams, by their ids.
#[derive(Debug)]
pub(super) struct Pools {
    list: Vec<Pool>,
    /// Wakes those who wait for any of them to come back.
    risen: Notify,
}

impl Pools {
    /// Pools for these upstreams.
    #[must_use]
    pub(super) fn new(upstreams: &Upstreams, timeouts: &Timeouts) -> Self {
        let pools = upstreams.as_slice().iter().map(|upstream| Pool::new(upstream, timeouts));
        Self { list: pools.collect(), risen: Notify::new() }
    }

    /// The pool of an upstream.
    #[must_use]
    pub(super) fn get(&self, id: UpstreamId) -> Option<&Pool> {
        self.list.get(id.0)
    }

    /// Whether one gets no new requests.
    #[must_use]
    pub(super) fn is_drained(&self, id: UpstreamId) -> bool {
        self.get(id).is_some_and(Pool::is_drained)
    }

    /// Synapse's main process.
    #[must_use]
    pub(super) fn main(&self) -> Option<&Pool> {
        self.get(Upstreams::MAIN)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Pool> {
        self.list.iter()
    }

    /// Takes note of a sign.
    pub(super) fn see(&self, id: UpstreamId, sign: Sign, policy: &HealthPolicy) -> Option<Turn> {
        let pool = self.get(id)?;
        let turn = pool.see(sign, policy);
        match turn {
            Some(Turn::Up) => {
                info!("upstream {}: it is back", pool.name);
                self.risen.notify_waiters();
            }
            Some(Turn::Down) => warn!("upstream {}: it does not answer", pool.name),
            None => {}
        }
        turn
    }

    /// Gives those of a name no new requests, or gives them some again.
    pub(super) fn drain(&self, name: &str, drained: bool) {
        for pool in self.list.iter().filter(|pool| pool.name == name) {
            pool.drained.store(drained, Ordering::Relaxed);
        }
        self.risen.notify_waiters();
    }

    /// Becomes ready when any of them comes back. Whoever waits asks for this before looking who is there.
    pub(super) fn risen(&self) -> Notified<'_> {
        self.risen.notified()
    }

    /// Has these looked at more often until the answer is dropped.
    pub(super) fn want<'a>(&'a self, ids: &'a [UpstreamId]) -> Want<'a> {
        let want = Want { pools: self, ids };
        want.each(|wanted| wanted.fetch_add(1, Ordering::Relaxed));
        want
    }
}

/// Somebody waits for one of these to come back.
pub(super) struct Want<'a> {
    pools: &'a Pools,
    ids: &'a [UpstreamId],
}

impl Want<'_> {
    fn each(&self, change: impl Fn(&AtomicUsize) -> usize) {
        for pool in self.ids.iter().filter_map(|&id| self.pools.get(id)) {
            change(&pool.wanted);
        }
    }
}

impl Drop for Want<'_> {
    fn drop(&mut self) {
        self.each(|wanted| wanted.fetch_sub(1, Ordering::Relaxed));
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
