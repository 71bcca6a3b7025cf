//! Where Synapse's processes listen, and for what (`parse_listener_def` in `synapse/config/server.py`).

use super::Study;
use crate::role::Resource;
use crate::yaml::{Mark, Node};

/// An HTTP listener of a process.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    /// As our `address` has it.
    pub(super) address: String,
    /// The names of its resources.
    pub(super) resources: Vec<String>,
    /// The header that carries the id of a request.
    pub(super) request_id_header: Option<Node>,
    pub(super) mark: Mark,
}

impl Listener {
    pub(super) fn has(&self, resource: &str) -> bool {
        self.resources.iter().any(|name| name == resource)
    }

    /// Whether requests of clients or of other servers may come here.
    pub(super) fn is_for_us(&self) -> bool {
        ["client", "federation", "media"].into_iter().any(|name| self.has(name))
    }

    /// What we may ask for here. Media come with the other two where the process has the media repository.
    pub(super) fn serves(&self, has_media: bool) -> Vec<Resource> {
        let media = has_media && self.is_for_us();
        let all = [("client", Resource::Client), ("federation", Resource::Federation)];
        let named = all.into_iter().filter(|(name, _)| self.has(name)).map(|(_, resource)| resource);
        named.chain(media.then_some(Resource::Media)).collect()
    }
}

impl Study<'_> {
    /// The listeners that requests may come to.
    pub(super) fn listeners(&mut self, list: Option<&Node>) -> Vec<Listener> {
        let items = list.map(Node::items).unwrap_or_default();
        items.into_iter().filter_map(|item| self.listener(item)).collect()
    }

    fn listener(&mut self, item: &Node) -> Option<Listener> {
        let kind = item.key("type").and_then(Node::text).unwrap_or_default();
        if kind != "http" {
            return None;
        }
        let resources: Vec<String> = item
            .key("resources")
            .map(Node::items)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|resource| resource.key("names"))
            .flat_map(Node::items)
            .filter_map(|name| name.text().map(str::to_owned))
            .collect();
        let socket = item.key("path").and_then(Node::text).map(str::to_owned);
        let address = match (&socket, item.key("port").and_then(Node::port)) {
            (Some(path), _) => format!("unix:{path}"),
            (None, Some(port)) => self.tcp(item, port),
            (None, None) => {
                self.findings.error(
                    item.mark,
                    String::new(),
                    "the listener here has neither a port nor a path",
                    "give it one",
                );
                return None;
            }
        };
        let request_id_header = item.key("request_id_header").cloned();
        let listener = Listener { address, resources, request_id_header, mark: item.mark };
        if !listener.is_for_us() {
            return None;
        }
        let forwarded = item.key("x_forwarded").and_then(Node::flag).unwrap_or(socket.is_some());
        if !forwarded {
            let message = "without `x_forwarded: true` Synapse takes the gateway for every client";
            self.warn(item.mark, message, "set it on this listener");
        }
        if item.key("tls").and_then(Node::flag) == Some(true) {
            let message = "the gateway speaks plain HTTP to Synapse, and this listener speaks TLS";
            self.findings.error(
                item.mark,
                String::new(),
                message,
                "set `tls: false`, and keep the listener on this host",
            );
        }
        for inner in ["replication", "metrics"] {
            if listener.has(inner) {
                let message = format!("`{inner}` is on a listener that clients reach");
                self.warn(item.mark, message, "give it a listener of its own");
            }
        }
        Some(listener)
    }

    /// How a TCP listener is reached from this host.
    fn tcp(&mut self, item: &Node, port: u16) -> String {
        let bound =
            ["bind_addresses", "bind_address"].into_iter().filter_map(|key| item.key(key)).flat_map(Node::items);
        let mut hosts: Vec<&str> = bound.filter_map(Node::text).collect();
        if hosts.is_empty() {
            hosts = vec!["::", "0.0.0.0"];
        }
        if hosts.iter().any(|host| matches!(*host, "::" | "0.0.0.0" | "")) {
            let message = format!("port {port} is open to every network, past the gateway");
            self.warn(item.mark, message, "set `bind_addresses: ['127.0.0.1']`, unless the gateway is on another host");
        }
        let is_v4 = |host: &&&str| matches!(**host, "127.0.0.1" | "localhost" | "0.0.0.0" | "");
        let host = match hosts.iter().find(is_v4).or_else(|| hosts.first()) {
            Some(&("localhost" | "0.0.0.0" | "")) | None => "127.0.0.1".to_owned(),
            Some(&"::") => "[::1]".to_owned(),
            Some(host) if host.contains(':') => format!("[{host}]"),
            Some(host) => (*host).to_owned(),
        };
        format!("{host}:{port}")
    }
}
