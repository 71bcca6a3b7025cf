//! `status`: how the gateway and the processes behind it are.

use serde_json::Value;

use super::{CONTROL, process, told};
use crate::support::client::get;
use crate::support::gate::Gate;
use crate::support::port::Port;
use crate::support::upstream::{Then, Upstream, fine};
use crate::workers::{before, named, who};

const SYNC: &str = "/_matrix/client/v3/sync?since=s1";

#[test]
fn status_tells_of_the_gateway_and_of_each_process() {
    let gate = Gate::new();
    let held = gate.clone();
    let main = named("main");
    let sync = Upstream::new(move |_, peer| {
        held.wait();
        peer.send(fine()).map_or(Then::Close, |()| Then::Next)
    });
    // A process that is not there.
    let port = Port::reserve();
    let gone = Upstream::on(port.listen(), |_| {});
    let address = gone.address();
    let gateway = before(
        &[
            ("main", &main, ""),
            ("sync1", &sync, ", roles: [sync], streams: [receipts], max_concurrent: 1"),
            ("w", &gone, ", roles: [client_reader]"),
        ],
        &format!("{CONTROL}extra_routes: [{{path: /app/, proxy: 'http://127.0.0.1:9'}}]\n"),
    );
    drop(gone);
    let mut clients: Vec<_> = (0..3).map(|_| gateway.client()).collect();
    let receipt =
        "POST /_matrix/client/v3/rooms/!r:a/receipt/m.read/$e HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    clients[0].send(receipt);
    sync.wait(|seen| !seen.requests.is_empty());
    clients[1].send(receipt);
    clients[2].send(get(SYNC));
    sync.wait(|seen| seen.requests.len() == 2);
    assert_eq!(who(&gateway, "GET", "/_matrix/client/versions", ""), "main", "`w` refuses connections");
    gateway.line(|line| line == "warning: upstream w: it does not answer");
    while process(&gateway, "sync1")["waiting"] == 0 {}

    let status: Value = serde_json::from_str(&told(&gateway, &["status", "--json"])).unwrap();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["pid"], gateway.pid());
    assert_eq!(status["synapse"], "1.163");
    assert!(status["uptime"].is_u64() && status["connections"].as_u64().unwrap() >= 3, "{status}");
    let sync1 = process(&gateway, "sync1");
    for (name, expected) in [
        ("address", Value::from(sync.address())),
        ("up", true.into()),
        ("drained", false.into()),
        ("roles", vec!["sync", "stream.receipts"].into()),
        ("requests", 1.into()),
        ("long_polls", 1.into()),
        ("waiting", 1.into()),
    ] {
        assert_eq!(sync1[name], expected, "{name}");
    }
    let w = process(&gateway, "w");
    assert_eq!((&w["up"], &w["address"]), (&false.into(), &address.into()));

    let text = told(&gateway, &["status"]);
    let line = |name: &str| text.lines().find(|line| line.trim_start().starts_with(name)).unwrap().to_owned();
    assert!(text.contains(&format!("pid {}", gateway.pid())) && text.contains("Synapse is taken for 1.163"), "{text}");
    assert!(line("sync1").contains("1 requests, 1 long polls, 1 waiting  sync, stream.receipts"), "{text}");
    assert!(line("w ").contains("  down "), "{text}");
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().status(), 200);
    }
}
