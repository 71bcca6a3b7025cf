//! `forwarding` and `cors` as the operator writes them.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cors::Cors;
use super::forwarding::{Forwarding, STRIPPED};
use crate::network::Network;
use crate::problem::Problems;
use crate::quantity::Span;

/// What Synapse is told about the client.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardingSection {
    /// Networks of the proxies in front of the gateway (a CDN, a load balancer), in CIDR notation. Only their
    /// X-Forwarded-For and X-Forwarded-Proto are believed: the client is the last address in X-Forwarded-For that is
    /// not in this list. By default nobody is believed, and the client is whoever opened the connection. Danger: a
    /// network listed here can claim any client address.
    pub trusted_proxies: Vec<Network>,
    /// The header that carries the request id to Synapse and back to the client. Give the same name as
    /// `request_id_header` of Synapse's listener, so that both logs name a request alike. What a client sends under
    /// this name is replaced.
    pub request_id_header: String,
}

impl Default for ForwardingSection {
    fn default() -> Self {
        Self { trusted_proxies: Vec::new(), request_id_header: "X-Request-Id".to_owned() }
    }
}

impl ForwardingSection {
    /// Checks that the request id header is a header name that nothing else uses.
    pub fn build(self, problems: &mut Problems) -> Option<Forwarding> {
        const PATH: &str = "forwarding.request_id_header";
        let name = HeaderName::from_bytes(self.request_id_header.as_bytes());
        let request_id = match name {
            Ok(name) if name != "x-request-id" && (STRIPPED.contains(&name) || RESERVED.contains(&name.as_str())) => {
                problems.error(PATH, format!("`{name}` has another meaning"), "choose a name such as X-Request-Id");
                return None;
            }
            Ok(name) => name,
            Err(_) => {
                let message = format!("`{}` is not a header name", self.request_id_header);
                problems.error(PATH, message, "use letters, digits and hyphens, as in X-Request-Id");
                return None;
            }
        };
        for (index, network) in self.trusted_proxies.iter().enumerate() {
            if network.is_everything() {
                problems.warning(
                    format!("forwarding.trusted_proxies[{index}]"),
                    format!("`{network}` believes every client's X-Forwarded-For"),
                    "list the networks of your own proxies only",
                );
            }
        }
        Some(Forwarding::new(self.trusted_proxies, request_id))
    }
}

/// Fields that frame, route or authorise a request.
const RESERVED: [&str; 8] =
    ["authorization", "connection", "content-length", "content-type", "cookie", "host", "transfer-encoding", "upgrade"];

/// Cross-origin headers for browsers.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CorsSection {
    /// Whether the gateway answers preflights and sees to it that every answer has each Access-Control header exactly
    /// once. Switch it off only when a proxy in front does the same for all answers, errors included: web clients
    /// cannot read an answer without these headers, and refuse one that has them twice.
    pub manage: bool,
    /// How long browsers may remember a preflight. Browsers cap it at 2 h (Chromium) or 24 h (Firefox).
    pub max_age: Span,
    /// Response headers that web clients may read besides those that Synapse exposes and the request id.
    pub extra_expose_headers: Vec<String>,
}

impl Default for CorsSection {
    fn default() -> Self {
        Self {
            manage: true,
            max_age: Span(Duration::from_hours(24)),
            extra_expose_headers: vec!["Retry-After".to_owned(), "ETag".to_owned()],
        }
    }
}

impl CorsSection {
    /// Checks the names and prepares the values. `request_id` is exposed too.
    pub fn build(self, request_id: &HeaderName, problems: &mut Problems) -> Option<Cors> {
        let mut exposed = Vec::new();
        for (index, name) in self.extra_expose_headers.into_iter().enumerate() {
            if HeaderName::from_bytes(name.as_bytes()).is_ok() {
                exposed.push(name);
            } else {
                let path = format!("cors.extra_expose_headers[{index}]");
                problems.error(path, format!("`{name}` is not a header name"), "use a name such as Retry-After");
            }
        }
        exposed.push(request_id.to_string());
        Some(Cors::new(self.manage, HeaderValue::from(self.max_age.0.as_secs()), &exposed))
    }
}
