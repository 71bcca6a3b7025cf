//! Request and response bodies, with what stands before and behind them.

use bytes::Bytes;
use http::HeaderMap;

use crate::support::client::{get, post};
use crate::support::gateway::Gateway;
use crate::support::h2;
use crate::support::upstream::{Then, Upstream, answer, fine};

#[test]
fn a_client_that_waits_for_100_gets_it_and_may_go_on_afterwards() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    client.send(
        "POST /_matrix/client/v3/login HTTP/1.1\r\nHost: matrix.example.com\r\nContent-Length: 2\r\n\
         Expect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.response().status(), 100);
    assert_eq!(client.ask("{}").status(), 200);
    assert_eq!(client.get("/_matrix/client/versions").status(), 200, "the connection goes on");
    assert_eq!(upstream.requests()[0].body.bytes, b"{}");
}

#[test]
fn a_client_that_waits_for_100_may_be_told_no_at_once() {
    let upstream = Upstream::raw(|connection| {
        if connection.head().is_ok() {
            let _ = connection.peer.send(answer("401 Unauthorized", "{\"errcode\":\"M_MISSING_TOKEN\"}"));
            let _ = connection.peer.rest();
        }
    });
    let gateway = Gateway::before(&upstream, "");
    let response = gateway.client().ask(
        "POST /_matrix/media/v3/upload HTTP/1.1\r\nHost: matrix.example.com\r\nContent-Length: 1000000\r\n\
         Expect: 100-continue\r\n\r\n",
    );
    assert_eq!((response.status(), &response.json()["errcode"]), (401, &"M_MISSING_TOKEN".into()));
}

#[test]
fn a_chunked_body_arrives_whole() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    client.send(
        "PUT /_matrix/client/v3/x HTTP/1.1\r\nHost: matrix.example.com\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n",
    );
    upstream.wait(|seen| seen.accepted == 1);
    assert_eq!(client.ask("6;x=y\r\n world\r\n0\r\n\r\n").status(), 200);
    let request = upstream.only_request();
    assert_eq!(request.body.bytes, b"hello world");
    assert_eq!(request.head.one("transfer-encoding"), Some("chunked"));
    assert_eq!(client.get("/_matrix/client/versions").status(), 200, "the connection goes on");
}

#[test]
fn a_large_body_arrives_whole_from_both_protocols() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let body: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut client = gateway.tls_client();
    client.send(post("/_matrix/media/v3/upload", body.len())).send(&body);
    assert_eq!(client.response().status(), 200);
    let mut client = gateway.h2();
    let (response, mut stream) = client.send(h2::post("/_matrix/media/v3/upload"), false);
    stream.send_data(Bytes::from(body.clone()), true).unwrap();
    assert_eq!(client.answer(response).unwrap().status, 200);
    for request in upstream.requests() {
        assert!(request.body.bytes == body, "{} bytes", request.body.bytes.len());
    }
}

#[test]
fn a_large_answer_arrives_whole_over_both_protocols() {
    let body = "0123456789,".repeat(250_000);
    let upstream = Upstream::answering(answer("200 OK", &body));
    let gateway = Gateway::before(&upstream, "");
    assert!(gateway.client().get("/_matrix/client/v3/sync").text() == body);
    assert!(gateway.h2().get("/_matrix/client/v3/sync").body == body.as_bytes());
}

#[test]
fn an_answer_may_come_before_the_end_of_the_body() {
    let upstream = Upstream::raw(|connection| {
        if connection.head().is_ok() {
            let _ = connection.peer.send(answer("403 Forbidden", "{\"errcode\":\"M_FORBIDDEN\"}"));
            let _ = connection.peer.rest();
        }
    });
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    client.send(post("/_matrix/media/v3/upload", 1_000_000)).send("the beginning");
    let response = client.response();
    assert_eq!((response.status(), &response.json()["errcode"]), (403, &"M_FORBIDDEN".into()));
}

#[test]
fn trailers_of_an_answer_do_no_harm() {
    let upstream = Upstream::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    for _ in 0..2 {
        let response = client.get("/_matrix/client/versions");
        assert_eq!((response.text(), response.one("trailer"), response.trailers.len()), ("{}", None, 0));
    }
    let answer = gateway.h2().get("/_matrix/client/versions");
    assert_eq!((answer.body.as_slice(), answer.trailers), (&b"{}"[..], None));
}

#[test]
fn trailers_of_a_request_do_no_harm() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    client.send(
        "PUT /_matrix/client/v3/x HTTP/1.1\r\nHost: matrix.example.com\r\nTransfer-Encoding: chunked\r\n\
         Trailer: X-Forwarded-For\r\n\r\n2\r\n{}\r\n0\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    );
    assert_eq!(client.response().status(), 200);
    assert_eq!(client.get("/_matrix/client/versions").status(), 200, "the connection goes on");
    let mut client = gateway.h2();
    let (response, mut stream) = client.send(h2::post("/_matrix/client/v3/x"), false);
    stream.send_data(Bytes::from_static(b"{}"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
    stream.send_trailers(trailers).unwrap();
    assert_eq!(client.answer(response).unwrap().status, 200);
    for request in upstream.requests() {
        assert!(request.target().ends_with("versions") || request.body.bytes == b"{}", "{request:?}");
        assert!(request.body.trailers.is_empty(), "{request:?}");
    }
}

#[test]
fn an_answer_of_unknown_length_arrives_piece_by_piece() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let upstream = Upstream::new(move |_, peer| {
        let _ = peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        let _ = wait.lock().unwrap().recv();
        let _ = peer.send("5\r\nother\r\n0\r\n\r\n");
        Then::Next
    });
    let gateway = Gateway::before(&upstream, "");
    let mut client = gateway.client();
    client.send(get("/_matrix/media/v3/download/a/b"));
    client.response_head().unwrap();
    assert_eq!(client.bytes(10), b"5\r\nfirst\r\n", "before the upstream has sent the rest");
    go.send(()).unwrap();
    assert_eq!(client.bytes(15), b"5\r\nother\r\n0\r\n\r\n");
}
