//! Whether an access token is one that Synapse knows. Tokens are kept as keyed digests alone, and in no log.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{AUTHORIZATION, HOST, USER_AGENT};
use http::{HeaderMap, StatusCode};
use lru::LruCache;
use pingora::http::RequestHeader;

use super::pool::Pool;
use super::question::ask;
use crate::headers::Client;
use crate::rendezvous::Refusal;

/// How long an answer of Synapse holds: as long may somebody who has signed out still open sessions.
const HOLDS: Duration = Duration::from_mins(1);
/// How long Synapse may take.
const WITHIN: Duration = Duration::from_secs(5);
/// When to try again while Synapse does not answer.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How many answers are kept. The one that was needed longest ago goes first.
const KEPT: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// What Synapse has said about access tokens.
pub(super) struct Accounts {
    /// Two keyed digests of 64 bits for each token.
    keys: [RandomState; 2],
    known: Mutex<LruCache<[u64; 2], Known>>,
}

#[derive(Clone, Copy)]
struct Known {
    asked: Instant,
    active: bool,
}

impl Accounts {
    /// Succeeds if the request has the access token of an account.
    pub(super) async fn check(&self, headers: &HeaderMap, client: Client, main: Option<&Pool>) -> Result<(), Refusal> {
        let token = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes())).ok_or(Refusal::NoToken)?;
        let digest = [self.keys[0].hash_one(token), self.keys[1].hash_one(token)];
        let known = self.known().get(&digest).filter(|known| known.asked.elapsed() < HOLDS).map(|known| known.active);
        let active = if let Some(active) = known {
            active
        } else {
            let told = match main {
                Some(main) => whoami(main, headers, client).await,
                None => None,
            };
            let active = told.ok_or(Refusal::Unverified { retry_after: RETRY_AFTER })?;
            self.known().put(digest, Known { asked: Instant::now(), active });
            active
        };
        if active { Ok(()) } else { Err(Refusal::UnknownToken) }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, LruCache<[u64; 2], Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Accounts {
    fn default() -> Self {
        Self { keys: [RandomState::new(), RandomState::new()], known: Mutex::new(LruCache::new(KEPT)) }
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}

/// The token of an `Authorization` field (RFC 6750, section 2.1).
fn bearer(field: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = field.split_at_checked("Bearer ".len())?;
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

/// Asks Synapse; None if it does not say. It notes who used a token last, so it is told the client's address and name.
async fn whoami(main: &Pool, headers: &HeaderMap, client: Client) -> Option<bool> {
    let mut request = RequestHeader::build("GET", b"/_matrix/client/v3/account/whoami", Some(5)).ok()?;
    for name in [AUTHORIZATION, USER_AGENT] {
        if let Some(value) = headers.get(&name) {
            request.insert_header(name, value.clone()).ok()?;
        }
    }
    let address: IpAddr = client.address;
    request.insert_header(HOST, "localhost").ok()?;
    request.insert_header("x-forwarded-for", address.to_string()).ok()?;
    request.insert_header("x-forwarded-proto", client.scheme.as_str()).ok()?;
    match ask(main, &request, WITHIN).await? {
        StatusCode::OK => Some(true),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some(false),
        _ => None,
    }
}
