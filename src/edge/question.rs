//! Questions of our own to Synapse.

use std::sync::LazyLock;
use std::time::Duration;

use http::StatusCode;
use pingora::http::RequestHeader;
use pingora_core::connectors::http::Connector;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{ErrorType, OkOrErr as _, Result};
use tokio::time::timeout;

use super::pool::Pool;

/// The most that is read of an answer. Synapse's answers to what is asked here take some hundred bytes.
const MAX_ANSWER: usize = 16 << 10;

/// Makes the connections, none of which is kept. There is one, since a new one reads the certificates of all authorities
/// that the system trusts.
static CONNECTOR: LazyLock<Connector> = LazyLock::new(|| Connector::new(None));

/// Asks one address of the upstream after the other, each for at most `within`; the status that one answers with, or
/// None if none of them does.
pub(super) async fn ask(pool: &Pool, request: &RequestHeader, within: Duration) -> Option<StatusCode> {
    for peer in (0..pool.len()).filter_map(|attempt| pool.probe(attempt, within)) {
        if let Ok(Ok((status, _))) = timeout(within, ask_peer(&peer, request)).await {
            return Some(status);
        }
    }
    None
}

/// As [`ask`]; the status and the whole body of an answer that is not too long.
pub(super) async fn read(pool: &Pool, request: &RequestHeader, within: Duration) -> Option<(StatusCode, Vec<u8>)> {
    for peer in (0..pool.len()).filter_map(|attempt| pool.probe(attempt, within)) {
        let answer = async {
            let (status, mut session) = ask_peer(&peer, request).await?;
            Ok::<_, Box<pingora_core::Error>>((status, body(&mut session).await?))
        };
        if let Ok(Ok(answer)) = timeout(within, answer).await {
            return Some(answer);
        }
    }
    None
}

async fn ask_peer(peer: &HttpPeer, request: &RequestHeader) -> Result<(StatusCode, HttpSession)> {
    let (mut session, _) = CONNECTOR.get_http_session(peer).await?;
    session.write_request_header(Box::new(request.clone())).await?;
    session.finish_request_body().await?;
    session.read_response_header().await?;
    let status = session.response_header().map(|response| response.status);
    Ok((status.or_err(ErrorType::ReadError, "no answer")?, session))
}

async fn body(session: &mut HttpSession) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = session.read_response_body().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return pingora_core::Error::e_explain(ErrorType::ReadError, "the answer is too long");
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
