//! What the rendezvous endpoints refuse.

use std::time::Duration;

use http::StatusCode;

use super::session::Stamp;
use crate::matrix::{Cause, ErrCode, MatrixError};

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The methods that there are instead.
    #[error("Unrecognized request")]
    Method(&'static str),
    /// A payload over `max_bytes`.
    #[error("The payload is larger than the limit of {0} bytes")]
    TooLarge(u64),
    /// A header that must be there.
    #[error("Missing required header: {0}")]
    MissingHeader(&'static str),
    /// A header that cannot be read.
    #[error("Invalid header: {0}")]
    InvalidHeader(&'static str),
    /// A payload that is no plain text, where there may be no other.
    #[error("Content-Type must be text/plain")]
    MediaType,
    /// A body that is not the JSON object that it should be.
    #[error("Invalid JSON in request body")]
    Json,
    /// A transaction id that is no opaque identifier.
    #[error("The transaction id has characters that are not allowed, or too many")]
    Transaction,
    /// There is no access token, where it takes one to open a session.
    #[error("Missing access token")]
    NoToken,
    /// An access token that Synapse does not know.
    #[error("Token is not active")]
    UnknownToken,
    /// Synapse cannot be asked whether it knows the access token.
    #[error("The homeserver is not available at the moment")]
    Unverified {
        /// When to try again.
        retry_after: Duration,
    },
    /// A path around the endpoints that is none of them.
    #[error("Unrecognized request")]
    Unrecognized,
    /// A browser would show the payload as a page of the homeserver.
    #[error("Rendezvous sessions are read by applications, not opened as pages")]
    Navigation,
    /// Not an id, never opened, expired or ended; nobody can tell which.
    #[error("There is no such rendezvous session")]
    Absent,
    /// Somebody else has written meanwhile; the session as it is now.
    #[error("The rendezvous session has been written to meanwhile")]
    Stale(Stamp),
    /// As many sessions as there may be.
    #[error("There are too many rendezvous sessions")]
    Full {
        /// When the next one ends.
        retry_after: Duration,
    },
    /// As many sessions as one network may have.
    #[error("There are too many rendezvous sessions from this address")]
    Crowded {
        /// When the last of them has ended.
        retry_after: Duration,
    },
    /// More requests than there may be in a minute.
    #[error("Too many requests")]
    TooOften {
        /// When the next one may come.
        retry_after: Duration,
    },
    /// The store cannot be reached or does not answer; whether anything was done is not known.
    #[error("Rendezvous sessions are not available at the moment")]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
    },
    /// The randomness that ids are made of repeats itself.
    #[error("The rendezvous session could not be opened")]
    Taken,
}

impl From<&Refusal> for MatrixError {
    fn from(refusal: &Refusal) -> Self {
        let (status, errcode, cause) = match refusal {
            Refusal::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, ErrCode::Unrecognized, Cause::MethodNotAllowed),
            Refusal::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, ErrCode::TooLarge, Cause::BodyTooLarge),
            Refusal::MissingHeader(_) => (StatusCode::BAD_REQUEST, ErrCode::MissingParam, Cause::SessionInvalid),
            Refusal::InvalidHeader(_) | Refusal::MediaType | Refusal::Json | Refusal::Transaction => {
                (StatusCode::BAD_REQUEST, ErrCode::InvalidParam, Cause::SessionInvalid)
            }
            Refusal::NoToken => (StatusCode::UNAUTHORIZED, ErrCode::MissingToken, Cause::Unauthenticated),
            Refusal::UnknownToken => (StatusCode::UNAUTHORIZED, ErrCode::UnknownToken, Cause::Unauthenticated),
            Refusal::Unverified { .. } => (StatusCode::SERVICE_UNAVAILABLE, ErrCode::Unknown, Cause::UpstreamRefused),
            Refusal::Unrecognized => (StatusCode::NOT_FOUND, ErrCode::Unrecognized, Cause::UnknownPath),
            Refusal::Navigation => (StatusCode::FORBIDDEN, ErrCode::Forbidden, Cause::NavigationDenied),
            Refusal::Absent => (StatusCode::NOT_FOUND, ErrCode::NotFound, Cause::SessionNotFound),
            Refusal::Stale(_) => (StatusCode::PRECONDITION_FAILED, ErrCode::ConcurrentWrite, Cause::SessionConflict),
            Refusal::Full { .. } => (StatusCode::TOO_MANY_REQUESTS, ErrCode::LimitExceeded, Cause::Overloaded),
            Refusal::Crowded { .. } | Refusal::TooOften { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, ErrCode::LimitExceeded, Cause::RateLimited)
            }
            Refusal::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, ErrCode::Unknown, Cause::StoreUnavailable),
            Refusal::Taken => (StatusCode::INTERNAL_SERVER_ERROR, ErrCode::Unknown, Cause::Internal),
        };
        let error = Self::new(status, errcode, cause, refusal.to_string());
        match refusal {
            Refusal::Full { retry_after }
            | Refusal::Crowded { retry_after }
            | Refusal::TooOften { retry_after }
            | Refusal::Unverified { retry_after }
            | Refusal::Unavailable { retry_after } => error.retry_after(*retry_after),
            Refusal::UnknownToken => error.with("soft_logout", false),
            Refusal::Method(_)
            | Refusal::TooLarge(_)
            | Refusal::MissingHeader(_)
            | Refusal::InvalidHeader(_)
            | Refusal::MediaType
            | Refusal::Json
            | Refusal::Transaction
            | Refusal::NoToken
            | Refusal::Unrecognized
            | Refusal::Navigation
            | Refusal::Absent
            | Refusal::Stale(_)
            | Refusal::Taken => error,
        }
    }
}
