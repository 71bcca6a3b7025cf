//! What is done with a request: the order of the rooms, written once.
//!
//! The running proxy carries a [`Decision`] out, `explain` prints it, tests compare it. Nothing here opens, waits or
//! changes anything.

use std::path::Path;
use std::time::Duration;

use http::header::{LOCATION, UPGRADE};
use http::{HeaderValue, Method, StatusCode};

use crate::class::RouteClass;
use crate::errors::Errors;
use crate::headers::{Client, Cors, Forwarding};
use crate::inbound::{Inbound, Refusal, Scheme};
use crate::limits::{Limits, Timeouts};
use crate::matrix::{Cause, ErrCode, MatrixError};
use crate::rendezvous::{self, Claim, Rendezvous, VERSIONS};
use crate::reply::{CorsKind, Reply};
use crate::role::Role;
use crate::routing::{
    AdminApi, Affinity, Api, Endpoint, ExtraRoute, ExtraRoutes, ExtraTarget, Key, Mas, Release, Synapse, Table,
    classify, of_token,
};
use crate::upstream::{Choice, HealthPolicy, Placement, Queue, Standing, Upstreams};
use crate::upstream_address::UpstreamId;
use crate::well_known::WellKnown;

/// Everything that decisions depend on, checked.
#[derive(Debug)]
#[expect(missing_docs, reason = "each field is a room, which has its own documentation")]
pub struct Gateway {
    pub admin_api: AdminApi,
    pub cors: Cors,
    pub endpoints: Table,
    pub errors: Errors,
    pub extra_routes: ExtraRoutes,
    pub forwarding: Forwarding,
    pub health: HealthPolicy,
    pub limits: Limits,
    /// Who looks after log-ins in Synapse's place.
    pub mas: Option<Mas>,
    /// The routes to the services that calls need.
    pub matrix_rtc: ExtraRoutes,
    pub queue: Queue,
    /// The release of Synapse, where the operator says it.
    pub release: Option<Release>,
    pub rendezvous: Rendezvous,
    /// The name in user ids.
    pub server_name: Option<String>,
    pub timeouts: Timeouts,
    pub upstreams: Upstreams,
    pub well_known: WellKnown,
}

/// Which rule decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `/health` and `/ready`.
    Health,
    /// A file of the ACME webroot.
    AcmeChallenge,
    /// A listener with `redirect_https`.
    RedirectHttps,
    /// A CORS preflight.
    Preflight,
    /// A rendezvous protocol served here.
    Rendezvous,
    /// A delegation document, or the redirect of a base domain.
    WellKnown,
    /// Synapse's own endpoints.
    Synapse,
    /// What Matrix Authentication Service answers, and what it asks of Synapse.
    Mas,
    /// `/_synapse/admin`.
    AdminApi,
    /// The services that calls need.
    MatrixRtc,
    /// A route of the operator's own.
    ExtraRoute,
    /// None: denied by default.
    Default,
}

impl Rule {
    /// The name that `explain` prints.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::AcmeChallenge => "acme_challenge",
            Self::RedirectHttps => "redirect_https",
            Self::Preflight => "preflight",
            Self::Rendezvous => "rendezvous",
            Self::WellKnown => "well_known",
            Self::Synapse => "synapse",
            Self::Mas => "mas",
            Self::AdminApi => "admin_api",
            Self::MatrixRtc => "matrix_rtc",
            Self::ExtraRoute => "extra_route",
            Self::Default => "default",
        }
    }
}

/// What is done with a request, and why.
#[derive(Debug)]
pub struct Decision<'a> {
    /// How the request behaves.
    pub class: RouteClass,
    /// Why.
    pub rule: Rule,
    /// Who asks.
    pub client: Client,
    /// What is done.
    pub action: Action<'a>,
}

/// What is done with a request.
#[derive(Debug)]
pub enum Action<'a> {
    /// It goes to an upstream.
    Forward(Forward),
    /// It is answered at once.
    Reply(Reply),
    /// It is answered from the rendezvous store.
    Rendezvous(rendezvous::Request),
    /// It is answered with a file of the ACME webroot.
    AcmeChallenge {
        /// The directory that holds `.well-known/acme-challenge/`.
        webroot: &'a Path,
        /// The name of the file: base64url, as RFC 8555, section 8.3, has it.
        token: &'a str,
    },
    /// It is answered by whether Synapse is there.
    Ready,
}

/// Who answers a forwarded request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// This upstream alone.
    Fixed(UpstreamId),
    /// A process of Synapse that has this role, or stands in for those that have it.
    Role {
        /// The role.
        role: Role,
        /// Whether the request changes something.
        writes: bool,
        /// Which of them.
        placement: Placement,
        /// Whether that depends on an access token of which only Synapse can tell whose it is.
        by_token: bool,
    },
}

