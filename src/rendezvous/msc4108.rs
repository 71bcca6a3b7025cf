//! MSC4108 in its revision of 2024, as Synapse serves it and matrix-js-sdk and matrix-rust-sdk use it: entity tags and
//! an absolute session URL that goes into the QR code.
//!
//! Sessions are where Synapse has them, below [`SESSIONS`], so that whatever stands in front lets them through. There is
//! no stable path: the text has none any more, and `/_matrix/client/v1/rendezvous` is MSC4388's.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, IF_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use mime::Mime;
use serde_json::json;

use super::fields::{error, guarded, if_match, if_none_match, navigates, stamped};
use super::{Claim, Dialect, Done, Limits, Operation, Refusal, Request, Served, SessionId};
use crate::inbound::Inbound;
use crate::matrix::{Cause, ErrCode, MatrixError};
use crate::reply::{CorsKind, Reply};

/// Where sessions are created.
pub(super) const ENDPOINT: &str = "/_matrix/client/unstable/org.matrix.msc4108/rendezvous";
/// What ids stand below.
pub(super) const SESSIONS: &str = "/_synapse/client/rendezvous";

/// The only type of a payload. Clients compare it as text, so nothing may be added to it.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");

/// The protocol as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Msc4108 {
    pub(super) served: Served,
    pub(super) limits: Limits,
    /// The URL that ids are appended to, with its slash.
    pub(super) sessions: Arc<str>,
}

#[derive(Clone, Copy)]
enum Target {
    Endpoint,
    /// None where the id is none of ours.
    Session(Option<SessionId>),
    Nothing,
}

impl Msc4108 {
    pub(super) fn claims(&self, inbound: &Inbound) -> Option<Claim> {
        let target = target(inbound.path)?;
        Some(self.served.claim(inbound, || match operation(target, inbound, self.limits.max_bytes) {
            Ok(operation) => Claim::Exchange(Request { dialect: self.dialect(), limits: self.limits, operation }),
            Err(refusal) => Claim::Reply(Box::new(answer(Err(refusal), &self.sessions))),
        }))
    }

    fn dialect(&self) -> Dialect {
        Dialect::Msc4108 { sessions: Arc::clone(&self.sessions) }
    }
}

fn target(path: &str) -> Option<Target> {
    if let Some(rest) = path.strip_prefix(ENDPOINT) {
        return match rest {
            "" => Some(Target::Endpoint),
            _ => rest.starts_with('/').then_some(Target::Nothing),
        };
    }
    match path.strip_prefix(SESSIONS)? {
        "" => Some(Target::Nothing),
        rest => Some(Target::Session(SessionId::parse(rest.strip_prefix('/')?))),
    }
}

/// The order of the checks is Synapse's: path, method, length, type, condition, id.
fn operation(target: Target, inbound: &Inbound, max_bytes: u64) -> Result<Operation, Refusal> {
    let headers = inbound.headers;
    let fits = || match inbound.content_length.filter(|&length| length > max_bytes) {
        Some(_) => Err(Refusal::TooLarge(max_bytes)),
        None => Ok(()),
    };
    match target {
        Target::Endpoint => match *inbound.method {
            Method::POST => {
                fits()?;
                Ok(Operation::Create { media_type: text(headers)? })
            }
            _ => Err(Refusal::Method("POST, OPTIONS")),
        },
        Target::Session(id) => match *inbound.method {
            Method::GET | Method::HEAD if navigates(headers) => Err(Refusal::Navigation),
            Method::GET | Method::HEAD => {
                Ok(Operation::Read { id: id.ok_or(Refusal::Absent)?, known: if_none_match(headers) })
            }
            Method::PUT => {
                fits()?;
                let media_type = text(headers)?;
                if !headers.contains_key(IF_MATCH) {
                    return Err(Refusal::MissingHeader("if-match"));
                }
                Ok(Operation::Write { id: id.ok_or(Refusal::Absent)?, expected: if_match(headers), media_type })
            }
            Method::DELETE => Ok(Operation::Remove { id: id.ok_or(Refusal::Absent)? }),
            _ => Err(Refusal::Method("GET, HEAD, PUT, DELETE, OPTIONS")),
        },
        Target::Nothing => Err(Refusal::Unrecognized),
    }
}

/// The type of a payload: in any case, but without parameters.
fn text(headers: &HeaderMap) -> Result<HeaderValue, Refusal> {
    let sent = headers.get(CONTENT_TYPE).ok_or(Refusal::MissingHeader("content-type"))?;
    let mime = sent.to_str().ok().and_then(|text| text.parse::<Mime>().ok());
    let mime = mime.ok_or(Refusal::InvalidHeader("content-type"))?;
    if mime == mime::TEXT_PLAIN { Ok(TEXT) } else { Err(Refusal::MediaType) }
}

/// Reports an outcome. `sessions` is the URL that ids are appended to.
pub(super) fn answer(outcome: Result<Done, Refusal>, sessions: &str) -> Reply {
    let reply = match outcome {
        Ok(Done::Created(id, stamp)) => {
            let body = json!({ "url": format!("{sessions}{}", id.reveal()) }).to_string();
            let json = HeaderValue::from_static("application/json");
            stamped(Reply::document(StatusCode::CREATED, json, body), &stamp)
        }
        Ok(Done::Found(session)) => {
            let content = session.content();
            let document = Reply::document(StatusCode::OK, content.media_type().clone(), content.payload().clone());
            stamped(document, &session.stamp())
        }
        Ok(Done::Unchanged(stamp)) => stamped(Reply::empty(StatusCode::NOT_MODIFIED), &stamp),
        Ok(Done::Written(stamp)) => stamped(Reply::empty(StatusCode::ACCEPTED).header(CONTENT_TYPE, TEXT), &stamp),
        // Nobody asks in this protocol whether a session could be opened.
        Ok(Done::Removed | Done::Discovered { .. }) => Reply::empty(StatusCode::NO_CONTENT),
        Err(refusal) => refused(&refusal),
    };
    guarded(reply).cors(CorsKind::Rendezvous)
}

fn refused(refusal: &Refusal) -> Reply {
    let Refusal::Stale(stamp) = refusal else { return error(refusal) };
    let (status, cause) = (StatusCode::PRECONDITION_FAILED, Cause::SessionConflict);
    let error = MatrixError::new(status, ErrCode::Unknown, cause, "ETag does not match");
    stamped(error.with("org.matrix.msc4108.errcode", "M_CONCURRENT_WRITE").into(), stamp)
}
