//! Header fields that the protocols have in common: entity tags (RFC 9110, section 13) and what guards an answer.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, EXPIRES, IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED,
    PRAGMA, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use mime::Mime;

use super::session::{Stamp, Timestamp};
use super::{Refusal, Revision, Revisions};
use crate::matrix::MatrixError;
use crate::reply::Reply;

/// Longer media types than this are taken for none: they would count as payload that no limit counts.
const MEDIA_TYPE_MAX: usize = 100;

/// The condition on a write; without the header every write may pass.
pub(super) fn if_match(headers: &HeaderMap) -> Revisions {
    if headers.contains_key(IF_MATCH) { tags(headers, &IF_MATCH, strong) } else { Revisions::Any }
}

/// What a reader has seen; without the header, nothing.
pub(super) fn if_none_match(headers: &HeaderMap) -> Revisions {
    tags(headers, &IF_NONE_MATCH, |tag| strong(tag.strip_prefix("W/").unwrap_or(tag)))
}

/// The type of a payload, and what it is served as. Absent and malformed types become `application/octet-stream`, as
/// in the reference implementation.
pub(super) fn media_type(headers: &HeaderMap) -> HeaderValue {
    /// What clients send takes no memory of its own.
    const USUAL: [HeaderValue; 2] =
        [HeaderValue::from_static("application/json"), HeaderValue::from_static("text/plain")];
    let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mime = sent.filter(|text| text.len() <= MEDIA_TYPE_MAX).and_then(|text| text.parse::<Mime>().ok());
    let usual = mime.as_ref().and_then(|mime| USUAL.into_iter().find(|usual| usual == mime.as_ref()));
    usual
        .or_else(|| HeaderValue::from_str(mime?.as_ref()).ok())
        .unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// Whether a browser fetches a page, a frame or a resource, or follows a person's click, rather than a script asking
/// for data (Fetch Metadata Request Headers; the rules are those of MSC4388).
pub(super) fn navigates(headers: &HeaderMap) -> bool {
    const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
    const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
    const USER: HeaderName = HeaderName::from_static("sec-fetch-user");
    const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    let any =
        |name: HeaderName, test: fn(&[u8]) -> bool| headers.get_all(name).iter().any(|value| test(value.as_bytes()));
    any(DEST, |dest| dest != b"empty")
        || any(MODE, |mode| mode == b"navigate")
        || any(USER, |user| user == b"?1")
        || any(SITE, |site| site == b"none")
}

/// A refusal that all protocols tell in the same way.
pub(super) fn error(refusal: &Refusal) -> Reply {
    let reply = Reply::from(MatrixError::from(refusal));
    if let Refusal::Method(allowed) = refusal { reply.allow(allowed) } else { reply }
}

/// Adds the fields that describe a session's state.
pub(super) fn stamped(reply: Reply, stamp: &Stamp) -> Reply {
    reply
        .header(ETAG, visible(format!("\"{}\"", stamp.revision)))
        .header(EXPIRES, http_date(stamp.expires))
        .header(LAST_MODIFIED, http_date(stamp.modified))
}

/// Adds what keeps an answer exact on its way and harmless at its end: a payload is a stranger's bytes of a type that
/// the stranger chose, on the homeserver's origin, and an entity tag that a cache or a compressor weakens never
/// matches again.
pub(super) fn guarded(mut reply: Reply) -> Reply {
    const GUARDS: [(HeaderName, HeaderValue); 6] = [
        (CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform")),
        (PRAGMA, HeaderValue::from_static("no-cache")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'")),
        (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    reply.headers.retain(|(name, _)| name != CACHE_CONTROL);
    reply.headers.extend(GUARDS);
    reply
}

/// A field value of visible ASCII, which is all that tags, dates and ids consist of.
pub(super) fn visible(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// All tags in all fields of the name. Our own tags hold neither commas nor quotes, so cutting a valid list at its
/// commas finds every one of ours, whatever other tags stand between them.
fn tags(headers: &HeaderMap, name: &HeaderName, read: impl Fn(&str) -> Option<Revision>) -> Revisions {
    let fields = || headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    if fields().any(|field| field.trim() == "*") {
        return Revisions::Any;
    }
    Revisions::OneOf(fields().flat_map(|field| field.split(',')).filter_map(|tag| read(tag.trim())).collect())
}

fn strong(tag: &str) -> Option<Revision> {
    Revision::parse(tag.strip_prefix('"')?.strip_suffix('"')?)
}

fn http_date(time: Timestamp) -> HeaderValue {
    visible(httpdate::fmt_http_date(time.into()))
}
