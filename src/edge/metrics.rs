//! The counters behind `/metrics`.
//!
//! What every request touches is resolved beforehand: counting a request is a few atomic additions. Only a request with
//! a cause looks its counter up by labels.

mod rendezvous;
mod roles;
mod upstreams;

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    Result, TextEncoder,
};

use self::rendezvous::RendezvousMetrics;
pub use self::rendezvous::RendezvousUsage;
use self::roles::RoleMetrics;
pub use self::roles::{Forwarded, ProcessCounters};
use self::upstreams::UpstreamMetrics;
pub use self::upstreams::UpstreamUsage;
use crate::class::RouteClass;
use crate::observe::{
    AccessRecord, CONNECTION_BUCKETS, Handshake, MethodLabel, Metric, REQUEST_BUCKETS, Reload, STATUS_LABELS, names,
    status_index,
};
use crate::rendezvous::{Done, Protocol, Refusal};

/// Everything that the gateway counts.
pub struct GatewayMetrics {
    registry: Registry,
    requests: IntCounterVec,
    /// Requests without a cause, by class, method and status; a series appears with its first request.
    ordinary: Vec<OnceLock<IntCounter>>,
    /// In the order of [`RouteClass::ALL`].
    classes: Vec<ClassMetrics>,
    connect: Histogram,
    connections_new: IntCounter,
    connections_reused: IntCounter,
    connections: IntGaugeVec,
    connections_total: IntCounterVec,
    /// In the order of [`Handshake::ALL`].
    handshakes: Vec<(Handshake, IntCounter)>,
    handshake_duration: Histogram,
    certificate_expiry: IntGaugeVec,
    /// In the order of [`Reload::ALL`].
    reloads: Vec<(Reload, IntCounter)>,
    synapse_config_changed: IntGauge,
    rendezvous: RendezvousMetrics,
    upstreams: UpstreamMetrics,
    roles: RoleMetrics,
    access_log_dropped: IntCounter,
}

struct ClassMetrics {
    duration: Histogram,
    first_byte: Histogram,
    bytes_in: IntCounter,
    bytes_out: IntCounter,
    retries: IntCounter,
}

impl GatewayMetrics {
    /// Registers everything. Fails only if two metrics have the same name or one has a name that is not allowed.
    pub fn new(started: SystemTime) -> Result<Self> {
        let registry = Registry::new();
        let register = Registration(&registry);
        let requests = register.counters(names::REQUESTS)?;
        let durations = register.histograms(names::REQUEST_DURATION, REQUEST_BUCKETS)?;
        let first_bytes = register.histograms(names::UPSTREAM_FIRST_BYTE, REQUEST_BUCKETS)?;
        let bytes_in = register.counters(names::REQUEST_BODY_BYTES)?;
        let bytes_out = register.counters(names::RESPONSE_BODY_BYTES)?;
        let retries = register.counters(names::UPSTREAM_RETRIES)?;
        let class_metrics = |class: RouteClass| {
            let labels = &[class.as_str()];
            Ok(ClassMetrics {
                duration: durations.get_metric_with_label_values(labels)?,
                first_byte: first_bytes.get_metric_with_label_values(labels)?,
                bytes_in: bytes_in.get_metric_with_label_values(labels)?,
                bytes_out: bytes_out.get_metric_with_label_values(labels)?,
                retries: retries.get_metric_with_label_values(labels)?,
            })
        };
        let upstream_connections = register.counters(names::UPSTREAM_CONNECTIONS)?;
        let handshakes = register.counters(names::TLS_HANDSHAKES)?;
        let reloads = register.counters(names::CONFIG_RELOADS)?;
        register.gauge(names::START_TIME)?.set(unix_seconds(started));
        register.gauges(names::BUILD_INFO)?.get_metric_with_label_values(&[env!("CARGO_PKG_VERSION")])?.set(1);
        Ok(Self {
            requests,
            ordinary: (0..RouteClass::ALL.len() * MethodLabel::ALL.len() * STATUS_LABELS.len())
                .map(|_| OnceLock::new())
                .collect(),
            classes: RouteClass::ALL.into_iter().map(class_metrics).collect::<Result<_>>()?,
            connect: register.histogram(names::UPSTREAM_CONNECT, CONNECTION_BUCKETS)?,
            connections_new: upstream_connections.get_metric_with_label_values(&["new"])?,
            connections_reused: upstream_connections.get_metric_with_label_values(&["reused"])?,
            connections: register.gauges(names::CONNECTIONS)?,
            connections_total: register.counters(names::CONNECTIONS_TOTAL)?,
            handshakes: Handshake::ALL
                .iter()
                .map(|&result| Ok((result, handshakes.get_metric_with_label_values(&result.labels())?)))
                .collect::<Result<_>>()?,
            handshake_duration: register.histogram(names::TLS_HANDSHAKE_DURATION, CONNECTION_BUCKETS)?,
            certificate_expiry: register.gauges(names::CERTIFICATE_EXPIRY)?,
            reloads: Reload::ALL
                .iter()
                .map(|&result| Ok((result, reloads.get_metric_with_label_values(&[result.as_str()])?)))
                .collect::<Result<_>>()?,
            synapse_config_changed: register.gauge(names::SYNAPSE_CONFIG_CHANGED)?,
            rendezvous: RendezvousMetrics::new(&register)?,
            upstreams: UpstreamMetrics::new(&register)?,
            roles: RoleMetrics::new(&register)?,
            access_log_dropped: register.counter(names::ACCESS_LOG_DROPPED)?,
            registry,
        })
    }

