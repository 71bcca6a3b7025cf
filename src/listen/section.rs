//! The `listeners` section.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::address::Address;
use crate::inbound::{Arrival, Scheme, Serve};
use crate::problem::Problems;

const DEFAULT_MODE: u32 = 0o660;
/// Where a redirect leads if no listener here speaks TLS: to whatever does so in front.
const HTTPS: u16 = 443;

/// One address that the gateway listens on.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, as the operator writes them")]
pub struct ListenerSection {
    /// An IP address and port, as in `[::]:443`, or a Unix socket, as in `unix:/run/synapse-gateway/edge.sock`.
    /// `[::]` takes IPv4 as well, unless `0.0.0.0` with the same port is a listener too. Host names are not looked up.
    /// There is no default.
    pub address: String,
    /// Whether clients speak TLS here, with the certificates of the `tls` section. Danger: without it
    /// passwords and access tokens cross the network in the clear, so keep plain listeners to loopback addresses, Unix
    /// sockets, redirects and the network of a proxy that speaks TLS.
    pub tls: bool,
    /// Whether clients are offered HTTP/2 beside HTTP/1.1. Without `tls` only HTTP/1.1 is spoken.
    pub http2: bool,
    /// What is served here: any of `client` (client-server API, media, sign-in rendezvous, `/_synapse/client`, and calls
    /// where `matrix_rtc` is set), `federation` (server-server API and keys), `well_known` (`/.well-known/matrix`) and
    /// `admin` (`/_synapse/admin`, which `admin_api` must enable too, and `/_synapse/mas`, which takes `mas`). Default
    /// all four. Everything else is answered with 404.
    pub serve: Vec<Group>,
    /// Sends GET and HEAD requests to the same URL with https, and refuses all others, since they have sent their
    /// secrets in the clear already. For a listener without `tls`, usually port 80.
    pub redirect_https: bool,
    /// The directory in which an ACME client (`certbot --webroot`) leaves its answers: files below
    /// `/.well-known/acme-challenge/` are served from it, before any redirect. Unset by default: no challenges served.
    pub acme_webroot: Option<PathBuf>,
    /// Whether each connection starts with a PROXY protocol header, version 1 or 2, that names the client. Default
    /// false. When true, connections without one are closed. Danger: whoever can connect can then claim any client
    /// address, so only the load balancer may reach this address.
    pub proxy_protocol: bool,
    /// Whether X-Forwarded-For, X-Forwarded-Proto and the like are believed from every connection here, as they always
    /// are on a Unix socket. Default false: they are believed from `forwarding.trusted_proxies` alone. Danger: whoever
    /// can connect can then claim any client address.
    pub trusted: bool,
    /// The permissions of a Unix socket, in octal and in quotes. Default "0660": the owner and the group may connect.
    pub mode: Option<String>,
}

/// A group of paths, as written in `serve`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// The client-server API, media, rendezvous, calls and `/_synapse/client`.
    Client,
    /// The server-server and key APIs.
    Federation,
    /// `/.well-known/matrix`.
    WellKnown,
    /// `/_synapse/admin` and `/_synapse/mas`.
    Admin,
}

/// What is spoken on a listener below HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// HTTP/1.1 in the clear.
    Plain,
    /// TLS.
    Tls {
        /// Whether HTTP/2 is offered by ALPN.
        http2: bool,
    },
}

/// A checked listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What to bind.
    pub address: Address,
    /// Leaves IPv4 to the listener on `0.0.0.0` with the same port.
    pub v6_only: bool,
    /// What is spoken.
    pub transport: Transport,
    /// What is served.
    pub serve: Serve,
    /// The TLS port that everything is redirected to instead of being served.
    pub redirect_https: Option<u16>,
    /// The directory of ACME challenges.
    pub acme_webroot: Option<PathBuf>,
    /// Whether a PROXY header comes first.
    pub proxy_protocol: bool,
    /// Whether forwarding headers are believed.
    pub trusted: bool,
    /// The permission bits of a Unix socket.
    pub mode: u32,
}

