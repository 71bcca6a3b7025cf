//! What goes wrong between client, gateway and upstream, and what the client is told about it.
//!
//! Pingora's errors end here.

use http::StatusCode;
use pingora_core::{Error, ErrorSource, ErrorType};

use crate::errors::RETRY_AFTER;
use crate::matrix::{Cause, ErrCode, MatrixError};

/// What happened to a request that could not be forwarded to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The client is told.
    Answer(Box<MatrixError>),
    /// The client has gone, or has stopped reading.
    Silent(Cause),
}

impl Failure {
    /// Grades an error by whose fault it is. `body_pending` is whether the client still owes a part of its body: then it
    /// was the client that kept the upstream waiting.
    pub(super) fn of(error: &Error, body_pending: bool) -> Self {
        match error.esource() {
            ErrorSource::Upstream => upstream(error.etype(), body_pending),
            ErrorSource::Downstream => downstream(error.etype()),
            ErrorSource::Internal | ErrorSource::Unset => internal(),
        }
    }
}

fn upstream(error: &ErrorType, body_pending: bool) -> Failure {
    // Pingora's kinds of errors are an open set: what is not named here is an answer that could not be understood.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "ErrorType is non-exhaustive in practice and grows with Pingora"
    )]
    match error {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => {
            Failure::Answer(Box::new(unavailable(Cause::UpstreamConnectTimeout)))
        }
        ErrorType::ConnectRefused
        | ErrorType::ConnectNoRoute
        | ErrorType::ConnectError
        | ErrorType::ConnectProxyFailure
        | ErrorType::BindError
        | ErrorType::SocketError => Failure::Answer(Box::new(unavailable(Cause::UpstreamRefused))),
        ErrorType::ReadTimedout | ErrorType::WriteTimedout if body_pending => body_timeout(),
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => {
            let message = "The homeserver did not answer in time";
            answer(StatusCode::GATEWAY_TIMEOUT, Cause::UpstreamTimeout, message)
        }
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError => {
            Failure::Answer(Box::new(closed()))
        }
        _ => {
            let message = "The homeserver's answer could not be understood";
            answer(StatusCode::BAD_GATEWAY, Cause::UpstreamInvalid, message)
        }
    }
}

fn downstream(error: &ErrorType) -> Failure {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "ErrorType is non-exhaustive in practice and grows with Pingora"
    )]
    match error {
        ErrorType::ReadTimedout => body_timeout(),
        ErrorType::WriteTimedout => Failure::Silent(Cause::WriteTimeout),
        ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError | ErrorType::H2Error => {
            Failure::Silent(Cause::ClientGone)
        }
        _ => answer(StatusCode::BAD_REQUEST, Cause::InvalidFraming, "The request is malformed"),
    }
}

fn internal() -> Failure {
    answer(StatusCode::INTERNAL_SERVER_ERROR, Cause::Internal, "Internal error of the gateway")
}

/// The client has paused for too long within its body.
pub(super) fn body_timeout() -> Failure {
    answer(StatusCode::REQUEST_TIMEOUT, Cause::BodyTimeout, "The request body did not arrive in time")
}

/// The client sends its body slower than the minimum rate.
pub(super) fn body_too_slow() -> MatrixError {
    let message = "The request body arrives too slowly";
    MatrixError::new(StatusCode::REQUEST_TIMEOUT, ErrCode::Unknown, Cause::BodyTooSlow, message)
}

/// The process that had the request is lost.
pub(super) fn closed() -> MatrixError {
    let message = "The homeserver closed the connection before it answered";
    MatrixError::new(StatusCode::BAD_GATEWAY, ErrCode::Unknown, Cause::UpstreamClosed, message)
}

/// Synapse is not there, or not yet again.
pub(super) fn unavailable(cause: Cause) -> MatrixError {
    let message = "The homeserver is not available at the moment";
    MatrixError::new(StatusCode::SERVICE_UNAVAILABLE, ErrCode::Unknown, cause, message).retry_after(RETRY_AFTER)
}

/// Synapse has as many requests as it is given at a time, and as many wait as may.
pub(super) fn overloaded() -> MatrixError {
    let message = "The homeserver has too many requests at the moment";
    let error = MatrixError::new(StatusCode::TOO_MANY_REQUESTS, ErrCode::LimitExceeded, Cause::Overloaded, message);
    error.retry_after(RETRY_AFTER)
}

fn answer(status: StatusCode, cause: Cause, message: &'static str) -> Failure {
    Failure::Answer(Box::new(MatrixError::new(status, ErrCode::Unknown, cause, message)))
}
