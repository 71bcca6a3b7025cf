//! `well_known`: what Synapse tells clients and servers about itself, and where it sends people.

use serde_json::{Map, Value, json};

use super::document::{Document, Entry};
use super::files::Settings;
use super::report::Report;
use super::server::public_url;
use super::sign_in;
use super::value::{child, entries, items, json, text, truth};
use crate::yaml::{Content, Mark};

const FOCI: &str = "org.matrix.msc4143.rtc_foci";
const AUTHENTICATION: &str = "org.matrix.msc2965.authentication";

pub(super) fn describe(settings: &Settings, document: &mut Document, report: &mut Report) {
    let mut lines = Vec::new();
    let switch = settings.get("serve_server_wellknown").filter(|node| truth(node) == Some(true));
    if let Some((switch, name)) = switch.zip(settings.get("server_name").and_then(text)) {
        // What Synapse itself tells: whoever has the document from there reaches it on the same host.
        let has_port = name.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let server = if has_port { name.to_owned() } else { format!("{name}:443") };
        lines.push(Entry::because("server", server, switch.mark, "the name in `server_name`, as Synapse tells it"));
    }
    let client = describe_client(settings, report);
    if !client.is_empty() {
        lines.push(Entry::section("client", client));
    }
    document.push(Entry::section("well_known", lines));
}

fn describe_client(settings: &Settings, report: &mut Report) -> Vec<Entry> {
    let mut lines = Vec::new();
    if let Some((url, mark)) = settings.text("default_identity_server", report) {
        if public_url(url).is_some() {
            lines.push(Entry::value("m.identity_server", json!({ "base_url": url }), mark));
        } else {
            let message = "is not a URL without user, query and fragment";
            report.warning(mark, "default_identity_server", message, "write it as in https://vector.im");
        }
    }
    let extra = settings.get("extra_well_known_client_content");
    for (key, node) in extra.map(entries).unwrap_or_default() {
        if matches!(key.as_str(), "m.homeserver" | "m.identity_server") {
            let message = format!("`{key}` has a key of its own, and Synapse does not start with it here");
            let remedy = "write `public_baseurl` or `default_identity_server`";
            report.error(node.mark, "extra_well_known_client_content", message, remedy);
        } else if !matches!(node.content, Content::Dropped) {
            lines.push(Entry::value(key, json(node), node.mark));
        }
    }
    if let Some(extra) = extra.filter(|extra| !matches!(extra.content, Content::Mapping(_))) {
        report.error(extra.mark, "extra_well_known_client_content", "has no keys", "write `key: value` below it");
    }
    let told = |name: &str| extra.and_then(|extra| child(extra, name)).is_some();
    if let Some((foci, mark)) = foci(settings, report).filter(|_| !told(FOCI)) {
        lines.push(Entry::value(FOCI, foci, mark));
    }
    if sign_in::is_delegated(settings) && !told(AUTHENTICATION) {
        let section = settings.get("matrix_authentication_service").or(settings.get("experimental_features"));
        let text = format!(
            "clients of some years ago look for `{AUTHENTICATION}` in /.well-known/matrix/client, which Synapse adds when \
             it runs; to tell them, write `issuer` and `account` into `mas`"
        );
        report.note(section.map_or(settings.start, |section| section.mark), text);
    }
    lines
}

/// Where calls are, as clients are told. Only the members that are meant for them.
fn foci(settings: &Settings, report: &mut Report) -> Option<(Value, Mark)> {
    const PATH: &str = "matrix_rtc.transports";
    let transports = settings.below("matrix_rtc", "transports")?;
    let mut foci = Vec::new();
    for node in items(transports).unwrap_or_default() {
        let member = |key: &str| child(node, key).and_then(text).filter(|url| public_url_of_any_scheme(url));
        if child(node, "type").and_then(text) != Some("livekit") {
            report
                .note(node.mark, "the transport is of another type than livekit, and clients are not told of it here");
            continue;
        }
        let Some(service) = member("livekit_service_url") else {
            let message = "clients that look in /.well-known/matrix/client need `livekit_service_url`";
            report.warning(node.mark, PATH, message, "add the public URL of lk-jwt-service");
            continue;
        };
        let mut focus = Map::new();
        focus.insert("type".to_owned(), json!("livekit"));
        focus.insert("livekit_service_url".to_owned(), json!(service));
        if let Some(url) = member("url") {
            focus.insert("url".to_owned(), json!(url));
        }
        foci.push(Value::Object(focus));
    }
    if foci.is_empty() {
        return None;
    }
    let text = "clients are told where calls are; if LiveKit and lk-jwt-service are to be reached through the gateway, \
                write `matrix_rtc: {jwt_service: http://127.0.0.1:8081, sfu: http://127.0.0.1:7880}` with their addresses";
    report.note(transports.mark, text);
    Some((Value::Array(foci), transports.mark))
}

/// A URL without a user: `wss:` among others.
fn public_url_of_any_scheme(url: &str) -> bool {
    url.contains("://") && !url.contains('@')
}

/// `extra_routes`: where people are sent who open the homeserver in a browser.
pub(super) fn describe_root(settings: &Settings, document: &mut Document, report: &mut Report) {
    let Some((url, mark)) = settings.text("web_client_location", report) else { return };
    if public_url(url).is_none() {
        let message = "is not a URL of http or https without user, query and fragment";
        report.warning(mark, "web_client_location", message, "write it as in https://app.example.com/");
        return;
    }
    let routes = json!([{ "path": "/", "redirect": url }]);
    document.push(Entry::because("extra_routes", routes, mark, "whatever is not Matrix is sent there"));
}
