//! Which release of Synapse runs: asked of the main process again and again, since it may be upgraded behind us.

use std::time::Duration;

use http::StatusCode;
use http::header::HOST;
use log::{info, warn};
use pingora::http::RequestHeader;
use serde_json::Value;

use super::pool::Pool;
use super::question::read;
use super::state::State;
use crate::routing::Release;

/// Where Synapse says it, to anybody (server-server API, "Server implementation").
const VERSION: &[u8] = b"/_matrix/federation/v1/version";
/// How long it may take.
const WITHIN: Duration = Duration::from_secs(5);
/// How often Synapse is asked.
pub(super) const ASK_EVERY: Duration = Duration::from_secs(30);

/// Asks, and takes note of the answer. No answer changes nothing.
pub(super) async fn detect(state: &State) {
    let running = state.running();
    if running.gateway.release.is_some() {
        return;
    }
    let Some(told) = (match running.pools.main() {
        Some(main) => ask(main).await,
        None => None,
    }) else {
        return;
    };
    let known = state.release();
    match told.parse::<Release>() {
        Ok(release) if release != known => {
            state.is_release(release);
            info!("Synapse is {release}: its workers serve what they serve since that release");
        }
        Ok(_) => {}
        Err(error) => warn!("{error}: set `synapse.version`"),
    }
}

/// The version in Synapse's own words.
async fn ask(main: &Pool) -> Option<String> {
    let mut request = RequestHeader::build("GET", VERSION, Some(1)).ok()?;
    request.insert_header(HOST, "localhost").ok()?;
    let (status, body) = read(main, &request, WITHIN).await?;
    let answer: Value = serde_json::from_slice(&body).ok().filter(|_| status == StatusCode::OK)?;
    let server = answer.get("server").filter(|server| server.get("name").is_some_and(|name| name == "Synapse"))?;
    server.get("version")?.as_str().map(str::to_owned)
}
