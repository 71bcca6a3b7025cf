//! The metrics by name, and the fixed sets from which their labels are drawn.
//!
//! No label is taken from a request: a client must not be able to make the registry grow.

use http::{Method, StatusCode};

/// A metric as Prometheus sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The full name; it ends in `_total` for a counter and in the unit where there is one.
    pub name: &'static str,
    /// What is measured, as one line.
    pub help: &'static str,
    /// Names of the labels.
    pub labels: &'static [&'static str],
}

/// Upper bounds in seconds for requests: from an answer of our own to a long poll and a slow join.
pub const REQUEST_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0];
/// Upper bounds in seconds for connecting and for TLS handshakes.
pub const CONNECTION_BUCKETS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

macro_rules! metrics {
    ($($constant:ident = $name:literal [$($label:literal),*] $help:literal;)*) => {
        /// Every metric that the gateway exposes.
        pub mod names {
            use super::Metric;

            $(
                #[doc = $help]
                pub const $constant: Metric =
                    Metric { name: concat!("synapse_gateway_", $name), help: $help, labels: &[$($label),*] };
            )*

            /// All of them, for the documents and for tests.
            pub const ALL: &[Metric] = &[$($constant),*];
        }
    };
}

metrics! {
    REQUESTS = "requests_total" ["class", "method", "status", "cause"]
        "Finished requests. cause is empty where Synapse answered; status is none where the client left first.";
    REQUEST_DURATION = "request_duration_seconds" ["class"]
        "Time from the request head to the end of the answer.";
    REQUEST_BODY_BYTES = "request_body_bytes_total" ["class"]
        "Bytes of request bodies read from clients.";
    RESPONSE_BODY_BYTES = "response_body_bytes_total" ["class"]
        "Bytes of response bodies sent to clients.";
    UPSTREAM_FIRST_BYTE = "upstream_first_byte_seconds" ["class"]
        "Time from the request head to the head of the upstream's answer.";
    UPSTREAM_CONNECT = "upstream_connect_seconds" []
        "Time to make a new connection to an upstream.";
    UPSTREAM_CONNECTIONS = "upstream_connections_total" ["kind"]
        "Connections to upstreams by whether a request made it (new) or found it open (reused).";
    UPSTREAM_RETRIES = "upstream_retries_total" ["class"]
        "How often requests were sent to an upstream again.";
    UPSTREAM_UP = "upstream_up" ["upstream"]
        "1 while a process is taken for there, 0 while others answer in its place.";
    UPSTREAM_DRAINED = "upstream_drained" ["upstream"]
        "1 while a process is given no new requests, as an administrator wants it.";
    UPSTREAM_REQUESTS = "upstream_requests" ["upstream"]
        "Requests that a process works on now.";
    UPSTREAM_LONG_POLLS = "upstream_long_polls" ["upstream"]
        "Requests among these that wait for news.";
    UPSTREAM_WAITING = "upstream_waiting_requests" ["upstream"]
        "Requests that wait for a place at a process now.";
    UPSTREAM_REQUESTS_TOTAL = "upstream_requests_total" ["upstream", "role", "status"]
        "Finished requests by the process that had them last, the role in which it had them, and the kind of status.";
    UPSTREAM_ANSWER = "upstream_answer_seconds" ["upstream", "role"]
        "Time from the request head to the head of the process's answer, without the wait for a place there.";
    UPSTREAM_RESENDS = "upstream_resends_total" ["upstream"]
        "Requests that were sent again because this process was lost while it, or another one through it, had them.";
    UPSTREAM_OUTAGES = "upstream_outages_total" ["upstream"]
        "How often a process was taken out of service because it did not answer.";
    UPSTREAM_UNKNOWN_ENDPOINTS = "upstream_unknown_endpoints_total" ["upstream"]
        "Endpoints that a process turned out not to know, and that the main process serves in its place.";
    ROLE_STAND_INS = "role_stand_ins_total" ["role", "by"]
        "Requests for a role that a process of another role answered, since none of its own was there.";
    ROLE_WAIT = "role_wait_seconds" ["role"]
        "Time that requests for a role waited for a place at a process, or for one to come back.";
    ROLE_FIRST_BYTE = "role_first_byte_seconds" ["role"]
        "Time from the request head to the head of the answer, without that wait.";
    CONNECTIONS = "connections" ["listener"]
        "Connections of clients that are open now.";
    CONNECTIONS_TOTAL = "connections_total" ["listener"]
        "Connections of clients that were accepted.";
    TLS_HANDSHAKES = "tls_handshakes_total" ["result", "version"]
        "TLS handshakes; version is empty where none was agreed on.";
    TLS_HANDSHAKE_DURATION = "tls_handshake_seconds" []
        "Time of completed TLS handshakes.";
    CERTIFICATE_EXPIRY = "certificate_expiry_timestamp_seconds" ["name"]
        "When a certificate expires, in seconds since 1970.";
    CONFIG_RELOADS = "config_reloads_total" ["result"]
        "Reloads of the configuration; a refused one left the old configuration in use.";
    SYNAPSE_CONFIG_CHANGED = "synapse_config_changed" []
        "1 while Synapse's own configuration is not the one that was taken over.";
    RENDEZVOUS_ENTRIES = "rendezvous_entries" ["protocol"]
        "Rendezvous sessions that are held in memory.";
    RENDEZVOUS_BYTES = "rendezvous_bytes" ["protocol"]
        "Bytes of payload that rendezvous sessions hold in memory.";
    RENDEZVOUS_CREATED = "rendezvous_created_total" ["protocol"]
        "Rendezvous sessions that were opened.";
    RENDEZVOUS_EXPIRED = "rendezvous_expired_total" ["protocol"]
        "Rendezvous sessions that lived to the end of their time.";
    RENDEZVOUS_CONFLICTS = "rendezvous_conflicts_total" ["protocol"]
        "Writes to rendezvous sessions that were refused because somebody else had written.";
    RENDEZVOUS_REFUSED = "rendezvous_refused_total" ["protocol", "cause"]
        "Rendezvous requests refused at a bound; cause is overloaded for that of all sessions, else that of one client.";
    ACCESS_LOG_DROPPED = "access_log_dropped_total" []
        "Lines of the access log that were lost because its target was too slow or failed.";
    START_TIME = "start_time_seconds" []
        "When the process started, in seconds since 1970.";
    BUILD_INFO = "build_info" ["version"]
        "Always 1; the label says which version runs.";
}

