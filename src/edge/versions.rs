//! Adds to Synapse's answer to `/_matrix/client/versions` on its way through.
//!
//! The answer is held back until it is complete. Its length is not known when its head is sent, so it goes out in
//! chunks, as Synapse sends it too.

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    LAST_MODIFIED, RANGE, TRANSFER_ENCODING,
};
use http::{HeaderValue, Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_core::Result;

use crate::rendezvous::{Advertisement, MAX_VERSIONS};

/// Asks for the answer as it is and for all of it: it could not be added to otherwise.
pub(super) fn ask(request: &mut RequestHeader) -> Result<()> {
    for name in [IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE] {
        request.remove_header(&name);
    }
    request.insert_header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
}

/// Prepares the head for a body of another length; gives what to hold the body back in, if it is one to be added to.
pub(super) fn begin(method: &Method, response: &mut ResponseHeader) -> Result<Option<Vec<u8>>> {
    let headers = &response.headers;
    let is_empty = headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0");
    if response.status != StatusCode::OK || headers.contains_key(CONTENT_ENCODING) || is_empty {
        return Ok(None);
    }
    for name in [ACCEPT_RANGES, CONTENT_LENGTH, ETAG, LAST_MODIFIED] {
        response.remove_header(&name);
    }
    if *method == Method::HEAD {
        return Ok(None);
    }
    response.insert_header(TRANSFER_ENCODING, HeaderValue::from_static("chunked"))?;
    Ok(Some(Vec::new()))
}

/// Holds the body back, and lets it go as a whole, added to. One that is too large or cannot be added to passes as it is.
pub(super) fn pass(held: &mut Option<Vec<u8>>, body: &mut Option<Bytes>, end: bool, added: &Advertisement) {
    let Some(whole) = held else { return };
    if let Some(chunk) = body.take() {
        whole.extend_from_slice(&chunk);
    }
    let too_large = whole.len() > MAX_VERSIONS;
    if end || too_large {
        let merged = if too_large { None } else { added.merge(whole) };
        *body = Some(Bytes::from(merged.unwrap_or_else(|| std::mem::take(whole))));
        *held = None;
    }
}
