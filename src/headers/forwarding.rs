//! Who the client is, and which headers a client may not send to Synapse.
//!
//! Synapse takes the first element of the first X-Forwarded-For field as the client (`synapse/http/site.py`), so the
//! gateway replaces and never appends: exactly one field with one address, and one X-Forwarded-Proto.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{HeaderMap, HeaderName};

use crate::inbound::{Inbound, Scheme};
use crate::network::Network;

/// Request headers that never reach Synapse: what a client claims about its own address or request id, and what only
/// Synapse's own processes may send each other (`synapse/http/proxy.py` takes Proxy-Authorization as proof of that).
pub(super) static STRIPPED: [HeaderName; 12] = [
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-forwarded-ssl"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-request-id"),
];

/// Whether a request header of this name stays here.
#[must_use]
pub fn is_stripped(name: &HeaderName) -> bool {
    // Asked of every header of every request: most names are told apart by their first letter.
    name.as_str().starts_with(['f', 'p', 't', 'x']) && STRIPPED.contains(name)
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Hops walked through X-Forwarded-For; a longer chain is not one that anybody built on purpose.
const MAX_HOPS: usize = 32;

/// Where a request comes from, as Synapse and the log are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The client's address, in canonical form.
    pub address: IpAddr,
    /// How the client reached the first trusted hop.
    pub scheme: Scheme,
}

/// Whom to believe.
#[derive(Clone, Debug)]
pub struct Forwarding {
    trusted: Vec<Network>,
    request_id: HeaderName,
}

impl Forwarding {
    /// Believes `trusted` networks, and carries request ids under `request_id`.
    #[must_use]
    pub fn new(trusted: Vec<Network>, request_id: HeaderName) -> Self {
        Self { trusted, request_id }
    }

    /// The header that carries the request id.
    #[must_use]
    pub fn request_id(&self) -> &HeaderName {
        &self.request_id
    }

    /// The networks whose forwarding headers are believed.
    #[must_use]
    pub fn trusted(&self) -> &[Network] {
        &self.trusted
    }

    /// The client of a request: the peer, unless the peer is trusted, and then the last address in X-Forwarded-For
    /// that is not trusted itself.
    ///
    /// A Unix socket has no address; without X-Forwarded-For its client is this host.
    #[must_use]
    pub fn client(&self, inbound: &Inbound) -> Client {
        let arrival = inbound.arrival;
        let peer = arrival.peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        if !arrival.trusted && !self.trusts(peer) {
            return Client { address: peer, scheme: arrival.scheme };
        }
        Client {
            address: self.last_untrusted(inbound.headers).unwrap_or(peer),
            scheme: forwarded_scheme(inbound.headers).unwrap_or(arrival.scheme),
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    fn last_untrusted(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let mut nearest = None;
        let hops =
            headers.get_all(X_FORWARDED_FOR).iter().rev().flat_map(|field| field.as_bytes().rsplit(|&b| b == b','));
        for hop in hops.take(MAX_HOPS) {
            // What stands left of a hop that is no address was written by somebody who cannot be trusted to write one.
            let Some(address) = address(hop) else { break };
            nearest = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        nearest
    }
}

/// An address as proxies write it: bare, or with a port, IPv6 then in brackets.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address| address.to_canonical())
}

/// What the nearest hop says; anything but the two schemes says nothing.
fn forwarded_scheme(headers: &HeaderMap) -> Option<Scheme> {
    let field = headers.get_all(X_FORWARDED_PROTO).iter().next_back()?;
    let last = field.to_str().ok()?.rsplit(',').next()?.trim();
    if last.eq_ignore_ascii_case("https") {
        Some(Scheme::Https)
    } else if last.eq_ignore_ascii_case("http") {
        Some(Scheme::Http)
    } else {
        None
    }
}