/// The methods that are counted by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodLabel {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// `PATCH`
    Patch,
    /// Any other, since a method can be any word.
    Other,
}

impl MethodLabel {
    /// In the order of their indices.
    pub const ALL: &[Self] =
        &[Self::Get, Self::Head, Self::Post, Self::Put, Self::Delete, Self::Options, Self::Patch, Self::Other];

    /// The label of a method.
    #[must_use]
    pub fn of(method: &Method) -> Self {
        Self::ALL.iter().copied().find(|label| label.as_str() == method.as_str()).unwrap_or(Self::Other)
    }

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Patch => "PATCH",
            Self::Other => "other",
        }
    }
}

/// The status codes that are counted by number, those of the HTTP registry and of CDNs; then `none`, for an answer that
/// never was, and `other`. Sorted.
pub const STATUS_LABELS: &[&str] = &[
    "100", "101", "200", "201", "202", "204", "206", "301", "302", "303", "304", "307", "308", "400", "401", "402",
    "403", "404", "405", "406", "408", "409", "410", "411", "412", "413", "414", "415", "416", "417", "421", "422",
    "425", "426", "428", "429", "431", "451", "499", "500", "501", "502", "503", "504", "505", "507", "508", "511",
    "520", "521", "522", "523", "524", "none", "other",
];

/// The index in [`STATUS_LABELS`] of an answer's status.
#[must_use]
pub fn status_index(status: Option<StatusCode>) -> usize {
    const NONE: usize = STATUS_LABELS.len() - 2;
    const OTHER: usize = STATUS_LABELS.len() - 1;
    status.map_or(NONE, |status| STATUS_LABELS.binary_search(&status.as_str()).unwrap_or(OTHER))
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// With TLS 1.2.
    Tls12,
    /// With TLS 1.3.
    Tls13,
    /// One of the two sides refused.
    Failed,
    /// The client took too long.
    TimedOut,
}

impl Handshake {
    /// In the order of their indices.
    pub const ALL: &[Self] = &[Self::Tls12, Self::Tls13, Self::Failed, Self::TimedOut];

    /// The values of the labels `result` and `version`.
    #[must_use]
    pub const fn labels(self) -> [&'static str; 2] {
        match self {
            Self::Tls12 => ["completed", "1.2"],
            Self::Tls13 => ["completed", "1.3"],
            Self::Failed => ["failed", ""],
            Self::TimedOut => ["timed_out", ""],
        }
    }
}

/// How a reload of the configuration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The new configuration is in use.
    Applied,
    /// It has errors; the old one is in use.
    Refused,
}

impl Reload {
    /// In the order of their indices.
    pub const ALL: &[Self] = &[Self::Applied, Self::Refused];

    /// The label's value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
        }
    }
}
