//! What must never be written down, looked for in everything that is.

use super::{RENDEZVOUS, UPLOAD};
use crate::support::client::post;
use crate::support::gateway::Gateway;
use crate::support::h2;
use crate::support::metrics::{METRICS, Metrics};
use crate::support::upstream::{Then, Upstream, fine};

/// Everything that must never be written down holds this word.
const SECRET: &str = "s3cr3t";

#[test]
fn no_secret_is_in_anything_that_is_written() {
    // Failures make Pingora talk too.
    let upstream = Upstream::new(|request, peer| match request.target() {
        target if target.contains("close") => Then::Close,
        target if target.contains("rubbish") => {
            peer.send(format!("{SECRET} rubbish\r\n\r\n")).map_or(Then::Close, |()| Then::Close)
        }
        target if target.contains("cut") => {
            let begun = format!("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nSet-Cookie: a={SECRET}\r\n\r\n{SECRET}");
            peer.send(begun).map_or(Then::Close, |()| Then::Close)
        }
        _ => peer.send(fine()).map_or(Then::Close, |()| Then::Next),
    });
    let gateway = Gateway::before(
        &upstream,
        &format!("log: {{level: debug}}\nrendezvous: {{enabled: true, prefix: /_synapse/client/qr}}\n{METRICS}"),
    );
    let metrics = Metrics::of(&gateway);
    let targets = [
        format!("/_matrix/client/v3/sync?access_token={SECRET}&since=s1"),
        format!("/_matrix/client/v3/sync?since=s1&access%5Ftoken={SECRET}"),
        format!("/_matrix/client/v3/sync;access_token={SECRET}"),
        format!("/_matrix/client/v3/sync%3Faccess_token={SECRET}"),
        format!("/_matrix/client/v3/login/sso/redirect?redirectUrl=https://a/{SECRET}"),
        format!("/_matrix/client/v3/close?access_token={SECRET}"),
        format!("/_matrix/client/v3/rubbish?access_token={SECRET}"),
        format!("/_matrix/client/v3/cut?access_token={SECRET}"),
        format!("/_matrix/client/v3/register?{SECRET}={SECRET}"),
        format!("/_synapse/client/qr/{SECRET}"),
        format!("/_synapse/client/{SECRET}"),
        format!("{RENDEZVOUS}/{SECRET}"),
        format!("/_matrix/client/unstable/org.matrix.msc4108/rendezvous/{SECRET}"),
        format!("/_matrix/client/unstable/org.matrix.msc4140/delayed_events/{SECRET}/send"),
        format!("/nothing?access_token={SECRET}"),
        format!("/_matrix/client/v3/{}?access_token={SECRET}", "long".repeat(3000)),
    ];
    let mut http2 = gateway.h2();
    for target in &targets {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: matrix.example.com\r\nAuthorization: Bearer {SECRET}\r\nCookie: a={SECRET}\r\n\
             Proxy-Authorization: Basic {SECRET}\r\nReferer: https://app.example/{SECRET}?{SECRET}\r\n\r\n"
        );
        let _ = gateway.client().send(request).try_response();
        let mut request = h2::get(target);
        request.headers_mut().insert("authorization", format!("Bearer {SECRET}").parse().unwrap());
        let _ = http2.ask(request);
    }
    // Heads that cannot be understood, and a request that is cut off.
    for broken in [
        format!("GET /_matrix/x?access_token={SECRET} HTTP/1.1\r\nAuthorization Bearer {SECRET}\r\n\r\n"),
        format!("GET /_matrix/x?access_token={SECRET} HTTP/9.9\r\nHost: a\r\n\r\n"),
        format!("{SECRET} {SECRET}\r\n\r\n"),
        format!("GET https://user:{SECRET}@a/?x={SECRET} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("CONNECT {SECRET}.example.com:443 HTTP/1.1\r\nHost: {SECRET}.example.com\r\n\r\n"),
    ] {
        let _ = gateway.client().send(broken).try_response();
    }
    let cut = post(&format!("{UPLOAD}?access_token={SECRET}"), 100);
    gateway.client().send(cut + SECRET);
    gateway.client().send(format!("GET /_matrix/x?access_token={SECRET} HTTP/1.1\r\nAuthoriz"));
    // Sessions of our own, with ids that only their owners may know.
    let created = gateway.client().ask(post("/_synapse/client/qr", 6) + SECRET);
    let id = created.one("location").unwrap();
    for place in ["/_synapse/client/qr", "/_synapse/client", RENDEZVOUS] {
        assert_eq!(gateway.client().get(&format!("{place}/{id}")).text(), SECRET);
    }
    let last = gateway.client().get("/health");
    gateway.logged(last.one("x-request-id").unwrap());
    gateway.log_where(|entry| entry["class"] == "upload");
    for text in gateway.lines().iter().chain([&metrics.text()]) {
        assert!(!text.contains(SECRET) && !text.contains(id), "{text}");
    }
    // The test would find them: what is harmless is there.
    assert!(gateway.lines().iter().any(|line| line.contains("since=s1")));
}