impl Destination {
    /// Synapse's main process.
    pub const MAIN: Self = Self::Role { role: Role::Main, writes: true, placement: Placement::First, by_token: false };
}

/// How a request is forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Where to.
    pub destination: Destination,
    /// Bytes left off at the start of the target; 0 forwards it as it came.
    pub skip: usize,
    /// Whether a WebSocket upgrade passes.
    pub websocket: bool,
    /// How long the upstream may be silent.
    pub silence: Duration,
    /// The largest body, in bytes.
    pub body_limit: u64,
    /// Whether the answer is Matrix's, with CORS headers to be seen to.
    pub matrix: bool,
    /// The row of the endpoint that workers serve; None for what only the main process does.
    pub endpoint: Option<Endpoint>,
    /// Whether the answer says which features there are, and [`Rendezvous::advertisement`] is to be added.
    pub advertise: bool,
}

impl Gateway {
    /// Decides on a request to this Synapse.
    #[must_use]
    pub fn decide<'a>(&'a self, inbound: &Inbound<'a>, synapse: Synapse) -> Decision<'a> {
        let client = self.forwarding.client(inbound);
        let (class, rule, action) = self.route(inbound, client, synapse);
        Decision { class, rule, client, action }
    }

    /// The Synapse that requests are decided for: as configured, but for its release where that is `found` out.
    #[must_use]
    pub fn synapse(&self, found: Release) -> Synapse {
        Synapse { release: self.release.unwrap_or(found), delegated: self.mas.is_some() }
    }

    /// Answers a request whose head is not fit to be decided on. Its framing is in doubt, so nothing may follow it.
    #[must_use]
    pub fn refuse(&self, method: &Method, refusal: Refusal) -> Reply {
        let too_large = matches!(refusal, Refusal::TargetTooLong | Refusal::HeadersTooLarge);
        if too_large && self.is_preflight(method) {
            // So that a script gets to see the 414 or 431 of the request itself.
            return self.cors.preflight().close();
        }
        Reply::from(MatrixError::from(refusal)).close()
    }

    /// The process that a request would go to if all were there and idle.
    #[must_use]
    pub fn choice(&self, destination: Destination) -> Option<Choice> {
        match destination {
            Destination::Fixed(upstream) => Some(Choice { upstream, role: Role::Main }),
            Destination::Role { role, writes, placement, .. } => {
                let idle = |_| Standing { available: true, load: 0 };
                self.upstreams.plan(role, writes)?.choose(placement, idle)
            }
        }
    }

