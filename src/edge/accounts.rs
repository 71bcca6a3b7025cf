//! Whether an access token is one that Synapse knows, and whose it is. Tokens are kept as keyed digests alone, and in no
//! log.

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
use serde_json::Value;

use super::pool::Pool;
use super::question::read;
use crate::headers::Client;
use crate::rendezvous::Refusal;
use crate::routing::of_user_id;

/// How long an answer of Synapse holds: as long may somebody who has signed out still open sessions.
const HOLDS: Duration = Duration::from_mins(1);
/// How long it holds whose a token is, which does not change.
const USER_HOLDS: Duration = Duration::from_hours(1);
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
    /// The number of the user, where Synapse has said it.
    user: Option<u64>,
}

impl Accounts {
    /// Succeeds if the request has the access token of an account.
    pub(super) async fn check(&self, headers: &HeaderMap, client: Client, main: Option<&Pool>) -> Result<(), Refusal> {
        let token = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes())).ok_or(Refusal::NoToken)?;
        let known = self.look_up(token, HOLDS, Question { headers, client, server_name: None }, main).await;
        let known = known.ok_or(Refusal::Unverified { retry_after: RETRY_AFTER })?;
        if known.active { Ok(()) } else { Err(Refusal::UnknownToken) }
    }

    /// The number of the user whose access token the request has; None if Synapse does not say it.
    pub(super) async fn user(&self, token: &[u8], question: Question<'_>, main: Option<&Pool>) -> Option<u64> {
        self.look_up(token, USER_HOLDS, question, main).await?.user
    }

    /// What Synapse says of a token, or has said not longer than `holds` ago.
    async fn look_up(
        &self,
        token: &[u8],
        holds: Duration,
        question: Question<'_>,
        main: Option<&Pool>,
    ) -> Option<Known> {
        let digest = [self.keys[0].hash_one(token), self.keys[1].hash_one(token)];
        let known = self.known().get(&digest).filter(|known| known.asked.elapsed() < holds).copied();
        if known.is_some() {
            return known;
        }
        let (active, user) = whoami(main?, question).await?;
        let known = Known { asked: Instant::now(), active, user };
        self.known().put(digest, known);
        Some(known)
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

/// What Synapse is told beside the token. It notes who used a token last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// Those of the request.
    pub(super) headers: &'a HeaderMap,
    /// Who asks.
    pub(super) client: Client,
    /// The name in user ids.
    pub(super) server_name: Option<&'a str>,
}

/// The token of an `Authorization` field (RFC 6750, section 2.1).
fn bearer(field: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = field.split_at_checked("Bearer ".len())?;
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

/// Asks Synapse whether the token is good, and whose it is; None if it does not say.
async fn whoami(main: &Pool, question: Question<'_>) -> Option<(bool, Option<u64>)> {
    let Question { headers, client, server_name } = question;
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
    let (status, body) = read(main, &request, WITHIN).await?;
    match status {
        StatusCode::OK => {
            let answer: Value = serde_json::from_slice(&body).ok()?;
            let user = answer.get("user_id").and_then(Value::as_str).map(|user_id| of_user_id(user_id, server_name));
            Some((true, user))
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some((false, None)),
        _ => None,
    }
}
