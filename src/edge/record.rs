//! What is left of a request when it is over: one line in the access log, one count in the metrics.

use bytes::Bytes;
use http::header::{HOST, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use pingora::http::RequestHeader;
use pingora_core::{Error, ErrorSource};
use pingora_proxy::Session;

use super::context::Context;
use super::metrics::Forwarded;
use crate::matrix::Cause;
use crate::observe::{AccessRecord, EscapedText, RedactedTarget, RefererOrigin, ShownAddress};
use crate::role::Role;

/// What is written down of a request's head. Pingora's session, which has it too, is gone when a request is dropped.
#[derive(Debug)]
pub(super) struct Head {
    method: Method,
    target: Bytes,
    version: Version,
    host: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
    referer: Option<HeaderValue>,
}

/// How a request ended.
struct End {
    status: Option<StatusCode>,
    cause: Option<Cause>,
    bytes_in: u64,
    bytes_out: u64,
}

impl Head {
    /// Keeps what is needed; values are shared with the head, not copied.
    pub(super) fn of(request: &RequestHeader) -> Self {
        // HTTP/2 has the host in the target.
        let authority = || HeaderValue::from_str(request.uri.authority()?.as_str()).ok();
        Self {
            method: request.method.clone(),
            target: Bytes::copy_from_slice(request.raw_path()),
            version: request.version,
            host: value(&request.headers, HOST).or_else(authority),
            user_agent: value(&request.headers, USER_AGENT),
            referer: value(&request.headers, REFERER),
        }
    }
}

fn value(headers: &HeaderMap, name: HeaderName) -> Option<HeaderValue> {
    headers.get(name).cloned()
}

fn shown(value: Option<&HeaderValue>) -> Option<EscapedText<'_>> {
    value.map(|value| EscapedText::new(value.as_bytes()))
}

/// Writes a request down that came to its end, good or bad, and counts it.
pub(super) fn finished(session: &Session, error: Option<&Error>, ctx: &Context) {
    let end = End {
        status: session.response_written().map(|response| response.status),
        cause: ctx.cause.or_else(|| error.map(cut_short)),
        bytes_in: session.body_bytes_read() as u64,
        bytes_out: session.body_bytes_sent() as u64,
    };
    write(ctx, &end);
}

/// Writes a request down that is dropped where it stands, and counts it.
pub(super) fn dropped(ctx: &Context) {
    let cause = Some(ctx.drop_cause());
    write(ctx, &End { status: ctx.status, cause, bytes_in: ctx.received_bytes, bytes_out: ctx.sent_bytes });
}

fn write(ctx: &Context, end: &End) {
    let (Some(arrival), Some(head)) = (&ctx.arrival, &ctx.head) else { return };
    let running = &ctx.running;
    // A target that is no UTF-8 was refused, and nothing of it is worth showing.
    let target = std::str::from_utf8(&head.target).unwrap_or_default();
    let record = AccessRecord {
        time: ctx.received,
        request_id: ctx.id(),
        client: ShownAddress::new(ctx.client.map(|client| client.address).or(arrival.peer), running.client_addresses),
        listener: &arrival.listener,
        scheme: ctx.client.map_or(arrival.scheme, |client| client.scheme),
        protocol: head.version,
        method: &head.method,
        target: RedactedTarget::raw(target, &running.hidden),
        host: shown(head.host.as_ref()),
        status: end.status,
        cause: end.cause,
        class: ctx.class,
        upstream: ctx.upstream.map(|upstream| running.gateway.upstreams.name(upstream)),
        role: ctx.role.map(Role::as_str),
        stands_in_for: ctx.stands_in_for.map(Role::as_str),
        endpoint: ctx.forward.as_ref().and_then(|forward| forward.endpoint).map(|endpoint| endpoint.id),
        waited: ctx.waited,
        reused: ctx.reused,
        retries: u32::try_from(ctx.attempts.saturating_sub(1)).unwrap_or(u32::MAX),
        resent: ctx.resent,
        bytes_in: end.bytes_in,
        bytes_out: end.bytes_out,
        duration: ctx.started.elapsed(),
        connect: ctx.connect,
        first_byte: ctx.first_byte,
        user_agent: shown(head.user_agent.as_ref()),
        referer: head.referer.as_ref().and_then(|value| RefererOrigin::read(value.as_bytes())),
    };
    ctx.state.access_log.write(&record);
    ctx.state.metrics.request(&record);
    if ctx.forward.is_some() {
        let forwarded = Forwarded {
            upstream: ctx.upstream,
            role: ctx.role,
            wanted: ctx.wanted,
            stands_in_for: ctx.stands_in_for,
            status: end.status,
            waited: ctx.waited,
            first_byte: ctx.first_byte,
        };
        ctx.state.metrics.forwarded(&running.counters, &forwarded);
    }
}

/// The cause of an error that nobody answered.
fn cut_short(error: &Error) -> Cause {
    match error.esource() {
        ErrorSource::Upstream => Cause::UpstreamTruncated,
        ErrorSource::Downstream => Cause::ClientGone,
        ErrorSource::Internal | ErrorSource::Unset => Cause::Internal,
    }
}
