//! An answer that the gateway makes itself, before the edge sends it.
//!
//! Whoever builds a reply says what it is about; CORS, the request id and the length are added by the edge in one
//! place, from [`crate::headers`].

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::matrix::{Cause, MatrixError};

/// Which set of CORS headers an answer carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CorsKind {
    /// What Synapse sends for the client-server API.
    #[default]
    Matrix,
    /// What the rendezvous protocols with entity tags need (MSC3886, MSC4108).
    Rendezvous,
    /// None: pages for people and machines on the same host.
    None,
}

/// A complete answer but for CORS, request id and length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status line.
    pub status: StatusCode,
    /// Header fields in the order in which they are sent; names may repeat.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What is sent; a reply to HEAD keeps it for its length.
    pub body: Body,
    /// Which CORS headers the edge adds.
    pub cors: CorsKind,
    /// Why, where the reply is an error.
    pub cause: Option<Cause>,
    /// Whether the connection is of no further use, because its framing is in doubt.
    pub close: bool,
}

/// The body of a [`Reply`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// None, and no type.
    Empty,
    /// As given.
    Full(Bytes),
    /// A Matrix error, completed with the request id when it is sent.
    Error(Box<MatrixError>),
}

impl Reply {
    /// An answer without a body.
    #[must_use]
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Body::Empty, cors: CorsKind::Matrix, cause: None, close: false }
    }

    /// A document of the given media type.
    #[must_use]
    pub fn document(status: StatusCode, media_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        let mut reply = Self::empty(status).header(CONTENT_TYPE, media_type);
        reply.body = Body::Full(body.into());
        reply
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds `Allow` to a 405.
    #[must_use]
    pub fn allow(self, methods: &'static str) -> Self {
        self.header(ALLOW, HeaderValue::from_static(methods))
    }

    /// Chooses the CORS headers.
    #[must_use]
    pub fn cors(mut self, cors: CorsKind) -> Self {
        self.cors = cors;
        self
    }

    /// Ends the connection after the answer.
    #[must_use]
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }
}

impl From<MatrixError> for Reply {
    fn from(error: MatrixError) -> Self {
        let mut reply = Self::empty(error.status)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = error.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            reply = reply.header(RETRY_AFTER, HeaderValue::from(seconds));
        }
        reply.cause = Some(error.cause);
        reply.body = Body::Error(Box::new(error));
        reply
    }
}
