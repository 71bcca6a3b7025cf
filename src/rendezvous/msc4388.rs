//! MSC4388: JSON bodies, and a sequence token in place of an entity tag.
//!
//! Two texts are in use, which differ in how a write is repeated after its answer was lost: `PUT {id}` recognises the
//! repetition by its data, `PUT {id}/{txnId}` by its name. Both are served, at the unstable and at the stable path, on
//! the same sessions.

use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::fields::{error, guarded, navigates};
use super::session::{Content, Stamp, Timestamp};
use super::{
    Access, Claim, Dialect, Done, Limits, Operation, Refusal, Request, Revision, Revisions, Served, SessionId,
    TransactionId,
};
use crate::inbound::Inbound;
use crate::matrix::{Cause, ErrCode, MatrixError};
use crate::reply::{CorsKind, Reply};

/// Where sessions are created, and what ids stand below.
pub(super) const UNSTABLE: &str = "/_matrix/client/unstable/io.element.msc4388/rendezvous";
/// The same, once the proposal is accepted.
pub(super) const STABLE: &str = "/_matrix/client/v1/rendezvous";

/// What a body may have beside its data: a token, names, spaces, and what later texts may add.
const JSON_ROOM: u64 = 40 << 10;
/// A byte of text written as `\u0061`.
const ESCAPED: u64 = 6;

/// The protocol as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Msc4388 {
    pub(super) served: Served,
    pub(super) limits: Limits,
    pub(super) access: Access,
}

#[derive(Clone, Copy)]
enum Target<'a> {
    Endpoint,
    /// None where the id is none of ours.
    Session(Option<SessionId>),
    Transaction(Option<SessionId>, &'a str),
    Nothing,
}

impl Msc4388 {
    pub(super) fn claims(&self, inbound: &Inbound) -> Option<Claim> {
        let unstable = target(inbound.path, UNSTABLE);
        let target = unstable.or_else(|| target(inbound.path, STABLE))?;
        let dialect = Dialect::Msc4388 { unstable: unstable.is_some(), access: self.access };
        Some(self.served.claim(inbound, || match operation(target, inbound) {
            Ok(operation) => Claim::Exchange(Request { dialect, limits: self.limits, operation }),
            Err(refusal) => Claim::Reply(Box::new(finish(refused(&refusal, unstable.is_some())))),
        }))
    }
}

fn target<'a>(path: &'a str, endpoint: &str) -> Option<Target<'a>> {
    let rest = path.strip_prefix(endpoint)?;
    if rest.is_empty() {
        return Some(Target::Endpoint);
    }
    let mut segments = rest.strip_prefix('/')?.split('/');
    let id = |segment| SessionId::parse(segment);
    Some(match (segments.next(), segments.next(), segments.next()) {
        (None | Some(""), ..) | (_, Some(""), _) | (_, _, Some(_)) => Target::Nothing,
        (Some(session), None, None) => Target::Session(id(session)),
        (Some(session), Some(transaction), None) => Target::Transaction(id(session), transaction),
    })
}

fn operation(target: Target<'_>, inbound: &Inbound) -> Result<Operation, Refusal> {
    match target {
        Target::Endpoint => match *inbound.method {
            Method::GET | Method::HEAD => Ok(Operation::Discover),
            Method::POST => Ok(Operation::CreateFromJson),
            _ => Err(Refusal::Method("GET, HEAD, POST, OPTIONS")),
        },
        Target::Session(id) => match *inbound.method {
            Method::GET | Method::HEAD if navigates(inbound.headers) => Err(Refusal::Navigation),
            // Nobody is told that nothing has changed: clients read every answer as JSON.
            Method::GET | Method::HEAD => {
                Ok(Operation::Read { id: id.ok_or(Refusal::Absent)?, known: Revisions::OneOf(Vec::new()) })
            }
            Method::PUT => Ok(Operation::WriteFromJson { id: id.ok_or(Refusal::Absent)?, transaction: None }),
            Method::DELETE => Ok(Operation::Remove { id: id.ok_or(Refusal::Absent)? }),
            _ => Err(Refusal::Method("GET, HEAD, PUT, DELETE, OPTIONS")),
        },
        Target::Transaction(id, name) => match *inbound.method {
            Method::PUT => {
                let id = id.ok_or(Refusal::Absent)?;
                let transaction = TransactionId::parse(id, name).ok_or(Refusal::Transaction)?;
                Ok(Operation::WriteFromJson { id, transaction: Some(transaction) })
            }
            _ => Err(Refusal::Method("PUT, OPTIONS")),
        },
        Target::Nothing => Err(Refusal::Unrecognized),
    }
}

