//! What Synapse gets to see of a request, and the client of an answer.

use crate::support::client::get;
use crate::support::gateway::Gateway;
use crate::support::upstream::{Upstream, fine};

#[test]
fn a_request_reaches_the_upstream_and_its_answer_the_client() {
    let upstream = Upstream::answering(fine());
    let gateway = Gateway::before(&upstream, "");
    for mut client in [gateway.client(), gateway.tls_client()] {
        let response = client.ask(get("/_matrix/client/versions"));
        assert_eq!((response.status(), response.text()), (200, "{}"));
    }
    let answer = gateway.h2().get("/_matrix/client/versions");
    assert_eq!((answer.status.as_u16(), answer.body.as_slice()), (200, &b"{}"[..]));
    assert_eq!(upstream.requests().len(), 3);
}
