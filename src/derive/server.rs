//! The names of the homeserver, how large an upload may be, and the header that the request id is in.

use http::Uri;
use http::uri::Authority;

use super::document::{Document, Entry};
use super::process::Processes;
use super::report::Report;
use super::upstreams::Shown;
use super::value::{text, whole};
use crate::quantity::Size;
use crate::yaml::{Mark, Node, quoted};

/// The largest upload unless something else is said (`synapse/config/repository.py`).
const DEFAULT_UPLOAD: Size = Size(50 << 20);

pub(super) fn describe(processes: &Processes, document: &mut Document, report: &mut Report) {
    let settings = &processes.main.settings;
    match settings.text("server_name", report) {
        Some((name, mark)) if is_server_name(name) => document.push(Entry::value("server_name", name, mark)),
        Some((name, mark)) => {
            let message = format!("{} is not a server name", quoted(name));
            report.error(mark, "server_name", message, "write a host with an optional port, such as example.com");
        }
        None if settings.get("server_name").is_some() => {}
        None => report.error(settings.start, "server_name", "is not set", "write the domain of your user ids"),
    }
    match settings.text("public_baseurl", report) {
        Some((url, mark)) => {
            if check_base(url, mark, report) {
                document.push(Entry::value("public_baseurl", url, mark));
            }
        }
        None if settings.get("public_baseurl").is_some() => {}
        None => {
            let message = "is not set, so that clients are sent to `https://` with the server name";
            let remedy = "write the URL at which clients reach the gateway, such as https://matrix.example.com/";
            report.warning(settings.start, "public_baseurl", message, remedy);
        }
    }
}

/// Whether a public URL can be taken over. A user in it would be a secret, so that it is not quoted.
fn check_base(url: &str, mark: Mark, report: &mut Report) -> bool {
    const PATH: &str = "public_baseurl";
    let remedy = "write it as in https://matrix.example.com/";
    let Some((uri, _)) = public_url(url) else {
        report.error(mark, PATH, "is not a URL of http or https without user, query and fragment", remedy);
        return false;
    };
    if uri.scheme_str() == Some("http") {
        report.warning(mark, PATH, "clients are told to send their passwords and tokens in the clear", remedy);
    }
    if !matches!(uri.path(), "" | "/") {
        let message = "has a path, and the gateway serves Matrix at the root of a host";
        report.warning(mark, PATH, message, remedy);
    }
    true
}

/// A URL that may be published, with its host.
pub(super) fn public_url(url: &str) -> Option<(Uri, Authority)> {
    let uri = url.parse::<Uri>().ok()?;
    let authority = uri.authority()?.clone();
    let is_plain = uri.query().is_none() && !url.contains(['#', '@']);
    let port_fits = authority.as_str().len() == authority.host().len() || authority.port_u16().is_some_and(|it| it > 0);
    let has_scheme = matches!(uri.scheme_str(), Some("https" | "http"));
    (is_plain && has_scheme && port_fits && !authority.host().is_empty()).then_some((uri, authority))
}

/// Matrix specification, appendices, "Server name".
fn is_server_name(name: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    name.len() <= 230 && name.bytes().all(is_known) && name.parse::<Authority>().is_ok()
}

/// `limits`: the largest upload that any process takes that has the media repository.
pub(super) fn describe_limits(
    processes: &Processes,
    shown: &[Shown<'_>],
    document: &mut Document,
    report: &mut Report,
) {
    const KEY: &str = "max_upload_size";
    let mut largest: Option<(Size, Mark)> = None;
    let mut least: Option<(Size, Mark)> = None;
    for one in shown.iter().filter(|one| one.has_media) {
        let node = one.process.settings.get(KEY);
        let Some(size) = node.map_or(Some(DEFAULT_UPLOAD), size) else { continue };
        let mark = node.map_or(one.process.mark, |node| node.mark);
        largest = largest.filter(|(most, _)| *most >= size).or(Some((size, mark)));
        least = least.filter(|(least, _)| *least <= size).or(Some((size, mark)));
    }
    let mut told = Vec::new();
    for node in processes.all().filter_map(|process| process.settings.get(KEY)) {
        if size(node).is_none() && !told.contains(&node.mark) {
            told.push(node.mark);
            let message = "is not a size of 1 KiB or more, which a Matrix event needs";
            report.error(node.mark, KEY, message, "write a number of bytes, or one with K, M or G, such as 50M");
        }
    }
    let Some(((most, mark), (least, other))) = largest.zip(least) else { return };
    if least < most {
        let message =
            format!("{least} may be uploaded at one process and {most} at another, at {}", report.place(mark));
        report.warning(other, KEY, message, "write it into the main configuration alone");
    }
    let is_written = processes.all().any(|process| process.settings.get(KEY).is_some());
    if is_written {
        document.push(Entry::section("limits", vec![Entry::value("body", most.to_string(), mark)]));
    }
}

/// A size as Synapse reads it (`synapse/config/_base.py`, `parse_size`).
fn size(node: &Node) -> Option<Size> {
    const LEAST: u64 = 1 << 10;
    let size = if let Some(bytes) = whole(node) {
        Size(bytes)
    } else {
        let text = text(node)?;
        let digits = text.strip_suffix(['K', 'M', 'G', 'T']).unwrap_or(text);
        let is_size = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_size.then(|| text.parse().ok())??
    };
    (LEAST..=1 << 53).contains(&size.0).then_some(size)
}

/// `forwarding.request_id_header`: the header from which Synapse takes the number of a request.
pub(super) fn describe_request_id(shown: &[Shown<'_>], document: &mut Document, report: &mut Report) {
    const KEY: &str = "request_id_header";
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let mut chosen: Option<(&str, Mark)> = None;
    for (name, mark) in shown.iter().filter_map(|one| one.door.request_id_header) {
        if !is_name(name) {
            report.warning(mark, KEY, "is not the name of a header", "write X-Request-Id");
        } else if chosen.is_none() {
            chosen = Some((name, mark));
        }
    }
    let Some((header, mark)) = chosen else {
        if let Some(main) = shown.first() {
            let message = "without it Synapse's log numbers requests by itself, and not as the gateway's does";
            let remedy = "write `request_id_header: X-Request-Id`, for every listener that requests are forwarded to";
            report.warning(main.door.mark, format!("{}.{KEY}", main.door.path), message, remedy);
        }
        return;
    };
    document.push(Entry::section("forwarding", vec![Entry::value(KEY, header, mark)]));
    for door in shown.iter().map(|one| one.door) {
        let (at, what) = match door.request_id_header {
            Some((name, _)) if name.eq_ignore_ascii_case(header) => continue,
            Some((name, at)) => (at, format!("{} is another header", quoted(name))),
            None => (door.mark, "is not set".to_owned()),
        };
        let message = format!("{what}, while {} has `{header}`", report.place(mark));
        report.warning(at, format!("{}.{KEY}", door.path), message, format!("write `{KEY}: {header}`"));
    }
}
