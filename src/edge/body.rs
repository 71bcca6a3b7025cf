//! Reads small request bodies, for what is answered here.

use std::time::Duration;

use http::header::EXPECT;
use pingora_proxy::Session;
use tokio::time::timeout;

use super::context::Context;
use super::failure::{self, Failure};

/// How long it may take to tell a client that its body is late. Until then the request must not be dropped.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// Reads a body up to one byte past its limit, so that who asked for it sees that it was too long. Without a limit there
/// is nothing to be read.
pub(super) async fn read(session: &mut Session, ctx: &mut Context, limit: Option<u64>) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return Ok(body) };
    let (idle, total) = (ctx.running.gateway.timeouts.body_idle, ctx.running.gateway.timeouts.total);
    if session.req_header().headers.contains_key(EXPECT) {
        let continued = session.as_downstream_mut().write_continue_response().await;
        continued.map_err(|error| Failure::of(&error.into_down(), true))?;
    }
    while body.len() <= limit {
        let wait = idle.min(total.saturating_sub(ctx.started.elapsed()));
        ctx.extend(wait + TOLD_WITHIN);
        match timeout(wait, session.as_downstream_mut().read_request_body()).await {
            Ok(Ok(Some(chunk))) => {
                ctx.received_bytes += chunk.len() as u64;
                body.extend_from_slice(chunk.get(..limit + 1 - body.len()).unwrap_or(&chunk));
            }
            Ok(Ok(None)) => break,
            Ok(Err(error)) => return Err(Failure::of(&error.into_down(), true)),
            Err(_) => return Err(failure::body_timeout()),
        }
        if ctx.running.gateway.limits.is_too_slow(ctx.received_bytes, ctx.started.elapsed()) {
            return Err(Failure::Answer(Box::new(failure::body_too_slow())));
        }
    }
    Ok(body)
}
