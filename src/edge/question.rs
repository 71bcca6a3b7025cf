//! Questions of our own to Synapse, of whose answers only the status counts.

use std::time::Duration;

use http::StatusCode;
use pingora::http::RequestHeader;
use pingora_core::connectors::http::Connector;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{ErrorType, OkOrErr as _, Result};
use tokio::time::timeout;

use super::pool::Pool;

/// Asks one address of the upstream after the other, each for at most `within`; None if none of them answers.
pub(super) async fn ask(pool: &Pool, request: &RequestHeader, within: Duration) -> Option<StatusCode> {
    for peer in (0..pool.len()).filter_map(|attempt| pool.probe(attempt, within)) {
        if let Ok(Ok(status)) = timeout(within, ask_peer(&peer, request)).await {
            return Some(status);
        }
    }
    None
}

async fn ask_peer(peer: &HttpPeer, request: &RequestHeader) -> Result<StatusCode> {
    let connector = Connector::<()>::new(None);
    let (mut session, _) = connector.get_http_session(peer).await?;
    session.write_request_header(Box::new(request.clone())).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    session.response_header().map(|response| response.status).or_err(ErrorType::ReadError, "no answer")
}
