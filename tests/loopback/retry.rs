//! Upstreams that fail: what is sent again, what the client is told, and that it always is.

mod abandoned;
mod broken;
mod restart;
mod silent;
mod stale;

use serde_json::Value;

use crate::support::client::{Client, Response};
use crate::support::gateway::Gateway;
use crate::support::h2::Answer;

/// An answer in which a web client reads what is wrong.
#[track_caller]
fn check_error(response: &Response, status: u16, cause: &str) {
    assert_eq!((response.status(), response.one("access-control-allow-origin")), (status, Some("*")), "{response:?}");
    check_body(&response.json(), cause);
}

#[track_caller]
fn check_h2_error(answer: &Answer, status: u16, cause: &str) {
    assert_eq!((answer.status.as_u16(), answer.one("access-control-allow-origin")), (status, Some("*")), "{answer:?}");
    check_body(&answer.json(), cause);
}

#[track_caller]
fn check_body(body: &Value, cause: &str) {
    assert_eq!((&body["errcode"], &body["org.matrix.gateway.cause"]), (&"M_UNKNOWN".into(), &cause.into()), "{body}");
}

/// Both kinds of connection that speak HTTP/1.1.
fn clients(gateway: &Gateway) -> [Client; 2] {
    [gateway.client(), gateway.tls_client()]
}
