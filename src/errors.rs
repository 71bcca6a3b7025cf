//! How clients are told that Synapse is not there.

use std::time::Duration;

use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::matrix::{ErrCode, MatrixError};

/// How clients are told that Synapse is not there.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ErrorsSection {
    /// Whether 502, 503 and 504 are sent as 429 with `Retry-After`. A CDN takes the former for a dead origin and shows
    /// a page of its own, which Matrix clients cannot read, while every client knows how to wait after a 429.
    pub cdn_safe: bool,
}

/// How clients are told that Synapse is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Errors {
    cdn_safe: bool,
}

/// When a client may try again after Synapse was not there: long enough for a restart to have begun to succeed.
pub const RETRY_AFTER: Duration = Duration::from_secs(5);

impl ErrorsSection {
    /// There is nothing to be wrong.
    #[must_use]
    pub fn build(self) -> Errors {
        Errors { cdn_safe: self.cdn_safe }
    }
}

impl Errors {
    /// The error as it is sent.
    #[must_use]
    pub fn told(self, mut error: MatrixError) -> MatrixError {
        if self.cdn_safe && matches!(error.status.as_u16(), 502..=504) {
            error.status = StatusCode::TOO_MANY_REQUESTS;
            error.errcode = ErrCode::LimitExceeded;
            error.retry_after = error.retry_after.or(Some(RETRY_AFTER));
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Cause;

    #[test]
    fn an_outage_is_told_so_that_no_cdn_puts_its_own_page_in_place() {
        let check = |cdn_safe: bool, status: u16, expected: u16| {
            let status = StatusCode::from_u16(status).unwrap();
            let error = MatrixError::new(status, ErrCode::Unknown, Cause::UpstreamRefused, "");
            let told = ErrorsSection { cdn_safe }.build().told(error);
            assert_eq!((told.status.as_u16(), told.retry_after.is_some()), (expected, expected == 429));
        };
        check(false, 503, 503);
        check(true, 503, 429);
        check(true, 502, 429);
        check(true, 504, 429);
        check(true, 500, 500);
        check(true, 413, 413);
    }
}
