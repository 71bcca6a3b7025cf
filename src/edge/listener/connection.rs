//! One connection from its acceptance until HTTP.

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora_core::protocols::Stream;
use pingora_core::server::ShutdownWatch;
use rustls::ProtocolVersion;
use tokio::time::error::Elapsed;
use tokio::time::timeout_at;
use tokio_rustls::server::TlsStream;

use super::{AcceptPolicy, Listeners, Refused};
use crate::edge::proxy_protocol;
use crate::edge::stream::{ClientStream, Socket};
use crate::edge::tls::HandshakeError;
use crate::listen::{Listener, Transport};
use crate::observe::Handshake;

/// A connection while it counts.
pub(super) struct Live {
    pub(super) listeners: Arc<Listeners>,
    pub(super) settings: Arc<Listener>,
    /// The address as configured.
    pub(super) listener: String,
    pub(super) accepted: Instant,
    pub(super) _counted: Box<dyn Any + Send + Sync>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.listeners.live.send_modify(|count| *count -= 1);
    }
}

impl Live {
    pub(super) async fn run(
        &self,
        mut socket: Socket,
        peer: Option<SocketAddr>,
        port: Option<u16>,
        shutdown: ShutdownWatch,
    ) {
        let policy = self.listeners.policy.load_full();
        let mut client = peer.map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port()));
        if self.settings.proxy_protocol {
            match self.proxy_header(&mut socket, client, &policy).await {
                Ok(named) => client = named.map(|it| SocketAddr::new(it.ip().to_canonical(), it.port())).or(client),
                Err(refused) => return self.listeners.events.refused(&self.listener, refused),
            }
        }
        let arrival = Arc::new(self.settings.arrival(port, client.map(|client| client.ip())));
        let stream: Stream = match self.settings.transport {
            Transport::Plain => Box::new(ClientStream::plain(socket, client, arrival.clone())),
            Transport::Tls { http2 } => match self.handshake(socket, http2, client, &policy).await {
                Ok(stream) => Box::new(ClientStream::tls(stream, client, arrival.clone())),
                Err(refused) => return self.listeners.events.refused(&self.listener, refused),
            },
        };
        self.listeners.app.serve(stream, arrival, &shutdown).await;
    }

    async fn proxy_header(
        &self,
        socket: &mut Socket,
        peer: Option<SocketAddr>,
        policy: &AcceptPolicy,
    ) -> Result<Option<SocketAddr>, Refused> {
        let believed = |peer: IpAddr| policy.proxies.is_empty() || policy.proxies.iter().any(|net| net.contains(peer));
        if !peer.is_none_or(|peer| believed(peer.ip())) {
            log::debug!("{} on {}: not a proxy that is believed", Peer(peer), self.listener);
            return Err(Refused::ProxyHeader);
        }
        match self.by(policy.deadlines.proxy_header, proxy_protocol::read(socket)).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => {
                log::debug!("{} on {}: {error}", Peer(peer), self.listener);
                Err(Refused::ProxyHeader)
            }
            Err(_) => {
                log::debug!("{} on {}: no PROXY protocol header in time", Peer(peer), self.listener);
                Err(Refused::ProxyHeader)
            }
        }
    }

    async fn handshake(
        &self,
        socket: Socket,
        http2: bool,
        client: Option<SocketAddr>,
        policy: &AcceptPolicy,
    ) -> Result<TlsStream<Socket>, Refused> {
        let Some(tls) = self.listeners.tls.load_full() else {
            log::error!("{} has no certificates", self.listener);
            return Err(Refused::Handshake);
        };
        let tell = |result| self.listeners.events.handshake(result, self.accepted.elapsed());
        match self.by(policy.deadlines.handshake, tls.handshake(socket, http2)).await {
            Ok(Ok(stream)) => {
                let old = stream.get_ref().1.protocol_version() == Some(ProtocolVersion::TLSv1_2);
                tell(if old { Handshake::Tls12 } else { Handshake::Tls13 });
                Ok(stream)
            }
            Ok(Err(error)) => {
                log::debug!("{} on {}: {error}", Peer(client), self.listener);
                tell(Handshake::Failed);
                Err(match error {
                    HandshakeError::UnknownName(_) => Refused::UnknownName,
                    HandshakeError::Failed(_) => Refused::Handshake,
                })
            }
            Err(_) => {
                log::debug!("{} on {}: no TLS handshake in time", Peer(client), self.listener);
                tell(Handshake::TimedOut);
                Err(Refused::HandshakeTimeout)
            }
        }
    }

    /// Waits no longer than until `span` after the connection came.
    async fn by<F: Future>(&self, span: Duration, future: F) -> Result<F::Output, Elapsed> {
        timeout_at((self.accepted + span).into(), future).await
    }
}

/// A peer in the log.
struct Peer(Option<SocketAddr>);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(peer) => peer.fmt(f),
            None => f.write_str("a local client"),
        }
    }
}
