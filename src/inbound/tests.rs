use http::{HeaderMap, HeaderName, HeaderValue, Request};

use super::fixture::arrival;
use super::*;

const BOUNDS: HeadBounds = HeadBounds { target: 64, head: 256, fields: 8 };

fn read(target: &[u8], headers: &[(&'static str, &[u8])]) -> Result<(String, Option<String>, String), Refusal> {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap()))
        .collect::<HeaderMap>();
    let arrival = arrival();
    let inbound = Inbound::read(&parts, target, &arrival, &BOUNDS)?;
    Ok((inbound.path.to_owned(), inbound.query.map(str::to_owned), inbound.host().to_owned()))
}

#[test]
fn the_path_stays_as_it_was_sent() {
    for path in ["/", "/_matrix/%2F/%23a", "/a//b/../c/./%2e%2e", "/_matrix/client/v3/join/%21a:b", "/|\\^[]{}", "/é"]
    {
        let (read, query, _) = read(path.as_bytes(), &[("host", b"a")]).unwrap();
        assert_eq!((read.as_str(), query), (path, None));
    }
    let (path, query, _) = read(b"/a?b?c=/d&&", &[("host", b"a")]).unwrap();
    assert_eq!((path.as_str(), query.as_deref()), ("/a", Some("b?c=/d&&")));
}

#[test]
fn a_target_that_is_no_path_is_refused() {
    let check =
        |target: &[u8], refusal: Refusal| assert_eq!(read(target, &[("host", b"a")]), Err(refusal), "{target:?}");
    for target in ["", "*", "x_synapse/admin", "http://a/_matrix", "matrix-federation://a/b", "a:443"] {
        check(target.as_bytes(), Refusal::TargetForm);
    }
    for target in [&b"/a b"[..], b"/a#b", b"/a\0", b"/a\r\nX: y", b"/\x7f", b"/latin\xe9"] {
        check(target, Refusal::TargetBytes);
    }
    check(format!("/{}", "a".repeat(64)).as_bytes(), Refusal::TargetTooLong);
}

#[test]
fn there_is_exactly_one_valid_host() {
    let check = |host: &[u8], fits: bool| {
        let expected = if fits { None } else { Some(Refusal::HostForm) };
        assert_eq!(read(b"/", &[("host", host)]).err(), expected, "{:?}", String::from_utf8_lossy(host));
    };
    for host in ["a", "matrix.example.com", "a:0", "a:65535", "[::1]", "[2001:db8::1]:8448", "192.0.2.1:80", "a_b.c"] {
        check(host.as_bytes(), true);
    }
    for host in [
        "", ":443", "a:", "a:65536", "a:-1", "a:+1", "a:abc", "user@a", "a/b", "a?b", "a#b", "[::1", "::1", "[a]",
        "a b", "[::1]x", "a%41", "a,b", "a:1:2",
    ] {
        check(host.as_bytes(), false);
    }
    check(b"a\xe9", false);
    assert_eq!(read(b"/", &[]), Err(Refusal::HostCount));
    assert_eq!(read(b"/", &[("host", b"a"), ("host", b"a")]), Err(Refusal::HostCount));
}

#[test]
fn in_http2_the_authority_is_the_host() {
    let read = |authority: &str, hosts: &[&'static str]| {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.version = Version::HTTP_2;
        parts.uri = format!("https://{authority}/a").parse().unwrap();
        for host in hosts {
            parts.headers.append("host", HeaderValue::from_static(host));
        }
        let arrival = arrival();
        Inbound::read(&parts, b"/a", &arrival, &BOUNDS).map(|inbound| inbound.authority.to_owned())
    };
    assert_eq!(read("a:8448", &[]), Ok("a:8448".to_owned()));
    assert_eq!(read("a", &["a"]), Ok("a".to_owned()));
    assert_eq!(read("a", &["b"]), Err(Refusal::HostCount));
    assert_eq!(read("a", &["a", "a"]), Err(Refusal::HostCount));
    assert_eq!(read("user@a", &[]), Err(Refusal::HostForm));
}

#[test]
fn the_length_is_one_plain_number() {
    let check = |lengths: &[&'static str], fits: bool| {
        let mut headers: Vec<(&str, &[u8])> = vec![("host", b"a")];
        headers.extend(lengths.iter().map(|length| ("content-length", length.as_bytes())));
        let expected = if fits { None } else { Some(Refusal::Length) };
        assert_eq!(read(b"/", &headers).err(), expected, "{lengths:?}");
    };
    check(&["0"], true);
    check(&["52428800"], true);
    for lengths in [&["5, 5"][..], &["5", "5"], &["+5"], &["-5"], &["0x5"], &[""], &["99999999999999999"], &["5 5"]] {
        check(lengths, false);
    }
    let both = [("host", &b"a"[..]), ("content-length", b"5"), ("transfer-encoding", b"chunked")];
    assert_eq!(read(b"/", &both), Err(Refusal::Length));
}

#[test]
fn the_only_coding_is_chunked() {
    let check = |codings: &[&'static str], expected: Option<Refusal>| {
        let mut headers: Vec<(&str, &[u8])> = vec![("host", b"a")];
        headers.extend(codings.iter().map(|coding| ("transfer-encoding", coding.as_bytes())));
        assert_eq!(read(b"/", &headers).err(), expected, "{codings:?}");
    };
    check(&["chunked"], None);
    check(&["Chunked"], None);
    for codings in [&["chunked, chunked"][..], &["chunked", "chunked"], &["gzip, chunked"], &["identity"], &[""]] {
        check(codings, Some(Refusal::Coding));
    }
}

#[test]
fn headers_are_bounded_in_size_and_number() {
    let long = vec![b'a'; 256];
    assert_eq!(read(b"/", &[("host", b"a"), ("x-a", &long)]), Err(Refusal::HeadersTooLarge));
    let many = [
        ("host", &b"a"[..]),
        ("x", b"1"),
        ("x", b"2"),
        ("x", b"3"),
        ("x", b"4"),
        ("x", b"5"),
        ("x", b"6"),
        ("x", b"7"),
    ];
    assert!(read(b"/", &many).is_ok());
    let more: Vec<_> = many.into_iter().chain([("x", &b"8"[..])]).collect();
    assert_eq!(read(b"/", &more), Err(Refusal::HeadersTooLarge));
}

#[test]
fn a_query_value_is_the_first_of_its_name() {
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.headers.insert("host", HeaderValue::from_static("a"));
    let arrival = arrival();
    let inbound = Inbound::read(&parts, b"/sync?since=s1&timeout=30000&timeout=1&x", &arrival, &BOUNDS).unwrap();
    assert_eq!(inbound.query_value("timeout"), Some("30000"));
    assert_eq!(inbound.query_value("since"), Some("s1"));
    assert_eq!(inbound.query_value("x"), None);
    assert_eq!(inbound.query_value("time"), None);
}

proptest::proptest! {
    #[test]
    fn what_is_read_is_a_part_of_what_was_sent(target in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
        if let Ok((path, query, _)) = read(&target, &[("host", b"a")]) {
            let whole = match query { Some(query) => format!("{path}?{query}"), None => path };
            assert_eq!(whole.as_bytes(), target);
        }
    }
}
