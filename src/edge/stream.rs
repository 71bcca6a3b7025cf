//! A client's connection in the form in which Pingora's proxy takes it.
//!
//! Pingora's own stream type lets nobody outside the crate set its buffers. The socket below this one holds a read
//! buffer only while bytes wait in it and a write buffer only between a write and its flush, so an idle one holds none.
//!
//! Of the slots that a connection has for its user, only the digest of a CONNECT proxy reaches `ProxyHttp` from HTTP/1.1
//! and HTTP/2, plain and over TLS, TCP and Unix sockets alike: the user context is HTTP/1.1's alone, and the extension of
//! the TLS digest cannot be set from outside. A client's connection has no CONNECT proxy, so the slot is free.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use async_trait::async_trait;
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora_core::protocols::raw_connect::ProxyDigest;
use pingora_core::protocols::tls::SslDigest;
use pingora_core::protocols::{
    ALPN, Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID, UniqueIDType,
};
use pingora_proxy::Session;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::inbound::Arrival;

mod socket;

pub(super) use socket::{RawSocket, Socket};

/// How the connection of a request arrived.
#[must_use]
pub(super) fn arrival(session: &Session) -> Option<&Arc<Arrival>> {
    carried(session.digest()?)
}

pub(super) fn carried(digest: &Digest) -> Option<&Arc<Arrival>> {
    digest.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref()
}

/// A connection ready for HTTP: `T` is a [`Socket`] or TLS over one.
#[derive(Debug)]
pub(super) struct ClientStream<T> {
    io: T,
    fd: RawFd,
    established: SystemTime,
    socket: Arc<SocketDigest>,
    proxy: Arc<ProxyDigest>,
    tls: Option<Arc<SslDigest>>,
    alpn: Option<ALPN>,
}

impl ClientStream<Socket> {
    /// HTTP in the clear. `peer` replaces the socket's address, for Pingora and whoever asks it.
    pub(super) fn plain(socket: Socket, peer: Option<SocketAddr>, arrival: Arc<Arrival>) -> Self {
        let fd = socket.as_raw_fd();
        Self::new(socket, fd, peer, arrival)
    }
}

impl ClientStream<TlsStream<Socket>> {
    /// HTTP over TLS, after the handshake.
    pub(super) fn tls(stream: TlsStream<Socket>, peer: Option<SocketAddr>, arrival: Arc<Arrival>) -> Self {
        let (socket, session) = stream.get_ref();
        let fd = socket.as_raw_fd();
        let cipher = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or_default();
        let version = session.protocol_version().and_then(|version| version.as_str()).unwrap_or_default();
        let tls = SslDigest::new(cipher, version, None, None, Vec::new());
        let alpn = session.alpn_protocol().map(|protocol| if protocol == b"h2" { ALPN::H2 } else { ALPN::H1 });
        Self { tls: Some(Arc::new(tls)), alpn, ..Self::new(stream, fd, peer, arrival) }
    }
}

impl<T> ClientStream<T> {
    fn new(io: T, fd: RawFd, peer: Option<SocketAddr>, arrival: Arc<Arrival>) -> Self {
        let socket = SocketDigest::from_raw_fd(fd);
        if let Some(peer) = peer {
            // A fresh cell: it cannot be set already.
            let _ = socket.peer_addr.set(Some(PeerAddr::Inet(peer)));
        }
        let (unused, ()) = http::Response::new(()).into_parts();
        let proxy = ProxyDigest::new(Box::new(unused.into()), Some(Box::new(arrival)));
        let (socket, proxy) = (Arc::new(socket), Arc::new(proxy));
        Self { io, fd, established: SystemTime::now(), socket, proxy, tls: None, alpn: None }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ClientStream<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ClientStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[async_trait]
impl<T: AsyncWrite + Unpin + Send> Shutdown for ClientStream<T> {
    async fn shutdown(&mut self) {
        if let Err(error) = AsyncWriteExt::shutdown(self).await {
            log::debug!("a connection did not end cleanly: {error}");
        }
    }
}

impl<T> UniqueID for ClientStream<T> {
    fn id(&self) -> UniqueIDType {
        self.fd
    }
}

impl<T> Ssl for ClientStream<T> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.tls.clone()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.alpn.clone()
    }
}

impl<T> GetTimingDigest for ClientStream<T> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        vec![Some(TimingDigest { established_ts: self.established, ..TimingDigest::default() })]
    }
}

impl<T> GetProxyDigest for ClientStream<T> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(self.proxy.clone())
    }
}

impl<T> GetSocketDigest for ClientStream<T> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(self.socket.clone())
    }
}

/// Only needed to tell HTTP/2 in the clear from HTTP/1.1; a plain listener speaks HTTP/1.1.
impl<T: Send> Peek for ClientStream<T> {}