/// The largest body that can hold data of the largest size.
pub(super) fn body_limit(max_bytes: u64) -> u64 {
    max_bytes.saturating_mul(ESCAPED).saturating_add(JSON_ROOM)
}

/// Reads the body of a creation.
pub(super) fn read_creation(body: &[u8], max_bytes: u64) -> Result<Content, Refusal> {
    #[derive(Deserialize)]
    struct Creation {
        data: String,
    }
    let Creation { data } = serde_json::from_slice(body).map_err(|_| Refusal::Json)?;
    content(&data, max_bytes)
}

/// Reads the body of a write. A token that is none of ours is no reason to refuse it as such: it matches nothing.
pub(super) fn read_write(body: &[u8], max_bytes: u64) -> Result<(Revisions, Content), Refusal> {
    #[derive(Deserialize)]
    struct Writing {
        sequence_token: String,
        data: String,
    }
    let Writing { sequence_token, data } = serde_json::from_slice(body).map_err(|_| Refusal::Json)?;
    let expected = Revisions::OneOf(Revision::parse(&sequence_token).into_iter().collect());
    Ok((expected, content(&data, max_bytes)?))
}

fn content(data: &str, max_bytes: u64) -> Result<Content, Refusal> {
    if data.len() as u64 > max_bytes {
        return Err(Refusal::TooLarge(max_bytes));
    }
    Ok(Content::new(data.as_bytes(), HeaderValue::from_static("text/plain")))
}

/// Reports an outcome.
pub(super) fn answer(outcome: Result<Done, Refusal>, unstable: bool, now: Timestamp) -> Reply {
    let left = |stamp: &Stamp| u64::try_from(now.until(stamp.expires).as_millis()).unwrap_or(u64::MAX);
    finish(match outcome {
        Ok(Done::Discovered { create_available }) => document(&json!({ "create_available": create_available })),
        Ok(Done::Created(id, stamp)) => document(&json!({
            "id": id.reveal(),
            "sequence_token": stamp.revision.to_string(),
            "expires_in_ms": left(&stamp),
        })),
        Ok(Done::Found(session)) => document(&json!({
            "data": String::from_utf8_lossy(session.content().payload()),
            "sequence_token": session.stamp().revision.to_string(),
            "expires_in_ms": left(&session.stamp()),
        })),
        Ok(Done::Written(stamp) | Done::Unchanged(stamp)) => {
            document(&json!({ "sequence_token": stamp.revision.to_string() }))
        }
        Ok(Done::Removed) => document(&json!({})),
        Err(refusal) => refused(&refusal, unstable),
    })
}

fn refused(refusal: &Refusal, unstable: bool) -> Reply {
    let Refusal::Stale(_) = refusal else { return error(refusal) };
    let proposed = ErrCode::Proposed("IO_ELEMENT_MSC4388_CONCURRENT_WRITE");
    let code = if unstable { proposed } else { ErrCode::ConcurrentWrite };
    let message = "sequence_token does not match";
    MatrixError::new(StatusCode::CONFLICT, code, Cause::SessionConflict, message).into()
}

fn document(value: &Value) -> Reply {
    Reply::document(StatusCode::OK, HeaderValue::from_static("application/json"), value.to_string())
}

fn finish(reply: Reply) -> Reply {
    guarded(reply).cors(CorsKind::Matrix)
}
