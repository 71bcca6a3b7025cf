//! Which segments of a path and which values of a query are shown.

use std::fmt::{self, Write};
use std::str;

use super::REDACTED;
use super::text::{escape, is_quoting};

/// Bytes of a query value that are shown at most; a longer one is no timeout, limit or position.
const MAX_VALUE: usize = 256;

/// Names after which the path holds secrets: the ids of rendezvous sessions (MSC3886, MSC4108, MSC4388) and of delayed
/// events (MSC4140) are all that one needs to use them, and so are registration tokens in the admin API.
const SECRET_PARENTS: &[&str] = &["rendezvous", "org.matrix.msc3886", "delayed_events", "registration_tokens"];
/// Names that are shown even there: actions, and the collections themselves.
const SHOWN_BELOW: &[&str] = &["rendezvous", "restart", "cancel", "send", "new"];

/// Parameters whose values are shown: numbers, switches, positions in a stream, and ids that paths show anyway.
const SHOWN_VALUES: &[&str] = &[
    "action",
    "allow_redirect",
    "allow_remote",
    "animated",
    "at",
    "deactivated",
    "dir",
    "event_id",
    "format",
    "from",
    "full_state",
    "guests",
    "height",
    "include",
    "kind",
    "lazy_load_members",
    "limit",
    "max_depth",
    "membership",
    "method",
    "minimum_valid_until_ts",
    "not_membership",
    "omit_members",
    "order_by",
    "org.matrix.msc4140.delay",
    "org.matrix.msc4222.use_state_after",
    "pos",
    "recurse",
    "rel_type",
    "room_id",
    "server_name",
    "set_presence",
    "since",
    "suggested_only",
    "timeout",
    "timeout_ms",
    "to",
    "ts",
    "use_state_after",
    "user_id",
    "v",
    "ver",
    "version",
    "via",
    "width",
];
/// Parameters that are too long to show and say little.
const ELIDED_VALUES: &[&str] = &["filter"];
/// Parameters that are named without their values. Any other is left out with its name, which may be the secret.
const SECRET_VALUES: &[&str] = &[
    "access_token",
    "client_secret",
    "code",
    "id_token",
    "loginToken",
    "next_link",
    "nonce",
    "redirectUrl",
    "refresh_token",
    "registration_token",
    "secret",
    "session",
    "sid",
    "sig",
    "state",
    "ticket",
    "token",
    "url",
    "username",
];

pub(super) fn write_word(out: &mut impl Write, word: &str) -> fmt::Result {
    let (path, query) = match word.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (word, None),
    };
    let is_query = path.split_once('=').is_some_and(|(key, _)| SECRET_VALUES.contains(&key));
    match (is_query, path.contains('/')) {
        (true, _) => write_query(out, path)?,
        (false, true) => write_path(out, path, &[])?,
        (false, false) => escape(out, path.as_bytes(), "\\x", |byte| matches!(byte, b' '..=b'~'))?,
    }
    match query {
        Some("") => out.write_char('?'),
        Some(query) => {
            out.write_char('?')?;
            write_query(out, query)
        }
        None => Ok(()),
    }
}

pub(super) fn write_path(out: &mut impl Write, path: &str, hidden: &[String]) -> fmt::Result {
    // A client that loses or encodes its `?` sends the query as part of the path.
    let starts_query = |unit: &Unit| match unit.byte {
        b'?' | b'&' | b';' => true,
        b'#' => unit.length == 1,
        _ => false,
    };
    let end = if is_encoded(path) {
        units(path).find(starts_query).map(|unit| unit.start)
    } else {
        path.bytes().position(|byte| matches!(byte, b'?' | b'&' | b';' | b'#'))
    };
    let end = end.unwrap_or(path.len());
    let (path, lost_query) = path.split_at_checked(end).unwrap_or(("", path));

    let hidden_from = hidden.iter().filter_map(|prefix| depth_below(path, prefix)).min().unwrap_or(usize::MAX);
    let mut secret = false;
    let mut depth = 0;
    // Written in one go as far as there is nothing to hide.
    let (mut written, mut at) = (0, 0);
    for (segment, separator) in segments(path) {
        let is_secret = !segment.is_empty() && (secret || depth >= hidden_from);
        if is_secret && !SHOWN_BELOW.iter().any(|name| same(segment, name)) {
            write_target_text(out, path.get(written..at).unwrap_or_default())?;
            out.write_str(REDACTED)?;
            written = at + segment.len();
        }
        secret |= SECRET_PARENTS.iter().any(|name| same(segment, name));
        depth += usize::from(!segment.is_empty());
        at += segment.len() + separator.len();
    }
    write_target_text(out, path.get(written..).unwrap_or_default())?;
    if lost_query.is_empty() { Ok(()) } else { out.write_str(REDACTED) }
}

