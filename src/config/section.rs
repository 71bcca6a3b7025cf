//! The root of the configuration: one line for each section, and what concerns several of them.

use std::num::NonZeroUsize;
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderName, Uri};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Naming;
use crate::decide::Gateway;
use crate::errors::ErrorsSection;
use crate::headers::{CorsSection, Forwarding, ForwardingSection};
use crate::limits::{LimitsSection, TimeoutsSection};
use crate::listen::{Control, ControlSection, Listener, ListenerSection, Tls, TlsSection, build_listeners};
use crate::observe::{Log, LogSection, Metrics, MetricsSection};
use crate::problem::Problems;
use crate::quantity::Span;
use crate::rendezvous::RendezvousSection;
use crate::routing::{
    AdminApiSection, ExtraRouteSection, ExtraRoutes, ExtraTarget, MasSection, MatrixRtcSection, SynapseFiles,
    SynapseSection, Table,
};
use crate::upstream::{HealthSection, QueueSection, Upstreams, UpstreamsSection};
use crate::well_known::{Announced, WellKnownSection};

/// The whole configuration as the operator wrote it. A section's card is the documentation of its type.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "a section is documented in its own room")]
pub struct ConfigSection {
    /// The version of this file's format. There is only 1: should a key ever change its meaning, the new format will be
    /// 2, and a file that says 1 will not be read as something else.
    pub version: u32,
    /// The server name of the homeserver, as in `@user:example.com`: the same as `server_name` in Synapse's own
    /// configuration. It is the name in user ids, which need not be the name that clients connect to.
    pub server_name: Option<String>,
    /// The URL at which clients reach the homeserver: the same as `public_baseurl` in Synapse's own configuration.
    /// It is published to clients, so it must be right from their side. Unset, it is `https://` with the server name.
    pub public_baseurl: Option<String>,
    /// How many threads serve requests. 0 means one for each core of the machine. More than that makes nothing faster.
    pub threads: u16,
    pub listeners: Vec<ListenerSection>,
    pub tls: Option<TlsSection>,
    pub synapse: SynapseSection,
    pub upstreams: UpstreamsSection,
    pub health: HealthSection,
    pub queue: QueueSection,
    /// How long a request waits for a process that refuses connections, while nobody else could answer: so long may a
    /// restart of Synapse take before clients notice. With 0s they notice at once.
    pub restart_grace: Span,
    pub rendezvous: RendezvousSection,
    pub well_known: WellKnownSection,
    pub forwarding: ForwardingSection,
    pub cors: CorsSection,
    pub mas: Option<MasSection>,
    pub matrix_rtc: Option<MatrixRtcSection>,
    pub admin_api: AdminApiSection,
    pub limits: LimitsSection,
    pub timeouts: TimeoutsSection,
    pub extra_routes: Vec<ExtraRouteSection>,
    pub errors: ErrorsSection,
    pub log: LogSection,
    pub metrics: MetricsSection,
    pub control: ControlSection,
}

impl Default for ConfigSection {
    fn default() -> Self {
        Self {
            version: 1,
            server_name: None,
            public_baseurl: None,
            threads: 0,
            listeners: Vec::new(),
            tls: None,
            synapse: SynapseSection::default(),
            upstreams: UpstreamsSection::default(),
            health: HealthSection::default(),
            queue: QueueSection::default(),
            restart_grace: Span(Duration::from_secs(20)),
            rendezvous: RendezvousSection::default(),
            well_known: WellKnownSection::default(),
            forwarding: ForwardingSection::default(),
            cors: CorsSection::default(),
            mas: None,
            matrix_rtc: None,
            admin_api: AdminApiSection::default(),
            limits: LimitsSection::default(),
            timeouts: TimeoutsSection::default(),
            extra_routes: Vec::new(),
            errors: ErrorsSection::default(),
            log: LogSection::default(),
            metrics: MetricsSection::default(),
            control: ControlSection::default(),
        }
    }
}

/// The whole configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// The number of threads that serve requests; none means one for each core.
    pub threads: Option<NonZeroUsize>,
    /// The name in user ids.
    pub server_name: Option<String>,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// The TLS policy; None if there are no certificates.
    pub tls: Option<Tls>,
    /// What decisions depend on.
    pub gateway: Gateway,
    /// How requests and events are written down.
    pub log: Log,
    /// Where the metrics are.
    pub metrics: Metrics,
    /// Where commands reach the gateway.
    pub control: Control,
    /// Where Synapse's own configuration is; None if nothing is taken from it.
    pub synapse: Option<SynapseFiles>,
}

