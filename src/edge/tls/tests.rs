use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as ClientStream;

use super::*;
use crate::edge::certificates::load;
use crate::edge::fixture::{self, Issuer};
use crate::edge::stream::RawSocket;
use crate::listen::UnknownSni;
use crate::problem::Problems;

fn server(tls: &Tls) -> TlsServer {
    let loaded = load(tls, SystemTime::now(), &mut Problems::default()).unwrap();
    TlsServer::new(tls, Arc::new(Certificates::new(loaded))).unwrap()
}

/// One handshake, and a byte from the server so that the client has read its tickets.
async fn shake(
    server: &TlsServer,
    http2: bool,
    client: &Arc<ClientConfig>,
    name: &'static str,
) -> (Result<TlsStream<Socket>, HandshakeError>, io::Result<ClientStream<UnixStream>>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let serving = async {
        let mut stream = server.handshake(Socket::new(RawSocket::Unix(ours)), http2).await?;
        // A client that refuses the certificate is gone by now.
        if stream.write_all(b"!").await.is_ok() {
            let _ = stream.flush().await;
        }
        Ok(stream)
    };
    let connecting = async {
        let connector = TlsConnector::from(client.clone());
        let mut stream = connector.connect(ServerName::try_from(name).unwrap(), theirs).await?;
        assert_eq!(stream.read_u8().await?, b'!');
        Ok(stream)
    };
    tokio::join!(serving, connecting)
}

fn cause(error: &io::Error) -> &rustls::Error {
    error.get_ref().unwrap().downcast_ref().unwrap()
}

#[tokio::test]
async fn http2_is_offered_where_the_listener_says_so() {
    let issuer = Issuer::new();
    let pair = issuer.issue("a", &["example.com"]);
    let server = server(&fixture::tls(vec![pair.clone()]));
    for (http2, alpn, expected) in [
        (true, &["h2", "http/1.1"][..], Some("h2")),
        (true, &["http/1.1"], Some("http/1.1")),
        (true, &[], None),
        (false, &["h2", "http/1.1"], Some("http/1.1")),
    ] {
        let client = Arc::new(fixture::client(&[&pair], alpn));
        let (ours, theirs) = shake(&server, http2, &client, "example.com").await;
        theirs.unwrap();
        let selected = ours.unwrap().get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        assert_eq!(selected.as_deref(), expected.map(str::as_bytes), "{http2} {alpn:?}");
    }
}

#[tokio::test]
async fn a_client_without_a_protocol_in_common_gets_the_alert_for_it() {
    let issuer = Issuer::new();
    let pair = issuer.issue("a", &["example.com"]);
    let server = server(&fixture::tls(vec![pair.clone()]));
    let client = Arc::new(fixture::client(&[&pair], &["imap"]));
    let (ours, theirs) = shake(&server, true, &client, "example.com").await;
    assert!(matches!(ours, Err(HandshakeError::Failed(_))));
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol);
    assert_eq!(*cause(&theirs.unwrap_err()), alert);
}

#[tokio::test]
async fn an_unknown_name_is_refused_with_unrecognized_name() {
    let issuer = Issuer::new();
    let pair = issuer.issue("a", &["example.com"]);
    let server = server(&fixture::tls(vec![pair.clone()]));
    let client = Arc::new(fixture::client(&[&pair], &[]));
    let (ours, theirs) = shake(&server, true, &client, "unknown.org").await;
    assert_eq!(ours.unwrap_err().to_string(), "no certificate for `unknown.org`");
    assert_eq!(*cause(&theirs.unwrap_err()), rustls::Error::AlertReceived(rustls::AlertDescription::UnrecognisedName));
}

#[tokio::test]
async fn an_unknown_name_gets_the_first_certificate_if_the_policy_says_so() {
    let issuer = Issuer::new();
    let pair = issuer.issue("a", &["example.com"]);
    let server = server(&Tls { unknown_sni: UnknownSni::Default, ..fixture::tls(vec![pair.clone()]) });
    let client = Arc::new(fixture::client(&[&pair], &[]));
    let (_, theirs) = shake(&server, true, &client, "unknown.org").await;
    let refused = cause(&theirs.unwrap_err()).to_string();
    assert!(refused.starts_with("invalid peer certificate: certificate not valid for name"), "{refused}");
}

#[tokio::test]
async fn a_client_that_names_no_host_gets_the_first_certificate() {
    let issuer = Issuer::new();
    let first = issuer.issue("a", &["example.com", "127.0.0.1"]);
    let server = server(&fixture::tls(vec![first.clone(), issuer.issue("b", &["other.org"])]));
    let client = Arc::new(fixture::client(&[&first], &[]));
    let (_, theirs) = shake(&server, true, &client, "127.0.0.1").await;
    assert_eq!(theirs.unwrap().get_ref().1.peer_certificates().unwrap(), [fixture::certificate(&first)]);
}

#[tokio::test]
async fn key_exchange_is_safe_from_quantum_computers_where_the_client_can() {
    let issuer = Issuer::new();
    let pair = issuer.issue("a", &["example.com"]);
    let server = server(&fixture::tls(vec![pair.clone()]));
    let (ours, _) = shake(&server, true, &Arc::new(fixture::client(&[&pair], &[])), "example.com").await;
    let stream = ours.unwrap();
    assert_eq!(stream.get_ref().1.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
}

/// A client that speaks TLS 1.2 alone.
fn old_client(pair: &crate::listen::PairPaths) -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(fixture::certificate(pair)).unwrap();
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[tokio::test]
async fn the_oldest_version_is_what_the_policy_says() {
    let issuer = Issuer::new();
    let pair = issuer.issue("a", &["example.com"]);
    let client = Arc::new(old_client(&pair));
    let tls = fixture::tls(vec![pair]);
    let (ours, _) = shake(&server(&tls), true, &client, "example.com").await;
    assert_eq!(ours.unwrap().get_ref().1.protocol_version(), Some(ProtocolVersion::TLSv1_2));
    let strict = Tls { min_version: MinVersion::Tls13, ..tls };
    let (ours, theirs) = shake(&server(&strict), true, &client, "example.com").await;
    assert!(ours.is_err());
    assert_eq!(*cause(&theirs.unwrap_err()), rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion));
}

#[tokio::test]
async fn a_second_connection_resumes_the_session_of_the_first() {
    let issuer = Issuer::new();
    let pair = issuer.issue("a", &["example.com"]);
    let server = server(&fixture::tls(vec![pair.clone()]));
    for client in [fixture::client(&[&pair], &[]), old_client(&pair)] {
        let client = Arc::new(client);
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let (ours, theirs) = shake(&server, true, &client, "example.com").await;
            theirs.unwrap();
            assert_eq!(ours.unwrap().get_ref().1.handshake_kind(), Some(expected));
        }
    }
}
