//! An upstream that switches protocols.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use super::client::{Client, Response};
use super::gateway::Gateway;
use super::message::Peer;
use super::upstream::{State, Then, Upstream, fine};

/// The rest of a request for a WebSocket, after its target.
pub(crate) const HANDSHAKE: &str = "HTTP/1.1\r\nHost: matrix.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// The answer to it.
pub(crate) const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Answers an upgrade only once told to.
///
/// Pingora forgets to keep a WebSocket open whose upgrade is answered before it has got round to the empty body of the
/// request: an upstream that takes a while, as all real ones do, never sees that.
pub(crate) struct Switching {
    /// To be forwarded to.
    pub(crate) upstream: Upstream,
    switch: Sender<()>,
}

impl Switching {
    /// After the switch, `script` has the connection.
    pub(crate) fn new(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> Self {
        let (switch, switched) = channel();
        let switched = Mutex::new(switched);
        let upstream = Upstream::new(move |request, peer| {
            if request.head.one("upgrade").is_none() {
                return peer.send(fine()).map_or(Then::Close, |()| Then::Next);
            }
            let _ = switched.lock().unwrap().recv();
            let _ = peer.send(SWITCHED);
            script(peer);
            Then::Close
        });
        Self { upstream, switch }
    }

    /// Upgrades a connection of a client, which asks for `target`.
    #[track_caller]
    pub(crate) fn upgrade(&self, gateway: &Gateway, client: &mut Client, target: &str) -> Response {
        let upgrades = |seen: &State| seen.requests.iter().filter(|it| it.head.one("upgrade").is_some()).count();
        let before = upgrades(&self.upstream.seen());
        client.send(format!("GET {target} {HANDSHAKE}"));
        self.upstream.wait(|seen| upgrades(seen) > before);
        assert_eq!(gateway.client().get("/_matrix/client/versions").status(), 200);
        self.switch.send(()).unwrap();
        client.response()
    }
}
