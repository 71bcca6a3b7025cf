//! What requests have in common that are best answered by one process.
//!
//! A key becomes a number that is the same in every gateway and after every restart. Access tokens are looked into, and
//! neither kept nor shown.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::AUTHORIZATION;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::rows::Affinity;
use crate::inbound::Inbound;

/// As Synapse encodes the local part of a user in its access tokens (`generate_access_token` in
/// `synapse/handlers/auth.py`).
const UNPADDED: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// The longest local part of a user id is shorter (Matrix specification, appendices, "User identifiers").
const MAX_LOCALPART: usize = 255;

/// What a request is placed by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// This number.
    Hash(u64),
    /// The user whom this token belongs to, which only Synapse can tell.
    Token(&'a [u8]),
    /// Nothing: any process will do.
    None,
}

/// Without the token.
impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash(hash) => f.debug_tuple("Hash").field(hash).finish(),
            Self::Token(_) => f.write_str("Token(redacted)"),
            Self::None => f.write_str("None"),
        }
    }
}

impl Affinity {
    /// The name that `explain` prints.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Origin => "origin",
            Self::Room => "room",
            Self::StrictRoom => "room, strictly",
            Self::Uri => "target",
            Self::Any => "any",
        }
    }

    /// The key of a request from `client`, on a homeserver of that name.
    #[must_use]
    pub fn key<'a>(self, inbound: &Inbound<'a>, client: IpAddr, server_name: Option<&str>) -> Key<'a> {
        match self {
            Self::Any => Key::None,
            Self::Uri => {
                let mut hash = Xxh3::new();
                hash.update(inbound.path.as_bytes());
                hash.update(inbound.query.unwrap_or_default().as_bytes());
                Key::Hash(hash.digest())
            }
            Self::Origin => Key::Hash(origin(inbound).unwrap_or_else(|| address(client))),
            Self::Room | Self::StrictRoom => match room(inbound.path) {
                Some(room) => Key::Hash(room),
                None => user(inbound, server_name),
            },
            Self::User => user(inbound, server_name),
        }
    }
}

/// The number of a user of this homeserver, by the local part of the user id.
fn of_user(localpart: &[u8]) -> u64 {
    xxh3_64(localpart)
}

/// The number of a user id as Synapse tells it.
#[must_use]
pub fn of_user_id(user_id: &str, server_name: Option<&str>) -> u64 {
    let local = user_id.strip_prefix('@').and_then(|id| id.split_once(':'));
    match local {
        Some((localpart, server)) if server_name.is_none_or(|name| name == server) => of_user(localpart.as_bytes()),
        Some(_) | None => of_user(user_id.as_bytes()),
    }
}

/// The number of a token whose user is not known.
#[must_use]
pub fn of_token(token: &[u8]) -> u64 {
    xxh3_64(token)
}

/// The access token of a request: that of the header, else that of the query.
#[must_use]
pub fn access_token<'a>(inbound: &Inbound<'a>) -> Option<&'a [u8]> {
    let header = inbound.headers.get(AUTHORIZATION).and_then(|value| after_scheme(value.as_bytes(), b"Bearer "));
    header.or_else(|| inbound.query_value("access_token").map(str::as_bytes)).filter(|token| !token.is_empty())
}

/// What follows an authentication scheme, which is not case-sensitive (RFC 9110, section 11.1).
fn after_scheme<'a>(field: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = field.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

fn user<'a>(inbound: &Inbound<'a>, server_name: Option<&str>) -> Key<'a> {
    let Some(token) = access_token(inbound) else { return Key::None };
    let mut localpart = [0; MAX_LOCALPART];
    if let Some(length) = native(token, &mut localpart) {
        return Key::Hash(of_user(localpart.get(..length).unwrap_or_default()));
    }
    // An application service says for whom it asks.
    let mut user_id = [0; 2 * MAX_LOCALPART];
    let asked_for = inbound.query_value("user_id").and_then(|value| decoded(value.as_bytes(), &mut user_id));
    match asked_for.and_then(|id| std::str::from_utf8(id).ok()) {
        Some(id) => Key::Hash(of_user_id(id, server_name)),
        None => Key::Token(token),
    }
}

/// The local part in a token of Synapse's own: `syt_<local part>_<random>_<checksum>`.
fn native(token: &[u8], localpart: &mut [u8]) -> Option<usize> {
    let encoded = token.strip_prefix(b"syt_")?.split(|&byte| byte == b'_').next()?;
    UNPADDED.decode_slice(encoded, localpart).ok()
}

/// The sending server in `Authorization: X-Matrix origin="…",…` (server-server API, "Request authentication"). It is not
/// verified here: whoever lies chooses a worker, and nothing else.
fn origin(inbound: &Inbound) -> Option<u64> {
    let field = inbound.headers.get(AUTHORIZATION)?;
    let parameters = after_scheme(field.as_bytes(), b"X-Matrix ")?;
    parameters.split(|&byte| byte == b',').find_map(|parameter| {
        let parameter = parameter.trim_ascii();
        let equals = parameter.iter().position(|&byte| byte == b'=')?;
        let (name, value) = parameter.split_at_checked(equals)?;
        let value = value.get(1..)?.trim_ascii();
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        name.trim_ascii().eq_ignore_ascii_case(b"origin").then(|| xxh3_64(value))
    })
}

/// An address, or the network of version 6 that a household has.
fn address(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(address) => xxh3_64(&address.octets()),
        IpAddr::V6(address) => {
            let [network @ .., _, _, _, _, _, _, _, _] = address.octets();
            xxh3_64(&network)
        }
    }
}

