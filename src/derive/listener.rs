//! The listeners of one process: where they are, and what is served there (`synapse/config/server.py`,
//! `parse_listener_def`).

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::report::Report;
use super::value::{child, items, text, texts, truth, whole};
use crate::upstream_address::UpstreamAddress;
use crate::yaml::{Mark, Node};

#[derive(Debug)]
pub(super) struct Listener<'f> {
    pub(super) mark: Mark,
    /// The path of the listener, as in `listeners[0]`.
    pub(super) path: String,
    pub(super) place: Place<'f>,
    pub(super) kind: ListenerKind,
    pub(super) tls: bool,
    pub(super) x_forwarded: bool,
    pub(super) request_id_header: Option<(&'f str, Mark)>,
    /// Nothing unless it is for HTTP.
    pub(super) resources: Vec<&'f str>,
    /// Where the resources are listed.
    pub(super) resources_mark: Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListenerKind {
    Http,
    Metrics,
    Manhole,
}

#[derive(Debug)]
pub(super) enum Place<'f> {
    /// A port, on these addresses; on all of them where none is given, which Python's `listen` is told as an empty text.
    Tcp {
        port: u16,
        addresses: Vec<(&'f str, Mark)>,
        mark: Mark,
    },
    Unix {
        path: &'f str,
        mark: Mark,
    },
}

/// How good it is to be reached by the gateway; the best comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    Unix,
    Loopback,
    Everywhere,
    Network,
}

const RESOURCES: [&str; 10] =
    ["client", "consent", "federation", "health", "keys", "media", "metrics", "openid", "replication", "static"];
/// Resources that requests come for from outside.
const PUBLIC: [&str; 7] = ["client", "consent", "federation", "keys", "media", "openid", "static"];

/// Reads a list of listeners; what is wrong with one leaves it out.
pub(super) fn read_all<'f>(node: Option<&'f Node>, key: &str, report: &mut Report) -> Vec<Listener<'f>> {
    let Some(node) = node else { return Vec::new() };
    let Some(list) = items(node) else {
        report.error(node.mark, key, "is not a list", "write `- ` before each listener");
        return Vec::new();
    };
    list.iter().enumerate().filter_map(|(index, node)| read(node, format!("{key}[{index}]"), report)).collect()
}

fn read<'f>(node: &'f Node, path: String, report: &mut Report) -> Option<Listener<'f>> {
    let mark = node.mark;
    let kind = match child(node, "type").and_then(text) {
        Some("http") => ListenerKind::Http,
        Some("metrics") => ListenerKind::Metrics,
        Some("manhole") => ListenerKind::Manhole,
        Some("replication") => {
            let message = "Synapse no longer replicates over a port of its own";
            report.error(mark, format!("{path}.type"), message, "write `type: http` with `names: [replication]`");
            return None;
        }
        Some(_) | None => {
            let message = "is not a type of listener that Synapse knows";
            report.error(mark, format!("{path}.type"), message, "write http, metrics or manhole");
            return None;
        }
    };
    let place = read_place(node, &path, report)?;
    let tls = child(node, "tls").is_some_and(|tls| truth(tls) != Some(false));
    let is_unix = matches!(place, Place::Unix { .. });
    let x_forwarded = child(node, "x_forwarded").map_or(is_unix, |given| truth(given) != Some(false));
    let request_id_header = child(node, "request_id_header").and_then(|name| Some((text(name)?, name.mark)));
    let mut listener = Listener {
        mark,
        path,
        place,
        kind,
        tls,
        x_forwarded,
        request_id_header,
        resources: Vec::new(),
        resources_mark: mark,
    };
    if kind == ListenerKind::Http {
        listener.read_resources(node, report);
        listener.check(node, report);
    }
    Some(listener)
}

fn read_place<'f>(node: &'f Node, path: &str, report: &mut Report) -> Option<Place<'f>> {
    let port = child(node, "port");
    let socket = child(node, "path");
    match (port, socket) {
        (Some(_), Some(socket)) => {
            report.error(socket.mark, path, "has both a port and the path of a socket", "remove one of the two");
            None
        }
        (None, None) => {
            report.error(node.mark, path, "has neither a port nor the path of a socket", "add one of the two");
            None
        }
        (None, Some(socket)) => {
            let found = text(socket).filter(|socket| Path::new(socket).is_absolute());
            if found.is_none() {
                let message = "is not the absolute path of a socket";
                report.error(socket.mark, format!("{path}.path"), message, "write /run/matrix-synapse/main.sock");
            }
            Some(Place::Unix { path: found?, mark: socket.mark })
        }
        (Some(port), None) => {
            let number = whole(port).and_then(|number| u16::try_from(number).ok()).filter(|&number| number != 0);
            if number.is_none() {
                let message = "is not a port";
                report.error(port.mark, format!("{path}.port"), message, "write a number from 1 to 65535");
            }
            let mut addresses = Vec::new();
            for (key, node) in
                ["bind_addresses", "bind_address"].iter().filter_map(|key| Some((key, child(node, key)?)))
            {
                match texts(node) {
                    Some(list) => addresses.extend(list),
                    None => report.error(node.mark, format!("{path}.{key}"), "is not an address", "write 127.0.0.1"),
                }
            }
            Some(Place::Tcp { port: number?, addresses, mark: port.mark })
        }
    }
}

