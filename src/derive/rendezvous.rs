//! `rendezvous`: sign-in by QR code, as Synapse's module and its experiments have it.

use std::time::Duration;

use http::Uri;

use super::document::{Document, Entry};
use super::files::Settings;
use super::process::Processes;
use super::report::Report;
use super::value::{child, items, text, truth, whole};
use crate::quantity::{Size, Span};
use crate::yaml::{Mark, Node};

const MODULE: &str = "matrix_http_rendezvous_synapse";

pub(super) fn describe(processes: &Processes, document: &mut Document, report: &mut Report) {
    let settings = &processes.main.settings;
    let mut entries = Vec::new();
    let module = module(settings);
    let endpoint = settings.below("experimental_features", "msc3886_endpoint");
    if let Some((mark, config)) = module {
        entries.push(Entry::because("enabled", true, mark, "the module"));
        if let Some(config) = config {
            describe_module(config, &mut entries, report);
        }
        let message = "Synapse has not sent clients to the module since 1.120; the gateway serves the same paths";
        report.warning(mark, "modules", message, "remove it, and `msc3886_endpoint` with it");
    }
    if let Some(endpoint) = endpoint {
        describe_endpoint(endpoint, settings, &mut entries, report);
    }
    let is_on = |key: &str| settings.below("experimental_features", key).filter(|node| truth(node) == Some(true));
    let mode = settings.below("experimental_features", "msc4388_mode");
    let mode = mode.and_then(|node| Some((text(node)?, node.mark))).filter(|(mode, _)| *mode != "off");
    let enabler = is_on("msc4108_enabled").map(|node| node.mark).or(mode.map(|(_, mark)| mark));
    if let Some(mark) = enabler
        && entries.is_empty()
    {
        entries.push(Entry::because("enabled", true, mark, "served by the gateway, across restarts of Synapse"));
    }
    let delegated = settings.below("experimental_features", "msc4108_delegation_endpoint");
    if let Some(delegated) = delegated {
        if entries.is_empty() {
            let text = "MSC4108 is left to the server that Synapse names here; `rendezvous: {enabled: true}` would \
                        serve it in the gateway";
            report.note(delegated.mark, text);
        } else {
            let upstream =
                Entry::because("serve", "upstream", delegated.mark, "Synapse sends clients to another server");
            entries.push(Entry::section("msc4108", vec![upstream]));
        }
    }
    if let Some((mode @ ("open" | "authenticated"), mark)) = mode {
        entries.push(Entry::section("msc4388", vec![Entry::value("create", mode, mark)]));
    }
    document.push(Entry::section("rendezvous", entries));
}

/// The former module's place and its keys.
fn module<'f>(settings: &Settings<'f>) -> Option<(Mark, Option<&'f Node>)> {
    let list = settings.get("modules").and_then(items)?;
    let found = list.iter().find(|item| {
        let name = child(item, "module").and_then(text);
        name.is_some_and(|name| name == MODULE || name.starts_with("matrix_http_rendezvous_synapse."))
    })?;
    Some((found.mark, child(found, "config")))
}

fn describe_module(config: &Node, entries: &mut Vec<Entry>, report: &mut Report) {
    let mut take = |key: &str, value: Option<Entry>, remedy: &str| {
        let Some(node) = child(config, key) else { return };
        match value {
            Some(entry) => entries.push(entry),
            None => report.warning(node.mark, format!("modules.{key}"), "is nothing that the gateway takes", remedy),
        }
    };
    let of = |key: &str| child(config, key).and_then(|node| Some((text(node)?, node.mark)));
    let prefix = of("prefix").filter(|(prefix, _)| is_prefix(prefix));
    take("prefix", prefix.map(|(it, mark)| Entry::value("prefix", it, mark)), "write a path such as /rendezvous");
    let ttl = of("ttl").filter(|(ttl, _)| {
        let ttl = ttl.parse::<Span>();
        ttl.is_ok_and(|ttl| (Duration::from_millis(1)..=Duration::from_hours(1)).contains(&ttl.0))
    });
    take("ttl", ttl.map(|(it, mark)| Entry::value("ttl", it, mark)), "write a duration up to 1h, such as 60s");
    let bytes = of("max_bytes").filter(|(bytes, _)| {
        let size = bytes.parse::<Size>();
        size.is_ok_and(|size| (1..=1 << 20).contains(&size.0))
    });
    take("max_bytes", bytes.map(|(it, mark)| Entry::value("max_bytes", it, mark)), "write a size up to 1MiB");
    let count = child(config, "max_entries").and_then(|node| Some((whole(node)?, node.mark)));
    let count = count.filter(|(count, _)| (1..=1_000_000).contains(count));
    let count = count.map(|(it, mark)| Entry::value("max_entries", it, mark));
    take("max_entries", count, "write a number up to 1000000");
}

/// Where Synapse of old sends clients.
fn describe_endpoint(endpoint: &Node, settings: &Settings, entries: &mut Vec<Entry>, report: &mut Report) {
    const PATH: &str = "experimental_features.msc3886_endpoint";
    let message = "Synapse has not known it since 1.120; the gateway serves what it was for";
    report.warning(endpoint.mark, PATH, message, "remove it");
    let Some(target) = text(endpoint) else { return };
    let Some(path) = own_path(target, settings) else {
        let note = "clients were sent to another server from here; the gateway serves these sessions itself if \
                    `rendezvous.enabled` is true";
        report.note(endpoint.mark, note);
        return;
    };
    let module = module(settings);
    let prefix = module.and_then(|(_, config)| child(config?, "prefix")).and_then(text);
    match prefix {
        Some(prefix) if prefix.trim_end_matches('/') != path.trim_end_matches('/') => {
            let message = "is another path than the module's `prefix`";
            report.warning(endpoint.mark, PATH, message, "write the same for both, or remove both");
        }
        Some(_) => {}
        None if is_prefix(path) => {
            if module.is_none() {
                entries.push(Entry::because("enabled", true, endpoint.mark, "clients were sent there"));
            }
            entries.push(Entry::value("prefix", path.to_owned(), endpoint.mark));
        }
        None => report.note(endpoint.mark, "the path is not one that the gateway can serve sessions below"),
    }
}

/// The path of a URL on this homeserver.
fn own_path<'t>(target: &'t str, settings: &Settings) -> Option<&'t str> {
    if target.starts_with('/') {
        return Some(target);
    }
    let base = settings.get("public_baseurl").and_then(text)?.parse::<Uri>().ok()?;
    let target_uri = target.parse::<Uri>().ok()?;
    let same = (target_uri.scheme(), target_uri.authority()) == (base.scheme(), base.authority());
    let start = target.find("://")? + 3;
    let path = target.get(start..)?;
    same.then(|| path.find('/').and_then(|slash| path.get(slash..)))?
}

/// Letters, digits, `-`, `.`, `_` and `~` between single slashes, and not where something else is served.
fn is_prefix(path: &str) -> bool {
    const TAKEN: [&str; 5] = ["/", "/_matrix", "/_matrix/client", "/_synapse", "/_synapse/client"];
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let is_segment = |part: &str| !part.is_empty() && part.bytes().all(is_known) && !matches!(part, "." | "..");
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    path.len() <= 200
        && !TAKEN.contains(&trimmed)
        && trimmed.strip_prefix('/').is_some_and(|segments| segments.split('/').all(is_segment))
}
