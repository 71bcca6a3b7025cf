//! TLS with clients: the policy of the handshake, and the handshake itself.
//!
//! Pingora would take TLS over too, but with fixed settings: no tickets, 256 sessions, its own crypto provider. The
//! handshake is done in two steps here, since only between them can a name that is in no certificate be refused with the
//! alert made for it; the TLS library knows no other way than `access_denied`.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{Acceptor, ServerSessionMemoryCache};
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncWriteExt;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::Certificates;
use super::stream::Socket;
use crate::listen::{MinVersion, Tls};

/// Sessions kept for clients of TLS 1.2 that know no tickets: a few hundred bytes each. All others resume with
/// tickets, which are kept by the client.
const SESSIONS: usize = 1024;

/// The record of a fatal alert `unrecognized_name` (RFC 8446, sections 5.1 and 6; RFC 6066, section 3).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Makes aws-lc-rs the crypto of the whole process, upstream connections included, with the key exchange
/// X25519MLKEM768 preferred. To be called before Pingora starts, which would choose another.
pub fn install_crypto() {
    if aws_lc_rs::default_provider().install_default().is_err() {
        log::debug!("the crypto provider of this process is chosen already");
    }
}

/// The settings of all handshakes.
#[derive(Debug)]
pub struct TlsServer {
    certificates: Arc<Certificates>,
    http2: Arc<ServerConfig>,
    http1: Arc<ServerConfig>,
}

/// Why a handshake failed. The client's fault, except for a server name that should be in a certificate and is not.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The client asked for a name that is in no certificate.
    #[error("no certificate for `{0}`")]
    UnknownName(String),
    /// Not TLS, nothing in common, or a broken connection.
    #[error("TLS handshake failed: {0}")]
    Failed(#[from] io::Error),
}

impl TlsServer {
    /// Settings that answer with these certificates. Fails only if the system has no randomness for ticket keys.
    pub fn new(tls: &Tls, certificates: Arc<Certificates>) -> Result<Self, rustls::Error> {
        let versions = match tls.min_version {
            MinVersion::Tls12 => &[&TLS13, &TLS12][..],
            MinVersion::Tls13 => &[&TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut http2 = config.clone();
        http2.alpn_protocols.insert(0, b"h2".to_vec());
        Ok(Self { certificates, http2: Arc::new(http2), http1: Arc::new(config) })
    }

    /// The certificates that these settings answer with.
    #[must_use]
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    pub(super) async fn handshake(&self, socket: Socket, http2: bool) -> Result<TlsStream<Socket>, HandshakeError> {
        let mut start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
        let name = start.client_hello().server_name().map(str::to_owned);
        if let Some(name) = name
            && !self.certificates.answers(&name)
        {
            start.io.write_all(&UNRECOGNIZED_NAME).await?;
            start.io.shutdown().await?;
            return Err(HandshakeError::UnknownName(name));
        }
        let config = if http2 { &self.http2 } else { &self.http1 };
        Ok(start.into_stream(config.clone()).await?)
    }
}

#[cfg(test)]
mod tests;