    /// The order of the rooms. What is served here comes before what Synapse serves, so that no session lands half here
    /// and half there; what Matrix owns comes before the operator's own routes, so that none of it can be given away.
    fn route<'a>(&'a self, inbound: &Inbound<'a>, client: Client, synapse: Synapse) -> (RouteClass, Rule, Action<'a>) {
        if let Some(action) = health(inbound) {
            return (RouteClass::Service, Rule::Health, action);
        }
        if let Some(action) = acme_challenge(inbound) {
            return (RouteClass::Service, Rule::AcmeChallenge, action);
        }
        // Behind a trusted proxy that has spoken TLS to the client there is nothing to be redirected.
        if let Some(port) = inbound.arrival.redirect_https.filter(|_| client.scheme == Scheme::Http) {
            return (RouteClass::Service, Rule::RedirectHttps, Action::Reply(redirect_https(inbound, port)));
        }
        let serve = inbound.arrival.serve;
        if serve.client
            && let Some(claim) = self.rendezvous.claims(inbound)
        {
            return match claim {
                Claim::Preflight => (RouteClass::Rendezvous, Rule::Preflight, self.preflight(CorsKind::Rendezvous)),
                Claim::Reply(reply) => (RouteClass::Rendezvous, Rule::Rendezvous, Action::Reply(*reply)),
                Claim::Exchange(request) => (RouteClass::Rendezvous, Rule::Rendezvous, Action::Rendezvous(request)),
                Claim::Upstream => self.rendezvous_upstream(inbound),
            };
        }
        if let Some((api, class)) = classify(inbound.method, inbound.path, inbound.query_value("since").is_some()) {
            return self.to_api(inbound, client, (api, class), synapse);
        }
        if let Some((route, rest)) = self.matrix_rtc.find(inbound).filter(|_| serve.client) {
            let class = RouteClass::MatrixRtc;
            if self.is_preflight(inbound.method) {
                return (class, Rule::Preflight, self.preflight(CorsKind::Matrix));
            }
            return (class, Rule::MatrixRtc, self.extra_route(inbound, route, rest, class));
        }
        // A route on `/` takes all but the delegation documents; a base domain's redirect takes what no route does.
        let document = serve.well_known && inbound.path.starts_with("/.well-known/matrix/");
        if document && self.is_preflight(inbound.method) {
            return (RouteClass::WellKnown, Rule::Preflight, self.preflight(CorsKind::Matrix));
        }
        if let Some((route, rest)) = self.extra_routes.find(inbound).filter(|_| serve.client && !document) {
            let class = RouteClass::Extra;
            return (class, Rule::ExtraRoute, self.extra_route(inbound, route, rest, class));
        }
        if let Some(reply) = self.well_known.reply(inbound).filter(|_| serve.well_known) {
            return (RouteClass::WellKnown, Rule::WellKnown, Action::Reply(reply));
        }
        self.unknown(inbound)
    }

    /// Denied by default. A preflight is answered all the same, as Synapse does: else a script would see a network error
    /// in place of the 404.
    fn unknown<'a>(&self, inbound: &Inbound) -> (RouteClass, Rule, Action<'a>) {
        if self.is_preflight(inbound.method) {
            return (RouteClass::Unknown, Rule::Preflight, self.preflight(CorsKind::Matrix));
        }
        (RouteClass::Unknown, Rule::Default, Action::Reply(MatrixError::unrecognized().into()))
    }

    fn is_preflight(&self, method: &Method) -> bool {
        *method == Method::OPTIONS && self.cors.manages()
    }

    fn preflight<'a>(&self, cors: CorsKind) -> Action<'a> {
        Action::Reply(self.cors.preflight().cors(cors))
    }

    fn to_api<'a>(
        &self,
        inbound: &Inbound,
        client: Client,
        (api, class): (Api, RouteClass),
        synapse: Synapse,
    ) -> (RouteClass, Rule, Action<'a>) {
        let serve = inbound.arrival.serve;
        let (served, rule) = match api {
            Api::Client => (serve.client, Rule::Synapse),
            Api::Federation => (serve.federation, Rule::Synapse),
            Api::Media => (serve.client || serve.federation, Rule::Synapse),
            Api::Admin => (serve.admin && self.admin_api.is_open(), Rule::AdminApi),
            Api::Mas => (serve.admin && self.mas.is_some(), Rule::Mas),
        };
        if !served {
            return self.unknown(inbound);
        }
        if let Some(mas) = self.mas.as_ref().filter(|_| Mas::serves(inbound.path)) {
            return self.to_mas(inbound, mas);
        }
        if self.is_preflight(inbound.method) {
            return (class, Rule::Preflight, self.preflight(CorsKind::Matrix));
        }
        let (admitted, refusal) = match api {
            Api::Client | Api::Federation | Api::Media => (true, ""),
            Api::Admin => {
                let reads = matches!(*inbound.method, Method::GET | Method::HEAD);
                let admitted = self.admin_api.admits(client.address) && (reads || !self.admin_api.read_only);
                (admitted, "The admin API is not open to this address")
            }
            Api::Mas => {
                let admitted = self.mas.as_ref().is_some_and(|mas| mas.admits(client.address));
                (admitted, "This API is not open to this address")
            }
        };
        let action = if admitted {
            let limit = if class == RouteClass::Upload { self.limits.upload } else { self.limits.body };
            let main = self.to_synapse(class, inbound, limit);
            let endpoint = self.endpoints.find(inbound.method, inbound.path, inbound.query, synapse);
            Self::forward(inbound, self.to_endpoint(main, endpoint, inbound, client))
        } else {
            let error = MatrixError::new(StatusCode::FORBIDDEN, ErrCode::Forbidden, Cause::NetworkDenied, refusal);
            Action::Reply(error.into())
        };
        (class, rule, action)
    }

    /// To Matrix Authentication Service. It speaks Matrix here, as Synapse does.
    fn to_mas<'a>(&self, inbound: &Inbound, mas: &Mas) -> (RouteClass, Rule, Action<'a>) {
        let class = RouteClass::Mas;
        if self.is_preflight(inbound.method) {
            return (class, Rule::Preflight, self.preflight(CorsKind::Matrix));
        }
        let main = self.to_synapse(class, inbound, self.limits.body);
        let forward = Forward { destination: Destination::Fixed(mas.endpoint), ..main };
        (class, Rule::Mas, Self::forward(inbound, forward))
    }

    /// To one process, whatever serves the other paths of their kind: the sessions are in its memory.
    fn rendezvous_upstream<'a>(&self, inbound: &Inbound) -> (RouteClass, Rule, Action<'a>) {
        let class = RouteClass::Rendezvous;
        if self.is_preflight(inbound.method) {
            return (class, Rule::Preflight, self.preflight(CorsKind::Rendezvous));
        }
        (class, Rule::Rendezvous, Self::forward(inbound, self.to_synapse(class, inbound, self.limits.body)))
    }

    /// To Synapse's main process.
    fn to_synapse(&self, class: RouteClass, inbound: &Inbound, body_limit: u64) -> Forward {
        Forward {
            destination: Destination::MAIN,
            skip: 0,
            websocket: false,
            silence: self.timeouts.silence(class, inbound.query_value("timeout")),
            body_limit,
            matrix: true,
            endpoint: None,
            advertise: self.rendezvous.advertisement().is_some() && inbound.path == VERSIONS,
        }
    }

    /// To a process that serves the endpoint, in place of the main process.
    fn to_endpoint(&self, main: Forward, endpoint: Option<Endpoint>, inbound: &Inbound, client: Client) -> Forward {
        let Some(Endpoint { role, affinity, .. }) = endpoint else { return main };
        let server_name = self.server_name.as_deref();
        let strict = affinity == Affinity::StrictRoom;
        let (placement, by_token) = match affinity.key(inbound, client.address, server_name) {
            Key::Hash(hash) => (Placement::Key { hash, strict }, false),
            Key::Token(token) => (Placement::Key { hash: of_token(token), strict }, true),
            Key::None => (Placement::LeastLoaded, false),
        };
        let writes = !matches!(*inbound.method, Method::GET | Method::HEAD);
        let destination = Destination::Role { role, writes, placement, by_token };
        Forward { destination, endpoint, ..main }
    }

    fn extra_route<'a>(&self, inbound: &Inbound, route: &ExtraRoute, rest: &str, class: RouteClass) -> Action<'a> {
        match &route.target {
            ExtraTarget::Respond(reply) => Action::Reply(reply.clone()),
            ExtraTarget::Redirect(url) => Action::Reply(redirect(inbound, &[url, rest.as_bytes()])),
            ExtraTarget::Proxy { upstream, strip_prefix, websocket } => {
                let websocket = *websocket && inbound.headers.contains_key(UPGRADE);
                let idle = self.timeouts.websocket_idle;
                Self::forward(
                    inbound,
                    Forward {
                        destination: Destination::Fixed(*upstream),
                        // The slash that ends the route's path begins the target that is left.
                        skip: if *strip_prefix { route.path.len().saturating_sub(1) } else { 0 },
                        websocket,
                        silence: if websocket { idle } else { self.timeouts.silence(class, None) },
                        body_limit: self.limits.body,
                        matrix: false,
                        endpoint: None,
                        advertise: false,
                    },
                )
            }
        }
    }

    /// A body that says that it is too large is refused before it is sent.
    fn forward<'a>(inbound: &Inbound, forward: Forward) -> Action<'a> {
        match inbound.content_length.filter(|&length| length > forward.body_limit) {
            Some(_) => Action::Reply(MatrixError::body_too_large(forward.body_limit).into()),
            None => Action::Forward(forward),
        }
    }
}

