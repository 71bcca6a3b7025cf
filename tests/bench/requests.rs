//! The requests that are decided on: each line of the goldens of routes, before a Synapse with ten workers.

use std::fs;
use std::path::Path;

use http::request::Parts;
use http::{HeaderValue, Request};
use synapse_gateway::config::{Source, load};
use synapse_gateway::decide::Gateway;
use synapse_gateway::inbound::{Arrival, Inbound, Scheme, Serve};
use synapse_gateway::routing::{Release, Synapse};

const CONFIGURATION: &str = "
server_name: example.com
public_baseurl: https://matrix.example.com/
listeners: [{address: '127.0.0.1:8080'}]
rendezvous: {enabled: true}
admin_api: {enabled: true, networks: [0.0.0.0/0]}
extra_routes: [{path: /app/, proxy: 'http://127.0.0.1:9000'}]
upstreams:
  main: {address: '127.0.0.1:8008'}
  sync1: {address: '127.0.0.1:8101', roles: [sync, sliding_sync]}
  sync2: {address: '127.0.0.1:8102', roles: [sync, sliding_sync]}
  initial1: {address: '127.0.0.1:8103', roles: [initial_sync]}
  federation1: {address: '127.0.0.1:8104', roles: [federation_inbound, federation_reader]}
  federation2: {address: '127.0.0.1:8105', roles: [federation_inbound, federation_reader]}
  events1: {address: '127.0.0.1:8106', roles: [event_creator]}
  events2: {address: '127.0.0.1:8107', roles: [event_creator]}
  writer1: {address: '127.0.0.1:8108', streams: [typing, to_device, account_data, receipts, presence]}
  media1: {address: '127.0.0.1:8109', roles: [media]}
  generic1: {address: '127.0.0.1:8110'}
";

/// The Synapse behind the gateway.
pub(crate) const SYNAPSE: Synapse = Synapse { release: Release::NEWEST, delegated: false };

/// A request as Pingora hands it over.
pub(crate) struct Sent {
    /// The method and target, as they stand in the golden.
    pub(crate) name: String,
    parts: Parts,
    target: String,
}

impl Sent {
    /// Reads its head.
    pub(crate) fn inbound<'a>(&'a self, gateway: &Gateway, arrival: &'a Arrival) -> Inbound<'a> {
        Inbound::read(&self.parts, self.target.as_bytes(), arrival, &gateway.limits.head).unwrap()
    }
}

/// A gateway before ten workers.
pub(crate) fn gateway() -> Gateway {
    let source = Source { name: "gateway.yaml".to_owned(), bytes: CONFIGURATION.into() };
    let (config, problems) = load(&[source]);
    config.unwrap_or_else(|| panic!("{:?}", problems.as_slice())).gateway
}

/// A client somewhere, over TLS.
pub(crate) fn arrival() -> Arrival {
    Arrival {
        listener: "[::]:443".to_owned(),
        scheme: Scheme::Https,
        serve: Serve::ALL,
        port: Some(443),
        peer: Some([192, 0, 2, 1].into()),
        trusted: false,
        redirect_https: None,
        acme_webroot: None,
    }
}

/// One request for each method and target in the goldens, with what clients and servers send along.
pub(crate) fn all() -> Vec<Sent> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/routes");
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        names.extend(lines.map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")));
    }
    names.sort();
    names.dedup();
    names.into_iter().map(sent).collect()
}

pub(crate) fn sent(name: String) -> Sent {
    let (method, target) = name.split_once(' ').unwrap();
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method.parse().unwrap();
    let authorization = if target.starts_with("/_matrix/federation/") {
        r#"X-Matrix origin="other.example.org",destination="example.com",key="ed25519:a",sig="c2lnbmF0dXJl""#
    } else {
        "Bearer syt_YWxpY2UtaW4td29uZGVybGFuZA_abcdefghijklmnopqrst_0aBcDe"
    };
    for (field, value) in [
        ("host", "matrix.example.com"),
        ("authorization", authorization),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept-language", "en-US,en;q=0.5"),
        ("origin", "https://app.element.io"),
        ("content-length", "42"),
    ] {
        parts.headers.insert(field, HeaderValue::from_str(value).unwrap());
    }
    let target = target.to_owned();
    Sent { name, parts, target }
}