impl Listener {
    /// One in the clear, and with nothing else that an operator may ask for.
    #[must_use]
    pub const fn plain(address: Address, serve: Serve) -> Self {
        Self {
            address,
            v6_only: false,
            transport: Transport::Plain,
            serve,
            redirect_https: None,
            acme_webroot: None,
            proxy_protocol: false,
            trusted: false,
            mode: DEFAULT_MODE,
        }
    }
}

impl Default for ListenerSection {
    fn default() -> Self {
        Self {
            address: String::new(),
            tls: false,
            http2: true,
            serve: vec![Group::Client, Group::Federation, Group::WellKnown, Group::Admin],
            redirect_https: false,
            acme_webroot: None,
            proxy_protocol: false,
            trusted: false,
            mode: None,
        }
    }
}

impl ListenerSection {
    /// Checks one listener by itself; `path` is where it stands, as in `listeners[0]`.
    pub fn build(self, path: &str, problems: &mut Problems) -> Option<Listener> {
        let address = match self.address.parse::<Address>() {
            Ok(address) => address,
            Err(error) => {
                problems.error(format!("{path}.address"), error.to_string(), error.remedy());
                return None;
            }
        };
        let mut sound = true;
        let mut refuse = |key: &str, message: &str, remedy: &str| {
            problems.error(format!("{path}.{key}"), message, remedy);
            sound = false;
        };
        if self.tls && self.redirect_https {
            refuse("redirect_https", "a listener with `tls` is https already", "remove `redirect_https` here");
        }
        if self.serve.is_empty() {
            refuse("serve", "this listener serves nothing", "remove `serve` to serve everything, or name some groups");
        }
        if self.acme_webroot.as_ref().is_some_and(|webroot| !webroot.is_absolute()) {
            refuse("acme_webroot", "is not an absolute path", "write the whole path, as in `/var/www/acme`");
        }
        let is_unix = matches!(address, Address::Unix(_));
        if self.mode.is_some() && !is_unix {
            refuse("mode", "only a Unix socket has permissions", "remove `mode`, or write `address: unix:/..`");
        }
        let mode = self.mode.as_deref().map_or(Some(DEFAULT_MODE), permissions);
        if mode.is_none() {
            refuse("mode", "is not a set of permissions", "write three octal digits after a zero, as in \"0660\"");
        }
        let listener = Listener {
            address,
            v6_only: false,
            transport: if self.tls { Transport::Tls { http2: self.http2 } } else { Transport::Plain },
            serve: serve(&self.serve),
            redirect_https: self.redirect_https.then_some(HTTPS),
            acme_webroot: self.acme_webroot,
            proxy_protocol: self.proxy_protocol,
            trusted: self.trusted || is_unix,
            mode: mode?,
        };
        sound.then_some(listener)
    }
}

/// Checks all listeners, each by itself and against the others. `tls` says whether there are certificates.
pub fn build_listeners(sections: Vec<ListenerSection>, tls: bool, problems: &mut Problems) -> Option<Vec<Listener>> {
    if sections.is_empty() {
        problems.error("listeners", "there is no listener", "write `- {address: \"[::]:443\", tls: true}` below it");
        return None;
    }
    let mut sound = true;
    let mut listeners: Vec<(usize, Listener)> = Vec::with_capacity(sections.len());
    for (index, section) in sections.into_iter().enumerate() {
        let Some(listener) = section.build(&format!("listeners[{index}]"), problems) else {
            sound = false;
            continue;
        };
        if listener.transport != Transport::Plain && !tls {
            problems.error(
                format!("listeners[{index}].tls"),
                "there are no certificates for it",
                "add a `tls` section with `cert` and `key`, or remove `tls: true`",
            );
            sound = false;
        }
        if let Some((other, taken)) = listeners.iter().find(|(_, other)| other.address.overlaps(&listener.address)) {
            problems.error(
                format!("listeners[{index}].address"),
                format!("`{}` is taken by `{}` of listeners[{other}]", listener.address, taken.address),
                "choose another port, or remove one of the two",
            );
            sound = false;
        }
        listeners.push((index, listener));
    }
    if !sound {
        return None;
    }
    let mut listeners: Vec<Listener> = listeners.into_iter().map(|(_, listener)| listener).collect();
    part_wildcards(&mut listeners);
    aim_redirects(&mut listeners);
    warn_of_mismatches(&listeners, tls, problems);
    Some(listeners)
}

