//! How much and how long: sizes, rates and time budgets.
//!
//! Every bound is a key. This room knows numbers and [`RouteClass`]es; which path belongs to which class is the business
//! of `routing`.

mod section;

use std::time::Duration;

pub use section::{LimitsSection, TimeoutsSection};

use crate::class::RouteClass;
use crate::inbound::HeadBounds;

/// The largest body that Synapse takes on any path, whatever `max_upload_size` is: 200 events of 65,536 bytes
/// (`synapse/app/_base.py`, `max_request_body_size`).
pub const SYNAPSE_BODY: u64 = 200 * 65_536;

/// Bounds on what a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an uploaded body.
    pub upload: u64,
    /// Bytes of any other body.
    pub body: u64,
    /// The request head.
    pub head: HeadBounds,
    /// Open client connections, all listeners together.
    pub connections: usize,
    /// Concurrent requests on one HTTP/2 connection.
    pub http2_streams: u32,
    /// Idle connections to upstreams that are kept, for each thread.
    pub upstream_idle: usize,
    /// Bytes per second below which a body is given up, counted from [`Limits::RATE_GRACE`] after its start.
    pub body_rate: u64,
}

impl Limits {
    /// How long a body may take before its rate is looked at: a short stall at the start is not an attack.
    pub const RATE_GRACE: Duration = Duration::from_secs(10);

    /// Whether `received` bytes in `elapsed` are fewer than the minimum rate allows.
    #[must_use]
    pub fn is_too_slow(&self, received: u64, elapsed: Duration) -> bool {
        let counted = elapsed.saturating_sub(Self::RATE_GRACE).as_secs();
        received < self.body_rate.saturating_mul(counted)
    }
}

/// Bounds on how long anything takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the keys of `TimeoutsSection`, which has their documentation")]
pub struct Timeouts {
    pub handshake: Duration,
    pub client_header: Duration,
    pub keep_alive: Duration,
    pub http2_first_stream: Duration,
    pub body_idle: Duration,
    pub write: Duration,
    pub linger: Duration,
    pub connect: Duration,
    pub upstream_idle: Duration,
    pub first_byte: Duration,
    pub long_poll_margin: Duration,
    pub long_poll_max: Duration,
    pub initial_sync: Duration,
    pub join: Duration,
    pub federation: Duration,
    pub upload: Duration,
    pub download: Duration,
    pub admin: Duration,
    pub websocket_idle: Duration,
    pub total: Duration,
    pub shutdown_grace: Duration,
}

/// The shortest budget of a long poll: clients that ask for an answer at once still wait for a busy Synapse.
const LONG_POLL_FLOOR: Duration = Duration::from_secs(90);

impl Timeouts {
    /// How long the upstream may be silent, before its answer and within it. A long poll tells by `?timeout=`
    /// (milliseconds) how long it is going to wait.
    #[must_use]
    pub fn silence(&self, class: RouteClass, poll_timeout: Option<&str>) -> Duration {
        match class {
            RouteClass::LongPoll => {
                let asked =
                    poll_timeout.and_then(|millis| millis.parse().ok()).map_or(Duration::ZERO, Duration::from_millis);
                let budget = asked.saturating_add(self.long_poll_margin);
                budget.max(LONG_POLL_FLOOR.min(self.long_poll_max)).min(self.long_poll_max)
            }
            RouteClass::InitialSync => self.initial_sync,
            RouteClass::Join => self.join,
            RouteClass::Upload => self.upload,
            RouteClass::Download => self.download,
            RouteClass::Federation => self.federation,
            RouteClass::Admin => self.admin,
            RouteClass::Client
            | RouteClass::Mas
            | RouteClass::Rendezvous
            | RouteClass::WellKnown
            | RouteClass::MatrixRtc
            | RouteClass::Extra
            | RouteClass::Service
            | RouteClass::Unknown => self.first_byte,
        }
    }
}

#[cfg(test)]
mod tests;
