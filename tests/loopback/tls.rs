//! Which certificate a client gets, what is agreed on in the handshake, and how renewed certificates come into use.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion, SignatureScheme,
    StreamOwned, SupportedProtocolVersion,
};

use crate::support::DEADLINE;
use crate::support::certificates::{Kind, Signed, client_config, client_config_with, sign};
use crate::support::gateway::Gateway;
use crate::support::upstream::{Upstream, fine};

/// What a handshake came to.
#[derive(Debug)]
struct Shaken {
    version: Option<ProtocolVersion>,
    alpn: Option<String>,
    group: Option<NamedGroup>,
    kind: Option<HandshakeKind>,
    certificate: CertificateDer<'static>,
}

/// Shakes hands and has one request answered, so that tickets have been read as well.
fn shake(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> Result<Shaken, rustls::Error> {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            inner.cloned().unwrap_or_else(|| panic!("{error}"))
        })?;
    }
    let shaken = Shaken {
        version: connection.protocol_version(),
        alpn: connection.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned()),
        group: connection.negotiated_key_exchange_group().map(rustls::crypto::SupportedKxGroup::name),
        kind: connection.handshake_kind(),
        certificate: connection.peer_certificates().unwrap()[0].clone().into_owned(),
    };
    if shaken.alpn.as_deref() != Some("h2") {
        let mut stream = StreamOwned::new(connection, stream);
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer));
    }
    Ok(shaken)
}

fn der(signed: &Signed) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(signed.cert.as_bytes()).unwrap()
}

/// A client with a provider and versions of its own.
fn client(provider: CryptoProvider, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    client_config_with(provider, versions, &[])
}

/// A client that can verify signatures of these schemes alone, in handshakes; in certificates it knows them all.
fn verifying(schemes: &[SignatureScheme]) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let all = provider.signature_verification_algorithms;
    let mapping: Vec<_> = all.mapping.iter().filter(|(scheme, _)| schemes.contains(scheme)).copied().collect();
    provider.signature_verification_algorithms = WebPkiSupportedAlgorithms { all: all.all, mapping: mapping.leak() };
    provider
}

fn put(directory: &Path, stem: &str, signed: &Signed) {
    fs::write(directory.join(format!("{stem}.pem")), &signed.cert).unwrap();
    fs::write(directory.join(format!("{stem}.key")), &signed.key).unwrap();
}

/// A gateway with these pairs, in this order, under the names `0.pem`, `0.key` and so on.
struct World {
    gateway: Gateway,
    upstream: Upstream,
    certificates: tempfile::TempDir,
    more: String,
}

impl World {
    fn new(pairs: &[&Signed], more: &str) -> Self {
        let certificates = tempfile::tempdir().unwrap();
        for (index, signed) in pairs.iter().enumerate() {
            put(certificates.path(), &index.to_string(), signed);
        }
        Self::with(certificates, pairs.len(), more)
    }

    fn with(certificates: tempfile::TempDir, pairs: usize, more: &str) -> Self {
        let upstream = Upstream::answering(fine());
        let folder = certificates.path().display();
        let pair = |index| format!("{{cert: {folder}/{index}.pem, key: {folder}/{index}.key}}");
        let pairs: Vec<String> = (0..pairs).map(pair).collect();
        let more = format!("tls: {{certificates: [{}], {more}}}\n", pairs.join(", "));
        let gateway = Gateway::start(&Self::yaml(&upstream, &more));
        Self { gateway, upstream, certificates, more }
    }

    fn yaml(upstream: &Upstream, more: &str) -> String {
        format!(
            "server_name: example.com\nupstreams: {{main: {{address: '{}'}}}}\nhealth: {{interval: 10m}}\n\
             synapse: {{version: '1.163'}}\nlisteners:\n\
             - {{address: '127.0.0.2:0', tls: true}}\n- {{address: '127.0.0.3:0', tls: true, http2: false}}\n{more}",
            upstream.address()
        )
    }

