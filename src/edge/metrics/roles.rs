//! What is counted by process and by role.

use std::sync::OnceLock;
use std::time::Duration;

use http::StatusCode;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, Result};

use super::Registration;
use crate::observe::{REQUEST_BUCKETS, names};
use crate::role::Role;
use crate::upstream_address::UpstreamId;

/// Statuses by their first digit, and the absence of one.
const STATUSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// The roles, and the absence of one.
const ROLES: usize = Role::ALL.len() + 1;

/// A request that went to a process, or was to.
#[derive(Clone, Copy, Debug)]
pub struct Forwarded {
    /// The process that had it last; None if it found no place.
    pub upstream: Option<UpstreamId>,
    /// The role in which it had it; None for what is not Synapse's.
    pub role: Option<Role>,
    /// The role of the endpoint.
    pub wanted: Option<Role>,
    /// The role of those who should have answered, and were all gone.
    pub stands_in_for: Option<Role>,
    /// What the client got.
    pub status: Option<StatusCode>,
    /// How long it waited for a place, or for a process to come back.
    pub waited: Option<Duration>,
    /// From its head to the head of the answer.
    pub first_byte: Option<Duration>,
}

/// The counters of one configuration's processes; one appears with its first request.
#[derive(Debug)]
pub struct ProcessCounters {
    names: Vec<String>,
    counters: Vec<OnceLock<IntCounter>>,
    answers: Vec<OnceLock<Histogram>>,
}

impl ProcessCounters {
    /// For processes by their ids.
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        let counters = (0..names.len() * ROLES * STATUSES.len()).map(|_| OnceLock::new()).collect();
        let answers = (0..names.len() * ROLES).map(|_| OnceLock::new()).collect();
        Self { names, counters, answers }
    }

    fn name(&self, upstream: UpstreamId) -> &str {
        self.names.get(upstream.0).map(String::as_str).unwrap_or_default()
    }
}

/// What is counted by process and by role.
pub(super) struct RoleMetrics {
    requests: IntCounterVec,
    answers: HistogramVec,
    resends: IntCounterVec,
    stand_ins: IntCounterVec,
    outages: IntCounterVec,
    unknown: IntCounterVec,
    /// By [`Role::index`].
    roles: Vec<(Histogram, Histogram)>,
}

impl RoleMetrics {
    pub(super) fn new(register: &Registration<'_>) -> Result<Self> {
        let waits: HistogramVec = register.histograms(names::ROLE_WAIT, REQUEST_BUCKETS)?;
        let first_bytes: HistogramVec = register.histograms(names::ROLE_FIRST_BYTE, REQUEST_BUCKETS)?;
        let of_role = |role: Role| {
            let labels = &[role.as_str()];
            Ok((waits.get_metric_with_label_values(labels)?, first_bytes.get_metric_with_label_values(labels)?))
        };
        Ok(Self {
            requests: register.counters(names::UPSTREAM_REQUESTS_TOTAL)?,
            answers: register.histograms(names::UPSTREAM_ANSWER, REQUEST_BUCKETS)?,
            resends: register.counters(names::UPSTREAM_RESENDS)?,
            stand_ins: register.counters(names::ROLE_STAND_INS)?,
            outages: register.counters(names::UPSTREAM_OUTAGES)?,
            unknown: register.counters(names::UPSTREAM_UNKNOWN_ENDPOINTS)?,
            roles: Role::ALL.into_iter().map(of_role).collect::<Result<_>>()?,
        })
    }

    pub(super) fn count(&self, counters: &ProcessCounters, forwarded: &Forwarded) {
        let Forwarded { upstream, role, wanted, stands_in_for, status, waited, first_byte } = *forwarded;
        let waited = waited.unwrap_or_default();
        let answer = first_byte.map(|first_byte| first_byte.saturating_sub(waited).as_secs_f64());
        if let Some(upstream) = upstream {
            let place = upstream.0 * ROLES + role.map_or(Role::ALL.len(), Role::index);
            let (name, label) = (counters.name(upstream), role.map_or("", Role::as_str));
            let digit = status.map_or(0, |status| usize::from(status.as_u16() / 100)).min(STATUSES.len() - 1);
            if let Some(counter) = counters.counters.get(place * STATUSES.len() + digit) {
                let status = STATUSES.get(digit).copied().unwrap_or_default();
                counter.get_or_init(|| self.requests.with_label_values(&[name, label, status])).inc();
            }
            if let (Some(answers), Some(answer)) = (counters.answers.get(place), answer) {
                answers.get_or_init(|| self.answers.with_label_values(&[name, label])).observe(answer);
            }
        }
        if let (Some(role), Some(absent)) = (role, stands_in_for) {
            self.stand_ins.with_label_values(&[absent.as_str(), role.as_str()]).inc();
        }
        if let Some((waits, first_bytes)) = wanted.and_then(|wanted| self.roles.get(wanted.index())) {
            waits.observe(waited.as_secs_f64());
            if let Some(answer) = answer {
                first_bytes.observe(answer);
            }
        }
    }

    pub(super) fn resent(&self, upstream: &str) {
        self.resends.with_label_values(&[upstream]).inc();
    }

    pub(super) fn outage(&self, upstream: &str) {
        self.outages.with_label_values(&[upstream]).inc();
    }

    pub(super) fn unknown(&self, upstream: &str) {
        self.unknown.with_label_values(&[upstream]).inc();
    }
}
