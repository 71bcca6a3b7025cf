//! `limits` and `timeouts` as the operator writes them.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Limits, SYNAPSE_BODY, Timeouts};
use crate::inbound::HeadBounds;
use crate::problem::Problems;
use crate::quantity::{Size, Span};

/// How much a client may send.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSection {
    /// The largest body of an upload. Give the same value as `max_upload_size` of Synapse: above it the client is told
    /// with a Matrix error before the body is sent, while Synapse would cut the connection. Other requests may have
    /// the larger of this and 12.5 MiB, which is Synapse's own limit.
    pub body: Size,
    /// The largest request head: target, header names and values. Synapse refuses more than 16 KiB, with what the
    /// gateway adds.
    pub headers: Size,
    /// The largest number of header fields.
    pub header_fields: usize,
    /// The longest request target: path and query.
    pub uri: Size,
    /// The largest number of open client connections, all listeners together. More are closed at once. Each takes a
    /// file descriptor, and a forwarded request another.
    pub connections: usize,
    /// The largest number of concurrent requests on one HTTP/2 connection.
    pub http2_streams: u32,
    /// The largest number of idle connections to Synapse that are kept open, all upstreams together, for each thread. It
    /// changes with the process: `reload` starts another one where there is a control socket.
    pub upstream_idle: usize,
    /// The slowest body, in bytes per second, from 10 s after its start. A slower one is answered with 408. 0 accepts
    /// any rate.
    pub body_min_rate: Size,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            body: Size(50 << 20),
            headers: Size(15 << 10),
            header_fields: 200,
            uri: Size(8 << 10),
            connections: 16_384,
            http2_streams: 100,
            upstream_idle: 256,
            body_min_rate: Size(256),
        }
    }
}

impl LimitsSection {
    /// Checks that the bounds leave room for real requests.
    pub fn build(self, problems: &mut Problems) -> Option<Limits> {
        let head = HeadBounds {
            target: within(problems, "limits.uri", self.uri, 1 << 10, 64 << 10)?,
            head: within(problems, "limits.headers", self.headers, 2 << 10, 64 << 10)?,
            // Pingora's own bound is 256 fields, and Twisted's 500.
            fields: range(problems, "limits.header_fields", self.header_fields, 20, 256)?,
        };
        let connections = range(problems, "limits.connections", self.connections, 1, 1 << 20)?;
        let http2_streams = range(problems, "limits.http2_streams", self.http2_streams, 1, 1000)?;
        let upstream_idle = range(problems, "limits.upstream_idle", self.upstream_idle, 1, 1 << 16)?;
        if self.body.0 < 1 << 10 {
            let message = format!("{} is less than a Matrix event needs", self.body);
            problems.error("limits.body", message, "give the value of Synapse's max_upload_size, such as 50M");
            return None;
        }
        Some(Limits {
            upload: self.body.0,
            body: self.body.0.max(SYNAPSE_BODY),
            head,
            connections,
            http2_streams,
            upstream_idle,
            body_rate: self.body_min_rate.0,
        })
    }
}

fn within(problems: &mut Problems, path: &str, size: Size, least: u64, most: u64) -> Option<usize> {
    if !(least..=most).contains(&size.0) {
        let remedy = format!("choose a size from {} to {}", Size(least), Size(most));
        problems.error(path, format!("{size} is out of range"), remedy);
        return None;
    }
    usize::try_from(size.0).ok()
}

fn range<T>(problems: &mut Problems, path: &str, value: T, least: T, most: T) -> Option<T>
where
    T: Copy + PartialOrd + std::fmt::Display,
{
    if value < least || value > most {
        problems.error(path, format!("{value} is out of range"), format!("choose a number from {least} to {most}"));
        return None;
    }
    Some(value)
}