    fn address(&self) -> SocketAddr {
        self.gateway.address("127.0.0.2")
    }

    fn shake(&self, name: &str) -> Result<Shaken, rustls::Error> {
        shake(self.address(), name, &client_config(&[]))
    }

    fn certificate(&self, name: &str) -> CertificateDer<'static> {
        self.shake(name).unwrap().certificate
    }
}

const UNRECOGNIZED: rustls::Error = rustls::Error::AlertReceived(AlertDescription::UnrecognisedName);

#[test]
fn the_certificate_is_the_one_for_the_name_that_was_asked_for() {
    let first = sign(&["matrix.example.com", "127.0.0.2"], Kind::Ecdsa);
    let second = sign(&["other.example.org", "*.chat.example.org"], Kind::Ecdsa);
    let world = World::new(&[&first, &second], "");
    assert_eq!(world.certificate("matrix.example.com"), der(&first));
    assert_eq!(world.certificate("MATRIX.example.com"), der(&first));
    assert_eq!(world.certificate("other.example.org"), der(&second));
    assert_eq!(world.certificate("any.chat.example.org"), der(&second));
    // An address is no name to ask for.
    assert_eq!(world.certificate("127.0.0.2"), der(&first));
}

#[test]
fn a_name_in_no_certificate_is_refused_and_said_at_debug() {
    let signed = sign(&["matrix.example.com"], Kind::Ecdsa);
    let world = World::new(&[&signed], "} \nlog: {level: debug");
    for name in ["unknown.example.com", "deep.matrix.example.com", "example.com"] {
        assert_eq!(world.shake(name).unwrap_err(), UNRECOGNIZED);
    }
    world.gateway.line(|line| line.starts_with("debug: ") && line.contains("no certificate for `unknown.example.com`"));
    assert_eq!(world.certificate("matrix.example.com"), der(&signed));
    assert!(world.upstream.is_unasked());
}

#[test]
fn a_name_in_no_certificate_gets_the_first_where_the_operator_says_so() {
    let signed = sign(&["matrix.example.com"], Kind::Ecdsa);
    let world = World::new(&[&signed], "unknown_sni: default");
    let refused = world.shake("unknown.example.com").unwrap_err();
    assert!(matches!(refused, rustls::Error::InvalidCertificate(_)), "{refused}");
}

#[test]
fn of_two_kinds_a_client_gets_the_one_that_it_can_verify() {
    let names = &["matrix.example.com"];
    let (ecdsa, rsa) = (sign(names, Kind::Ecdsa), sign(names, Kind::Rsa));
    for order in [[&ecdsa, &rsa], [&rsa, &ecdsa]] {
        let world = World::new(&order, "");
        assert_eq!(world.certificate("matrix.example.com"), der(order[0]));
        for version in [&TLS12, &TLS13] {
            for (schemes, expected) in [
                (&[SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256][..], &rsa),
                (&[SignatureScheme::ECDSA_NISTP256_SHA256], &ecdsa),
            ] {
                let got = shake(world.address(), "matrix.example.com", &client(verifying(schemes), &[version]));
                assert_eq!(got.unwrap().certificate, der(expected), "{version:?}");
            }
        }
    }
}

#[test]
fn only_tls_1_2_and_1_3_are_spoken() {
    let signed = sign(&["matrix.example.com"], Kind::Ecdsa);
    let world = World::new(&[&signed], "");
    for (version, expected) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let shaken = shake(world.address(), "matrix.example.com", &client(aws_lc_rs::default_provider(), &[version]));
        assert_eq!(shaken.unwrap().version, Some(expected));
    }
    for minor in [1, 2] {
        assert_eq!(old_hello(world.address(), minor), [21, 2, 70], "an alert, fatal, protocol_version");
    }
}