/// The room id or alias in a path, however it is encoded.
fn room(path: &str) -> Option<u64> {
    /// Longer than any room id or alias (255 bytes), each byte encoded.
    const MAX_ROOM: usize = 255;
    let mut segments = path.split('/');
    let named = |segment: &str| matches!(segment, "rooms" | "join" | "knock" | "room" | "room_summary" | "summary");
    segments.find(|segment| named(segment))?;
    let mut buffer = [0; MAX_ROOM];
    let room = segments.next().filter(|room| !room.is_empty())?;
    Some(xxh3_64(decoded(room.as_bytes(), &mut buffer).unwrap_or(room.as_bytes())))
}

/// Percent-decoded into a buffer; None if it does not fit in.
fn decoded<'b>(text: &[u8], buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let (mut at, mut length) = (0, 0);
    while let Some(&byte) = text.get(at) {
        let code = if byte == b'%' { digit(text.get(at + 1)).zip(digit(text.get(at + 2))) } else { None };
        let value = code.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        *buffer.get_mut(length)? = value.unwrap_or(byte);
        length += 1;
        at += if value.is_some() { 3 } else { 1 };
    }
    buffer.get(..length)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;
    use crate::inbound::HeadBounds;
    use crate::inbound::fixture::arrival;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    /// The key of a request with this `Authorization`, in words.
    fn key(affinity: Affinity, target: &str, authorization: &str, client: IpAddr) -> String {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.headers.insert("host", HeaderValue::from_static("example.com"));
        if !authorization.is_empty() {
            parts.headers.insert(AUTHORIZATION, HeaderValue::from_str(authorization).unwrap());
        }
        let bounds = HeadBounds { target: 4096, head: 8192, fields: 100 };
        let arrival = arrival();
        let inbound = Inbound::read(&parts, target.as_bytes(), &arrival, &bounds).unwrap();
        format!("{:?}", affinity.key(&inbound, client, Some("example.com")))
    }

    fn user(target: &str, authorization: &str) -> String {
        key(Affinity::User, target, authorization, HERE)
    }

    #[test]
    fn a_user_has_one_key_whatever_the_token() {
        let alice = format!("{:?}", Key::Hash(of_user(b"alice")));
        // `alice` is `YWxpY2U` in Base64.
        assert_eq!(user("/", "Bearer syt_YWxpY2U_oLkmUjKqMZTOeFyq_2w1wCr"), alice);
        assert_eq!(user("/", "bearer syt_YWxpY2U_another_0Gwqxx"), alice);
        assert_eq!(user("/?access_token=syt_YWxpY2U_a_b", ""), alice);
        assert_eq!(user("/?user_id=%40alice%3Aexample.com", "Bearer of-a-bridge"), alice);
        assert_eq!(of_user_id("@alice:example.com", Some("example.com")), of_user(b"alice"));
        assert_ne!(user("/?user_id=@alice:elsewhere.com", "Bearer of-a-bridge"), alice);
        assert_ne!(user("/", "Bearer syt_Ym9i_a_b"), alice);
    }

    #[test]
    fn a_token_that_says_nothing_is_passed_on_and_never_shown() {
        for opaque in ["mat_secret", "syt_!_a_b", "syt_YWxpY2U=_a_b", &format!("syt_{}_a_b", "YWFh".repeat(100))] {
            assert_eq!(user("/", &format!("Bearer {opaque}")), "Token(redacted)", "{opaque}");
        }
        for none in ["", "Bearer ", "Basic abc"] {
            assert_eq!(user("/", none), "None", "{none}");
        }
    }

    #[test]
    fn a_room_has_one_key_however_it_is_encoded() {
        let room = |target: &str| key(Affinity::Room, target, "", HERE);
        let first = room("/_matrix/client/v3/rooms/!a:example.com/send/m.room.message/1");
        for same in [
            "/_matrix/client/v3/rooms/%21a%3Aexample.com/state",
            "/_matrix/client/r0/join/!a%3aexample.com",
            "/_matrix/client/v3/directory/room/!a:example.com",
        ] {
            assert_eq!(room(same), first, "{same}");
        }
        assert_ne!(room("/_matrix/client/v3/rooms/!b:example.com/state"), first);
        assert_eq!(room("/_matrix/client/v3/rooms//state"), "None");
    }

    #[test]
    fn a_server_has_one_key_wherever_it_comes_from() {
        let elsewhere: IpAddr = [198, 51, 100, 7].into();
        let from =
            |authorization: &str, client| key(Affinity::Origin, "/_matrix/federation/v1/send/1", authorization, client);
        let first = from("X-Matrix origin=\"a.org\",destination=\"b.org\",key=\"ed25519:1\",sig=\"x\"", HERE);
        for same in ["X-Matrix destination=b.org, Origin = a.org ,sig=\"x\"", "x-matrix key=\"k\",origin=\"a.org\""] {
            assert_eq!(from(same, elsewhere), first, "{same}");
        }
        assert_ne!(from("X-Matrix origin=\"b.org\"", HERE), first);
        let by_address = from("", HERE);
        assert_eq!(from("Bearer x", HERE), by_address);
        assert_ne!(from("", elsewhere), by_address);
        let household = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
        assert_eq!(from("", household(1)), from("", household(2)));
    }

    #[test]
    fn a_target_is_its_own_key() {
        let key = |target: &str| key(Affinity::Uri, target, "", HERE);
        assert_eq!(key("/a?b"), key("/a?b"));
        assert_ne!(key("/a?b"), key("/a?c"));
    }
}
