//! What is counted of rendezvous sessions, by protocol.

use std::sync::{Mutex, PoisonError};

use prometheus::{IntCounter, IntGauge, Result};

use super::{Registration, signed};
use crate::matrix::Cause;
use crate::observe::names;
use crate::rendezvous::{Done, Protocol, Refusal};

/// What the sessions of one protocol take in the store, and how many of them have expired there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RendezvousUsage {
    /// Number of sessions, with those that have expired and not been swept.
    pub entries: u64,
    /// Bytes of payload.
    pub bytes: u64,
    /// How many have expired and been swept since the start.
    pub expired: u64,
}

type UsageSource = Box<dyn Fn(Protocol) -> RendezvousUsage + Send + Sync>;

/// The counters of all protocols.
pub(super) struct RendezvousMetrics {
    /// In the order of [`Protocol::ALL`].
    protocols: Vec<(Protocol, ProtocolMetrics)>,
    usage: Mutex<Option<UsageSource>>,
}

struct ProtocolMetrics {
    entries: IntGauge,
    bytes: IntGauge,
    created: IntCounter,
    expired: IntCounter,
    conflicts: IntCounter,
    overloaded: IntCounter,
    limited: IntCounter,
}

impl RendezvousMetrics {
    pub(super) fn new(register: &Registration<'_>) -> Result<Self> {
        let entries = register.gauges(names::RENDEZVOUS_ENTRIES)?;
        let bytes = register.gauges(names::RENDEZVOUS_BYTES)?;
        let created = register.counters(names::RENDEZVOUS_CREATED)?;
        let expired = register.counters(names::RENDEZVOUS_EXPIRED)?;
        let conflicts = register.counters(names::RENDEZVOUS_CONFLICTS)?;
        let refused = register.counters(names::RENDEZVOUS_REFUSED)?;
        let of = |protocol: Protocol| {
            let labels = &[protocol.as_str()];
            let refused = |cause: Cause| refused.get_metric_with_label_values(&[protocol.as_str(), cause.as_str()]);
            let metrics = ProtocolMetrics {
                entries: entries.get_metric_with_label_values(labels)?,
                bytes: bytes.get_metric_with_label_values(labels)?,
                created: created.get_metric_with_label_values(labels)?,
                expired: expired.get_metric_with_label_values(labels)?,
                conflicts: conflicts.get_metric_with_label_values(labels)?,
                overloaded: refused(Cause::Overloaded)?,
                limited: refused(Cause::RateLimited)?,
            };
            Ok((protocol, metrics))
        };
        Ok(Self { protocols: Protocol::ALL.into_iter().map(of).collect::<Result<_>>()?, usage: Mutex::new(None) })
    }

    pub(super) fn watch(&self, source: impl Fn(Protocol) -> RendezvousUsage + Send + Sync + 'static) {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(source));
    }

    /// Asks the store.
    pub(super) fn refresh(&self) {
        let source = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(source) = &*source else { return };
        for (protocol, metrics) in &self.protocols {
            let usage = source(*protocol);
            metrics.entries.set(signed(usage.entries));
            metrics.bytes.set(signed(usage.bytes));
            metrics.expired.inc_by(usage.expired.saturating_sub(metrics.expired.get()));
        }
    }

    pub(super) fn count(&self, protocol: Protocol, outcome: &std::result::Result<Done, Refusal>) {
        let Some((_, metrics)) = self.protocols.iter().find(|(counted, _)| *counted == protocol) else { return };
        match outcome {
            Ok(Done::Created(..)) => metrics.created.inc(),
            Err(Refusal::Stale(_)) => metrics.conflicts.inc(),
            Err(Refusal::Full { .. }) => metrics.overloaded.inc(),
            Err(Refusal::Crowded { .. } | Refusal::TooOften { .. }) => metrics.limited.inc(),
            Ok(_) | Err(_) => {}
        }
    }
}