#[test]
fn tls_1_2_is_refused_where_the_operator_wants_1_3() {
    let signed = sign(&["matrix.example.com"], Kind::Ecdsa);
    let world = World::new(&[&signed], "min_version: '1.3'");
    let refused = shake(world.address(), "matrix.example.com", &client(aws_lc_rs::default_provider(), &[&TLS12]));
    assert_eq!(refused.unwrap_err(), rustls::Error::AlertReceived(AlertDescription::ProtocolVersion));
    assert_eq!(world.shake("matrix.example.com").unwrap().version, Some(ProtocolVersion::TLSv1_3));
}

/// Sends the hello of a client that knows nothing newer than TLS 1.`minor - 1`. Returns the kind of the record that
/// comes back and the two bytes in it.
fn old_hello(address: SocketAddr, minor: u8) -> [u8; 3] {
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    // Version, random, no session id, two ancient suites, no compression, one extension: the algorithms of signatures.
    let body =
        [&[3, minor][..], &[7; 32], &[0], &[0, 4, 0xc0, 0x14, 0, 0x35], &[1, 0], &[0, 8, 0, 13, 0, 4, 0, 2, 4, 3]]
            .concat();
    let length = u8::try_from(body.len()).unwrap();
    let hello = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat();
    stream.write_all(&hello).unwrap();
    let mut record = [0; 7];
    stream.read_exact(&mut record).unwrap();
    [record[0], record[5], record[6]]
}

#[test]
fn http2_is_agreed_on_where_both_sides_speak_it() {
    let signed = sign(&["matrix.example.com"], Kind::Ecdsa);
    let world = World::new(&[&signed], "");
    let agreed = |ip: &str, offered: &[&str]| {
        shake(world.gateway.address(ip), "matrix.example.com", &client_config(offered)).map(|shaken| shaken.alpn)
    };
    let http1 = Ok(Some("http/1.1".to_owned()));
    assert_eq!(agreed("127.0.0.2", &["http/1.1", "h2"]), Ok(Some("h2".to_owned())));
    assert_eq!(agreed("127.0.0.2", &["http/1.1"]), http1);
    assert_eq!(agreed("127.0.0.2", &[]), Ok(None));
    assert_eq!(agreed("127.0.0.3", &["h2", "http/1.1"]), http1);
    let nothing_in_common = Err(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol));
    assert_eq!(agreed("127.0.0.3", &["h2"]), nothing_in_common);
}

#[test]
fn keys_are_exchanged_so_that_no_later_computer_can_read_along() {
    let signed = sign(&["matrix.example.com"], Kind::Ecdsa);
    let world = World::new(&[&signed], "");
    assert_eq!(world.shake("matrix.example.com").unwrap().group, Some(NamedGroup::X25519MLKEM768));
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
    let shaken = shake(world.address(), "matrix.example.com", &client(provider, &[&TLS13])).unwrap();
    assert_eq!(shaken.group, Some(NamedGroup::X25519));
}

#[test]
fn a_second_connection_resumes_the_first() {
    let signed = sign(&["matrix.example.com"], Kind::Ecdsa);
    let world = World::new(&[&signed], "");
    for version in [&TLS12, &TLS13] {
        let config = client(aws_lc_rs::default_provider(), &[version]);
        let kinds = [(); 2].map(|()| shake(world.address(), "matrix.example.com", &config).unwrap().kind);
        assert_ne!(kinds[0], Some(HandshakeKind::Resumed));
        assert_eq!(kinds[1], Some(HandshakeKind::Resumed), "{version:?}");
    }
}

#[test]
fn a_renewed_certificate_is_in_use_without_a_signal() {
    let names = &["matrix.example.com"];
    let (old, new) = (sign(names, Kind::Ecdsa), sign(names, Kind::Rsa));
    let world = World::new(&[&old], "");
    assert_eq!(world.certificate("matrix.example.com"), der(&old));
    put(world.certificates.path(), "0", &new);
    world.gateway.line(|line| line.starts_with("a new certificate is in use: "));
    assert_eq!(world.certificate("matrix.example.com"), der(&new));
}

