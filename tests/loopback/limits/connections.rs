//! The largest number of connections, and of requests on one.

use std::time::Instant;

use crate::support::DEADLINE;
use crate::support::client::get;
use crate::support::gateway::Gateway;
use crate::support::h2;
use crate::support::upstream::{Then, Upstream, fine};

#[test]
fn connections_over_the_limit_are_closed_until_others_end() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "limits: {connections: 2}");
    let (mut first, mut second) = (gateway.client(), gateway.client());
    assert_eq!((first.get("/health").status(), second.get("/health").status()), (200, 200));
    gateway.client().closed();
    gateway.line(|line| line.contains("limits.connections"));
    assert_eq!(second.get("/health").status(), 200, "those that are open are served");
    drop(first);
    let started = Instant::now();
    loop {
        let mut client = gateway.client();
        if client.try_send(get("/health")).is_ok() && client.try_response().is_ok() {
            break;
        }
        assert!(started.elapsed() < DEADLINE, "the place is not given to anybody else");
    }
}

#[test]
fn requests_over_the_limit_of_an_http_2_connection_wait_for_their_turn() {
    let upstream = Upstream::new(|request, peer| {
        if request.target().ends_with("/hold") {
            return Then::Hold;
        }
        peer.send(fine()).map_or(Then::Close, |()| Then::Next)
    });
    let gateway = Gateway::before(&upstream, "limits: {http2_streams: 2}");
    let mut client = gateway.h2();
    assert_eq!(client.get("/_matrix/client/versions").status, 200, "from now on the client knows the limit");
    let (held, mut stream) = client.send(h2::get("/_matrix/client/hold"), true);
    let _other = client.send(h2::get("/_matrix/client/hold"), true);
    upstream.wait(|seen| seen.requests.len() == 3);
    let (third, _) = client.send(h2::get("/_matrix/client/versions"), true);
    stream.send_reset(::h2::Reason::CANCEL);
    drop(held);
    assert_eq!(client.answer(third).unwrap().status, 200);
}