impl Listener {
    /// The facts about a connection that this listener accepted.
    ///
    /// `port` is the port it is really bound to, which differs from that of the address only if the kernel chose it.
    #[must_use]
    pub fn arrival(&self, port: Option<u16>, peer: Option<IpAddr>) -> Arrival {
        Arrival {
            listener: self.address.to_string(),
            scheme: match self.transport {
                Transport::Plain => Scheme::Http,
                Transport::Tls { .. } => Scheme::Https,
            },
            serve: self.serve,
            port,
            peer: peer.map(|ip| ip.to_canonical()),
            trusted: self.trusted,
            redirect_https: self.redirect_https,
            acme_webroot: self.acme_webroot.clone(),
        }
    }
}

fn serve(groups: &[Group]) -> Serve {
    Serve {
        client: groups.contains(&Group::Client),
        federation: groups.contains(&Group::Federation),
        well_known: groups.contains(&Group::WellKnown),
        admin: groups.contains(&Group::Admin),
    }
}

/// Reads `660` or `0660`. Digits beyond these would be set-id and sticky bits, which mean nothing on a socket.
fn permissions(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('0').unwrap_or(text);
    let octal = digits.len() == 3 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    if octal { u32::from_str_radix(digits, 8).ok() } else { None }
}

/// A dual-stack `[::]` cannot be bound beside `0.0.0.0`.
fn part_wildcards(listeners: &mut [Listener]) {
    let wildcards: Vec<u16> = listeners
        .iter()
        .filter_map(|listener| {
            let port = listener.address.port()?;
            listener.address.is_wildcard(Ipv4Addr::UNSPECIFIED.into(), port).then_some(port)
        })
        .collect();
    for listener in listeners {
        listener.v6_only =
            wildcards.iter().any(|&port| listener.address.is_wildcard(Ipv6Addr::UNSPECIFIED.into(), port));
    }
}

/// Clients are sent to the TLS listener for clients that is on the port of https, or else to the first of these, or else to
/// the first of all.
fn aim_redirects(listeners: &mut [Listener]) {
    let tls = || listeners.iter().filter(|listener| listener.transport != Transport::Plain);
    let port = |listener: &Listener| listener.address.port().filter(|&port| port != 0);
    let for_clients = || tls().filter(|listener| listener.serve.client).filter_map(port);
    let target = for_clients().find(|&port| port == HTTPS).or_else(|| for_clients().next());
    let target = target.or_else(|| tls().find_map(port));
    for listener in listeners {
        if let (Some(redirect), Some(target)) = (&mut listener.redirect_https, target) {
            *redirect = target;
        }
    }
}

fn warn_of_mismatches(listeners: &[Listener], tls: bool, problems: &mut Problems) {
    let any_tls = listeners.iter().any(|listener| listener.transport != Transport::Plain);
    if tls && !any_tls {
        problems.warning("tls", "no listener uses these certificates", "add `tls: true` to a listener");
    }
    if any_tls {
        return;
    }
    for (index, _) in listeners.iter().enumerate().filter(|(_, listener)| listener.redirect_https.is_some()) {
        problems.warning(
            format!("listeners[{index}].redirect_https"),
            "no listener of this gateway has `tls`, so something else must answer https",
            "add a listener with `tls: true`",
        );
    }
}
