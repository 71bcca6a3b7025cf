//! What is known of each upstream at the moment.

use std::sync::{Mutex, PoisonError};

use prometheus::{IntGaugeVec, Result};

use super::Registration;
use crate::observe::names;

/// What is known of one upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUsage {
    /// As in the configuration.
    pub name: String,
    /// Whether it is taken for there.
    pub up: bool,
    /// Whether it is given no new requests.
    pub drained: bool,
    /// Requests that it works on, long polls apart.
    pub requests: u32,
    /// Long polls that it has.
    pub long_polls: u32,
    /// Requests that wait for a place there.
    pub waiting: u32,
}

type UsageSource = Box<dyn Fn() -> Vec<UpstreamUsage> + Send + Sync>;

/// The gauges of all upstreams.
pub(super) struct UpstreamMetrics {
    up: IntGaugeVec,
    drained: IntGaugeVec,
    requests: IntGaugeVec,
    long_polls: IntGaugeVec,
    waiting: IntGaugeVec,
    usage: Mutex<Option<UsageSource>>,
}

impl UpstreamMetrics {
    pub(super) fn new(register: &Registration<'_>) -> Result<Self> {
        Ok(Self {
            up: register.gauges(names::UPSTREAM_UP)?,
            drained: register.gauges(names::UPSTREAM_DRAINED)?,
            requests: register.gauges(names::UPSTREAM_REQUESTS)?,
            long_polls: register.gauges(names::UPSTREAM_LONG_POLLS)?,
            waiting: register.gauges(names::UPSTREAM_WAITING)?,
            usage: Mutex::new(None),
        })
    }

    pub(super) fn watch(&self, source: impl Fn() -> Vec<UpstreamUsage> + Send + Sync + 'static) {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(source));
    }

    /// Asks for all upstreams; one that a reload has taken away is not told any more.
    pub(super) fn refresh(&self) {
        let source = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(source) = &*source else { return };
        for gauges in [&self.up, &self.drained, &self.requests, &self.long_polls, &self.waiting] {
            gauges.reset();
        }
        for usage in source() {
            let labels = &[usage.name.as_str()];
            self.up.with_label_values(labels).set(i64::from(usage.up));
            self.drained.with_label_values(labels).set(i64::from(usage.drained));
            self.requests.with_label_values(labels).set(i64::from(usage.requests) + i64::from(usage.long_polls));
            self.long_polls.with_label_values(labels).set(i64::from(usage.long_polls));
            self.waiting.with_label_values(labels).set(i64::from(usage.waiting));
        }
    }
}