impl ConfigSection {
    /// Checks every section, also when an earlier one is wrong. `inspect` looks at the files that it names.
    pub fn build(self, inspect: impl FnOnce(Naming<'_>, &mut Problems), problems: &mut Problems) -> Option<Config> {
        if self.version != 1 {
            let message = format!("{} is not a version that this gateway reads", self.version);
            problems.error("version", message, "write `version: 1`");
        }
        let server_name = self.server_name.filter(|name| check_server_name(name, problems));
        // As Synapse has it.
        let derived = server_name.as_ref().map(|name| format!("https://{name}/"));
        let public_baseurl = self.public_baseurl.or(derived);
        let announced = Announced {
            issuer: self.mas.as_ref().and_then(|mas| mas.issuer.as_deref()),
            account: self.mas.as_ref().and_then(|mas| mas.account.as_deref()),
            calls: self.matrix_rtc.as_ref().is_some_and(|services| services.jwt_service.is_some()),
        };
        let well_known = self.well_known.build(server_name.as_deref(), public_baseurl.as_deref(), announced, problems);
        let mut upstreams = self.upstreams.build(problems);
        let mut service = |name: &str, address| {
            upstreams.as_mut().map_or(Ok(Upstreams::MAIN), |upstreams| upstreams.add_service(name, address))
        };
        let mas = self.mas.map(|mas| mas.build(|address| service("mas", address), problems));
        let matrix_rtc =
            self.matrix_rtc.map_or(Some(ExtraRoutes::default()), |section| section.build(service, problems));
        let matrix_rtc = matrix_rtc.unwrap_or_default();
        let add = |name, address| upstreams.as_mut().map_or(Upstreams::MAIN, |upstreams| upstreams.add(name, address));
        let extra_routes = ExtraRouteSection::build(self.extra_routes, &matrix_rtc, add, problems);
        warn_of_shared_origin(&extra_routes, public_baseurl.as_deref(), problems);
        let listeners = build_listeners(self.listeners, self.tls.is_some(), problems);
        let tls = self.tls.map(|tls| tls.build(problems));
        let forwarding = self.forwarding.build(problems);
        // Of no consequence where `forwarding` is wrong, but then `cors` is still checked.
        let unnamed = HeaderName::from_static("x-request-id");
        let cors = self.cors.build(forwarding.as_ref().map_or(&unnamed, Forwarding::request_id), problems);
        let rendezvous = self.rendezvous.build(public_baseurl.as_deref(), problems);
        inspect(Naming { tls: tls.as_ref().and_then(Option::as_ref), rendezvous: rendezvous.as_ref() }, problems);
        let admin_api = self.admin_api.build(problems);
        let limits = self.limits.build(problems);
        let timeouts = self.timeouts.build(problems);
        let synapse = self.synapse.build(problems);
        let health = self.health.build(problems);
        let queue = self.queue.build(self.restart_grace, problems);
        let log = self.log.build(problems);
        let metrics = self.metrics.build(problems);
        let control = self.control.build(problems);
        let gateway = Gateway {
            admin_api: admin_api?,
            cors: cors?,
            endpoints: Table::default(),
            errors: self.errors.build(),
            extra_routes,
            forwarding: forwarding?,
            health: health?,
            limits: limits?,
            mas: optional(mas)?,
            matrix_rtc,
            queue: queue?,
            release: synapse.release,
            rendezvous: rendezvous?,
            server_name: server_name.clone(),
            timeouts: timeouts?,
            upstreams: upstreams?,
            well_known: well_known?,
        };
        Some(Config {
            threads: NonZeroUsize::new(self.threads.into()),
            server_name,
            listeners: listeners?,
            tls: optional(tls)?,
            gateway,
            log: log?,
            metrics: metrics?,
            control: control?,
            synapse: synapse.files,
        })
    }
}

/// A section that is there must be right.
#[expect(clippy::option_option, reason = "a section that is not there, and one that is wrong, are two things")]
fn optional<T>(section: Option<Option<T>>) -> Option<Option<T>> {
    section.map_or(Some(None), |built| built.map(Some))
}

/// Media that strangers upload are served under the host name of Synapse (its README, "Security note").
fn warn_of_shared_origin(routes: &ExtraRoutes, public_baseurl: Option<&str>, problems: &mut Problems) {
    let synapse = public_baseurl.and_then(|url| url.parse::<Uri>().ok());
    let host = synapse.as_ref().and_then(Uri::host);
    for (index, route) in routes.0.iter().enumerate() {
        let is_site = matches!(route.target, ExtraTarget::Proxy { websocket: false, .. });
        let shares =
            route.host.as_deref().is_none_or(|other| host.is_some_and(|host| host.eq_ignore_ascii_case(other)));
        if is_site && shares {
            problems.warning(
                format!("extra_routes[{index}]"),
                "a web application here shares its origin with media that strangers uploaded",
                "give it a host name of its own with `host`",
            );
        }
    }
}

/// Matrix specification, appendices, "Server name".
fn check_server_name(name: &str, problems: &mut Problems) -> bool {
    const LONGEST: usize = 230;
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    let is_valid = name.len() <= LONGEST && name.bytes().all(is_known) && name.parse::<Authority>().is_ok();
    if !is_valid {
        let message = format!("`{}` is not a server name", name.escape_debug());
        problems.error("server_name", message, "write a host with an optional port, such as example.com");
    }
    is_valid
}