impl<'f> Listener<'f> {
    pub(super) fn has(&self, resource: &str) -> bool {
        self.resources.contains(&resource)
    }

    /// Whether anything is served here that requests come for from outside.
    pub(super) fn is_public(&self) -> bool {
        PUBLIC.iter().any(|resource| self.has(resource))
    }

    fn read_resources(&mut self, node: &'f Node, report: &mut Report) {
        let Some(list) = child(node, "resources") else { return };
        let path = format!("{}.resources", self.path);
        for item in items(list).unwrap_or_default() {
            let Some(names) = child(item, "names") else { continue };
            for (name, mark) in texts(names).unwrap_or_default() {
                if RESOURCES.contains(&name) {
                    self.resources.push(name);
                } else {
                    let remedy = format!("write any of {}", RESOURCES.join(", "));
                    report.error(mark, &path, "is not a resource that Synapse knows", remedy);
                }
            }
            self.resources_mark = names.mark;
        }
    }

    fn check(&self, node: &Node, report: &mut Report) {
        let key = |key: &str| format!("{}.{key}", self.path);
        if self.is_public() && !self.x_forwarded {
            let mark = child(node, "x_forwarded").map_or(self.mark, |given| given.mark);
            let message = "without it Synapse takes the gateway for every client: one rate limit and one ban for all";
            report.warning(mark, key("x_forwarded"), message, "write `x_forwarded: true`");
        }
        let private = ["replication", "metrics"].into_iter().find(|name| self.has(name));
        if let Some(private) = private.filter(|_| self.is_public()) {
            let message = format!("`{private}` is served where requests from outside are");
            report.warning(
                self.resources_mark,
                key("resources"),
                message,
                "give it a listener of its own, on loopback",
            );
        }
        if let Some(old) = child(node, "experimental_cors_msc3886") {
            let message = "Synapse has not known this since 1.120; the gateway sends these headers itself";
            report.warning(old.mark, key("experimental_cors_msc3886"), message, "remove it");
        }
        if self.tls && self.is_public() {
            let mark = child(node, "tls").map_or(self.mark, |tls| tls.mark);
            let message = "requests that come here pass the gateway by, which speaks plain HTTP to Synapse";
            report.warning(mark, key("tls"), message, "write `tls: false` and listen on loopback");
        }
    }

    /// Warns where others than this host can connect. `here` is whether the process runs on this host.
    pub(super) fn check_exposure(&self, report: &mut Report) {
        let Place::Tcp { addresses, mark, .. } = &self.place else { return };
        let remedy = "write `bind_addresses: ['127.0.0.1']`";
        let wide = addresses.iter().find(|(address, _)| is_wildcard(address));
        if let Some((_, mark)) = wide {
            let message = "every address of this host is listened on, and the gateway can be passed by";
            report.warning(*mark, format!("{}.bind_addresses", self.path), message, remedy);
        } else if addresses.is_empty() {
            let message = "no address is given, so that all are listened on, and the gateway can be passed by";
            report.warning(*mark, &self.path, message, remedy);
        }
    }

    pub(super) fn reach(&self) -> Reach {
        match &self.place {
            Place::Unix { .. } => Reach::Unix,
            Place::Tcp { addresses, .. } if addresses.iter().any(|(address, _)| is_loopback(address)) => {
                Reach::Loopback
            }
            Place::Tcp { addresses, .. }
                if addresses.is_empty() || addresses.iter().any(|(address, _)| is_wildcard(address)) =>
            {
                Reach::Everywhere
            }
            Place::Tcp { .. } => Reach::Network,
        }
    }

    /// Where the gateway connects to. `elsewhere` is the host that the process runs on, if it is another one.
    pub(super) fn address(&self, elsewhere: Option<&str>) -> (UpstreamAddress, Mark) {
        match &self.place {
            Place::Unix { path, mark } => (UpstreamAddress::Unix(path.into()), *mark),
            Place::Tcp { port, addresses, mark } => {
                let host = match self.reach() {
                    Reach::Loopback => {
                        let first = addresses.iter().map(|(address, _)| *address).filter(|it| is_loopback(it));
                        // Python connects `localhost` to IPv4; to others it may be the other family.
                        let best = first.min_by_key(|address| address.contains(':')).unwrap_or("localhost");
                        if best == "localhost" { Ipv4Addr::LOCALHOST.to_string() } else { best.to_owned() }
                    }
                    Reach::Unix | Reach::Everywhere => {
                        let only_six = !addresses.is_empty() && addresses.iter().all(|(address, _)| *address == "::");
                        let near = if only_six { "::1" } else { "127.0.0.1" };
                        elsewhere.unwrap_or(near).to_owned()
                    }
                    Reach::Network => addresses.first().map_or("127.0.0.1", |(address, _)| address).to_owned(),
                };
                (UpstreamAddress::Tcp { host, port: *port }, *mark)
            }
        }
    }
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether every address of the host is meant. An empty text is to Python.
pub(super) fn is_wildcard(host: &str) -> bool {
    host.is_empty() || host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}
