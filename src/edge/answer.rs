//! Sends answers of our own: the one place that adds CORS, request id, HSTS and length to them.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, EXPECT, RETRY_AFTER, STRICT_TRANSPORT_SECURITY};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use pingora::http::ResponseHeader;
use pingora_core::Result;
use pingora_proxy::Session;

use super::context::Context;
use crate::inbound::Scheme;
use crate::matrix::{Cause, MatrixError};
use crate::reply::{Body, Reply};

/// Sends an answer of our own; the request is then done.
pub(super) async fn send(session: &mut Session, ctx: &mut Context, reply: Reply) -> Result<bool> {
    let close = reply.close;
    let (header, body) = compose(session, ctx, reply);
    let expects = session.req_header().headers.contains_key(EXPECT);
    // A client that waits for 100 has not sent its body and may never do so: nothing could follow on this connection.
    let dubious = close || (expects && !session.as_downstream_mut().is_body_done());
    if dubious || ctx.state.is_stopping() {
        session.set_keepalive(None);
    }
    let empty = body.is_empty();
    session.write_response_header(Box::new(header), empty).await?;
    if !empty {
        session.write_response_body(Some(body), true).await?;
    }
    linger(session, ctx).await;
    Ok(true)
}

/// Reads what is left of the body for a while: a connection that closes over unread data takes the answer with it.
async fn linger(session: &mut Session, ctx: &Context) {
    let linger = ctx.running.gateway.timeouts.linger;
    let downstream = session.as_downstream_mut();
    if downstream.is_body_done() || downstream.req_header().headers.contains_key(EXPECT) {
        return;
    }
    ctx.extend(linger + Duration::from_secs(1));
    let drained = tokio::time::timeout(linger, downstream.drain_request_body()).await;
    if !matches!(drained, Ok(Ok(()))) {
        downstream.set_keepalive(None);
    }
}

/// Completes a reply: CORS, request id, HSTS, length.
fn compose(session: &Session, ctx: &mut Context, reply: Reply) -> (ResponseHeader, Bytes) {
    let Reply { mut status, headers, body, cors, cause, .. } = reply;
    let gateway = &ctx.running.gateway;
    let (headers, body) = match body {
        Body::Empty => (headers, Bytes::new()),
        Body::Full(body) => (headers, body),
        Body::Error(error) => {
            let told = gateway.errors.told(*error);
            let body = Bytes::from(told.body(ctx.id()));
            // Only the status and Retry-After can have changed, and a reply sets both from its error.
            let told = Reply::from(told);
            status = told.status;
            let kept = headers.into_iter().filter(|(name, _)| name != RETRY_AFTER);
            let new = told.headers.into_iter().filter(|(name, _)| name == RETRY_AFTER);
            (kept.chain(new).collect(), body)
        }
    };
    ctx.cause = cause.or(ctx.cause);
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = status;
    // As a map whose names were checked already: Pingora's own would parse each of them once more, and keep it twice.
    parts.headers.reserve(headers.len() + 10);
    for (name, value) in headers {
        parts.headers.append(name, value);
    }
    for (name, value) in gateway.cors.fields(cors) {
        parts.headers.insert(name, value);
    }
    parts.headers.insert(gateway.forwarding.request_id().clone(), ctx.request_id.clone());
    if let Some(hsts) = hsts(ctx, &parts.headers) {
        parts.headers.insert(STRICT_TRANSPORT_SECURITY, hsts);
    }
    // 204 and 304 have no length (RFC 9110, section 8.6).
    if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    ctx.status = Some(status);
    let bodiless = session.req_header().method == Method::HEAD || status == StatusCode::NOT_MODIFIED;
    (parts.into(), if bodiless { Bytes::new() } else { body })
}

/// The `Strict-Transport-Security` of an answer that has none.
pub(super) fn hsts(ctx: &Context, headers: &HeaderMap) -> Option<HeaderValue> {
    let arrival = ctx.arrival.as_ref()?;
    let clients_over_tls = arrival.scheme == Scheme::Https && arrival.serve.client;
    let wanted = clients_over_tls && !headers.contains_key(STRICT_TRANSPORT_SECURITY);
    ctx.running.hsts.clone().filter(|_| wanted)
}

/// Tells the client of a failure in the course of forwarding; the status that it gets, or 0 if it gets none.
pub(super) async fn report(session: &mut Session, ctx: &mut Context, error: MatrixError) -> u16 {
    let (header, body) = compose(session, ctx, Reply::from(error));
    let status = header.status.as_u16();
    let written = session.as_downstream_mut().write_error_response(header, body).await;
    if written.is_err() {
        ctx.cause = Some(Cause::ClientGone);
        return 0;
    }
    linger(session, ctx).await;
    status
}
