//! Clients that go away: nothing is kept busy for them.

use std::time::Duration;

use bytes::Bytes;

use super::clients;
use crate::support::client::{get, post};
use crate::support::gateway::Gateway;
use crate::support::h2;
use crate::support::upstream::{Then, Upstream, fine};

const AT_ONCE: Duration = Duration::from_secs(2);
const POLL: &str = "/_matrix/client/v3/sync?since=s1&timeout=300000";

#[test]
fn a_long_poll_ends_with_its_client() {
    let upstream = Upstream::new(|_, _| Then::Hold);
    let gateway = Gateway::before(&upstream, "");
    for (number, mut client) in clients(&gateway).into_iter().enumerate() {
        client.send(get(POLL));
        upstream.wait(|seen| seen.requests.len() == number + 1);
        drop(client);
        upstream.wait_within(AT_ONCE, |seen| seen.ended == number + 1);
    }
    let entry = gateway.log_where(|entry| entry["scheme"] == "https");
    assert_eq!((&entry["status"], &entry["cause"]), (&().into(), &"client_gone".into()));
}

#[test]
fn a_long_poll_ends_with_its_http_2_stream_and_leaves_the_others_alone() {
    let upstream = Upstream::new(|request, peer| {
        if request.target() == POLL {
            return Then::Hold;
        }
        peer.send(fine()).map_or(Then::Close, |()| Then::Next)
    });
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.h2();
    let (response, mut stream) = client.send(h2::get(POLL), true);
    upstream.wait(|seen| seen.requests.len() == 1);
    stream.send_reset(::h2::Reason::CANCEL);
    drop(response);
    upstream.wait_within(AT_ONCE, |seen| seen.ended == 1);
    assert_eq!(client.get("/_matrix/client/versions").status.as_u16(), 200);
}

#[test]
fn all_long_polls_end_with_their_http_2_connection() {
    let upstream = Upstream::new(|_, _| Then::Hold);
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.h2();
    let pending: Vec<_> = (0..10).map(|_| client.send(h2::get(POLL), true)).collect();
    upstream.wait(|seen| seen.requests.len() == 10);
    drop((client, pending));
    upstream.wait_within(AT_ONCE, |seen| seen.ended == 10);
}

#[test]
fn an_upload_that_its_client_gives_up_is_not_taken_for_whole() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    client.send(post("/_matrix/media/v3/upload", 1000)).send("the beginning");
    upstream.wait(|seen| seen.accepted == 1);
    drop(client);
    upstream.wait_within(AT_ONCE, |seen| seen.ended == 1);
    let mut client = gateway.client();
    let chunked =
        "POST /_matrix/media/v3/upload HTTP/1.1\r\nHost: matrix.example.com\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{chunked}5\r\nhello\r\n"));
    upstream.wait(|seen| seen.accepted == 2);
    drop(client);
    upstream.wait_within(AT_ONCE, |seen| seen.ended == 2);
    let mut client = gateway.h2();
    let (response, mut stream) = client.send(h2::post("/_matrix/media/v3/upload"), false);
    stream.send_data(Bytes::from_static(b"hello"), false).unwrap();
    upstream.wait(|seen| seen.accepted == 3);
    stream.send_reset(::h2::Reason::CANCEL);
    drop(response);
    upstream.wait_within(AT_ONCE, |seen| seen.ended == 3);
    assert!(upstream.is_unasked(), "{:?}", upstream.requests());
}

#[test]
fn a_download_ends_with_its_client() {
    let upstream = Upstream::new(|_, peer| {
        let _ = peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        // Written until the gateway closes the connection.
        while peer.send(format!("1000\r\n{}\r\n", "a".repeat(0x1000))).is_ok() {}
        Then::Close
    });
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    client.send(get("/_matrix/media/v3/download/a/b"));
    client.response_head().unwrap();
    drop(client);
    upstream.wait_within(AT_ONCE, |seen| seen.ended == 1);
}
