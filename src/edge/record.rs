//! What is left of a request when it is over: one line in the access log, one count in the metrics.

use http::header::{HOST, REFERER, USER_AGENT};
use pingora_core::{Error, ErrorSource};
use pingora_proxy::Session;

use super::context::Context;
use super::state::State;
use crate::matrix::Cause;
use crate::observe::{AccessRecord, EscapedText, RedactedTarget, RefererOrigin, ShownAddress};

/// Writes a finished request down and counts it.
pub(super) fn finished(state: &State, session: &Session, error: Option<&Error>, ctx: &Context) {
    let Some(arrival) = &ctx.arrival else { return };
    let request = session.req_header();
    let running = &ctx.running;
    let text = |name| request.headers.get(name).map(|value: &http::HeaderValue| EscapedText::new(value.as_bytes()));
    let authority = request.uri.authority().map(|authority| EscapedText::new(authority.as_str().as_bytes()));
    // A target that is no UTF-8 was refused, and nothing of it is worth showing.
    let target = std::str::from_utf8(request.raw_path()).unwrap_or_default();
    let record = AccessRecord {
        time: ctx.received,
        request_id: ctx.id(),
        client: ShownAddress::new(ctx.client.map(|client| client.address).or(arrival.peer), running.client_addresses),
        listener: &arrival.listener,
        scheme: ctx.client.map_or(arrival.scheme, |client| client.scheme),
        protocol: request.version,
        method: &request.method,
        target: RedactedTarget::raw(target, &running.hidden),
        host: authority.or_else(|| text(HOST)),
        status: session.response_written().map(|response| response.status),
        cause: ctx.cause.or_else(|| error.map(cut_short)),
        class: ctx.class,
        upstream: ctx.forward.as_ref().map(|forward| running.gateway.upstreams.name(forward.upstream)),
        reused: ctx.reused,
        retries: u32::try_from(ctx.attempts.saturating_sub(1)).unwrap_or(u32::MAX),
        bytes_in: session.body_bytes_read() as u64,
        bytes_out: session.body_bytes_sent() as u64,
        duration: ctx.started.elapsed(),
        connect: ctx.connect,
        first_byte: ctx.first_byte,
        user_agent: text(USER_AGENT),
        referer: request.headers.get(REFERER).and_then(|value| RefererOrigin::read(value.as_bytes())),
    };
    state.access_log.write(&record);
    state.metrics.request(&record);
}

/// The cause of an error that nobody answered.
fn cut_short(error: &Error) -> Cause {
    match error.esource() {
        ErrorSource::Upstream => Cause::UpstreamTruncated,
        ErrorSource::Downstream => Cause::ClientGone,
        ErrorSource::Internal | ErrorSource::Unset => Cause::Internal,
    }
}