fn health<'a>(inbound: &Inbound) -> Option<Action<'a>> {
    match inbound.path {
        "/health" => {
            let text = HeaderValue::from_static("text/plain; charset=utf-8");
            Some(Action::Reply(Reply::document(StatusCode::OK, text, "OK").cors(CorsKind::None)))
        }
        "/ready" => Some(Action::Ready),
        _ => None,
    }
}

fn acme_challenge<'a>(inbound: &Inbound<'a>) -> Option<Action<'a>> {
    let webroot = inbound.arrival.acme_webroot.as_deref()?;
    let token = inbound.path.strip_prefix("/.well-known/acme-challenge/")?;
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    Some(if is_token && matches!(*inbound.method, Method::GET | Method::HEAD) {
        Action::AcmeChallenge { webroot, token }
    } else {
        Action::Reply(MatrixError::unrecognized().into())
    })
}

/// A redirected request other than GET and HEAD would lose its body, and has shown its access token already.
fn redirect_https(inbound: &Inbound, port: u16) -> Reply {
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    redirect(inbound, &[b"https://", inbound.host().as_bytes(), port.as_bytes(), inbound.path.as_bytes()])
}

fn redirect(inbound: &Inbound, url: &[&[u8]]) -> Reply {
    if !matches!(*inbound.method, Method::GET | Method::HEAD) {
        let message = "Only GET requests are redirected; use the https address itself";
        return MatrixError::new(StatusCode::FORBIDDEN, ErrCode::Forbidden, Cause::MethodNotAllowed, message).into();
    }
    let mut location = url.concat();
    if let Some(query) = inbound.query {
        location.push(b'?');
        location.extend_from_slice(query.as_bytes());
    }
    match HeaderValue::from_bytes(&location) {
        Ok(location) => Reply::empty(StatusCode::MOVED_PERMANENTLY).header(LOCATION, location).cors(CorsKind::None),
        Err(_) => MatrixError::unrecognized().into(),
    }
}

#[cfg(test)]
mod tests;
