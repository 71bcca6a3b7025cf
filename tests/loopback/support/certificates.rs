//! An authority of the test's own, and what it has signed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;

/// The name that the tests' certificate is for.
pub(crate) const NAME: &str = "matrix.example.com";

static AUTHORITY: LazyLock<CertifiedIssuer<'static, KeyPair>> = LazyLock::new(|| {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority of the tests");
    CertifiedIssuer::self_signed(params, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()).unwrap()
});

/// The kind of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// P-256.
    Ecdsa,
    /// 2048 bits.
    Rsa,
}

/// A certificate with its key, in PEM.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    /// The certificate.
    pub(crate) cert: String,
    /// Its private key.
    pub(crate) key: String,
}

/// A new certificate for names.
pub(crate) fn sign(names: &[&str], kind: Kind) -> Signed {
    let params = CertificateParams::new(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).unwrap();
    let key = match kind {
        Kind::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
        Kind::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(),
    };
    let cert = params.signed_by(&key, &AUTHORITY).unwrap();
    Signed { cert: cert.pem(), key: key.serialize_pem() }
}

/// The files of a certificate for [`NAME`], which all tests share: the certificate, then the key.
pub(crate) fn shared() -> (PathBuf, PathBuf) {
    (files().join("cert.pem"), files().join("key.pem"))
}

/// The file of the authority's own certificate.
pub(crate) fn authority() -> PathBuf {
    files().join("authority.pem")
}

fn files() -> &'static Path {
    static FILES: OnceLock<TempDir> = OnceLock::new();
    let directory = FILES.get_or_init(|| {
        let directory = TempDir::new().unwrap();
        let signed = sign(&[NAME], Kind::Ecdsa);
        std::fs::write(directory.path().join("cert.pem"), signed.cert).unwrap();
        std::fs::write(directory.path().join("key.pem"), signed.key).unwrap();
        std::fs::write(directory.path().join("authority.pem"), AUTHORITY.pem()).unwrap();
        directory
    });
    directory.path()
}

/// What a client needs that trusts the authority and offers these protocols (ALPN).
pub(crate) fn client_config(protocols: &[&str]) -> Arc<ClientConfig> {
    client_config_with(default_provider(), rustls::DEFAULT_VERSIONS, protocols)
}

/// As [`client_config`], with these algorithms and versions of TLS.
pub(crate) fn client_config_with(
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(AUTHORITY.der().to_vec())).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let mut config =
        builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}
