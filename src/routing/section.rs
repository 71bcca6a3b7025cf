//! `extra_routes` and `admin_api` as the operator writes them.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extra::{ExtraRoute, ExtraRoutes, ExtraTarget};
use crate::network::Network;
use crate::problem::Problems;
use crate::reply::{CorsKind, Reply};
use crate::upstream_address::{AddressError, UpstreamAddress, UpstreamId};

/// A route of your own, for what stands beside Synapse. Exactly one of `proxy`, `respond` and `redirect`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExtraRouteSection {
    /// For requests to this host name only; by default for every host name.
    pub host: Option<String>,
    /// The path: `/app/` covers all below it, `/robots.txt` is that path alone. Paths of Matrix and Synapse cannot be
    /// taken.
    pub path: String,
    /// Forward to this upstream: `http://host:port` or `unix:/path`. Danger: a web application under the same host name
    /// as Synapse shares its origin with media that strangers uploaded; give it a host name of its own.
    pub proxy: Option<String>,
    /// With `proxy`: take the route's path off, so that `/app/x` arrives as `/x`.
    pub strip_prefix: bool,
    /// With `proxy`: let WebSocket connections through.
    pub websocket: bool,
    /// Answer with a fixed text.
    pub respond: Option<RespondSection>,
    /// Send GET and HEAD requests to this URL, with the rest of the path appended.
    pub redirect: Option<String>,
}

/// A fixed answer.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RespondSection {
    /// The HTTP status, from 200 to 599.
    pub status: u16,
    /// The media type.
    pub content_type: String,
    /// The text.
    pub body: String,
}

impl Default for RespondSection {
    fn default() -> Self {
        Self { status: 200, content_type: "text/plain; charset=utf-8".to_owned(), body: String::new() }
    }
}

impl ExtraRouteSection {
    /// Checks all routes. `taken` are those that another section has made already; `upstream` takes an address into the
    /// list of upstreams.
    pub fn build(
        routes: Vec<Self>,
        taken: &ExtraRoutes,
        mut upstream: impl FnMut(String, UpstreamAddress) -> UpstreamId,
        problems: &mut Problems,
    ) -> ExtraRoutes {
        let mut built: Vec<ExtraRoute> = Vec::new();
        for (index, route) in routes.into_iter().enumerate() {
            let at = format!("extra_routes[{index}]");
            let Some(route) = route.build_one(&at, &mut upstream, problems) else { continue };
            if let Some(other) = taken.0.iter().find(|other| route.path.starts_with(&other.path)) {
                let message = format!("`{}` is in {}, which `matrix_rtc` serves", route.path, other.path);
                problems.error(format!("{at}.path"), message, "remove the route, or the key in `matrix_rtc`");
                continue;
            }
            if built.iter().any(|other| (&other.host, &other.path) == (&route.host, &route.path)) {
                problems.error(at, format!("`{}` has a route already", route.path), "remove one of the two");
                continue;
            }
            built.push(route);
        }
        ExtraRoutes(built)
    }

    fn build_one(
        self,
        at: &str,
        upstream: &mut impl FnMut(String, UpstreamAddress) -> UpstreamId,
        problems: &mut Problems,
    ) -> Option<ExtraRoute> {
        let path = check_path(&format!("{at}.path"), self.path, problems)?;
        let target = match (self.proxy, self.respond, self.redirect) {
            (Some(proxy), None, None) => match proxy.parse() {
                Ok(address) => ExtraTarget::Proxy {
                    upstream: upstream(path.clone(), address),
                    strip_prefix: self.strip_prefix,
                    websocket: self.websocket,
                },
                Err(error) => {
                    let message = format!("`{proxy}` is not an upstream: {error}");
                    problems.error(format!("{at}.proxy"), message, "write http://127.0.0.1:8090 or unix:/path");
                    return None;
                }
            },
            (None, Some(respond), None) => ExtraTarget::Respond(respond.build(&format!("{at}.respond"), problems)?),
            (None, None, Some(redirect)) => {
                let url = redirect.parse::<Uri>().ok().filter(|url| url.scheme().is_some() && url.query().is_none());
                if url.is_none() {
                    let message = format!("`{redirect}` is not a URL to append a path to");
                    problems.error(format!("{at}.redirect"), message, "write https://host/ without a query");
                    return None;
                }
                ExtraTarget::Redirect(Bytes::from(redirect))
            }
            _ => {
                let message = "a route does exactly one thing";
                problems.error(at, message, "give one of `proxy`, `respond` and `redirect`");
                return None;
            }
        };
        if (self.strip_prefix || self.websocket) && !matches!(target, ExtraTarget::Proxy { .. }) {
            problems.error(at, "`strip_prefix` and `websocket` only mean something with `proxy`", "remove them");
            return None;
        }
        Some(ExtraRoute { host: self.host.map(|host| host.to_ascii_lowercase()), path, target })
    }
}

