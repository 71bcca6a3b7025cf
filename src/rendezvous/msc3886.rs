//! MSC3886, "simple HTTP rendezvous", as its clients know it: the revision of October 2022 with a bare id in
//! `Location`.
//!
//! Clients join that id to the URL in different ways. matrix-js-sdk and Element iOS append it to the endpoint, while
//! RFC 3986 has it replace the last segment, so a session answers at both. An absolute `Location` would break iOS.

use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::fields::{error, guarded, if_match, if_none_match, media_type, navigates, stamped, visible};
use super::{Claim, Dialect, Done, Limits, Operation, Refusal, Request, Served, SessionId};
use crate::inbound::Inbound;
use crate::reply::{CorsKind, Reply};

/// Where clients create sessions, after they have found `org.matrix.msc3886` in `/versions`.
pub(super) const CLIENT_PATH: &str = "/_matrix/client/unstable/org.matrix.msc3886/rendezvous";

const X_MAX_BYTES: HeaderName = HeaderName::from_static("x-max-bytes");

/// The protocol as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Msc3886 {
    pub(super) served: Served,
    /// The operator's own endpoint.
    pub(super) prefix: Mount,
    /// The endpoint at [`CLIENT_PATH`].
    pub(super) client: Mount,
    /// Where [`CLIENT_PATH`] sends those who create sessions, unless it creates them itself.
    pub(super) redirect: Option<HeaderValue>,
    pub(super) limits: Limits,
    /// The paths around the operator's endpoint that ids stand below.
    pub(super) secret_paths: Vec<String>,
}

/// An endpoint that creates sessions, and the paths of the sessions around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    endpoint: String,
    /// The endpoint up to its last slash, inclusive; None at the root, which is not for sessions.
    directory: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Endpoint,
    Session(SessionId),
    Nothing,
}

impl Mount {
    /// Takes a path that starts with a slash and does not end in one.
    pub(super) fn new(endpoint: &str) -> Self {
        let directory = endpoint.rfind('/').and_then(|slash| endpoint.get(..=slash)).filter(|path| *path != "/");
        Self { endpoint: endpoint.to_owned(), directory: directory.map(str::to_owned) }
    }

    /// The paths that ids stand below.
    pub(super) fn secret_paths(&self) -> Vec<String> {
        std::iter::once(self.endpoint.clone()).chain(self.directory.clone()).collect()
    }

    /// What a path means here; None where it is not ours.
    ///
    /// A client that joins `<endpoint>/` and `/<id>` asks with two slashes, which the reference implementation serves.
    fn target(&self, path: &str) -> Option<Target> {
        let below = path.strip_prefix(&self.endpoint).and_then(|rest| match rest {
            "" | "/" => Some(Target::Endpoint),
            _ => {
                let rest = rest.strip_prefix('/')?;
                let id = SessionId::parse(rest.strip_prefix('/').unwrap_or(rest));
                Some(id.map_or(Target::Nothing, Target::Session))
            }
        });
        below.or_else(|| SessionId::parse(path.strip_prefix(self.directory.as_deref()?)?).map(Target::Session))
    }
}

impl Msc3886 {
    pub(super) fn claims(&self, inbound: &Inbound) -> Option<Claim> {
        let at_client_path = self.client.target(inbound.path);
        let redirect = self.redirect.as_ref().filter(|_| at_client_path == Some(Target::Endpoint));
        let target = at_client_path.or_else(|| self.prefix.target(inbound.path))?;
        Some(self.served.claim(inbound, || {
            if let Some(endpoint) = redirect.filter(|_| inbound.method == Method::POST) {
                let reply = Reply::empty(StatusCode::TEMPORARY_REDIRECT).header(LOCATION, endpoint.clone());
                return Claim::Reply(Box::new(finish(reply, self.limits.max_bytes)));
            }
            match self.operation(target, inbound) {
                Ok(operation) => Claim::Exchange(Request { dialect: Dialect::Msc3886, limits: self.limits, operation }),
                Err(refusal) => Claim::Reply(Box::new(answer(Err(refusal), self.limits.max_bytes))),
            }
        }))
    }

    /// The order of the checks is that of the reference implementation: length, path, method.
    fn operation(&self, target: Target, inbound: &Inbound) -> Result<Operation, Refusal> {
        let headers = inbound.headers;
        if inbound.content_length.is_some_and(|length| length > self.limits.max_bytes) {
            return Err(Refusal::TooLarge(self.limits.max_bytes));
        }
        match target {
            Target::Endpoint => match *inbound.method {
                Method::POST => Ok(Operation::Create { media_type: media_type(headers) }),
                _ => Err(Refusal::Method("POST, OPTIONS")),
            },
            Target::Session(id) => match *inbound.method {
                Method::GET | Method::HEAD if navigates(headers) => Err(Refusal::Navigation),
                Method::GET | Method::HEAD => Ok(Operation::Read { id, known: if_none_match(headers) }),
                Method::PUT => {
                    Ok(Operation::Write { id, expected: if_match(headers), media_type: media_type(headers) })
                }
                Method::DELETE => Ok(Operation::Remove { id }),
                _ => Err(Refusal::Method("GET, HEAD, PUT, DELETE, OPTIONS")),
            },
            Target::Nothing => Err(Refusal::Absent),
        }
    }
}

/// Reports an outcome.
pub(super) fn answer(outcome: Result<Done, Refusal>, max_bytes: u64) -> Reply {
    let reply = match outcome {
        Ok(Done::Created(id, stamp)) => {
            let location = visible(id.reveal());
            stamped(typed(StatusCode::CREATED).header(LOCATION, location), &stamp)
        }
        Ok(Done::Found(session)) => {
            let content = session.content();
            let document = Reply::document(StatusCode::OK, content.media_type().clone(), content.payload().clone());
            stamped(document, &session.stamp())
        }
        Ok(Done::Unchanged(stamp)) => stamped(Reply::empty(StatusCode::NOT_MODIFIED), &stamp),
        Ok(Done::Written(stamp)) => stamped(typed(StatusCode::ACCEPTED), &stamp),
        // Nobody asks in this protocol whether a session could be opened.
        Ok(Done::Removed | Done::Discovered { .. }) => Reply::empty(StatusCode::NO_CONTENT),
        Err(refusal) => refused(&refusal),
    };
    finish(reply, max_bytes)
}

fn refused(refusal: &Refusal) -> Reply {
    let reply = error(refusal);
    if let Refusal::Stale(stamp) = refusal { stamped(reply, stamp) } else { reply }
}

/// An answer without a body, but with a type: Cloudflare removes the entity tag from an answer that has none
/// (synapse#17253), and a client without its tag overwrites blindly.
fn typed(status: StatusCode) -> Reply {
    Reply::empty(status).header(CONTENT_TYPE, HeaderValue::from_static("text/plain"))
}

fn finish(reply: Reply, max_bytes: u64) -> Reply {
    guarded(reply).cors(CorsKind::Rendezvous).header(X_MAX_BYTES, HeaderValue::from(max_bytes))
}
