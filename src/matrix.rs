//! Errors as Matrix clients understand them, and why the gateway answered instead of Synapse.
//!
//! One place turns a refusal into an answer, so that every answer of our own has the same form: Matrix JSON with the
//! request id and the cause (Matrix specification, client-server API, "Standard error response").

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value};

/// A Matrix error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrCode {
    /// `M_CONCURRENT_WRITE`: the precondition of a conditional write does not hold (MSC3886).
    ConcurrentWrite,
    /// `M_FORBIDDEN`
    Forbidden,
    /// `M_INVALID_PARAM`
    InvalidParam,
    /// `M_LIMIT_EXCEEDED`
    LimitExceeded,
    /// `M_MISSING_PARAM`
    MissingParam,
    /// `M_MISSING_TOKEN`
    MissingToken,
    /// `M_NOT_FOUND`
    NotFound,
    /// A code that a proposal uses until it is accepted.
    Proposed(&'static str),
    /// `M_TOO_LARGE`
    TooLarge,
    /// `M_UNKNOWN`
    Unknown,
    /// `M_UNKNOWN_TOKEN`
    UnknownToken,
    /// `M_UNRECOGNIZED`
    Unrecognized,
}

impl ErrCode {
    /// The code as it stands in `errcode`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConcurrentWrite => "M_CONCURRENT_WRITE",
            Self::Forbidden => "M_FORBIDDEN",
            Self::InvalidParam => "M_INVALID_PARAM",
            Self::LimitExceeded => "M_LIMIT_EXCEEDED",
            Self::MissingParam => "M_MISSING_PARAM",
            Self::MissingToken => "M_MISSING_TOKEN",
            Self::NotFound => "M_NOT_FOUND",
            Self::Proposed(code) => code,
            Self::TooLarge => "M_TOO_LARGE",
            Self::Unknown => "M_UNKNOWN",
            Self::UnknownToken => "M_UNKNOWN_TOKEN",
            Self::Unrecognized => "M_UNRECOGNIZED",
        }
    }
}

macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why the gateway answered a request itself or cut it short. The name stands in the error body, the access
        /// log and the metrics; it names no upstream and no secret.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Cause {
            $($(#[$doc])* $variant,)*
        }

        impl Cause {
            /// Every cause, for documents and for tests that cover all of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name as written in logs and bodies.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

causes! {
    /// The request target is not a path, or cannot be forwarded exactly as it was sent.
    InvalidTarget = "invalid_target",
    /// There is no valid Host, more than one, or one that contradicts the request target.
    InvalidHost = "invalid_host",
    /// The length or coding of the body is ambiguous.
    InvalidFraming = "invalid_framing",
    /// A header has a name or value that must not be forwarded.
    InvalidHeader = "invalid_header",
    /// The path is not on the allow-list.
    UnknownPath = "unknown_path",
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed",
    /// The path is not for this listener or this network.
    NetworkDenied = "network_denied",
    /// There is no access token, or none that Synapse knows.
    Unauthenticated = "unauthenticated",
    /// A browser navigated to a document that only scripts may fetch.
    NavigationDenied = "navigation_denied",
    /// The body is over the limit.
    BodyTooLarge = "body_too_large",
    /// The request target is over the limit.
    UriTooLong = "uri_too_long",
    /// The request headers are over the limit.
    HeadersTooLarge = "headers_too_large",
    /// The client stopped sending its body.
    BodyTimeout = "body_timeout",
    /// The client sent its body slower than the minimum rate.
    BodyTooSlow = "body_too_slow",
    /// The client closed the connection.
    ClientGone = "client_gone",
    /// The client stopped reading the answer.
    WriteTimeout = "write_timeout",
    /// The client asks for more, or more often, than one may.
    RateLimited = "rate_limited",
    /// A bound of the gateway is reached; the client may try again.
    Overloaded = "overloaded",
    /// The rendezvous session does not exist, has expired or was deleted.
    SessionNotFound = "session_not_found",
    /// The rendezvous session was written by somebody else meanwhile.
    SessionConflict = "session_conflict",
    /// A rendezvous request lacks something or has it in the wrong form.
    SessionInvalid = "session_invalid",
    /// The store of rendezvous sessions cannot be reached.
    StoreUnavailable = "store_unavailable",
    /// The upstream's name has no address.
    UpstreamUnresolved = "upstream_unresolved",
    /// The upstream refuses connections.
    UpstreamRefused = "upstream_refused",
    /// The upstream does not accept a connection in time.
    UpstreamConnectTimeout = "upstream_connect_timeout",
    /// The upstream closed the connection before it answered.
    UpstreamClosed = "upstream_closed",
    /// The upstream's answer is not valid HTTP.
    UpstreamInvalid = "upstream_invalid",
    /// The upstream did not answer in time.
    UpstreamTimeout = "upstream_timeout",
    /// The upstream's answer broke off.
    UpstreamTruncated = "upstream_truncated",
    /// The request as a whole took longer than it may.
    TotalTimeout = "total_timeout",
    /// The gateway stopped before the request was done.
    Stopped = "stopped",
    /// Our own fault.
    Internal = "internal",
}

/// An answer of our own that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixError {
    /// The HTTP status, 400 or above.
    pub status: StatusCode,
    /// The Matrix error code.
    pub errcode: ErrCode,
    /// For people; names nothing internal.
    pub message: Cow<'static, str>,
    /// Why.
    pub cause: Cause,
    /// When the client may try again; sent as `Retry-After` (whole seconds, rounded up) and `retry_after_ms`.
    pub retry_after: Option<Duration>,
    /// Further members of the body, such as an unstable error code.
    pub extra: Vec<(&'static str, Value)>,
}

impl MatrixError {
    /// An error without `Retry-After`.
    #[must_use]
    pub fn new(status: StatusCode, errcode: ErrCode, cause: Cause, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, errcode, message: message.into(), cause, retry_after: None, extra: Vec::new() }
    }

    /// Adds when to try again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Adds a member to the body.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.extra.push((key, value.into()));
        self
    }

    /// 404 `M_UNRECOGNIZED`: not a path that this gateway serves.
    #[must_use]
    pub fn unrecognized() -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrCode::Unrecognized, Cause::UnknownPath, "Unrecognized request")
    }

    /// 405 `M_UNRECOGNIZED`, as Synapse and the Matrix specification have it.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, ErrCode::Unrecognized, Cause::MethodNotAllowed, "Unrecognized request")
    }

    /// 413 `M_TOO_LARGE` that says what would have been accepted.
    #[must_use]
    pub fn body_too_large(limit: u64) -> Self {
        let message = format!("The body is larger than the limit of {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrCode::TooLarge, Cause::BodyTooLarge, message)
    }

    /// The JSON body: `errcode`, `error`, the request id and the cause.
    #[must_use]
    pub fn body(&self, request_id: &str) -> String {
        let mut body = Map::new();
        body.insert("errcode".to_owned(), self.errcode.as_str().into());
        body.insert("error".to_owned(), self.message.as_ref().into());
        if let Some(wait) = self.retry_after {
            let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            body.insert("retry_after_ms".to_owned(), millis.into());
        }
        for (key, value) in &self.extra {
            body.insert((*key).to_owned(), value.clone());
        }
        body.insert("org.matrix.gateway.request_id".to_owned(), request_id.into());
        body.insert("org.matrix.gateway.cause".to_owned(), self.cause.as_str().into());
        Value::Object(body).to_string()
    }
}
