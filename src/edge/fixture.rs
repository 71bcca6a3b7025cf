//! What the edge's tests have in common: certificates, and clients that trust them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

use crate::listen::{Hsts, MinVersion, PairPaths, Reload, Tls, UnknownSni};

/// A directory of certificates that sign themselves.
pub(super) struct Issuer {
    folder: TempDir,
}

impl Issuer {
    pub(super) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Writes `<stem>.pem` and `<stem>.key` for these names.
    pub(super) fn issue(&self, stem: &str, names: &[&str]) -> PairPaths {
        self.issue_with(stem, names, &rcgen::PKCS_ECDSA_P256_SHA256, |_| {})
    }

    pub(super) fn issue_with(
        &self,
        stem: &str,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
        adjust: impl FnOnce(&mut CertificateParams),
    ) -> PairPaths {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        adjust(&mut params);
        let pair = self.paths(stem);
        std::fs::write(&pair.cert, params.self_signed(&key).unwrap().pem()).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }

    pub(super) fn paths(&self, stem: &str) -> PairPaths {
        let path = "tls.certificates[0]".to_owned();
        PairPaths { cert: self.file(&format!("{stem}.pem")), key: self.file(&format!("{stem}.key")), path }
    }
}

/// A policy with defaults for these pairs.
pub(super) fn tls(pairs: Vec<PairPaths>) -> Tls {
    Tls {
        pairs,
        min_version: MinVersion::Tls12,
        unknown_sni: UnknownSni::Refuse,
        hsts: Some(Hsts::default().0),
        reload: Reload::Watch,
    }
}

pub(super) fn certificate(pair: &PairPaths) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(&pair.cert).unwrap()
}

/// A client that trusts these certificates and speaks these protocols.
pub(super) fn client(trusted: &[&PairPaths], alpn: &[&str]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for pair in trusted {
        roots.add(certificate(pair)).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config
}