/// As certbot does it: `live/x.pem` is a symbolic link to `archive/x1.pem`, and at a renewal to `archive/x2.pem`.
#[test]
fn a_renewal_that_turns_symbolic_links_is_seen() {
    let names = &["matrix.example.com"];
    let (old, new) = (sign(names, Kind::Ecdsa), sign(names, Kind::Ecdsa));
    let certificates = tempfile::tempdir().unwrap();
    let folder = certificates.path().to_owned();
    let archive = folder.join("archive");
    fs::create_dir(&archive).unwrap();
    let turn = |to: &str| {
        for kind in ["pem", "key"] {
            let fresh = folder.join("fresh");
            symlink(archive.join(format!("{to}.{kind}")), &fresh).unwrap();
            fs::rename(&fresh, folder.join(format!("0.{kind}"))).unwrap();
        }
    };
    put(&archive, "1", &old);
    turn("1");
    let world = World::with(certificates, 1, "");
    assert_eq!(world.certificate("matrix.example.com"), der(&old));
    put(&archive, "2", &new);
    turn("2");
    world.gateway.line(|line| line.starts_with("a new certificate is in use: "));
    assert_eq!(world.certificate("matrix.example.com"), der(&new));
}

#[test]
fn a_pair_that_does_not_fit_keeps_the_old_one_in_use_and_says_so() {
    let names = &["matrix.example.com"];
    let (old, other) = (sign(names, Kind::Ecdsa), sign(names, Kind::Ecdsa));
    let world = World::new(&[&old], "");
    let folder = world.certificates.path();
    let kept = |wrong: &str| {
        let line = world
            .gateway
            .line(|line| line.starts_with("error: the old certificate stays in use: ") && line.contains(wrong));
        assert!(!line.contains("PRIVATE KEY"), "{line}");
        assert_eq!(world.certificate("matrix.example.com"), der(&old));
    };
    fs::write(folder.join("0.pem"), "rubbish").unwrap();
    kept("0.pem");
    fs::write(folder.join("0.pem"), &old.cert).unwrap();
    fs::write(folder.join("0.key"), &other.key).unwrap();
    kept("0.key");
    // Once the pair fits, it is taken.
    fs::write(folder.join("0.pem"), &other.cert).unwrap();
    world.gateway.line(|line| line.starts_with("a new certificate is in use: "));
    assert_eq!(world.certificate("matrix.example.com"), der(&other));
}

#[test]
fn with_reload_by_signal_a_renewed_certificate_waits_for_the_signal() {
    let names = &["matrix.example.com"];
    let (old, new) = (sign(names, Kind::Ecdsa), sign(names, Kind::Ecdsa));
    let world = World::new(&[&old], "reload: signal");
    put(world.certificates.path(), "0", &new);
    assert_eq!(world.certificate("matrix.example.com"), der(&old));
    world.gateway.signal("HUP");
    world.gateway.line(|line| line == "the configuration was reloaded");
    assert_eq!(world.certificate("matrix.example.com"), der(&new));
    assert!(!world.gateway.lines().iter().any(|line| line.starts_with("a new certificate is in use")));
}

#[test]
fn another_certificate_in_the_configuration_is_taken_and_watched_from_the_reload_on() {
    let names = &["matrix.example.com"];
    let [first, second, third] = [(); 3].map(|()| sign(names, Kind::Ecdsa));
    let world = World::new(&[&first], "");
    let elsewhere = tempfile::tempdir().unwrap();
    put(elsewhere.path(), "0", &second);
    let folder = |directory: &tempfile::TempDir| directory.path().display().to_string();
    let more = world.more.replace(&folder(&world.certificates), &folder(&elsewhere));
    world.gateway.configure(&World::yaml(&world.upstream, &more));
    world.gateway.signal("HUP");
    world.gateway.line(|line| line == "the configuration was reloaded");
    assert_eq!(world.certificate("matrix.example.com"), der(&second));
    put(elsewhere.path(), "0", &third);
    world.gateway.line(|line| line.starts_with("a new certificate is in use: "));
    assert_eq!(world.certificate("matrix.example.com"), der(&third));
}