/// How long anything may take. Durations have a unit, as in `60s`, `15m` or `500ms`.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TimeoutsSection {
    /// From the connection to the end of the TLS handshake, the PROXY header included.
    pub handshake: Span,
    /// From the start of a request to the end of its headers.
    pub client_header: Span,
    /// How long an idle client connection stays open.
    pub keep_alive: Span,
    /// From the end of the handshake to the first request on an HTTP/2 connection.
    pub http2_first_stream: Span,
    /// The longest pause within a request body. Answered with 408; on HTTP/2 the request is reset.
    pub body_idle: Span,
    /// The longest pause of a client in reading its answer.
    pub write: Span,
    /// After an answer that came before the end of the request body: how long the rest is read and thrown away, so that
    /// the client gets to see the answer.
    pub linger: Span,
    /// To Synapse: from the start of a connection to its end.
    pub connect: Span,
    /// To Synapse: how long an idle connection is kept. Synapse closes its own after 60 s, so stay below.
    pub upstream_idle: Span,
    /// To Synapse: the longest silence before and within an answer, for requests that no other key names. Answered with
    /// 504.
    pub first_byte: Span,
    /// To Synapse, for long polls: what is added to the `?timeout=` that the client asked for.
    pub long_poll_margin: Span,
    /// To Synapse, for long polls: the longest silence, whatever the client asks for.
    pub long_poll_max: Span,
    /// To Synapse, for the first sync of a device.
    pub initial_sync: Span,
    /// To Synapse, for joins, knocks, invites and new rooms: other servers take their time.
    pub join: Span,
    /// To Synapse, for requests of other servers.
    pub federation: Span,
    /// To Synapse, after the end of an upload.
    pub upload: Span,
    /// To Synapse, for media: it is fetched from another server before its first byte.
    pub download: Span,
    /// To Synapse, for the admin API.
    pub admin: Span,
    /// The longest silence of either side on a WebSocket, of an extra route or of a call.
    pub websocket_idle: Span,
    /// The whole of one request, from its headers to the end of the answer.
    pub total: Span,
    /// At a stop: how long requests in flight may take to finish. The process ends as soon as the last one has.
    pub shutdown_grace: Span,
}

impl Default for TimeoutsSection {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self {
            handshake: seconds(10),
            client_header: seconds(10),
            keep_alive: seconds(75),
            http2_first_stream: seconds(10),
            body_idle: seconds(60),
            write: seconds(60),
            linger: seconds(5),
            connect: seconds(5),
            upstream_idle: seconds(45),
            first_byte: seconds(180),
            long_poll_margin: seconds(60),
            long_poll_max: seconds(900),
            initial_sync: seconds(900),
            join: seconds(900),
            federation: seconds(300),
            upload: seconds(180),
            download: seconds(120),
            admin: seconds(900),
            websocket_idle: seconds(600),
            total: seconds(3600),
            shutdown_grace: seconds(30),
        }
    }
}

impl TimeoutsSection {
    /// Checks that nothing waits for ever, and nothing gives up at once.
    pub fn build(self, problems: &mut Problems) -> Option<Timeouts> {
        let mut fits = true;
        let mut check = |key: &str, span: Span| {
            if span.0 < Duration::from_millis(1) || span.0 > Duration::from_hours(24) {
                let path = format!("timeouts.{key}");
                problems.error(path, format!("`{span}` is out of range"), "choose a duration from 1ms to 24h");
                fits = false;
            }
            span.0
        };
        let timeouts = Timeouts {
            handshake: check("handshake", self.handshake),
            client_header: check("client_header", self.client_header),
            keep_alive: check("keep_alive", self.keep_alive),
            http2_first_stream: check("http2_first_stream", self.http2_first_stream),
            body_idle: check("body_idle", self.body_idle),
            write: check("write", self.write),
            linger: check("linger", self.linger),
            connect: check("connect", self.connect),
            upstream_idle: check("upstream_idle", self.upstream_idle),
            first_byte: check("first_byte", self.first_byte),
            long_poll_margin: check("long_poll_margin", self.long_poll_margin),
            long_poll_max: check("long_poll_max", self.long_poll_max),
            initial_sync: check("initial_sync", self.initial_sync),
            join: check("join", self.join),
            federation: check("federation", self.federation),
            upload: check("upload", self.upload),
            download: check("download", self.download),
            admin: check("admin", self.admin),
            websocket_idle: check("websocket_idle", self.websocket_idle),
            total: check("total", self.total),
            shutdown_grace: check("shutdown_grace", self.shutdown_grace),
        };
        if timeouts.upstream_idle >= Duration::from_mins(1) {
            problems.warning(
                "timeouts.upstream_idle",
                "Synapse closes idle connections after 60 s, and a request sent meanwhile is lost",
                "choose a duration below 60s, such as 45s",
            );
        }
        fits.then_some(timeouts)
    }
}
