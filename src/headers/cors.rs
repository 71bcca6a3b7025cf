//! Access-Control headers: each exactly once, on every answer that a web client may want to read.
//!
//! The values are those of Synapse (`set_cors_headers` in `synapse/http/server.py`), with what browsers need for the
//! rendezvous protocols and for backing off added; Allow-Credentials never, an echoed Origin never.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::reply::{CorsKind, Reply};

/// One header field to be set in place of all fields of its name.
pub type CorsField = (HeaderName, HeaderValue);

const ORIGIN: HeaderValue = HeaderValue::from_static("*");
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS");
// Browsers ask only whether the header they want to send is listed, so one list serves all paths: Synapse's, and the
// preconditions of MSC3886 and MSC4108.
const HEADERS: HeaderValue =
    HeaderValue::from_static("X-Requested-With, Content-Type, Authorization, Date, If-Match, If-None-Match");
const SYNAPSE_EXPOSES: &str = "Synapse-Trace-Id, Server";
const RENDEZVOUS_EXPOSES: &str = "ETag, Location, X-Max-Bytes";

/// What is done about CORS.
#[derive(Clone, Debug)]
pub struct Cors {
    manage: bool,
    max_age: HeaderValue,
    exposed: Vec<String>,
    expose: HeaderValue,
    expose_rendezvous: HeaderValue,
}

impl Cors {
    /// Exposes `exposed` besides what Synapse exposes; the names have been checked.
    #[must_use]
    pub fn new(manage: bool, max_age: HeaderValue, exposed: &[String]) -> Self {
        let exposed: Vec<String> = exposed.to_vec();
        Self {
            manage,
            max_age,
            expose: completed(SYNAPSE_EXPOSES, &exposed),
            expose_rendezvous: completed(RENDEZVOUS_EXPOSES, &exposed),
            exposed,
        }
    }

    /// The answer to a preflight, or to any other OPTIONS request: like Synapse, for every path, known or not.
    #[must_use]
    pub fn preflight(&self) -> Reply {
        let reply = Reply::empty(StatusCode::NO_CONTENT);
        if self.manage { reply.header(ACCESS_CONTROL_MAX_AGE, self.max_age.clone()) } else { reply }
    }

    /// Whether preflights are answered here.
    #[must_use]
    pub fn manages(&self) -> bool {
        self.manage
    }

    /// The fields of an answer of our own.
    pub fn fields(&self, kind: CorsKind) -> impl Iterator<Item = CorsField> {
        let expose = match kind {
            CorsKind::Matrix => Some(&self.expose),
            CorsKind::Rendezvous => Some(&self.expose_rendezvous),
            CorsKind::None => None,
        };
        let expose = expose.filter(|_| self.manage).cloned();
        expose.into_iter().flat_map(|expose| {
            [
                (ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN),
                (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
                (ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
                (ACCESS_CONTROL_EXPOSE_HEADERS, expose),
            ]
        })
    }

    /// What an answer of Synapse lacks or has twice, as fields to be set. Synapse's own values stand, except that what
    /// it exposes is completed.
    #[must_use]
    pub fn corrections(&self, answer: &HeaderMap) -> [Option<CorsField>; 4] {
        if !self.manage {
            return [const { None }; 4];
        }
        [
            corrected(answer, ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN),
            corrected(answer, ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            corrected(answer, ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
            Some((ACCESS_CONTROL_EXPOSE_HEADERS, self.exposing(answer))),
        ]
    }

    fn exposing(&self, answer: &HeaderMap) -> HeaderValue {
        let theirs = answer.get(ACCESS_CONTROL_EXPOSE_HEADERS).and_then(|value| value.to_str().ok());
        match theirs {
            None | Some("" | SYNAPSE_EXPOSES) => self.expose.clone(),
            Some(theirs) => completed(theirs, &self.exposed),
        }
    }
}

/// The field to be set, unless the answer has exactly one already.
fn corrected(answer: &HeaderMap, name: HeaderName, ours: HeaderValue) -> Option<CorsField> {
    let mut theirs = answer.get_all(&name).iter();
    let value = match (theirs.next(), theirs.next()) {
        (None, _) => ours,
        (Some(_), None) => return None,
        (Some(first), Some(_)) => first.clone(),
    };
    Some((name, value))
}

/// A list of header names, and those of `more` that are not on it yet.
fn completed(names: &str, more: &[String]) -> HeaderValue {
    let mut value = names.to_owned();
    for name in more {
        if !names.split(',').any(|known| known.trim().eq_ignore_ascii_case(name)) {
            value.push_str(", ");
            value.push_str(name);
        }
    }
    // Only an upstream's own value could hold a byte that is not allowed, and then it would not have been a string.
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(SYNAPSE_EXPOSES))
}
