//! Reads small request bodies, for what is answered here.

use http::header::EXPECT;
use pingora_proxy::Session;

use super::context::Context;
use super::failure::Failure;

/// Reads a body up to one byte past its limit, so that who asked for it sees that it was too long. Without a limit there
/// is nothing to be read.
pub(super) async fn read(session: &mut Session, ctx: &mut Context, limit: Option<u64>) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { return Ok(body) };
    let idle = ctx.running.gateway.timeouts.body_idle;
    if session.req_header().headers.contains_key(EXPECT) {
        let continued = session.as_downstream_mut().write_continue_response().await;
        continued.map_err(|error| Failure::of(&error.into_down(), true))?;
    }
    while body.len() <= limit {
        ctx.extend(idle);
        match session.as_downstream_mut().read_request_body().await {
            Ok(Some(chunk)) => body.extend_from_slice(chunk.get(..limit + 1 - body.len()).unwrap_or(&chunk)),
            Ok(None) => break,
            Err(error) => return Err(Failure::of(&error.into_down(), true)),
        }
    }
    Ok(body)
}