    /// Counts a finished request.
    pub fn request(&self, record: &AccessRecord<'_>) {
        self.count(record);
        if let Some(class) = self.classes.get(record.class.index()) {
            class.duration.observe(record.duration.as_secs_f64());
            class.bytes_in.inc_by(record.bytes_in);
            class.bytes_out.inc_by(record.bytes_out);
            class.retries.inc_by(u64::from(record.retries));
            if let Some(first_byte) = record.first_byte {
                class.first_byte.observe(first_byte.as_secs_f64());
            }
        }
        if let Some(connect) = record.connect {
            self.connect.observe(connect.as_secs_f64());
        }
        match record.reused {
            Some(true) => self.connections_reused.inc(),
            Some(false) => self.connections_new.inc(),
            None => {}
        }
    }

    /// Counts a finished request by its role and the process that it went to. `counters` are those of its configuration.
    pub fn forwarded(&self, counters: &ProcessCounters, forwarded: &Forwarded) {
        self.roles.count(counters, forwarded);
    }

    /// Counts a request that is sent again because its process was lost while it had it.
    pub fn resent(&self, upstream: &str) {
        self.roles.resent(upstream);
    }

    /// Counts that a process was taken out of service.
    pub fn outage(&self, upstream: &str) {
        self.roles.outage(upstream);
    }

    /// Counts an endpoint that a process turned out not to know.
    pub fn unknown_endpoint(&self, upstream: &str) {
        self.roles.unknown(upstream);
    }

    /// Counts a connection of a client as open until the answer is dropped.
    #[must_use]
    pub fn connection(&self, listener: &ListenerMetrics) -> OpenConnection {
        listener.total.inc();
        listener.open.inc();
        OpenConnection(listener.open.clone())
    }

    /// The counters of a listener, by its address as configured; made once, when it is bound.
    #[must_use]
    pub fn listener(&self, address: &str) -> ListenerMetrics {
        ListenerMetrics {
            open: self.connections.with_label_values(&[address]),
            total: self.connections_total.with_label_values(&[address]),
        }
    }

    /// Counts a TLS handshake; its time counts only if it was completed.
    pub fn handshake(&self, result: Handshake, duration: Duration) {
        if let Some((_, counter)) = self.handshakes.iter().find(|(counted, _)| *counted == result) {
            counter.inc();
        }
        match result {
            Handshake::Tls12 | Handshake::Tls13 => self.handshake_duration.observe(duration.as_secs_f64()),
            Handshake::Failed | Handshake::TimedOut => {}
        }
    }

