//! What clients and other servers are told, and the services beside Synapse.

use serde_json::{Map, Value, json};

use super::Study;
use super::page::scalar;
use super::settings::Settings;
use crate::yaml::{Content, Node, resolve};

/// The module that Synapse had MSC3886 by.
const RENDEZVOUS_MODULE: &str = "matrix_http_rendezvous_synapse";
/// The key of the services for calls in the document for clients (MSC4143).
const FOCI: &str = "org.matrix.msc4143.rtc_foci";

impl Study<'_> {
    pub(super) fn documents(&mut self, settings: &Settings) {
        self.mas(settings);
        self.rendezvous(settings);
        self.well_known(settings);
        for key in ["web_client_location"] {
            if let Some(node) = settings.get(key) {
                let message = format!("`{key}` is not taken over: the gateway answers `/` itself");
                self.warn(
                    node.mark,
                    message,
                    "add `extra_routes: [{path: /, redirect: …}]` with that URL to the gateway's file",
                );
            }
        }
    }

    fn mas(&mut self, settings: &Settings) {
        if let Some(section) = settings.get("matrix_authentication_service")
            && section.key("enabled").and_then(Node::flag) == Some(true)
        {
            let endpoint = section.key("endpoint");
            let url = endpoint.and_then(Node::text).unwrap_or("http://localhost:8080/").to_owned();
            let mark = endpoint.map_or(section.mark, |endpoint| endpoint.mark);
            let rest = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
            if rest.is_some_and(|rest| !rest.contains('/') && !rest.is_empty()) {
                self.page.set("mas.endpoint", scalar(&url), mark);
            } else {
                let message = "the endpoint of Matrix Authentication Service is not one that log-ins can be sent to";
                self.warn(mark, message, "set `mas: {endpoint: …}` in the gateway's file, http without a path");
            }
        }
        if let Some(section) = settings.within("experimental_features", "msc3861")
            && section.key("enabled").and_then(Node::flag) == Some(true)
        {
            let message = "log-ins are delegated, but not where Matrix Authentication Service listens";
            self.warn(section.mark, message, "set `mas: {endpoint: …}` in the gateway's file");
        }
    }

    fn rendezvous(&mut self, settings: &Settings) {
        let modules = settings.get("modules").map(Node::items).unwrap_or_default();
        let module = modules.into_iter().find(|module| {
            module.key("module").and_then(Node::text).is_some_and(|name| name.starts_with(RENDEZVOUS_MODULE))
        });
        let endpoint = settings.within("experimental_features", "msc3886_endpoint");
        if let Some(module) = module {
            self.page.set("rendezvous.enabled", "true".to_owned(), module.mark);
            for key in ["prefix", "ttl", "max_bytes", "max_entries"] {
                if let Some(node) = module.key("config").and_then(|config| config.key(key)) {
                    self.page.value_at(&format!("rendezvous.{key}"), node);
                }
            }
            let message = "Synapse has not loaded this module for MSC3886 since version 1.120; the gateway serves it";
            self.warn(module.mark, message, "remove it from `modules`");
        } else if let Some(endpoint) = endpoint {
            self.page.set("rendezvous.enabled", "true".to_owned(), endpoint.mark);
            if endpoint.text().is_some_and(|path| path.starts_with("/_synapse/client/")) {
                self.page.text_at("rendezvous.prefix", endpoint);
            }
        }
        if let Some(endpoint) = endpoint {
            let message = "Synapse has not known `msc3886_endpoint` since version 1.120";
            self.warn(endpoint.mark, message, "remove it: the gateway answers clients itself");
        }
        if let Some(node) = settings.within("experimental_features", "msc4108_delegation_endpoint") {
            let message =
                "sign-in by QR code is delegated to another server; with `rendezvous.enabled` the gateway serves it";
            self.warn(node.mark, message, "choose one of the two");
        }
    }

    fn well_known(&mut self, settings: &Settings) {
        if let Some(node) = settings.get("serve_server_wellknown").filter(|node| node.flag() == Some(true))
            && let Some(name) = settings.get("server_name").and_then(Node::text)
        {
            // As Synapse's own document (`synapse/rest/well_known.py`).
            let has_port =
                name.rsplit(':').next().is_some_and(|port| name.contains(':') && port.parse::<u16>().is_ok());
            let server = if has_port { name.to_owned() } else { format!("{name}:443") };
            self.page.set("well_known.server", scalar(&server), node.mark);
        }
        if let Some(node) = settings.get("default_identity_server")
            && let Some(url) = node.text()
        {
            self.client(&["m.identity_server", "base_url"], scalar(url), node);
        }
        let foci = self.foci(settings);
        if let Some((node, value)) = foci {
            self.client(&[FOCI], value.to_string(), &node);
            let message = "the services for calls are told to clients as Synapse has them";
            self.warn(
                node.mark,
                message,
                "where they are to be reached through the gateway, set `matrix_rtc` in its file",
            );
        }
        for (key, node) in settings.get("extra_well_known_client_content").map(Node::entries).unwrap_or_default() {
            let known = [FOCI, "m.identity_server"].contains(&key.as_str());
            if let Some(value) = json(node).filter(|_| !known) {
                self.client(&[key], value.to_string(), node);
            }
        }
    }

    /// A member of what clients are told.
    fn client(&mut self, path: &[&str], value: String, node: &Node) {
        let path = ["well_known", "client"].iter().chain(path).map(|key| (*key).to_owned()).collect();
        self.page.set_noted(path, value, node.mark, String::new());
    }

    fn foci(&mut self, settings: &Settings) -> Option<(Node, Value)> {
        let transports = settings.within("matrix_rtc", "transports")?;
        let services: Vec<Value> = transports
            .items()
            .into_iter()
            .filter(|transport| transport.key("type").and_then(Node::text) == Some("livekit"))
            .filter_map(|transport| transport.key("livekit_service_url")?.text())
            .map(|url| json!({ "type": "livekit", "livekit_service_url": url }))
            .collect();
        (!services.is_empty()).then(|| (transports.clone(), Value::Array(services)))
    }
}

/// Free-form content, which Synapse publishes as it is.
fn json(node: &Node) -> Option<Value> {
    match &node.content {
        Content::Scalar { text, plain: true } => serde_json::to_value(resolve(text)).ok(),
        Content::Scalar { text, plain: false } => Some(Value::from(text.as_str())),
        Content::Sequence(items) => Some(items.iter().filter_map(json).collect()),
        Content::Mapping(entries) => {
            let members = entries.iter().filter_map(|(key, node)| Some((key.clone(), json(node)?)));
            Some(Value::Object(members.collect::<Map<_, _>>()))
        }
        Content::Dropped => None,
    }
}