/// Twisted, and with it Synapse, ends a parameter at `;` as well as at `&`.
pub(super) fn write_query(out: &mut impl Write, query: &str) -> fmt::Result {
    for pair in query.split_inclusive(['&', ';']) {
        let (pair, end) = match pair.strip_suffix('&') {
            Some(pair) => (pair, "&"),
            None => pair.strip_suffix(';').map_or((pair, ""), |pair| (pair, ";")),
        };
        let (key, value) = match pair.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (pair, None),
        };
        let shows_value = SHOWN_VALUES.contains(&key);
        let is_known = shows_value || ELIDED_VALUES.contains(&key) || SECRET_VALUES.contains(&key);
        match value {
            _ if pair.is_empty() => {}
            Some(value) if is_known => {
                write!(out, "{key}=")?;
                if ELIDED_VALUES.contains(&key) {
                    out.write_char('…')?;
                } else if shows_value && is_plain(value) {
                    write_target_text(out, value)?;
                } else {
                    out.write_str(REDACTED)?;
                }
            }
            None if is_known => out.write_str(key)?,
            Some(_) | None => out.write_str(REDACTED)?,
        }
        out.write_str(end)?;
    }
    Ok(())
}

/// Whether a value cannot hold a second parameter, as after a doubled `?` or an encoded `&`.
fn is_plain(value: &str) -> bool {
    // A slash is of no use in any shown value but a URL's.
    value.len() <= MAX_VALUE && units(value).all(|unit| !matches!(unit.byte, b'=' | b'?' | b'&' | b';' | b'#' | b'/'))
}

fn write_target_text(out: &mut impl Write, text: &str) -> fmt::Result {
    escape(out, text.as_bytes(), "%", |byte| {
        byte.is_ascii_graphic() && !is_quoting(byte) && !matches!(byte, b'<' | b'>')
    })
}

/// How many segments a path shares with a prefix that it lies under.
fn depth_below(path: &str, prefix: &str) -> Option<usize> {
    let mut path = segments(path).map(|(segment, _)| segment).filter(|segment| !segment.is_empty());
    let mut prefix = prefix.split('/').filter(|segment| !segment.is_empty());
    prefix.try_fold(0, |depth, name| same(path.next()?, name).then_some(depth + 1)).filter(|&depth| depth > 0)
}

/// Whether a segment spells a name, in whatever encoding and case: a misspelt path is refused, but logged all the same.
fn same(segment: &str, name: &str) -> bool {
    // Nothing is spelt shorter than it is, and only an encoded spelling is longer.
    if segment.len() <= name.len() {
        return segment.eq_ignore_ascii_case(name);
    }
    is_encoded(segment)
        && units(segment)
            .map(|unit| unit.byte.to_ascii_lowercase())
            .eq(name.bytes().map(|byte| byte.to_ascii_lowercase()))
}

/// Segments, each with the separator after it: a slash, plain or encoded.
fn segments(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = Some(path);
    let is_encoded = is_encoded(path);
    std::iter::from_fn(move || {
        let text = rest?;
        let slash = if is_encoded {
            units(text).find(|unit| unit.byte == b'/').map(|unit| (unit.start, unit.length))
        } else {
            text.bytes().position(|byte| byte == b'/').map(|start| (start, 1))
        };
        let Some((start, length)) = slash else {
            rest = None;
            return Some((text, ""));
        };
        let (segment, tail) = text.split_at_checked(start)?;
        let (separator, tail) = tail.split_at_checked(length)?;
        rest = Some(tail);
        Some((segment, separator))
    })
}

/// Whether anything in a text may be meant otherwise than it is written. Nearly all paths are logged without a look at
/// each of their bytes, since nothing in them is.
fn is_encoded(text: &str) -> bool {
    text.contains('%')
}

/// A byte as it is meant, and where and how long it is written.
struct Unit {
    byte: u8,
    start: usize,
    length: usize,
}

/// The bytes of a text with percent-encoding undone, however often it was applied.
fn units(text: &str) -> impl Iterator<Item = Unit> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.as_bytes().get(start..)?;
        let (byte, length) = encoded(rest).or_else(|| rest.first().map(|&byte| (byte, 1)))?;
        let unit = Unit { byte, start, length };
        start += length;
        Some(unit)
    })
}

fn encoded(bytes: &[u8]) -> Option<(u8, usize)> {
    let mut digits = bytes.strip_prefix(b"%")?;
    while let Some(inner) = digits.strip_prefix(b"25") {
        digits = inner;
    }
    let pair = digits.get(..2).filter(|pair| pair.iter().all(u8::is_ascii_hexdigit))?;
    let byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    Some((byte, bytes.len() - digits.len() + pair.len()))
}