    /// Replaces the set of certificates, each by the name that it is known under and its end of validity.
    pub fn certificates<'a>(&self, certificates: impl IntoIterator<Item = (&'a str, SystemTime)>) {
        self.certificate_expiry.reset();
        for (name, expiry) in certificates {
            self.certificate_expiry.with_label_values(&[name]).set(unix_seconds(expiry));
        }
    }

    /// Counts a reload of the configuration.
    pub fn reload(&self, result: Reload) {
        if let Some((_, counter)) = self.reloads.iter().find(|(counted, _)| *counted == result) {
            counter.inc();
        }
    }

    /// Tells whether Synapse's own configuration is another one than that which was taken over.
    pub fn synapse_config_changed(&self, changed: bool) {
        self.synapse_config_changed.set(changed.into());
    }

    /// Sets whom to ask, at each exposition, what the rendezvous sessions take. The source must not block.
    pub fn watch_rendezvous(&self, source: impl Fn(Protocol) -> RendezvousUsage + Send + Sync + 'static) {
        self.rendezvous.watch(source);
    }

    /// Sets whom to ask, at each exposition, how the upstreams are. The source must not block.
    pub fn watch_upstreams(&self, source: impl Fn() -> Vec<UpstreamUsage> + Send + Sync + 'static) {
        self.upstreams.watch(source);
    }

    /// Counts what came of a rendezvous request.
    pub fn rendezvous(&self, protocol: Protocol, outcome: &std::result::Result<Done, Refusal>) {
        self.rendezvous.count(protocol, outcome);
    }

    /// The counter that the access log counts lost lines with.
    #[must_use]
    pub fn access_log_dropped(&self) -> IntCounter {
        self.access_log_dropped.clone()
    }

    /// The media type and body of an answer to Prometheus.
    pub fn render(&self) -> Result<(&'static str, Vec<u8>)> {
        self.rendezvous.refresh();
        self.upstreams.refresh();
        let mut body = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut body)?;
        Ok((prometheus::TEXT_FORMAT, body))
    }

    fn count(&self, record: &AccessRecord<'_>) {
        let method = MethodLabel::of(record.method);
        let status = status_index(record.status);
        let lookup = |cause| {
            let status = STATUS_LABELS.get(status).copied().unwrap_or_default();
            self.requests.with_label_values(&[record.class.as_str(), method.as_str(), status, cause])
        };
        if let Some(cause) = record.cause {
            lookup(cause.as_str()).inc();
            return;
        }
        let row = record.class.index() * MethodLabel::ALL.len() + method as usize;
        if let Some(counter) = self.ordinary.get(row * STATUS_LABELS.len() + status) {
            counter.get_or_init(|| lookup("")).inc();
        }
    }
}

impl fmt::Debug for GatewayMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayMetrics").finish_non_exhaustive()
    }
}

/// The counters of one listener.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    open: IntGauge,
    total: IntCounter,
}

/// A connection that is counted as open until this is dropped.
#[derive(Debug)]
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

struct Registration<'a>(&'a Registry);

impl Registration<'_> {
    fn counter(&self, metric: Metric) -> Result<IntCounter> {
        self.add(IntCounter::new(metric.name, metric.help)?)
    }

    fn counters(&self, metric: Metric) -> Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(metric.name, metric.help), metric.labels)?)
    }

    fn gauge(&self, metric: Metric) -> Result<IntGauge> {
        self.add(IntGauge::new(metric.name, metric.help)?)
    }

    fn gauges(&self, metric: Metric) -> Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(metric.name, metric.help), metric.labels)?)
    }

    fn histogram(&self, metric: Metric, buckets: &[f64]) -> Result<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(metric.name, metric.help).buckets(buckets.to_vec()))?)
    }

    fn histograms(&self, metric: Metric, buckets: &[f64]) -> Result<HistogramVec> {
        let options = HistogramOpts::new(metric.name, metric.help).buckets(buckets.to_vec());
        self.add(HistogramVec::new(options, metric.labels)?)
    }

    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}

fn unix_seconds(time: SystemTime) -> i64 {
    signed(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs())
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