/// Takes the address of a service into the list of upstreams, which says what is against it.
pub(super) fn service(
    at: &str,
    address: &str,
    upstream: &mut impl FnMut(UpstreamAddress) -> Result<UpstreamId, String>,
    problems: &mut Problems,
) -> Option<UpstreamId> {
    let (message, remedy) = match address.parse().map(upstream) {
        Ok(Ok(id)) => return Some(id),
        Ok(Err(taken)) => {
            (format!("`{address}` cannot be taken: {taken}"), "give each process an address and a name of its own")
        }
        Err(AddressError::Url) => (
            format!("`{address}` has more than a host and a port, and paths are forwarded as they are"),
            "write http://127.0.0.1:8080/, and let the service listen without a prefix",
        ),
        Err(error) => {
            let message = format!("`{address}` is not an upstream: {error}");
            (message, "write where the service itself listens, as in http://127.0.0.1:8080/ or unix:/path")
        }
    };
    problems.error(at, message, remedy);
    None
}

/// Paths that belong to Matrix and Synapse. An operator who needs one of them open has a key for it, or must not.
const TAKEN: [&str; 5] = ["/_matrix", "/_synapse", "/.well-known/matrix", "/.well-known/acme-challenge", "/metrics"];

fn check_path(at: &str, path: String, problems: &mut Problems) -> Option<String> {
    if !path.starts_with('/') || path.bytes().any(|byte| byte <= b' ' || matches!(byte, b'?' | b'#' | 0x7f..)) {
        problems.error(at, format!("`{path}` is not a path"), "write a path such as /app/ or /robots.txt");
        return None;
    }
    // A route on `/` stays behind them in the order of decisions; one that begins like them is a misunderstanding.
    if let Some(taken) = TAKEN.iter().find(|taken| path.starts_with(**taken)) {
        problems.error(at, format!("`{path}` is in {taken}, which cannot be given away"), "choose another path");
        return None;
    }
    Some(path)
}

impl RespondSection {
    fn build(self, at: &str, problems: &mut Problems) -> Option<Reply> {
        let status = StatusCode::from_u16(self.status).ok().filter(|status| (200..600).contains(&status.as_u16()));
        let Some(status) = status else {
            problems.error(format!("{at}.status"), format!("{} is not a status", self.status), "choose 200 to 599");
            return None;
        };
        let Ok(media_type) = HeaderValue::from_str(&self.content_type) else {
            let message = format!("`{}` is not a media type", self.content_type.escape_debug());
            problems.error(format!("{at}.content_type"), message, "write one such as text/plain");
            return None;
        };
        Some(Reply::document(status, media_type, self.body).cors(CorsKind::None))
    }
}

/// Who may use Synapse's admin API through the gateway.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminApiSection {
    /// Whether `/_synapse/admin` is forwarded at all. Requests need an admin's access token as well, but some answer
    /// without one, and a stolen token is worth more here than anywhere else.
    pub enabled: bool,
    /// Networks that may use it, in CIDR notation; needed with `enabled`. Others get 403.
    pub networks: Vec<Network>,
    /// Whether only GET and HEAD pass.
    pub read_only: bool,
}

/// Who may use Synapse's admin API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdminApi {
    networks: Vec<Network>,
    /// Only GET and HEAD pass.
    pub read_only: bool,
}

impl AdminApi {
    /// Whether the admin API is forwarded for anybody.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.networks.is_empty()
    }

    /// Whether a client may use it.
    #[must_use]
    pub fn admits(&self, client: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(client))
    }
}

impl AdminApiSection {
    /// Checks that an open admin API is open for somebody in particular.
    pub fn build(self, problems: &mut Problems) -> Option<AdminApi> {
        if self.enabled && self.networks.is_empty() {
            problems.error(
                "admin_api.networks",
                "nobody may use the admin API",
                "list networks, such as [127.0.0.1/32]",
            );
            return None;
        }
        for (index, network) in self.networks.iter().enumerate() {
            if self.enabled && network.is_everything() {
                let message = format!("`{network}` opens the admin API to everybody");
                problems.warning(
                    format!("admin_api.networks[{index}]"),
                    message,
                    "list the networks of the admins only",
                );
            }
        }
        let networks = if self.enabled { self.networks } else { Vec::new() };
        Some(AdminApi { networks, read_only: self.read_only })
    }
}
