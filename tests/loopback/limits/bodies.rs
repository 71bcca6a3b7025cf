//! The largest body.

use bytes::Bytes;

use crate::support::client::{Response, post};
use crate::support::gateway::Gateway;
use crate::support::h2;
use crate::support::upstream::{Upstream, fine};

const UPLOAD: &str = "/_matrix/media/v3/upload";
const LIMIT: usize = 4096;
const CONFIGURATION: &str = "limits: {body: 4KiB}\ntimeouts: {linger: 2s}";
const CHUNKED: &str =
    "POST /_matrix/media/v3/upload HTTP/1.1\r\nHost: matrix.example.com\r\nTransfer-Encoding: chunked\r\n\r\n";

#[track_caller]
fn check(response: &Response) {
    let body = response.json();
    assert_eq!((response.status(), &body["errcode"]), (413, &"M_TOO_LARGE".into()));
    assert!(body["error"].as_str().unwrap().contains("4096"), "{body}");
    assert_eq!(response.one("access-control-allow-origin"), Some("*"));
}

#[test]
fn a_body_as_large_as_the_limit_passes() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, CONFIGURATION);
    let body = "a".repeat(LIMIT);
    let mut client = gateway.client();
    assert_eq!(client.ask(format!("{}{body}", post(UPLOAD, LIMIT))).status(), 200);
    assert_eq!(client.ask(format!("{CHUNKED}{LIMIT:x}\r\n{body}\r\n0\r\n\r\n")).status(), 200);
    let mut client = gateway.h2();
    let (response, mut stream) = client.send(h2::post(UPLOAD), false);
    stream.send_data(Bytes::from(body.clone()), true).unwrap();
    assert_eq!(client.answer(response).unwrap().status, 200);
    let requests = upstream.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|request| request.body.bytes == body.as_bytes()));
}

#[test]
fn a_length_over_the_limit_is_refused_before_the_body() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, CONFIGURATION);
    check(&gateway.client().ask(post(UPLOAD, LIMIT + 1)));
    check(&gateway.tls_client().ask(post(UPLOAD, 1 << 40)));
    assert_eq!(upstream.seen().accepted, 0);
}

#[test]
fn a_client_that_sends_its_body_unasked_gets_to_read_the_refusal() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, CONFIGURATION);
    let body = vec![b'a'; 8 << 20];
    for mut client in [gateway.client(), gateway.tls_client()] {
        check(&client.send(post(UPLOAD, body.len())).send(&body).response());
    }
    for mut client in [gateway.client(), gateway.tls_client()] {
        client.send(format!("{CHUNKED}{:x}\r\n", body.len())).send(&body).send("\r\n0\r\n\r\n");
        check(&client.response());
    }
    assert!(upstream.is_unasked());
}

#[test]
fn a_body_in_chunks_is_refused_at_the_limit() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, CONFIGURATION);
    let mut client = gateway.client();
    client.send(format!("{CHUNKED}{LIMIT:x}\r\n{}\r\n", "a".repeat(LIMIT)));
    upstream.wait(|seen| seen.accepted == 1);
    check(&client.send("1\r\na\r\n").response());
    upstream.wait(|seen| seen.ended == 1);
    assert!(upstream.is_unasked());
}

#[test]
fn a_body_over_http_2_is_refused_at_the_limit() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, CONFIGURATION);
    let mut client = gateway.h2();
    let (response, mut stream) = client.send(h2::post(UPLOAD), false);
    stream.send_data(Bytes::from(vec![b'a'; LIMIT + 1]), false).unwrap();
    let answer = client.answer(response).unwrap();
    assert_eq!((answer.status.as_u16(), &answer.json()["errcode"]), (413, &"M_TOO_LARGE".into()));
    assert_eq!(answer.one("access-control-allow-origin"), Some("*"));
    let (response, _stream) = {
        let mut request = h2::post(UPLOAD);
        request.headers_mut().insert("content-length", (LIMIT + 1).into());
        client.send(request, false)
    };
    assert_eq!(client.answer(response).unwrap().status, 413, "by its length alone");
    assert_eq!(client.get("/_matrix/client/versions").status, 200, "the connection goes on");
    assert_eq!(upstream.only_request().target(), "/_matrix/client/versions");
}

#[test]
fn a_client_that_waits_for_100_is_told_at_once_that_its_body_is_too_large() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, CONFIGURATION);
    let mut client = gateway.client();
    let response = client.ask(format!(
        "POST {UPLOAD} HTTP/1.1\r\nHost: matrix.example.com\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
    ));
    check(&response);
    client.closed();
}

#[test]
fn what_is_no_upload_may_be_as_large_as_synapse_takes_it() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, CONFIGURATION);
    let body = "a".repeat(100_000);
    assert_eq!(gateway.client().ask(format!("{}{body}", post("/_matrix/client/v3/x", body.len()))).status(), 200);
    let response = gateway.client().ask(post("/_matrix/client/v3/x", 200 * 65_536 + 1));
    assert_eq!(response.status(), 413);
}
