use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::edge::stream::RawSocket;

const V1_TCP4: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 51234 443\r\n";
const V1_TCP6: &[u8] = b"PROXY TCP6 2001:db8::7 2001:db8::1 51234 443\r\n";

/// Version 2 with a command byte, a family byte and what follows the length.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [V2_START, &[0x20 | command, family], &length, rest].concat()
}

fn v2_tcp4() -> Vec<u8> {
    v2(1, 0x11, &[192, 0, 2, 7, 198, 51, 100, 1, 0xC8, 0x22, 1, 187])
}

/// Every shorter piece of the header asks for more, and what follows it stays untouched.
fn check(header: &[u8], client: Option<&str>) {
    for length in 0..header.len() {
        assert_eq!(parse(&header[..length]).unwrap(), None, "{length} bytes of {header:?}");
    }
    let client = client.map(|client| client.parse::<SocketAddr>().unwrap());
    let followed = [header, b"\x16\x03\x01\r\n\xFF"].concat();
    assert_eq!(parse(&followed).unwrap(), Some(Header { length: header.len(), client }));
}

fn refusal(bytes: &[u8]) -> String {
    parse(bytes).unwrap_err().to_string()
}

#[test]
fn version_1_names_the_client() {
    check(V1_TCP4, Some("192.0.2.7:51234"));
    check(V1_TCP6, Some("[2001:db8::7]:51234"));
}

#[test]
fn version_2_names_the_client() {
    check(&v2_tcp4(), Some("192.0.2.7:51234"));
    let ends =
        [&[0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7][..], &[0; 16], &[0xC8, 0x22, 1, 187]].concat();
    check(&v2(1, 0x21, &ends), Some("[2001:db8::7]:51234"));
}

#[test]
fn version_2_may_carry_more_than_addresses() {
    let rest = [&[192, 0, 2, 7, 198, 51, 100, 1, 0xC8, 0x22, 1, 187][..], &[4, 0, 3, 1, 2, 3]].concat();
    check(&v2(1, 0x11, &rest), Some("192.0.2.7:51234"));
}

#[test]
fn a_health_check_of_the_balancer_names_nobody() {
    check(b"PROXY UNKNOWN\r\n", None);
    check(b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None);
    check(&v2(0, 0x00, &[]), None);
    check(&v2(0, 0x11, &[192, 0, 2, 7, 198, 51, 100, 1, 0xC8, 0x22, 1, 187]), None);
}

#[test]
fn anything_else_is_refused_at_its_first_wrong_byte() {
    let missing = "the connection does not start with a PROXY protocol header";
    assert_eq!(refusal(b"G"), missing);
    assert_eq!(refusal(b"\x16\x03\x01"), missing);
    assert_eq!(refusal(b"PROXY\r\n"), missing);
    assert_eq!(refusal(b"\r\n\r\n\x00\r\nQUIX"), missing);
}

#[test]
fn malformed_headers_are_refused() {
    let check =
        |bytes: &[u8]| assert!(refusal(bytes).starts_with("the PROXY protocol header is malformed"), "{bytes:?}");
    check(b"PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n");
    check(b"PROXY TCP4 192.0.2.7 198.51.100.1 99999 443\r\n");
    check(b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n");
    check(b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n");
    check(b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n");
    check(b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n");
    check(&v2(2, 0x11, &[0; 12]));
    check(&v2(1, 0x41, &[0; 12]));
    check(&v2(1, 0x11, &[0; 11]));
}

#[test]
fn headers_without_an_end_are_refused() {
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 93]].concat();
    assert_eq!(parse(&long[..106]).unwrap(), None);
    assert_eq!(refusal(&long), "the PROXY protocol header is too long");
    assert_eq!(refusal(&v2(1, 0x11, &[0; 4097])[..16]), "the PROXY protocol header is too long");
    assert_eq!(parse(&v2(1, 0x11, &[0; 4096])[..16]).unwrap(), None);
}

#[tokio::test]
async fn bytes_behind_the_header_are_left_for_tls_or_http() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut socket = Socket::new(RawSocket::Unix(ours));
    let sending = async {
        for piece in [&v2_tcp4()[..5], &v2_tcp4()[5..], b"GET "] {
            theirs.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        theirs.write_all(b"/ HTTP/1.1\r\n").await.unwrap();
        theirs.shutdown().await.unwrap();
    };
    let (client, ()) = tokio::join!(read(&mut socket), sending);
    assert_eq!(client.unwrap(), Some("192.0.2.7:51234".parse().unwrap()));
    let mut rest = String::new();
    socket.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "GET / HTTP/1.1\r\n");
}

#[tokio::test]
async fn a_connection_that_ends_within_its_header_is_refused() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"PROXY TC").await.unwrap();
    drop(theirs);
    let refused = read(&mut Socket::new(RawSocket::Unix(ours))).await;
    assert!(matches!(refused, Err(HeaderError::Closed)));
}
