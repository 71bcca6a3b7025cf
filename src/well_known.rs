//! The documents under `/.well-known/matrix`: how other servers, clients and people find this homeserver.
//!
//! The documents are made once, from the configuration. What a domain that only delegates to this homeserver does
//! with its other paths is decided here too, because the two go together: such a domain has a listener of ours for
//! the sake of these documents.

mod announced;
mod section;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderValue, Method, StatusCode};

pub use self::announced::Announced;
pub use self::section::WellKnownSection;
use crate::inbound::Inbound;
use crate::matrix::{Cause, ErrCode, MatrixError};
use crate::reply::{CorsKind, Reply};

const DIRECTORY: &str = "/.well-known/matrix/";

/// The documents as configured, and the domain that delegates by them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WellKnown {
    documents: Option<Documents>,
    base_domain: Option<BaseDomain>,
}

/// JSON texts, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Documents {
    /// Server discovery (Matrix specification, server-server API, "Server discovery").
    server: Option<Bytes>,
    /// Client discovery (client-server API, "Well-known URIs").
    client: Option<Bytes>,
    /// Whom to ask for help (client-server API, "Server administrator contact and support information"; MSC1929).
    support: Option<Bytes>,
    cache_control: HeaderValue,
}

/// The domain in user ids, where it is another than the homeserver's own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BaseDomain {
    host: String,
    /// The origin of the domain's web pages, without a slash at its end.
    redirect: Option<String>,
}

impl WellKnown {
    /// Where the document for other servers sends them: `m.server`.
    #[must_use]
    pub fn delegate(&self) -> Option<String> {
        let document: serde_json::Value = serde_json::from_slice(self.documents.as_ref()?.server.as_ref()?).ok()?;
        document.get("m.server")?.as_str().map(str::to_owned)
    }

    /// The answer to a request for a well-known document, or for another page of the base domain; None for all that
    /// is not ours, preflights among it.
    #[must_use]
    pub fn reply(&self, inbound: &Inbound) -> Option<Reply> {
        if inbound.method == Method::OPTIONS {
            return None;
        }
        if let Some(name) = inbound.path.strip_prefix(DIRECTORY) {
            return self.documents.as_ref().map(|documents| documents.reply(name, inbound.method));
        }
        self.base_domain.as_ref()?.reply(inbound)
    }
}

impl Documents {
    fn reply(&self, name: &str, method: &Method) -> Reply {
        let document = match name {
            "server" => &self.server,
            "client" => &self.client,
            "support" => &self.support,
            _ => return not_found(),
        };
        if !is_read(method) {
            return Reply::from(MatrixError::method_not_allowed()).allow("GET, HEAD, OPTIONS");
        }
        let Some(document) = document else {
            return not_found();
        };
        Reply::document(StatusCode::OK, HeaderValue::from_static("application/json"), document.clone())
            .header(CACHE_CONTROL, self.cache_control.clone())
    }
}

impl BaseDomain {
    /// Matrix itself is left alone: servers that found us through an SRV record ask under this name too.
    fn reply(&self, inbound: &Inbound) -> Option<Reply> {
        let is_matrix = ["/_matrix/", "/_synapse/"].iter().any(|tree| inbound.path.starts_with(tree));
        if is_matrix || !inbound.host().eq_ignore_ascii_case(&self.host) {
            return None;
        }
        Some(self.location(inbound).map_or_else(not_found, |location| {
            Reply::empty(StatusCode::FOUND).header(LOCATION, location).cors(CorsKind::None)
        }))
    }

    fn location(&self, inbound: &Inbound) -> Option<HeaderValue> {
        let origin = self.redirect.as_ref().filter(|_| is_read(inbound.method))?;
        let query = inbound.query.map(|query| format!("?{query}")).unwrap_or_default();
        HeaderValue::try_from(format!("{origin}{}{query}", inbound.path)).ok()
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn not_found() -> Reply {
    MatrixError::new(StatusCode::NOT_FOUND, ErrCode::NotFound, Cause::UnknownPath, "There is no such document").into()
}

#[cfg(test)]
mod tests;
